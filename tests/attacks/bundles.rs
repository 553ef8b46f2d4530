//! A `config.json` made by an enemy, given to `cofferdam-run` by who did not
//! look at it: engines hand on what images and requests say.

use promises::{Engine, Outside, Ran, SECRET, binary, finish};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

/// A bundle and its container's name.
struct Bundle<'a> {
    engine: &'a Engine,
    dir: PathBuf,
    id: String,
}

impl<'a> Bundle<'a> {
    /// One that runs a script, confined as usual, with the host's ids.
    fn new(engine: &'a Engine, name: &str, script: &str) -> Self {
        let dir = engine.scratch().join(name);
        fs::create_dir(&dir).expect("scratch");
        engine.host().says(&format!(
            "cp -a {}/busybox {}/rootfs",
            engine.scratch().display(),
            dir.display()
        ));
        let id = format!("attack-{}-{name}", std::process::id());
        let bundle = Self { engine, dir, id };
        let path = bundle.path();
        let made = bundle.run(&["spec", "--bundle", &path]);
        assert_eq!(made.code, 0, "{made:?}");
        bundle.change(|config| {
            config["process"]["args"] = json!(["sh", "-c", script]);
            config["process"]["terminal"] = json!(false);
            config["root"]["readonly"] = json!(false);
            config["linux"]["cgroupsPath"] = json!(format!("/{}", bundle.id));
        });
        bundle
    }

    fn path(&self) -> String {
        self.dir.display().to_string()
    }

    fn root(&self, path: &str) -> PathBuf {
        self.dir.join("rootfs").join(path)
    }

    fn change(&self, edit: impl FnOnce(&mut Value)) -> &Self {
        let path = self.dir.join("config.json");
        let text = fs::read_to_string(&path).expect("config.json");
        let mut config = serde_json::from_str(&text).expect("JSON");
        edit(&mut config);
        fs::write(path, config.to_string()).expect("scratch");
        self
    }

    fn link(&self, path: &str, to: &Path) {
        let at = self.root(path);
        fs::create_dir_all(at.parent().expect("below")).expect("scratch");
        let _ = fs::remove_dir_all(&at).or_else(|_| fs::remove_file(&at));
        symlink(to, at).expect("scratch");
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = self.engine.host().command(binary("cofferdam-run"));
        command.arg("--root").arg(self.dir.join("state")).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().expect("starts"), "the runtime")
    }

    /// Runs it to its end, and removes what may be left.
    fn launch(&self) -> Ran {
        let path = self.path();
        let ran = self.run(&["run", "--bundle", &path, &self.id]);
        self.run(&["delete", "--force", &self.id]);
        ran
    }
}

