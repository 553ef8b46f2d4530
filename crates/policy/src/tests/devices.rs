//! `--device`, `--device-cgroup-rule`, `--gpus`.

use super::*;
use crate::devices::{Wanted, wanted};
use spec::docker::DeviceMapping;

fn node(path: &str, minor: u32) -> Node {
    Node { path: path.into(), kind: 'c', major: 116, minor, mode: 0o660, uid: 0, gid: 29 }
}

fn device(host: &str, inside: &str, access: &str) -> Ask {
    let mut ask = Ask::with(|config| {
        config.devices = Some(vec![DeviceMapping {
            path_on_host: host.into(),
            path_in_container: inside.into(),
            cgroup_permissions: access.into(),
        }]);
    });
    ask.devices = vec![node("/dev/snd/seq", 1), node("/dev/snd/timer", 33), node("/dev/kvm", 7)];
    ask
}

#[test]
fn a_device_is_given_with_the_rights_asked_for() {
    let sandbox = device("/dev/kvm", "/dev/virt", "r").sandbox();
    let made = &linux(&sandbox).devices;
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].path.as_str(), made[0].major, made[0].minor), ("/dev/virt", 116, 7));
    assert_eq!((made[0].file_mode, made[0].uid, made[0].gid), (Some(0o660), Some(0), Some(29)));
    let rule = resources(&sandbox).devices.last().expect("the device's own");
    assert_eq!((rule.allow, rule.access.as_str(), rule.minor), (true, "r", Some(7)));
    assert_eq!(sandbox.weakened, ["can use devices of the host: /dev/kvm (r)"]);
}

#[test]
fn a_directory_gives_what_is_in_it() {
    let sandbox = device("/dev/snd/", "", "").sandbox();
    let paths: Vec<&str> =
        linux(&sandbox).devices.iter().map(|device| device.path.as_str()).collect();
    assert_eq!(paths, ["/dev/snd/seq", "/dev/snd/timer"]);
    assert_eq!(resources(&sandbox).devices.last().map(|rule| rule.access.as_str()), Some("rwm"));
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    assert_eq!(
        device("/dev/kv", "", "").words(),
        "error gathering device information while adding custom device \"/dev/kv\": no such file \
         or directory"
    );
    assert_eq!(device("/dev/kvm", "", "rx").words(), "invalid device mode: rx");
    assert!(device("/dev/kvm", "/dev/../etc/x", "").words().contains("not an absolute path"));
}

#[test]
fn an_owner_beyond_the_range_becomes_root() {
    let mut ask = device("/dev/kvm", "", "");
    ask.devices[2].gid = 70_000;
    assert_eq!(linux(&ask.sandbox()).devices[0].gid, Some(0));
}

#[test]
fn rules_are_the_kernels() {
    let rules = |list: &[&str]| {
        let list = Some(strings(list));
        Ask::with(|config| config.device_cgroup_rules = list)
    };
    let sandbox = rules(&["c 189:* rw"]).sandbox();
    let rule = resources(&sandbox).devices.last().expect("the rule");
    assert_eq!((rule.kind.as_str(), rule.major, rule.minor), ("c", Some(189), None));
    assert_eq!(sandbox.weakened.len(), 1);
    for wrong in ["c 1:2", "d 1:2 r", "c 1 r", "c 1:2 rwx", "c -1:2 r", "c 1:2 rwmr", "c  1:2 r"] {
        assert_eq!(
            rules(&[wrong]).words(),
            format!("invalid device cgroup rule format: '{wrong}'")
        );
    }
}

#[test]
fn a_graphics_processor_is_refused_in_dockers_words() {
    let request = serde_json::json!({"Driver": "", "Count": -1, "Capabilities": [["gpu"]]});
    let ask = Ask::with(|config| config.device_requests = Some(vec![request]));
    assert_eq!(ask.words(), "could not select device driver \"\" with capabilities: [[gpu]]");
}

#[test]
fn what_is_to_be_looked_up_is_listed() {
    let mut ask = device("/dev/kvm", "", "");
    assert_eq!(wanted(&ask.host_config), Wanted::Paths(strings(&["/dev/kvm"])));
    ask.host_config.privileged = true;
    assert_eq!(wanted(&ask.host_config), Wanted::All(strings(&["/dev/kvm"])));
}
