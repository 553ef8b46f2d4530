//! NET: a network namespace that others made, as CNI's callers hand it over.

mod common;

use common::Scratch;
use serde_json::{Value, json};
use std::{
    fs,
    io::Read as _,
    process::{Child, Command, Stdio},
};

/// A process that keeps a network namespace with an interface `theirs0`.
struct Theirs(Child);

impl Theirs {
    fn new() -> Self {
        let script = "ip link add theirs0 type bridge && echo up && exec cat";
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-ec", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1)");
        let mut up = [0; 3];
        keeper.stdout.as_mut().expect("piped").read_exact(&mut up).expect("a namespace");
        Self(keeper)
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        self.0.kill().expect("our own child");
        self.0.wait().expect("our own child");
    }
}

/// What a container in it sees, with what more is said of its namespaces.
fn seen(path: &str, change: impl Fn(&mut Value)) -> common::Said {
    let script = "busybox readlink /proc/self/ns/net; busybox cat /proc/net/dev";
    let scratch = Scratch::new(&["sh", "-c", &script.replace("busybox", "/bin/busybox")]);
    scratch.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        for namespace in namespaces.iter_mut().filter(|one| one["type"] == "network") {
            namespace["path"] = json!(path);
        }
        change(config);
    });
    scratch.launch("run", &[])
}

#[test]
fn net_a_namespace_of_others_is_joined_by_its_path() {
    let theirs = Theirs::new();
    let link = fs::read_link(theirs.path()).expect("a namespace");
    let own_ids = |config: &mut Value| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.push(json!({ "type": "user" }));
        let ids = json!([{ "containerID": 0, "hostID": 1_000_000, "size": 65536 }]);
        config["linux"]["uidMappings"] = ids.clone();
        config["linux"]["gidMappings"] = ids;
    };
    for with_own_ids in [false, true] {
        let said = seen(&theirs.path(), |config| {
            if with_own_ids {
                own_ids(config);
            }
        });
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.out.contains(&*link.to_string_lossy()), "{said:?}");
        assert!(said.out.contains("theirs0:"), "{said:?}");
    }
}

#[test]
fn net_what_is_no_network_namespace_is_refused() {
    for path in ["/proc/self/ns/uts", "/etc/hostname", "/nowhere"] {
        let said = seen(path, |_| {});
        assert_ne!(said.code, Some(0), "{path}: {said:?}");
    }
}