impl Drop for Bundle<'_> {
    fn drop(&mut self) {
        self.run(&["delete", "--force", &self.id]);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn push(list: &mut Value, value: Value) {
    match list.as_array_mut() {
        Some(list) => list.push(value),
        None => *list = json!([value]),
    }
}

/// What an attack changes: the bundle, knowing what is outside.
type Edit = fn(&Bundle<'_>, &str);

fn mount(bundle: &Bundle<'_>, mount: Value) {
    bundle.change(|config| push(&mut config["mounts"], mount));
}

fn without(bundle: &Bundle<'_>, destinations: &[&str]) {
    bundle.change(|config| {
        let mounts = config["mounts"].as_array_mut().expect("a list");
        mounts
            .retain(|mount| !destinations.contains(&mount["destination"].as_str().expect("text")));
    });
}

const DEVS: [&str; 4] = ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"];

/// Paths in a configuration that climb, or follow links of the root.
const PATHS: [(&str, Edit); 17] = [
    ("a tmpfs that climbs", |bundle, outside| {
        let up = format!("{}{outside}", "/..".repeat(30));
        mount(bundle, json!({"destination": up, "type": "tmpfs", "source": "x"}));
    }),
    ("a bind mount whose file climbs", |bundle, outside| {
        let up = format!("{}{outside}/made", "/..".repeat(30));
        mount(
            bundle,
            json!({"destination": up, "type": "bind", "source": "/etc/hostname", "options": ["bind"]}),
        );
    }),
    ("a bind mount by a link", |bundle, outside| {
        bundle.link("l", Path::new(outside));
        mount(
            bundle,
            json!({"destination": "/l/made", "type": "bind", "source": "/etc/hostname", "options": ["bind"]}),
        );
    }),
    ("a directory by a link", |bundle, outside| {
        bundle.link("l", Path::new(outside));
        mount(bundle, json!({"destination": "/l/made/deep", "type": "tmpfs", "source": "x"}));
    }),
    ("a device that climbs", |bundle, outside| {
        let up = format!("/dev{}{outside}/node", "/..".repeat(30));
        bundle.change(|config| {
            config["linux"]["devices"] = json!([{"path": up, "type": "c", "major": 1, "minor": 3}]);
        });
    }),
    ("a device by a link", |bundle, outside| {
        bundle.link("l", Path::new(outside));
        bundle.change(|config| {
            config["linux"]["devices"] =
                json!([{"path": "/l/node", "type": "c", "major": 1, "minor": 3}]);
        });
    }),
    // CVE-2026-41579, CVE-2026-47766.
    ("a /dev that is a link", |bundle, outside| {
        without(bundle, &DEVS);
        bundle.link("dev", Path::new(outside));
    }),
    // CVE-2026-88264.
    ("a console that is a link", |bundle, outside| {
        without(bundle, &DEVS);
        bundle.link("dev/console", &Path::new(outside).join("console"));
        bundle.change(|config| config["process"]["terminal"] = json!(true));
    }),
    // CVE-2026-88265, CVE-2025-31133.
    ("a null device that is a link", |bundle, outside| {
        without(bundle, &DEVS);
        bundle.link("dev/null", &Path::new(outside).join("secret"));
    }),
    ("a ptmx that is a link", |bundle, outside| {
        without(bundle, &["/dev", "/dev/shm", "/dev/mqueue"]);
        fs::create_dir_all(bundle.root("dev/pts")).expect("scratch");
        bundle.link("dev/ptmx", &Path::new(outside).join("ptmx"));
    }),
    ("masks that climb", |bundle, outside| {
        let up = format!("{}{outside}/secret", "/..".repeat(30));
        bundle.change(|config| config["linux"]["maskedPaths"] = json!([up, outside]));
    }),
    ("read-only paths by links", |bundle, outside| {
        bundle.link("l", Path::new(outside));
        bundle.change(|config| config["linux"]["readonlyPaths"] = json!(["/l", "/l/secret"]));
    }),
    ("a root that is shared with the host", |bundle, outside| {
        bundle.change(|config| {
            config["linux"]["rootfsPropagation"] = json!("shared");
            push(
                &mut config["mounts"],
                json!({"destination": "/m", "type": "tmpfs", "source": "x",
                "options": ["rshared"]}),
            );
        });
        let _ = outside;
    }),
    ("a directory that is copied up by a link", |bundle, outside| {
        bundle.link("l", Path::new(outside));
        mount(
            bundle,
            json!({"destination": "/l", "type": "tmpfs", "source": "x", "options": ["tmpcopyup"]}),
        );
    }),
    ("a working directory that is made", |bundle, outside| {
        bundle.link("l", Path::new(outside));
        bundle.change(|config| config["process"]["cwd"] = json!("/l/made"));
    }),
    ("a working directory that climbs", |bundle, outside| {
        let up = format!("{}{outside}", "/..".repeat(30));
        bundle.change(|config| config["process"]["cwd"] = json!(up));
    }),
    ("a setting of the host's", |bundle, _| {
        bundle.change(|config| {
            config["linux"]["sysctl"] = json!({"kernel.core_pattern": "|/evil", "net/../kernel/panic": "1",
                "net.../../kernel.panic": "1"});
        });
    }),
];

#[test]
fn paths_of_a_configuration_lead_nowhere_outside() {
    let engine = Engine::new();
    let outside = Outside::of(&engine);
    let script = "cat secret /secret /l/secret /dev/secret 2>/dev/null; echo x > /l/planted; true";
    let honest = Bundle::new(&engine, "honest", "echo inside");
    assert_eq!(honest.launch().out, "inside", "a bundle as such runs");
    // A naive runtime: the root's path and what the bundle says, put together.
    honest.link("l", outside.dir());
    outside.falls("made by path", || {
        fs::write(honest.root("l/made"), "x").expect("led outside");
    });
    outside.falls("mounted by path", || {
        let place = honest.root("l").display().to_string();
        engine.host().says(&format!("mount -t tmpfs x {place}"));
        assert!(outside.changed().is_some(), "a mount is seen");
        engine.host().says(&format!("umount {place}"));
        fs::write(honest.root("l/made"), "x").expect("led outside");
    });
    for (number, (name, edit)) in PATHS.iter().enumerate() {
        let bundle = Bundle::new(&engine, &format!("b{number}"), script);
        edit(&bundle, &outside.path());
        outside.holds(name, || {
            let ran = bundle.launch();
            ran.out.contains(SECRET).then(|| format!("{ran:?}"))
        });
    }
    drop(honest);
    engine.leaves_nothing();
}

/// Names and groups that are paths.
#[test]
fn names_and_groups_of_a_bundle_are_no_paths_out() {
    let engine = Engine::new();
    let outside = Outside::of(&engine);
    let bundle = Bundle::new(&engine, "named", "cat /proc/self/cgroup");
    let path = bundle.path();
    for id in ["..", ".", "../x", "a/b", "/x", "", "a\nb", "%2e%2e", "a b", &"x".repeat(5000)] {
        outside.holds(&format!("the name {id:.20?}"), || {
            let ran = bundle.run(&["run", "--bundle", &path, id]);
            bundle.run(&["delete", "--force", id]);
            let strange = id.contains(['/', '\n']) || id.is_empty() || id == ".." || id == ".";
            (ran.code == 0 && strange).then(|| format!("{ran:?}"))
        });
    }
    let own = fs::read_to_string("/proc/self/cgroup").expect("proc(5)");
    let up = format!("/x{}/{}", "/..".repeat(20), bundle.id);
    for group in [&up, "/", "/..", "../..", ".", "a\nb"] {
        outside.holds(&format!("the group {group:?}"), || {
            bundle.change(|config| config["linux"]["cgroupsPath"] = json!(group));
            let ran = bundle.launch();
            let now = fs::read_to_string("/proc/self/cgroup").expect("proc(5)");
            let strays = ["/sys/fs", "/sys", "/"].map(|dir| Path::new(dir).join(&bundle.id));
            let stray = strays.iter().find(|stray| stray.exists());
            let named = group == up;
            (now != own || stray.is_some() || (ran.code == 0) != named)
                .then(|| format!("{now} {stray:?} {ran:?}"))
        });
    }
    // That of another container: it would be limited, frozen and killed with ours.
    engine.says(&["run", "-d", "--name", "other", "busybox", "sleep", "1000"]);
    let parent = fs::read_to_string(engine.run_root().join("cgroup-parent")).expect("written");
    let taken = format!("{}/{}", parent.trim(), engine.inspect("other", "{{.Id}}"));
    outside.holds("the group of another", || {
        bundle.change(|config| config["linux"]["cgroupsPath"] = json!(taken));
        let ran = bundle.launch();
        let lives = engine.inspect("other", "{{.State.Running}}") == "true";
        (ran.code == 0 || !lives).then(|| format!("{ran:?}"))
    });
    engine.says(&["rm", "-f", "other"]);
    drop(bundle);
    engine.leaves_nothing();
}

/// What an attack changes: the configuration alone.
type Change = fn(&mut Value);

/// Values that overflow, contradict or bury who reads them.
#[test]
fn values_without_sense_are_refused_and_kill_nobody() {
    let engine = Engine::new();
    let edits: [(&str, Change); 17] = [
        ("a user beyond 32 bits", |c| c["process"]["user"]["uid"] = json!(4_294_967_296_u64)),
        ("a user below zero", |c| c["process"]["user"]["uid"] = json!(-1)),
        ("the user of no change", |c| c["process"]["user"]["uid"] = json!(4_294_967_295_u64)),
        ("a group of no change", |c| {
            c["process"]["user"]["additionalGids"] = json!([4_294_967_295_u64]);
        }),
        ("no program", |c| c["process"]["args"] = json!([])),
        ("an empty program", |c| c["process"]["args"] = json!([""])),
        ("a zero in the program", |c| c["process"]["args"] = json!(["/bin/sh\u{0}x"])),
        ("a zero in the environment", |c| c["process"]["env"] = json!(["A=\u{0}B"])),
        ("a zero in a place", |c| {
            push(
                &mut c["mounts"],
                json!({"destination": "/a\u{0}b", "type": "tmpfs", "source": "x"}),
            );
        }),
        ("a limit of a name that is none", |c| {
            c["process"]["rlimits"] = json!([{"type": "RLIMIT_EVIL", "soft": 1, "hard": 1}]);
        }),
        ("a namespace that is a file", |c| {
            push(&mut c["linux"]["namespaces"], json!({"type": "user", "path": "/etc/passwd"}));
        }),
        ("a namespace twice", |c| push(&mut c["linux"]["namespaces"], json!({"type": "pid"}))),
        ("a namespace of no kind", |c| {
            push(&mut c["linux"]["namespaces"], json!({"type": "evil"}));
        }),
        ("ids that overlap", |c| {
            push(&mut c["linux"]["namespaces"], json!({"type": "user"}));
            let map = json!([{"containerID": 0, "hostID": 0, "size": 4_294_967_295_u64},
                {"containerID": 0, "hostID": 5, "size": 10}]);
            c["linux"]["uidMappings"] = map.clone();
            c["linux"]["gidMappings"] = map;
        }),
        ("a hook that is no path", |c| c["hooks"] = json!({"prestart": [{"path": "evil"}]})),
        ("a root that is not there", |c| c["root"]["path"] = json!("../../nowhere")),
        ("a mount of options that are none", |c| {
            push(
                &mut c["mounts"],
                json!({"destination": "/m", "type": "tmpfs", "source": "x",
                "options": ["size=-1", "evil", "upperdir=/"]}),
            );
        }),
    ];
    for (number, (name, edit)) in edits.iter().enumerate() {
        let bundle = Bundle::new(&engine, &format!("v{number}"), "echo ran; id -u");
        bundle.change(edit);
        promises::attack::must_fail(name, || {
            let ran = bundle.launch();
            let crashed = ran.err.contains("panicked") || ran.code >= 128;
            (ran.code == 0 || crashed || ran.out.contains("ran")).then(|| format!("{ran:?}"))
        });
    }
    // What is not permitted is not effective, whatever the next list says.
    let bundle = Bundle::new(&engine, "caps", "grep -E 'Cap(Eff|Prm|Amb|Bnd)' /proc/self/status");
    bundle.change(|config| {
        let list = json!(["CAP_SYS_ADMIN"]);
        config["process"]["capabilities"] =
            json!({"effective": list, "ambient": list, "inheritable": list, "bounding": []});
    });
    promises::attack::must_fail("a capability in one set and not in the next", || {
        let ran = bundle.launch();
        let none = |line: &str| line.ends_with("\t0000000000000000");
        (!ran.out.lines().all(none)).then(|| format!("{ran:?}"))
    });
    drop(bundle);
    // Whatever reads it must not be buried under it.
    let bundle = Bundle::new(&engine, "deep", "true");
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let config = fs::read_to_string(bundle.dir.join("config.json")).expect("there");
    for text in [
        deep.clone(),
        config.replacen('{', &format!("{{\"annotations\": {deep},"), 1),
        config[..config.len() / 2].to_owned(),
        "{}".into(),
        "null".into(),
        "\u{0}".into(),
    ] {
        fs::write(bundle.dir.join("config.json"), &text).expect("scratch");
        promises::attack::must_fail("a configuration that buries", || {
            let ran = bundle.launch();
            (ran.code == 0 || ran.code >= 128).then(|| format!("{text:.40} {ran:?}"))
        });
    }
    drop(bundle);
    engine.leaves_nothing();
}
