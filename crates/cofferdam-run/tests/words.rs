//! The command line: what is said to somebody who types it wrong, and what
//! needs no container.

mod common;

use common::Scratch;
use serde_json::json;

#[test]
fn a_container_that_is_not_there_is_missed_in_the_same_words_by_every_verb() {
    let scratch = Scratch::new(&["true"]);
    for verb in ["state", "start", "kill", "pause", "resume", "ps", "update", "events", "delete"] {
        let said = scratch.verb(verb, &[]);
        assert_eq!((said.code, said.message()), (Some(1), "container does not exist"), "{verb}");
    }
    let said = scratch.verb("exec", &["true"]);
    assert_eq!(said.code, Some(255));
    assert_eq!(said.message(), "exec failed: container does not exist");
}

#[test]
fn deleting_by_force_what_is_not_there_is_no_error() {
    let scratch = Scratch::new(&["true"]);
    assert_eq!(scratch.verb("delete", &["--force"]).code, Some(0));
}

#[test]
fn a_name_that_could_be_a_path_is_refused() {
    let scratch = Scratch::new(&["true"]);
    let bundle = scratch.bundle();
    let said = scratch.run(&["create", "-b", &bundle, "../x"]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.message(), "cofferdam-run create failed: invalid container ID format");
    let said = scratch.run(&["create", "-b", &bundle, ""]);
    assert_eq!(said.message(), "cofferdam-run create failed: container id cannot be empty");
}

#[test]
fn an_unknown_verb_is_code_3() {
    let scratch = Scratch::new(&["true"]);
    let said = scratch.run(&["bogus"]);
    assert_eq!((said.code, said.message()), (Some(3), "No help topic for 'bogus'"));
}

#[test]
fn what_other_runtimes_do_and_this_one_does_not_is_refused_in_words() {
    let scratch = Scratch::new(&["true"]);
    for words in [
        &["checkpoint", "--image-path", "/x", "--leave-running", "box"][..],
        &["restore", "--bundle", "/x", "box"],
        // How Podman asks whether it can be done.
        &["checkpoint", "--help"],
    ] {
        let said = scratch.run(words);
        let begins = format!("{} is not carried by this runtime: end the container", words[0]);
        assert!(said.code == Some(1) && said.message().starts_with(&begins), "{said:?}");
    }
}

#[test]
fn an_unknown_option_shows_how_the_verb_is_written() {
    let scratch = Scratch::new(&["true"]);
    let said = scratch.run(&["state", "--nope", "x"]);
    assert_eq!((said.code, said.message()), (Some(1), "flag provided but not defined: -nope"));
    assert!(said.out.starts_with("Incorrect Usage: flag provided but not defined: -nope"));
    assert!(said.out.contains("cofferdam-run state <container-id>"), "{}", said.out);
}

#[test]
fn the_number_of_arguments_is_checked() {
    let scratch = Scratch::new(&["true"]);
    let said = scratch.run(&["state"]);
    assert!(said.message().ends_with("\\\"state\\\" requires exactly 1 argument(s)"), "{said:?}");
    let said = scratch.run(&["exec"]);
    assert_eq!(said.code, Some(1));
    assert!(said.message().ends_with("requires a minimum of 1 argument(s)"), "{said:?}");
}

#[test]
fn a_log_file_gets_the_line_and_standard_error_the_words() {
    let scratch = Scratch::new(&["true"]);
    let log = scratch.dir.join("log.json");
    let path = log.to_string_lossy().into_owned();
    let said = scratch.run(&["--log", &path, "--log-format", "json", "state", "nope"]);
    assert_eq!(said.err, "container does not exist\n");
    let line = std::fs::read_to_string(log).expect("the log");
    let line: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
    assert_eq!(line["level"], "error");
    assert_eq!(line["msg"], "container does not exist");
    assert!(line["time"].is_string());
}

#[test]
fn debug_lines_are_said_when_asked_for() {
    let scratch = Scratch::new(&["true"]);
    assert!(scratch.run(&["--debug", "list"]).err.contains("level=debug"));
    assert_eq!(scratch.run(&["list"]).err, "");
}

#[test]
fn the_version_is_three_lines_that_callers_parse() {
    let scratch = Scratch::new(&["true"]);
    let out = scratch.run(&["--version"]).out;
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("cofferdam-run version "));
    assert!(lines[1].starts_with("commit: "));
    assert_eq!(lines[2], "spec: 1.3.0");
}

#[test]
fn help_names_every_verb_and_each_verb_helps() {
    let scratch = Scratch::new(&["true"]);
    let out = scratch.run(&["--help"]).out;
    for verb in ["create", "start", "run", "exec", "state", "kill", "delete", "list", "ps"] {
        assert!(out.contains(&format!("\n   {verb} ")), "{verb}");
        let help = scratch.run(&[verb, "--help"]);
        assert_eq!(help.code, Some(0));
        assert!(help.out.contains(&format!("cofferdam-run {verb}")), "{}", help.out);
    }
}

