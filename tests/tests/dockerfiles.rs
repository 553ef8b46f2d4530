//! BUILD: a corpus of Dockerfiles (`corpus/dockerfiles.json`), each with what
//! BuildKit makes of it: configuration and files, or the words of the refusal
//! and the lines that they point at.
//!
//! What is expected was recorded from dockerd 28.5.2 through the same client.
//! Where this engine does something else on purpose, the case says why
//! (`differs`), and what is expected is ours.

use promises::{Cli, kitchen::Kitchen};
use serde_json::{Map, Value, json};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

/// What of a configuration comes from a Dockerfile.
const KEYS: [&str; 12] = [
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "OnBuild",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
];

fn corpus(group: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/dockerfiles.json");
    let text = fs::read_to_string(path).expect("the corpus");
    let all: Vec<Value> = serde_json::from_str(&text).expect("json");
    let cases: Vec<Value> = all.into_iter().filter(|case| case["group"] == group).collect();
    assert!(!cases.is_empty(), "no group {group}");
    cases
}

/// Lays a case's files out; gives its directory.
fn lay_out(kitchen: &Kitchen, case: &Value) -> String {
    let dir = kitchen.engine.scratch().join(case["name"].as_str().expect("a name"));
    fs::create_dir(&dir).expect("scratch");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    fs::write(dir.join("Dockerfile"), text(&case["dockerfile"])).expect("scratch");
    for (path, file) in case["files"].as_object().into_iter().flatten() {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("scratch");
        fs::write(&path, text(&file[1])).expect("scratch");
        let mode = u32::from_str_radix(&text(&file[0]), 8).expect("octal");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("scratch");
    }
    for (path, to) in case["links"].as_object().into_iter().flatten() {
        symlink(text(to), dir.join(path)).expect("scratch");
    }
    dir.display().to_string()
}

/// What an image's configuration says.
fn config(kitchen: &Kitchen) -> Value {
    let said = kitchen.engine.says_as(Cli::Docker, &["image", "inspect", "case"]);
    let said: Value = serde_json::from_str(&said).expect("json");
    let config = &said[0]["Config"];
    let there = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    let pairs = KEYS.iter().filter(|key| there(&config[**key]));
    Value::Object(pairs.map(|key| ((*key).to_owned(), config[*key].clone())).collect())
}

/// All below `/out` of an image: path, kind, mode, owner, content.
fn files(kitchen: &Kitchen, name: &str) -> Value {
    let tar = kitchen.out(&format!("{name}.tar"));
    let root = kitchen.out(&format!("{name}.root"));
    kitchen.engine.says(&["create", "--name", "case", "case", "x"]);
    kitchen.engine.says(&["export", "-o", &tar, "case"]);
    kitchen.engine.says(&["rm", "case"]);
    let script = format!("mkdir {root} && tar -C {root} -xpf {tar} --numeric-owner");
    kitchen.engine.host().says(&script);
    let mut all = Map::new();
    let root = Path::new(&root);
    see(&root.join("out"), root, &mut all);
    Value::Object(all)
}

fn see(path: &Path, root: &Path, all: &mut Map<String, Value>) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    let owner = format!("{}:{}", meta.uid(), meta.gid());
    let (kind, content) = if meta.is_dir() {
        ("dir", String::new())
    } else if meta.is_symlink() {
        ("link", fs::read_link(path).expect("a link").display().to_string())
    } else {
        ("file", String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned())
    };
    let name = path.strip_prefix(root).expect("below").display().to_string();
    let mode = format!("{:o}", meta.mode() & 0o7777);
    all.insert(name, json!([kind, mode, owner, content]));
    if meta.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            see(&entry.expect("an entry").path(), root, all);
        }
    }
}

/// The lines that an excerpt points at.
fn lines(said: &str) -> Vec<u64> {
    let marked = said.lines().filter_map(|line| line.split_once(" | >>>"));
    marked.filter_map(|(number, _)| number.trim().parse().ok()).collect()
}

/// Builds every case of a group; gives what differs.
fn check(group: &str) {
    let kitchen = Kitchen::new();
    let mut wrong = Vec::new();
    for case in corpus(group) {
        let name = case["name"].as_str().expect("a name").to_owned();
        let dir = lay_out(&kitchen, &case);
        let mut words = vec!["build", "--progress=plain", "--no-cache", "-t", "case"];
        words.extend(case["words"].as_array().into_iter().flatten().filter_map(Value::as_str));
        words.push(&dir);
        let ran = kitchen.engine.run_as(Cli::Docker, &words);
        let found = if ran.code == 0 {
            let files = if case["expect"]["files"] == json!({})
                && case["expect"]["config"].get("Env").is_none()
            {
                json!({})
            } else {
                files(&kitchen, &name)
            };
            json!({ "config": config(&kitchen), "files": files })
        } else {
            let wanted = case["expect"]["fails"].as_str().unwrap_or("to succeed");
            let said = ran.err.contains(wanted).then(|| wanted.to_owned());
            json!({ "fails": said.unwrap_or(ran.err.clone()), "lines": lines(&ran.err) })
        };
        if found != case["expect"] {
            wrong.push(format!("{name}: expected {:#}\nfound {found:#}", case["expect"]));
        }
        kitchen.engine.run(&["rmi", "-f", "case"]);
    }
    assert!(wrong.is_empty(), "{} cases differ\n{}", wrong.len(), wrong.join("\n\n"));
    kitchen.engine.leaves_nothing();
}

#[test]
fn variables_are_expanded_as_by_buildkit() {
    check("variables");
}

#[test]
fn text_is_read_as_by_buildkit() {
    check("text");
}

#[test]
fn files_are_copied_as_by_buildkit() {
    check("files");
}

#[test]
fn configurations_come_out_as_by_buildkit() {
    check("config");
}

#[test]
fn mistakes_are_told_as_by_buildkit() {
    check("mistakes");
}
