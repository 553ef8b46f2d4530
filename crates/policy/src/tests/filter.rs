//! System calls: the default filter, run, and profiles of users.

use super::*;
use crate::{
    default_rules,
    filter::default::{GROUPS, When},
};
use seccomp::{Arch as Abi, Call, Program, compile_for};
use spec::oci::Seccomp;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn program(caps: &[&str]) -> Program {
    let mut all = crate::caps::DEFAULT.map(str::to_owned).to_vec();
    all.extend(strings(caps));
    compile_for(Abi::X86_64, &default_rules(&all, Arch::X86_64)).expect("our own rules")
}

fn call(program: &Program, name: &str, first: u64) -> u32 {
    let number = Abi::X86_64.number(name).expect("a real call");
    let args = [first, 0, 0, 0, 0, 0];
    program.answer(&Call { arch: Abi::X86_64, number, args }).action
}

/// What two sets of rules answer differently, if anything, to a call.
fn differ(machine: Arch, rules: [&Seccomp; 2], name: &str) -> bool {
    let (native, abis): (_, &[Abi]) = match machine {
        Arch::X86_64 => (Abi::X86_64, &[Abi::X86_64, Abi::I386, Abi::X32]),
        Arch::Aarch64 => (Abi::Aarch64, &[Abi::Aarch64, Abi::Arm]),
    };
    let programs = rules.map(|rules| compile_for(native, rules).expect("good rules"));
    // First arguments that some rule tells apart: families of sockets, words
    // of personality(2), and a namespace of clone(2).
    let firsts = (0..64).chain([0x2_0000, 0x2_0008, 0xffff_ffff, 0x2000_0000]);
    let mut asked = firsts.flat_map(|first| abis.iter().map(move |abi| (first, *abi)));
    asked.any(|(first, arch)| {
        let Some(number) = arch.number(name) else { return false };
        let call = Call { arch, number, args: [first, 0, 0, 0, 0, 0] };
        programs[0].answer(&call) != programs[1].answer(&call)
    })
}

/// Whether nothing would change without the name, or the rule of its own.
fn is_redundant(machines: &[Arch], caps: &[String], rule: usize, name: &str) -> bool {
    machines.iter().all(|machine| {
        let rules = default_rules(caps, *machine);
        let mut without = rules.clone();
        if rule == 0 {
            without.syscalls[0].names.retain(|other| other != name);
        } else {
            without.syscalls.remove(rule);
        }
        !differ(*machine, [&rules, &without], name)
    })
}

#[test]
fn no_rule_of_the_default_is_redundant() {
    let mut odd: Vec<&str> = Vec::new();
    for group in GROUPS {
        let (machines, caps): (&[Arch], _) = match group.when {
            When::Always => (&[Arch::X86_64, Arch::Aarch64], vec![]),
            When::Cap(cap) => (&[Arch::X86_64, Arch::Aarch64], vec![cap.to_owned()]),
            When::X86 => (&[Arch::X86_64], vec![]),
            When::Arm => (&[Arch::Aarch64], vec![]),
        };
        for call in group.calls {
            if is_redundant(machines, &caps, 0, call) {
                odd.push(*call);
            }
        }
    }
    assert!(odd.is_empty(), "{odd:?}");
    let rules = default_rules(&[], Arch::X86_64);
    for (at, rule) in rules.syscalls.iter().enumerate().skip(1) {
        assert!(!is_redundant(&[Arch::X86_64], &[], at, &rule.names[0]), "{rule:?}");
    }
}

