//! `cofferdam migrate`: what a Docker has that was stopped, taken over. The
//! data roots are made by Debian's own dockerd.

use promises::{Cli, Engine, others::Others};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// A Docker on a machine of the test's own.
struct Docker(Others);

impl Docker {
    /// With two images (one of two layers with something removed and
    /// something hidden), two volumes and three containers.
    fn filled() -> Self {
        let mut docker = Self(Others::new());
        docker.0.start_dockerd();
        let scratch = docker.0.scratch().display().to_string();
        docker.says(&["load", "--input", &format!("{scratch}/busybox.tar")]);
        docker.says(&["tag", "localhost/busybox:latest", "busybox:1"]);
        let run = ["run", "--network", "none", "--cgroup-parent"];
        let group = docker.0.group();
        let run = |words: &[&str]| docker.says(&[&run[..], &[&group], words].concat());
        let script = "echo text > /f; ln /f /g; mkdir -p /d/e; chmod 1751 /d; chown 5:6 /f
            ln -s f /l; rm /bin/vi; rm -r /home; mkdir /home; echo there > /home/x";
        run(&["--name", "maker", "busybox:1", "sh", "-c", script]);
        docker.says(&["commit", "--change", "ENV A=b", "maker", "made:1"]);
        docker.says(&["rm", "maker"]);
        run(&[
            "--rm",
            "-v",
            "kept:/v",
            "busybox:1",
            "sh",
            "-c",
            "echo dear > /v/f; chown 7:8 /v/f",
        ]);
        let create = ["create", "--cgroup-parent", &group];
        let create = |words: &[&str]| docker.says(&[&create[..], words].concat());
        create(&[
            "--name",
            "web",
            "-v",
            "kept:/v",
            "-e",
            "X=y",
            "-p",
            "8080:80",
            "--memory",
            "64m",
            "--restart",
            "no",
            "--label",
            "a=b",
            "made:1",
            "cat",
            "/v/f",
            "/f",
            "/home/x",
        ]);
        create(&["--name", "own", "-v", "/anonymous", "busybox:1", "true"]);
        run(&["--name", "wrote", "busybox:1", "touch", "/written"]);
        docker
    }

    fn says(&self, words: &[&str]) -> String {
        self.0.says(&[&["docker", "--host", "unix:///run/docker.sock"], words].concat())
    }

    fn root(&self) -> PathBuf {
        self.0.scratch().join("docker")
    }

    fn stop(mut self) -> Self {
        self.0.stop_daemon();
        self
    }
}

/// Everything below a directory, with what tells that it was changed.
fn seen(dir: &Path) -> Vec<(PathBuf, u64, u32, i64)> {
    let mut all = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a directory").flatten() {
            let data = entry.path().symlink_metadata().expect("there");
            if data.is_dir() {
                open.push(entry.path());
            }
            all.push((entry.path(), data.size(), data.mode(), data.mtime()));
        }
    }
    all.sort();
    all
}

