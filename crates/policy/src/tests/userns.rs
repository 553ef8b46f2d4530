//! `--userns`: Podman's words.

use super::*;
use crate::{Ids, Peer, RANGE, userns};
use spec::ids::{Kept, Range};

fn maps(sandbox: &Sandbox) -> Vec<(u32, u32, u32)> {
    let lines = &linux(sandbox).uid_mappings;
    lines.iter().map(|line| (line.container_id, line.host_id, line.size)).collect()
}

fn mode(text: &str) -> Ask {
    Ask::with(|config| config.userns_mode = text.into())
}

#[test]
fn auto_is_the_default_said_aloud_and_may_be_larger_or_smaller() {
    assert_eq!(maps(&mode("auto").sandbox()), [(0, RANGE_AT, RANGE)]);
    assert_eq!(mode("auto").weakened(), [""; 0]);
    assert_eq!(maps(&mode("auto:size=2000").sandbox()), [(0, RANGE_AT, 2000)]);
    let large = mode("auto:size=200000");
    assert_eq!(maps(&large.sandbox()), [(0, RANGE_AT, 200_000)]);
    assert_eq!(userns::ranges(&large.host_config), Ok(4));
    assert_eq!(userns::ranges(&mode("").host_config), Ok(1));
    let mut user = mode("auto:size=200000");
    user.user.uid = 150_000;
    assert_eq!(process(&user.sandbox()).user.uid, 150_000);
    user.host_config.userns_mode.clear();
    assert!(user.words().contains("--userns=auto:size=N"));
}

#[test]
fn auto_insists_whatever_else_is_the_hosts() {
    let mut ask = mode("auto");
    ask.host_config.network_mode = "host".into();
    assert!(namespaces(&ask.sandbox()).contains(&"user"));
}

#[test]
fn keep_id_keeps_the_callers_user_and_group_and_is_a_weakening() {
    let mut ask = mode("keep-id");
    ask.own.kept = Some(Kept { uid: 1000, gid: 100 });
    let sandbox = ask.sandbox();
    let above = (1001, RANGE_AT + 1001, RANGE - 1001);
    assert_eq!(maps(&sandbox), [(0, RANGE_AT, 1000), (1000, 1000, 1), above]);
    assert_eq!(linux(&sandbox).gid_mappings[1].host_id, 100);
    let words = ask.weakened();
    assert!(words.len() == 1 && words[0].contains("user 1000 and group 100 of the host"));
}

#[test]
fn keep_id_of_nobody_or_of_root_is_refused() {
    assert!(mode("keep-id").words().contains("nobody did"));
    for (uid, gid) in [(0, 0), (0, 5), (5, 0)] {
        let mut ask = mode("keep-id");
        ask.own.kept = Some(Kept { uid, gid });
        assert!(ask.words().contains("root of the host"), "{uid}:{gid}");
    }
    let mut ask = mode("keep-id");
    ask.own.kept = Some(Kept { uid: RANGE_AT + 5, gid: 5 });
    assert!(ask.words().contains("own range"));
}

#[test]
fn anothers_ids_can_be_had_alone() {
    let mut ask = mode("container:x");
    assert_eq!(ask.words(), "invalid user namespace mode: container:x", "nobody was found");
    let ids = Ids::Range(Range { first: 3_000_000, size: 70_000, kept: None });
    ask.joined.user = Some(Peer { pid: 77, ids });
    let sandbox = ask.sandbox();
    assert_eq!(maps(&sandbox), [(0, 3_000_000, 70_000)]);
    let path = |kind: &str| {
        let all = &linux(&sandbox).namespaces;
        all.iter().find(|space| space.kind == kind).map(|space| space.path.as_str())
    };
    assert_eq!((path("user"), path("pid")), (Some("/proc/77/ns/user"), Some("")));
    assert_eq!(ask.weakened(), ["shares another container's user ids"]);
    ask.joined.user = Some(Peer { pid: 77, ids: Ids::Host });
    assert!(ask.weakened()[0].contains("joining a container that has none"));
}

#[test]
fn ids_of_ones_own_are_not_had_by_joining() {
    for text in ["auto", "keep-id"] {
        let mut ask = mode(text);
        ask.host_config.pid_mode = "container:x".into();
        let ids = Ids::Range(Range { first: 3_000_000, size: RANGE, kept: None });
        ask.joined.pid = Some(Peer { pid: 77, ids });
        assert!(ask.words().contains(&format!("--userns={text} and joining")));
    }
}

#[test]
fn what_is_not_known_is_refused() {
    for text in ["container:", "auto:size=", "auto:size=x", "keep-id:colour=red", "host:x", "no"] {
        assert!(mode(text).words().starts_with("invalid user namespace mode"), "{text}");
    }
    for text in ["auto:size=0", "auto:size=1023", "auto:size=268435457"] {
        assert!(mode(text).words().contains("from 1024 to"), "{text}");
    }
    for text in ["nomap", "ns:/x", "keep-id:uid=5", "auto:uidmapping=0:1:1"] {
        assert!(mode(text).words().contains("not carried"), "{text}");
    }
}