#[test]
fn no_name_of_the_default_stands_there_twice() {
    let rules = default_rules(&[], Arch::X86_64);
    let mut names = rules.syscalls[0].names.clone();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn programs_can_work() {
    let program = program(&[]);
    for name in ["read", "openat", "execve", "futex", "mmap", "epoll_wait", "statx", "chroot"] {
        assert_eq!(call(&program, name, 0), ALLOW, "{name}");
    }
}

#[test]
fn the_kernel_and_the_host_are_out_of_reach() {
    let program = program(&[]);
    for name in [
        "mount",
        "umount2",
        "move_mount",
        "fsopen",
        "open_tree",
        "setns",
        "unshare",
        "keyctl",
        "add_key",
        "request_key",
        "bpf",
        "perf_event_open",
        "io_uring_setup",
        "userfaultfd",
        "kexec_load",
        "init_module",
        "reboot",
        "swapon",
        "open_by_handle_at",
        "pivot_root",
        "syslog",
        "settimeofday",
        "iopl",
        "quotactl",
        "acct",
        "kcmp",
    ] {
        assert_eq!(call(&program, name, 0), EPERM, "{name}");
    }
}

#[test]
fn new_namespaces_are_refused_by_either_clone() {
    let program = program(&[]);
    assert_eq!(call(&program, "clone", 0x11), ALLOW);
    for flag in
        [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000]
    {
        assert_eq!(call(&program, "clone", flag | 0x11), EPERM, "{flag:#x}");
    }
    assert_eq!(call(&program, "clone3", 0), ENOSYS, "C libraries then use clone");
    assert_eq!(call(&self::program(&["CAP_SYS_ADMIN"]), "clone3", 0), ALLOW);
}

#[test]
fn sockets_of_machines_and_of_kernel_cryptography_are_refused() {
    let program = program(&[]);
    for (family, answer) in [
        (1, ALLOW),
        (2, ALLOW),
        (10, ALLOW),
        (16, ALLOW),
        (38, EPERM),
        (39, ALLOW),
        (40, EPERM),
        (41, ALLOW),
    ] {
        assert_eq!(call(&program, "socket", family), answer, "{family}");
    }
}

#[test]
fn personalities_that_lower_guards_are_refused() {
    let program = program(&[]);
    for (value, answer) in [
        (0, ALLOW),
        (8, ALLOW),
        (0x2_0000, ALLOW),
        (0xffff_ffff, ALLOW),
        (0x40_0000, EPERM),
        (0x4_0000, EPERM),
    ] {
        assert_eq!(call(&program, "personality", value), answer, "{value:#x}");
    }
}

#[test]
fn newer_calls_do_not_exist() {
    let program = program(&[]);
    for name in ["open_tree_attr", "file_getattr", "file_setattr"] {
        assert_eq!(call(&program, name, 0), ENOSYS, "{name}");
    }
    let args = [0; 6];
    let new = program.answer(&Call { arch: Abi::X86_64, number: 1000, args }).action;
    assert_eq!(new, ENOSYS);
}

#[test]
fn a_capability_brings_its_calls() {
    for (cap, name) in [
        ("CAP_SYS_ADMIN", "mount"),
        ("CAP_SYS_PTRACE", "pidfd_getfd"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_NICE", "mbind"),
        ("CAP_BPF", "bpf"),
        ("CAP_SYSLOG", "syslog"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ] {
        assert_eq!(call(&program(&[]), name, 0), EPERM, "{name} without {cap}");
        assert_eq!(call(&program(&[cap]), name, 0), ALLOW, "{name} with {cap}");
    }
    let without = default_rules(&[], Arch::X86_64);
    let without = compile_for(Abi::X86_64, &without).expect("our own rules");
    assert_eq!(call(&without, "chroot", 0), EPERM);
}

#[test]
fn the_program_is_short_and_common_calls_are_answered_by_the_kernels_bitmap() {
    let program = program(&[]);
    assert!(program.instructions.len() < 1000, "{}", program.instructions.len());
    for name in ["read", "write", "openat", "close", "futex", "epoll_wait", "mmap", "newfstatat"] {
        let number = Abi::X86_64.number(name).expect("a real call");
        let outcome = program.answer(&Call { arch: Abi::X86_64, number, args: [0; 6] });
        assert!(outcome.constant && outcome.steps <= 14, "{name}: {outcome:?}");
    }
}

#[test]
fn other_ways_into_the_kernel_are_filtered_too() {
    let program = program(&[]);
    for abi in [Abi::I386, Abi::X32] {
        for (name, answer) in [("read", ALLOW), ("mount", EPERM), ("keyctl", EPERM)] {
            let number = abi.number(name).expect("a real call");
            let got = program.answer(&Call { arch: abi, number, args: [0; 6] }).action;
            assert_eq!(got, answer, "{abi:?} {name}");
        }
    }
    let arm = default_rules(&[], Arch::Aarch64);
    let arm = compile_for(Abi::Aarch64, &arm).expect("our own rules");
    for (name, answer) in [("cacheflush", ALLOW), ("read", ALLOW), ("mount", EPERM)] {
        let number = Abi::Arm.number(name).expect("a real call");
        assert_eq!(arm.answer(&Call { arch: Abi::Arm, number, args: [0; 6] }).action, answer);
    }
}

fn profile(text: &str) -> Ask {
    let word = format!("seccomp={text}");
    Ask::with(|config| config.security_opt = Some(vec![word]))
}

#[test]
fn a_profile_in_dockers_format_is_decided_for_this_machine() {
    let ask = profile(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","archMap":[
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
            {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],
          "syscalls":[
            {"names":["read"],"action":"SCMP_ACT_ALLOW","args":null,"comment":"x"},
            {"name":"write","action":"SCMP_ACT_ALLOW"},
            {"names":["chroot"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_CHROOT"]}},
            {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
            {"names":["umount2"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_CHOWN"]}},
            {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
            {"names":["bpf"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"99.0"}},
            {"names":["arch_prctl"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd64"]}},
            {"names":["set_tls"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64"]}}]}"#,
    );
    let sandbox = ask.sandbox();
    let rules = linux(&sandbox).seccomp.as_ref().expect("a profile");
    assert_eq!(rules.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
    let names: Vec<&str> =
        rules.syscalls.iter().flat_map(|rule| &rule.names).map(String::as_str).collect();
    assert_eq!(names, ["read", "write", "chroot", "ptrace", "arch_prctl"]);
    assert_eq!(sandbox.weakened, ["has a seccomp profile of its own instead of the default"]);
}

#[test]
fn a_profile_that_cannot_be_read_is_refused() {
    assert!(profile("/etc/x.json").words().starts_with("decoding seccomp profile failed:"));
    assert!(
        profile(r#"{"defaultAction":"SCMP_ACT_X"}"#).words().contains("unknown seccomp action")
    );
    assert!(
        profile(r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_LOG"}]}"#)
            .words()
            .starts_with("'name' and 'names'")
    );
    assert!(
        profile(r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"}"#)
            .words()
            .contains("listener is not supported")
    );
}

#[test]
fn the_filter_can_be_left_out_and_asked_back() {
    let option = |privileged, word: &str| {
        let sandbox = Ask::with(|config| {
            config.privileged = privileged;
            config.security_opt = Some(strings(&[word]));
        })
        .sandbox();
        linux(&sandbox).seccomp.is_some()
    };
    assert!(!option(false, "seccomp=unconfined"));
    assert!(option(false, "seccomp=builtin"));
    assert!(option(true, "seccomp=builtin"));
}