fn migrate(engine: &Engine, docker: &Docker, more: &[&str]) -> Vec<Value> {
    let root = docker.root().display().to_string();
    let words = [&["migrate", "--root", &root, "--format", "json"], more].concat();
    let ran = engine.run(&words);
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

fn outcomes(rows: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<String> = rows
        .iter()
        .map(|row| {
            let name = text(&row["Name"]);
            let name = if name.len() == 64 { "(anonymous)".into() } else { name };
            format!("{} {name} {}", text(&row["Kind"]), text(&row["Outcome"]))
        })
        .collect();
    all.sort();
    all
}

fn all(image: &str, volume: &str, container: &str) -> Vec<String> {
    vec![
        format!("container own {container}"),
        format!("container web {container}"),
        format!("container wrote {container}"),
        format!("image busybox:1 {image}"),
        format!("image made:1 {image}"),
        format!("volume (anonymous) {volume}"),
        format!("volume kept {volume}"),
    ]
}

#[test]
fn a_stopped_dockers_images_volumes_and_containers_are_taken_over() {
    let docker = Docker::filled();
    let ids = ["busybox:1", "made:1"]
        .map(|name| docker.says(&["image", "inspect", "--format", "{{.Id}} {{.RootFS}}", name]));
    let engine = Engine::with(&[]);
    // Not while it runs.
    let root = docker.root().display().to_string();
    let ran = engine.run(&["migrate", "--root", &root]);
    assert!(ran.code == 1 && ran.err.contains("a dockerd runs on"), "{ran:?}");
    let docker = docker.stop();
    let before = seen(&docker.root());
    let own = engine.says(&["images", "--quiet"]);
    let rows = migrate(&engine, &docker, &["--dry-run"]);
    assert_eq!(outcomes(&rows), all("possible", "possible", "possible"));
    assert_eq!(engine.says(&["images", "--quiet"]), own, "nothing yet");
    assert_eq!(engine.says(&["volume", "ls", "--quiet"]), "");
    let rows = migrate(&engine, &docker, &[]);
    assert_eq!(outcomes(&rows), all("taken", "taken", "taken"));
    assert_eq!(seen(&docker.root()), before, "Docker's root is as it was");
    // Images are the same to the last byte, and take no room.
    for (name, id) in ["busybox:1", "made:1"].iter().zip(&ids) {
        for cli in [Cli::Docker, Cli::Cofferdam] {
            let words = ["image", "inspect", "--format", "{{.Id}} {{.RootFS}}", name];
            assert_eq!(engine.says_as(cli, &words), *id, "{cli:?}");
        }
    }
    let links = |dir: &Path| {
        let files = seen(dir).into_iter().map(|(path, ..)| path);
        files
            .filter(|path| path.ends_with("root/bin/busybox") || path.ends_with("diff/bin/busybox"))
            .map(|path| path.metadata().expect("there").ino())
            .collect::<Vec<_>>()
    };
    assert_eq!(links(&engine.data_root().join("layers")), links(&docker.root().join("overlay2")));
    let checked = engine.run(&["system", "check", "--content"]);
    assert!(checked.code == 0 && checked.out.contains("nothing to mend"), "{checked:?}");
    let saved = engine.scratch().join("saved.tar").display().to_string();
    engine.says(&["save", "--output", &saved, "made:1"]);
    // Containers are made as they were, and see what they saw.
    let started = engine.run(&["start", "--attach", "web"]);
    assert_eq!((started.code, started.out.as_str()), (0, "dear\ntext\nthere"), "{started:?}");
    let format =
        "{{.Config.Env}} {{.HostConfig.Memory}} {{.Config.Labels.a}} {{.HostConfig.PortBindings}}";
    assert_eq!(
        engine.inspect("web", format),
        "[X=y PATH=/bin A=b] 67108864 b map[80/tcp:[{ 8080}]]"
    );
    let script =
        "ls -l /f /g /l | wc -l; stat -c '%a %u:%g' /d /f; ls /home /bin/vi 2>&1 | tail -n 1";
    let ran = engine.container_of("made:1", &["-v", "kept:/v"], script);
    assert_eq!(ran.out, "3\n1751 0:0\n644 5:6\nx", "{ran:?}");
    let ran = engine.container_of("busybox:1", &["-v", "kept:/v"], "stat -c %u:%g /v/f");
    assert_eq!(ran.out, "7:8", "{ran:?}");
    let wrote = rows.iter().find(|row| row["Name"] == "wrote").expect("a row");
    assert!(wrote["Words"].as_str().is_some_and(|w| w.contains("is not taken")), "{wrote}");
    let mounts = engine.inspect("own", "{{range .Mounts}}{{.Name}}{{end}}");
    assert!(docker.root().join("volumes").join(&mounts).is_dir() && mounts.len() == 64, "{mounts}");
    // Once more changes nothing.
    let rows = migrate(&engine, &docker, &[]);
    assert_eq!(outcomes(&rows), all("here", "here", "here"));
    // Without Docker's names of the files their number is as it was, and they stay.
    let names = || engine.container_of("made:1", &[], "stat -c %h /f").out;
    assert_eq!(names(), "4");
    fs::remove_dir_all(docker.root().join("overlay2")).expect("removed");
    assert_eq!(names(), "2");
    let checked = engine.run(&["system", "check", "--content"]);
    assert!(checked.code == 0 && checked.out.contains("nothing to mend"), "{checked:?}");
    engine.leaves_nothing();
}

#[test]
fn volumes_are_moved_if_that_is_asked_for_and_names_stay_whose_they_are() {
    let docker = Docker::filled().stop();
    let engine = Engine::new();
    engine.says(&["tag", "busybox", "made:1"]);
    engine.says(&["volume", "create", "kept"]);
    let own = engine.inspect("made:1", "{{.Id}}");
    let rows = migrate(&engine, &docker, &["--move"]);
    let made = rows.iter().find(|row| row["Name"] == "made:1").expect("a row");
    let stays = "made:1 is another image here, and stays it";
    assert!(made["Words"].as_str().is_some_and(|words| words.contains(stays)), "{made}");
    assert_eq!(engine.inspect("made:1", "{{.Id}}"), own);
    let kept = rows.iter().find(|row| row["Name"] == "kept").expect("a row");
    assert_eq!(kept["Outcome"], "here");
    let moved = rows.iter().find(|row| row["Kind"] == "volume" && row["Name"] != "kept");
    let moved = moved.expect("the anonymous one");
    assert_eq!((&moved["Outcome"], &moved["Words"]), (&"taken".into(), &"moved".into()));
    let name = moved["Name"].as_str().expect("a name");
    assert!(!docker.root().join("volumes").join(name).join("_data").exists());
    assert!(docker.root().join("volumes/kept/_data/f").exists());
    engine.leaves_nothing();
}

#[test]
fn a_layer_that_is_not_what_it_says_is_refused_and_nothing_of_it_stays() {
    let docker = Docker::filled().stop();
    let below = seen(&docker.root().join("overlay2"));
    let changed = below.iter().find(|(path, ..)| path.ends_with("diff/home/x")).expect("a file");
    fs::write(&changed.0, "other\n").expect("written");
    let engine = Engine::with(&[]);
    let rows = migrate(&engine, &docker, &[]);
    let outcome = |name: &str| {
        let row = rows.iter().find(|row| row["Name"] == name).expect("a row");
        (row["Outcome"].clone(), row["Words"].as_str().unwrap_or_default().to_owned())
    };
    let (became, words) = outcome("made:1");
    assert!(became == "refused" && words.contains("sha256:"), "{words}");
    assert_eq!(outcome("web"), ("refused".into(), "its image is not here".into()));
    assert_eq!(outcome("busybox:1").0, "taken", "it stops no other");
    let left: Vec<PathBuf> = seen(&engine.data_root().join("layers"))
        .into_iter()
        .map(|(path, ..)| path)
        .filter(|path| path.ends_with("root/home/x") || path.to_string_lossy().contains("/.new-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    engine.leaves_nothing();
}

#[test]
fn what_is_no_docker_of_that_kind_is_refused_in_words() {
    let engine = Engine::with(&[]);
    let root = engine.scratch().join("other");
    let refused = |why: &str| {
        let ran = engine.run(&["migrate", "--root", &root.display().to_string()]);
        assert!(ran.code == 1 && ran.err.contains(why), "{why}: {ran:?}");
    };
    refused("is no directory of this machine");
    fs::create_dir_all(root.join("image")).expect("scratch");
    refused("is no data root of a Docker");
    fs::create_dir_all(root.join("image/btrfs")).expect("scratch");
    refused("the storage driver btrfs: only overlay2 can be taken over");
    fs::remove_dir(root.join("image/btrfs")).expect("scratch");
    fs::create_dir_all(root.join("containerd/daemon")).expect("scratch");
    refused("in containerd's store");
    engine.leaves_nothing();
}
