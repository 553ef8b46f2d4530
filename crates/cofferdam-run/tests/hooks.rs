//! Hooks: what other programs do around a container's life.

mod common;

use common::Scratch;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

#[test]
fn hooks_run_at_their_points_with_the_state_on_their_input() {
    let scratch = Scratch::new(&["true"]);
    let log = scratch.dir.join("hooks");
    let hook = |name: &str| {
        let script = format!("read -r state; echo \"{name} $state\" >> {}", log.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }])
    };
    scratch.change(|config| {
        config["hooks"] = json!({
            "prestart": hook("prestart"),
            "createRuntime": hook("createRuntime"),
            "poststart": hook("poststart"),
            "poststop": hook("poststop"),
        });
    });
    let said = scratch.launch("run", &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let log = fs::read_to_string(log).expect("the log");
    let lines: Vec<(&str, serde_json::Value)> = log
        .lines()
        .map(|line| line.split_once(' ').expect("two words"))
        .map(|(name, state)| (name, serde_json::from_str(state).expect("JSON")))
        .collect();
    let statuses: Vec<(&str, &str)> = lines
        .iter()
        .map(|(name, state)| (*name, state["status"].as_str().expect("a word")))
        .collect();
    assert_eq!(
        statuses,
        [
            ("prestart", "creating"),
            ("createRuntime", "creating"),
            ("poststart", "running"),
            ("poststop", "stopped")
        ]
    );
    assert!(lines.iter().all(|(_, state)| state["id"] == json!(scratch.id)));
}

#[test]
fn a_hook_that_fails_fails_the_create() {
    let scratch = Scratch::new(&["true"]);
    scratch.change(|config| {
        let script = "echo the reason >&2; exit 3";
        let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
        config["hooks"] = json!({ "createRuntime": hook });
    });
    let said = scratch.launch("create", &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.message().contains("createRuntime"), "{said:?}");
    assert!(said.message().contains("the reason"), "{said:?}");
    assert_eq!(scratch.groups(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_poststart_hook_that_fails_ends_the_container() {
    let scratch = Scratch::new(&["sleep", "100"]);
    scratch.change(|config| {
        config["hooks"] = json!({ "poststart": [{ "path": "/bin/false" }] });
    });
    assert_eq!(scratch.launch("create", &[]).code, Some(0));
    let said = scratch.verb("start", &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.message().contains("poststart"), "{said:?}");
    scratch.until("stopped");
}

/// A hook that runs a shell script.
fn script(text: &str) -> Value {
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", text] }])
}

#[test]
fn what_hooks_have_made_is_taken_back_when_the_create_fails() {
    let scratch = Scratch::new(&["true"]);
    let log = scratch.dir.join("hooks");
    scratch.change(|config| {
        config["hooks"] = json!({
            "createRuntime": script("exit 3"),
            "poststop": script(&format!("cat > {}", log.display())),
        });
    });
    assert_eq!(scratch.launch("create", &[]).code, Some(1));
    let told = fs::read_to_string(log).expect("poststop has run");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((&told["status"], &told["id"]), (&json!("stopped"), &json!(scratch.id)));
    assert_eq!(told["pid"], Value::Null, "a process that is gone has no number");
    assert_eq!(scratch.groups(), [] as [PathBuf; 0]);
}

#[test]
fn the_words_of_a_hook_inside_the_container_are_never_lost() {
    let scratch = Scratch::new(&["true"]);
    scratch.change(|config| {
        config["hooks"] = json!({ "createContainer": script("echo the reason >&2; exit 3") });
    });
    let said: Vec<_> = (0..20).map(|_| scratch.launch("create", &[])).collect();
    assert!(said.iter().all(|said| said.message().contains("the reason")), "{said:?}");
}
