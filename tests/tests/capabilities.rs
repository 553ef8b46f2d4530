//! CAP: root in a container is not root.

use promises::{Engine, Ran, attack::Attack};

#[test]
fn cap1_only_the_default_set_is_there_and_none_is_inherited() {
    let engine = Engine::new();
    let ran = engine.container(&[], "grep Cap /proc/self/status | cut -f2");
    let sets: Vec<u64> =
        ran.out.lines().map(|set| u64::from_str_radix(set, 16).expect("hex")).collect();
    let [inherited, permitted, effective, bounding, ambient] = sets[..] else { panic!("{ran:?}") };
    assert_eq!((inherited, ambient), (0, 0), "{ran:?}");
    assert_eq!((permitted, effective), (bounding, bounding), "{ran:?}");
    for (name, number) in [
        ("NET_ADMIN", 12),
        ("SYS_MODULE", 16),
        ("SYS_PTRACE", 19),
        ("SYS_ADMIN", 21),
        ("SYS_BOOT", 22),
        ("SYS_TIME", 25),
        ("MAC_ADMIN", 33),
        ("BPF", 39),
    ] {
        assert_eq!(bounding & (1 << number), 0, "{name} must be dropped");
    }
}

#[test]
fn cap1_what_was_dropped_cannot_be_done() {
    let engine = Engine::new();
    Attack { weakened: &["--cap-add", "NET_ADMIN"], script: "ip link set lo down" }
        .is_stopped(&engine);
    Attack { weakened: &["--cap-add", "SYS_ADMIN"], script: "hostname other" }.is_stopped(&engine);
    Attack { weakened: &["--privileged"], script: "mount -t tmpfs x /tmp" }.is_stopped(&engine);
    // Busybox's date ends with 0 all the same: what counts is the year.
    Attack { weakened: &[], script: "date -s 2001-01-01; test $(date +%Y) = 2001" }.fails(&engine);
    Attack { weakened: &[], script: "chroot / true && test $(id -u) != 0" }.fails(&engine);
}

#[test]
fn cap2_the_set_is_as_asked_for() {
    let engine = Engine::new();
    let bounding = |options: &[&str]| {
        let ran = engine.container(options, "grep CapBnd /proc/self/status | cut -f2");
        u64::from_str_radix(&ran.out, 16).unwrap_or_else(|_| panic!("{ran:?}"))
    };
    assert_eq!(bounding(&["--cap-drop", "ALL"]), 0);
    assert_eq!(bounding(&["--cap-drop", "ALL", "--cap-add", "CHOWN"]), 1);
    assert_ne!(bounding(&["--cap-add", "NET_ADMIN"]) & (1 << 12), 0);
    let unknown = engine.run(&["run", "--rm", "--cap-add", "NONESUCH", "busybox", "true"]);
    assert_eq!(unknown.code, 125, "{unknown:?}");
}

/// A container that can see the program `look`, which tells what it has got.
fn look(engine: &Engine, options: &[&str], script: &str) -> Ran {
    let mount = format!("{}:/look:ro", env!("CARGO_BIN_EXE_look"));
    engine.container(&[options, &["-v", &mount]].concat(), script)
}

const SETUID: &str =
    "cp /look /bin/suid && chmod 4755 /bin/suid && su -s /bin/sh user -c /bin/suid";

#[test]
fn cap2_a_setuid_program_gains_nothing_beyond_the_bounding_set() {
    let engine = Engine::new();
    let ran = look(&engine, &["--cap-drop", "SETPCAP"], SETUID);
    let (user, set) = ran.out.split_once(' ').unwrap_or_else(|| panic!("{ran:?}"));
    let set = u64::from_str_radix(set, 16).expect("hex");
    assert_eq!(user, "0", "the program must have become root: {ran:?}");
    assert_ne!(set & 1, 0, "and have gained CHOWN, which is in the set: {ran:?}");
    assert_eq!(set & ((1 << 8) | (1 << 21)), 0, "but not SETPCAP nor SYS_ADMIN: {ran:?}");
}

#[test]
fn cap2_file_capabilities_give_nothing_beyond_the_bounding_set() {
    let engine = Engine::new();
    let grant = |bits: &str| {
        let script = format!(
            "cp /look /bin/able && /look grant /bin/able {bits} && su -s /bin/sh user -c /bin/able"
        );
        look(&engine, &[], &script)
    };
    let within = grant("0");
    assert_eq!(within.out, "1000 0000000000000001", "they work as such: {within:?}");
    let beyond = grant("0 12 21");
    assert_eq!((beyond.code, &*beyond.out), (126, ""), "not even executed: {beyond:?}");
}

#[test]
fn cap2_no_new_privileges_stops_setuid_programs() {
    let engine = Engine::new();
    let without = look(&engine, &[], SETUID);
    assert!(without.out.starts_with("0 "), "a setuid program works by default: {without:?}");
    let with = look(&engine, &["--security-opt", "no-new-privileges"], SETUID);
    assert!(with.out.starts_with("1000 "), "{with:?}");
}

#[test]
fn cap1_a_user_other_than_root_has_none() {
    let engine = Engine::new();
    let ran =
        engine.container(&["-u", "user"], "id -u; id -g; grep CapEff /proc/self/status | cut -f2");
    assert_eq!(ran.out, "1000\n1000\n0000000000000000", "{ran:?}");
    let groups = engine.container(&["-u", "user", "--group-add", "staff"], "id -G");
    assert!(groups.out.contains("1000") && groups.out.contains("50"), "{groups:?}");
}