#[test]
fn an_empty_list_is_its_head_null_or_nothing() {
    let scratch = Scratch::new(&["true"]);
    let head = "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n";
    assert_eq!(scratch.run(&["list"]).out, head);
    assert_eq!(scratch.run(&["list", "--format", "json"]).out, "null\n");
    assert_eq!(scratch.run(&["list", "-q"]).out, "");
    assert_eq!(scratch.run(&["list", "--format", "yaml"]).message(), "invalid format option");
}

#[test]
fn features_tell_what_containerd_asks_for() {
    let scratch = Scratch::new(&["true"]);
    let features = scratch.run(&["features"]).json();
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
    let options = features["mountOptions"].as_array().expect("a list");
    assert!(options.contains(&json!("rro")) && options.contains(&json!("tmpcopyup")));
    assert_eq!(features["linux"]["cgroup"]["v2"], true);
    assert!(features["linux"]["namespaces"].as_array().expect("a list").contains(&json!("user")));
    assert!(features["potentiallyUnsafeConfigAnnotations"].is_array());
}

#[test]
fn a_written_config_is_not_overwritten() {
    let scratch = Scratch::new(&["true"]);
    let bundle = scratch.bundle();
    let said = scratch.run(&["spec", "--bundle", &bundle]);
    assert_eq!(said.message(), "File config.json exists. Remove it first");
}

#[test]
fn a_bad_bundle_is_refused_before_anything_is_made() {
    let scratch = Scratch::new(&["true"]);
    let refused = |edit: fn(&mut serde_json::Value)| {
        scratch.change(edit);
        let said = scratch.launch("create", &[]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert_eq!(scratch.run(&["list", "-q"]).out, "");
        said.message().trim_start_matches("cofferdam-run create failed: ").to_owned()
    };
    assert_eq!(refused(|c| c["process"]["cwd"] = json!("x")), "Cwd must be an absolute path");
    assert_eq!(refused(|c| c["process"]["cwd"] = json!("")), "Cwd property must not be empty");
    assert!(refused(|c| c["root"]["path"] = json!("nowhere")).starts_with("Cwd"));
    let list = refused(|c| {
        c["process"]["cwd"] = json!("/");
        c["process"]["execCPUAffinity"] = json!({ "final": "0-x" });
    });
    assert!(list.ends_with("is no list of processors"), "{list}");
    let config = scratch.dir.join("config.json");
    std::fs::write(&config, "{").expect("write");
    let said = scratch.launch("create", &[]);
    assert!(said.message().contains("cannot read config.json: EOF"), "{said:?}");
    std::fs::remove_file(&config).expect("remove");
    let said = scratch.launch("create", &[]);
    assert!(said.message().ends_with("JSON specification file config.json not found"));
}

#[test]
fn what_is_not_carried_is_refused_and_not_passed_over() {
    let scratch = Scratch::new(&["true"]);
    let refused = |edit: fn(&mut serde_json::Value)| {
        scratch.change(edit);
        let said = scratch.launch("create", &[]);
        assert_eq!(said.code, Some(1), "{said:?}");
        said.message().trim_start_matches("cofferdam-run create failed: ").to_owned()
    };
    let clocks = refused(|c| c["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 1 } }));
    assert_eq!(clocks, "timeOffsets need a time namespace of the container's own");
    let device = refused(|c| c["linux"]["netDevices"] = json!({ "eth9": {} }));
    assert_eq!(device, "netDevices is not carried by this runtime");
    let policy = refused(|c| c["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_DEFAULT" }));
    assert_eq!(policy, "memoryPolicy is not carried by this runtime");
    let rdt = refused(|c| c["linux"]["intelRdt"] = json!({ "closID": "x" }));
    assert_eq!(rdt, "intelRdt is not carried by this runtime");
}

#[test]
fn who_is_not_root_is_told_so() {
    use std::os::{fd::AsRawFd, unix::process::CommandExt};
    let scratch = Scratch::new(&["true"]);
    // The user may not be let into the directory where it was built.
    let file = std::fs::File::open(env!("CARGO_BIN_EXE_cofferdam-run")).expect("built");
    let mut command = std::process::Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
    command.args(["--root", "/nowhere", "run", "-b", "/nowhere", &scratch.id]).current_dir("/");
    let said = {
        command.uid(1000).gid(1000);
        common::finish(command, &scratch.dir)
    };
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.message().ends_with("it has to be run as root"), "{said:?}");
}

#[test]
fn systemd_is_refused_where_it_does_not_run() {
    let scratch = Scratch::new(&["true"]);
    let bundle = scratch.bundle();
    let said = scratch.run(&["--systemd-cgroup", "create", "-b", &bundle, &scratch.id]);
    assert_eq!(said.code, Some(1));
    assert!(said.message().contains("systemd"), "{said:?}");
}
