//! Doors into the kernel that no container needs: `tests/programs/attacks.c`
//! knocks at each.

use promises::{
    Engine, Outside, SECRET, attack::Attack, attack::must_fail, programs::beside_busybox,
};

const NO_FILTER: &[&str] = &["--security-opt", "seccomp=unconfined"];
const PRIVILEGED: &[&str] = &["--privileged"];

/// Each, and what it takes for it to open on this kernel: where the filter
/// alone is in the way nothing but the filter is taken away.
const DOORS: [(&str, &[&str]); 15] = [
    ("userfaultfd", NO_FILTER),
    ("io_uring", NO_FILTER),
    ("perf", NO_FILTER),
    ("keyring", NO_FILTER),
    ("unshare_user", NO_FILTER),
    ("clone_user", NO_FILTER),
    ("clone3_user", NO_FILTER),
    ("crypto", NO_FILTER),
    ("vsock", NO_FILTER),
    ("bpf", PRIVILEGED),
    ("fsopen", PRIVILEGED),
    ("clone_tree", PRIVILEGED),
    ("fanotify", PRIVILEGED),
    ("kernel_log", PRIVILEGED),
    ("swap", PRIVILEGED),
];

#[test]
fn no_door_into_the_kernel_is_open_that_no_container_needs() {
    let engine = Engine::new();
    beside_busybox(&engine, "attacks");
    for (door, weakened) in DOORS {
        Attack { weakened, script: &format!("/root/attacks {door}") }.is_stopped_in(
            &engine,
            "attacks",
            &[],
        );
    }
    // Not on every kernel, or not to be opened at all.
    for door in ["module", "ports"] {
        let script = format!("/root/attacks {door}");
        Attack { weakened: &[], script: &script }.fails_in(&engine, "attacks", &[]);
    }
    // Real powers, but of the container's own namespace: what it has asked
    // for it gets, and no more.
    let own = [&["--cap-add", "SYS_ADMIN"], NO_FILTER].concat();
    for door in ["bpf", "swap", "ports", "module", "fanotify", "kernel_log"] {
        let script = format!("/root/attacks {door}");
        Attack { weakened: &[], script: &script }.fails_in(&engine, "attacks", &own);
    }
    engine.leaves_nothing();
}

#[test]
fn a_kernel_file_system_cannot_be_made_writable() {
    let engine = Engine::new();
    beside_busybox(&engine, "attacks");
    let able = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    for path in ["/proc/sys", "/sys", "/proc/bus"] {
        let script = format!("/root/attacks make_writable {path}");
        Attack { weakened: PRIVILEGED, script: &script }.fails_in(&engine, "attacks", &[]);
        // With the right to mount, of its own namespace: the flags are locked.
        Attack { weakened: &[], script: &script }.fails_in(&engine, "attacks", &able);
    }
    let script = "/root/attacks make_writable /proc/sys";
    let host = [&able[..], &["--userns", "host"]].concat();
    let bites = engine.container_of("attacks", &host, script);
    assert_eq!(bites.code, 0, "the call must be able to succeed: {bites:?}");
    engine.leaves_nothing();
}

#[test]
fn a_process_outside_cannot_be_traced_read_nor_robbed_of_its_files() {
    let engine = Engine::new();
    beside_busybox(&engine, "attacks");
    let pid = engine.host().pid();
    for attack in ["trace", "getfd", "memory"] {
        let script = format!("/root/attacks {attack} {pid}");
        let weakened = ["--privileged", "--pid", "host"];
        Attack { weakened: &weakened, script: &script }.is_stopped_in(&engine, "attacks", &[]);
        // It sees all processes and is root: it has not their capabilities.
        Attack { weakened: &[], script: &script }.fails_in(&engine, "attacks", &["--pid", "host"]);
    }
    engine.leaves_nothing();
}

#[test]
fn keys_of_one_container_are_found_in_no_other() {
    let engine = Engine::new();
    beside_busybox(&engine, "attacks");
    let open = ["--security-opt", "seccomp=unconfined"];
    let leave = |name: &str, more: &[&str]| {
        let words = [&["run", "-d", "--name", name], &open[..], more];
        let program = ["attacks", "/root/attacks", "leave_key", name];
        engine.says(&[&words.concat()[..], &program].concat());
        promises::until("the key", || engine.run(&["logs", name]).out == "left");
    };
    // As the host's own root, they share the keyring of that user.
    let host = ["--userns", "host"];
    leave("hosts", &host);
    let find = |options: &[&str], name: &str| {
        let script = format!("/root/attacks find_key {name}");
        engine.container_of("attacks", &[&open[..], options].concat(), &script)
    };
    assert_eq!(find(&host, "hosts").code, 0, "the look must be able to find it");
    leave("own", &[]);
    for name in ["hosts", "own"] {
        must_fail("a key of another", || {
            let ran = find(&[], name);
            (ran.code == 0).then(|| format!("{name}: {ran:?}"))
        });
    }
    engine.says(&["exec", "hosts", "/root/attacks", "drop_key", "hosts"]);
    engine.says(&["rm", "-f", "hosts", "own"]);
    engine.leaves_nothing();
}

/// "Shocker", 2014: a file of the host by its number.
#[test]
fn no_file_of_the_host_is_opened_by_its_handle() {
    let engine = Engine::new();
    beside_busybox(&engine, "attacks");
    let outside = Outside::of(&engine);
    let given = engine.scratch().join("given");
    std::fs::create_dir(&given).expect("scratch");
    let given = format!("{}:/given", given.display());
    let all = format!("{}:/outside:ro", outside.path());
    let name = ["run", "--rm", "--privileged", "-v", &all, "attacks"];
    let ask = ["/root/attacks", "name_handle", "/outside/secret"];
    let handle = engine.says(&[&name[..], &ask].concat());
    let script = format!("/root/attacks open_handle {handle}");
    let both = ["-v", &given];
    let bites = engine.container_of("attacks", &[&both[..], PRIVILEGED].concat(), &script);
    assert_eq!(bites.out, SECRET, "{bites:?}");
    Attack { weakened: PRIVILEGED, script: &script }.is_stopped_in(&engine, "attacks", &both);
    // The capability it takes, but of the container's own namespace.
    let able =
        ["-v", &given, "--cap-add", "DAC_READ_SEARCH", "--security-opt", "seccomp=unconfined"];
    Attack { weakened: &[], script: &script }.fails_in(&engine, "attacks", &able);
    assert_eq!(outside.changed(), None);
    engine.leaves_nothing();
}
