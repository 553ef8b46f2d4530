//! CAP: each of the 41 capabilities, tried by what it alone allows.
//!
//! `tests/programs/caps.c` makes the trials from inside. With every capability
//! and no user namespace each succeeds, or this kernel asks for it nowhere;
//! without any, none does; and each option gives what it names.

use promises::{Engine, programs::compile};

const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Nothing to try on any kernel, as the program says why, or on some.
const UNTRIED: [&str; 10] = [
    "NET_BROADCAST",
    "AUDIT_CONTROL",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_PACCT",
    "AUDIT_WRITE",
    "AUDIT_READ",
    "BLOCK_SUSPEND",
];

/// What may be done by default: all within the container's own user namespace.
/// Who may write in every file may read in it, too.
const BY_DEFAULT: [&str; 13] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SYS_CHROOT",
    "SETFCAP",
];

/// The trials of a container with these options: answers by number.
fn trials(engine: &Engine, options: &[&str], numbers: &[&str]) -> Vec<String> {
    let strict =
        ["--ulimit", "memlock=0:0", "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024"];
    let words = [&["run", "--rm"], &strict[..], options, &["caps", "/root/caps"], numbers].concat();
    let said = engine.says(&words);
    said.lines().filter_map(|line| line.split_once(' ')).map(|(_, is)| is.to_owned()).collect()
}

/// Capabilities that the daemon itself has not cannot be given.
fn host_has(number: usize) -> bool {
    let text = std::fs::read_to_string("/proc/self/status").expect("proc(5)");
    let line = text.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("a set");
    u64::from_str_radix(line.trim(), 16).expect("hex") & 1 << number != 0
}

#[test]
fn cap2_each_capability_does_what_it_says_where_it_was_given_and_nowhere_else() {
    let engine = Engine::new();
    compile(&engine, "caps");
    // Process 1 of what the trials run in, and files of others.
    let host = ["--userns", "host"];
    engine.says(
        &[
            &["run", "-d", "--name", "other", "--user", "1"],
            &host[..],
            &["busybox", "sleep", "1000"],
        ]
        .concat(),
    );
    let lay = "touch /f/other /f/group && chgrp 5 /f/group && chown 1 /f/other";
    engine.says(&["run", "--rm", "-v", "laid:/f", "busybox", "sh", "-c", lay]);
    let open = ["--security-opt", "seccomp=unconfined", "-v", "laid:/f"];
    let open = [&host[..], &["--pid", "container:other"], &open].concat();
    let with =
        |more: &[&str], numbers: &[&str]| trials(&engine, &[&open[..], more].concat(), numbers);
    let (all, none) = (with(&["--cap-add", "ALL"], &[]), with(&["--cap-drop", "ALL"], &[]));
    let default = trials(&engine, &["-v", "laid:/f"], &[]);
    assert_eq!([all.len(), none.len(), default.len()], [41; 3]);
    for (number, name) in NAMES.iter().enumerate() {
        if all[number] == "none" {
            assert!(UNTRIED.contains(name), "{name} was not tried");
            continue;
        }
        let wanted = if host_has(number) { "yes" } else { "no" };
        assert_eq!(all[number], wanted, "{name} with all");
        assert_eq!(none[number], "no", "{name} without any");
        let alone = with(&["--cap-drop", "ALL", "--cap-add", name], &[&number.to_string()]);
        assert_eq!(alone, [wanted], "{name} alone");
        assert_eq!(default[number] == "yes", BY_DEFAULT.contains(name), "{name} by default");
    }
    engine.says(&["rm", "-f", "other"]);
    engine.leaves_nothing();
}
