//! Single promises, each with the smallest rules that show it.

use super::{allow_list, arg, rule};
use crate::{
    Arch, Call, Error, LONGEST, NEW_LISTENER, Outcome, compile, compile_for, table::CALLS,
};
use spec::oci::{Seccomp, SyscallRule};

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILL_PROCESS: u32 = 0x8000_0000;

fn ask(rules: &Seccomp, arch: Arch, name: &str, args: [u64; 6]) -> Outcome {
    let number = arch.number(name).expect("the test names a real call");
    ask_number(rules, arch, number, args)
}

fn ask_number(rules: &Seccomp, arch: Arch, number: u32, args: [u64; 6]) -> Outcome {
    let native = if arch.audit() == Arch::Aarch64.audit() || arch == Arch::Arm {
        Arch::Aarch64
    } else {
        Arch::X86_64
    };
    let program = compile_for(native, rules).expect("good rules");
    program.answer(&Call { arch, number, args })
}

#[test]
fn the_table_is_in_order_or_names_would_not_be_found() {
    assert!(CALLS.is_sorted_by(|a, b| a.0 < b.0));
}

#[test]
fn numbers_are_the_kernels() {
    // From the manual pages and headers, not from the generated table.
    assert_eq!(Arch::X86_64.number("execve"), Some(59));
    assert_eq!(Arch::I386.number("execve"), Some(11));
    assert_eq!(Arch::X32.number("execve"), Some(0x4000_0000 + 520));
    assert_eq!(Arch::Aarch64.number("execve"), Some(221));
    assert_eq!(Arch::Arm.number("execve"), Some(11));
    assert_eq!(Arch::Arm.number("cacheflush"), Some(0xf_0002));
    assert_eq!(Arch::Arm.number("sync_file_range2"), Some(341));
}

#[test]
fn calls_that_other_tables_lack_are_known() {
    for (name, number) in [
        ("cachestat", 451),
        ("statmount", 457),
        ("listmount", 458),
        ("lsm_get_self_attr", 459),
        ("lsm_set_self_attr", 460),
        ("lsm_list_modules", 461),
        ("mseal", 462),
        ("setxattrat", 463),
        ("getxattrat", 464),
        ("listxattrat", 465),
        ("removexattrat", 466),
        ("open_tree_attr", 467),
        ("file_getattr", 468),
        ("file_setattr", 469),
    ] {
        assert_eq!(Arch::X86_64.number(name), Some(number), "{name}");
        assert_eq!(Arch::Aarch64.number(name), Some(number), "{name}");
    }
}

#[test]
fn an_architecture_that_was_not_named_is_killed() {
    let mut rules = allow_list(vec![rule(&["getpid"], "SCMP_ACT_ALLOW")]);
    rules.architectures.clear();
    assert_eq!(ask(&rules, Arch::X86_64, "getpid", [0; 6]).action, ALLOW);
    assert_eq!(ask(&rules, Arch::I386, "getpid", [0; 6]).action, KILL_PROCESS);
}

#[test]
fn x32_that_was_not_named_is_no_way_around_a_deny_list() {
    let rules = Seccomp {
        default_action: "SCMP_ACT_ALLOW".to_owned(),
        syscalls: vec![rule(&["mount"], "SCMP_ACT_ERRNO")],
        ..Seccomp::default()
    };
    assert_eq!(ask(&rules, Arch::X86_64, "mount", [0; 6]).action, EPERM);
    assert_eq!(ask(&rules, Arch::X32, "mount", [0; 6]).action, KILL_PROCESS);
}

#[test]
fn calls_newer_than_the_rules_do_not_exist() {
    let rules = allow_list(vec![rule(&["getpid", "mseal"], "SCMP_ACT_ALLOW")]);
    assert_eq!(ask(&rules, Arch::X86_64, "reboot", [0; 6]).action, EPERM);
    assert_eq!(ask(&rules, Arch::X86_64, "file_getattr", [0; 6]).action, ENOSYS);
    assert_eq!(ask_number(&rules, Arch::X86_64, 999, [0; 6]).action, ENOSYS);
    assert_eq!(ask_number(&rules, Arch::X86_64, u32::MAX, [0; 6]).action, ENOSYS);
}

#[test]
fn a_default_that_lets_calls_through_lets_new_ones_through() {
    for action in ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"] {
        let rules = Seccomp {
            default_action: action.to_owned(),
            syscalls: vec![rule(&["mount"], "SCMP_ACT_ERRNO")],
            ..Seccomp::default()
        };
        let new = ask_number(&rules, Arch::X86_64, 999, [0; 6]).action;
        assert_eq!(new, ask(&rules, Arch::X86_64, "getpid", [0; 6]).action, "{action}");
        assert_ne!(new, ENOSYS);
    }
}

#[test]
fn a_denied_socket_is_denied_behind_socketcall() {
    let rules = Seccomp {
        default_action: "SCMP_ACT_ALLOW".to_owned(),
        architectures: vec!["SCMP_ARCH_X86".to_owned()],
        syscalls: vec![
            SyscallRule {
                args: vec![arg(0, "SCMP_CMP_EQ", 40, 0)],
                ..rule(&["socket"], "SCMP_ACT_ERRNO")
            },
            rule(&["shmget"], "SCMP_ACT_ERRNO"),
        ],
        ..Seccomp::default()
    };
    assert_eq!(ask(&rules, Arch::I386, "socketcall", [1, 0, 0, 0, 0, 0]).action, EPERM);
    assert_eq!(ask(&rules, Arch::I386, "socketcall", [2, 0, 0, 0, 0, 0]).action, ALLOW);
    // ipc(2) keeps a version in the upper half of the number.
    assert_eq!(ask(&rules, Arch::I386, "ipc", [0x1_0017, 0, 0, 0, 0, 0]).action, EPERM);
    assert_eq!(ask(&rules, Arch::I386, "ipc", [1, 0, 0, 0, 0, 0]).action, ALLOW);
}

#[test]
fn an_allowed_socket_with_conditions_is_not_allowed_behind_socketcall() {
    let rules = allow_list(vec![
        SyscallRule {
            args: vec![arg(0, "SCMP_CMP_NE", 40, 0)],
            ..rule(&["socket"], "SCMP_ACT_ALLOW")
        },
        rule(&["bind"], "SCMP_ACT_ALLOW"),
    ]);
    assert_eq!(ask(&rules, Arch::I386, "socketcall", [1, 0, 0, 0, 0, 0]).action, EPERM);
    assert_eq!(ask(&rules, Arch::I386, "socketcall", [2, 0, 0, 0, 0, 0]).action, ALLOW);
}

#[test]
fn a_common_call_costs_few_instructions_and_needs_no_argument() {
    // Every second call is allowed: as many ranges as there can be.
    let names: Vec<&str> = CALLS.iter().step_by(2).map(|(name, _)| *name).collect();
    let mut rules = allow_list(vec![rule(&names, "SCMP_ACT_ALLOW")]);
    rules.syscalls.push(rule(&["read", "openat", "futex", "clone3"], "SCMP_ACT_ALLOW"));
    for name in ["read", "openat", "futex", "clone3"] {
        for arch in [Arch::X86_64, Arch::I386, Arch::X32] {
            let outcome = ask(&rules, arch, name, [0; 6]);
            assert_eq!(outcome.action, ALLOW);
            assert!(outcome.constant && outcome.steps <= 18, "{arch:?} {name}: {outcome:?}");
        }
    }
}

#[test]
fn the_worst_list_of_names_fits_in_three_architectures() {
    let names: Vec<&str> = CALLS.iter().step_by(2).map(|(name, _)| *name).collect();
    let rules = allow_list(vec![rule(&names, "SCMP_ACT_ALLOW")]);
    let program = compile_for(Arch::X86_64, &rules).expect("good rules");
    assert!(program.is_well_formed());
    assert!(program.instructions.len() < LONGEST / 2, "{}", program.instructions.len());
}

#[test]
fn a_far_jump_lands() {
    // Each call has an answer of its own, so that targets lie far apart.
    let rules = allow_list(
        (1..)
            .zip(CALLS)
            .map(|(errno, (name, _))| SyscallRule {
                errno_ret: Some(1000 + errno),
                args: vec![arg(5, "SCMP_CMP_EQ", u64::from(errno), 0)],
                ..rule(&[name], "SCMP_ACT_ERRNO")
            })
            .collect(),
    );
    let mut rules = Seccomp { architectures: vec![], ..rules };
    rules.syscalls.retain(|rule| Arch::X86_64.number(&rule.names[0]).is_some());
    let program = compile_for(Arch::X86_64, &rules).expect("fits");
    assert!(program.is_well_formed() && program.instructions.len() > 2000);
    for rule in &rules.syscalls {
        let call = Call {
            arch: Arch::X86_64,
            number: Arch::X86_64.number(&rule.names[0]).expect("kept"),
            args: [0, 0, 0, 0, 0, rule.args[0].value],
        };
        let expected = 0x0005_0000 | rule.errno_ret.expect("set above");
        assert_eq!(program.answer(&call).action, expected, "{}", rule.names[0]);
    }
}

#[test]
fn too_long_a_program_is_refused_here_and_not_by_the_kernel() {
    let rules = allow_list(
        (0..1200)
            .map(|value| SyscallRule {
                args: vec![arg(0, "SCMP_CMP_EQ", value, 0)],
                ..rule(&["ioctl"], "SCMP_ACT_ALLOW")
            })
            .collect(),
    );
    assert!(matches!(compile(&rules), Err(Error::TooLong(_))));
}

#[test]
fn words_that_are_not_in_the_specification_are_refused() {
    let base = || allow_list(vec![rule(&["read"], "SCMP_ACT_ALLOW")]);
    let refused = |change: &dyn Fn(&mut Seccomp)| {
        let mut rules = base();
        change(&mut rules);
        compile(&rules).expect_err("must refuse").to_string()
    };
    assert_eq!(
        refused(&|r| r.default_action = "SCMP_ACT_PANIC".into()),
        "unknown seccomp action \"SCMP_ACT_PANIC\""
    );
    assert_eq!(
        refused(&|r| r.architectures.push("SCMP_ARCH_VAX".into())),
        "unknown seccomp architecture \"SCMP_ARCH_VAX\""
    );
    assert_eq!(refused(&|r| r.flags.push("FAST".into())), "unknown seccomp flag \"FAST\"");
    assert_eq!(
        refused(&|r| r.syscalls[0].args.push(arg(0, "==", 0, 0))),
        "unknown seccomp operator \"==\""
    );
    assert_eq!(
        refused(&|r| r.syscalls[0].args.push(arg(6, "SCMP_CMP_EQ", 0, 0))),
        "seccomp rule for read compares argument 6: there are 0 to 5"
    );
    assert_eq!(
        refused(&|r| r.default_errno_ret = Some(4096)),
        "seccomp errno 4096 is out of range"
    );
}

#[test]
fn a_supervisor_may_not_be_asked_about_what_hands_it_the_descriptor() {
    let by_default = Seccomp { default_action: "SCMP_ACT_NOTIFY".into(), ..Seccomp::default() };
    assert_eq!(compile(&by_default), Err(Error::Notify("the default action")));
    let write = allow_list(vec![rule(&["write"], "SCMP_ACT_NOTIFY")]);
    assert_eq!(compile(&write), Err(Error::Notify("used for write")));
}

#[test]
fn flags_become_the_kernels() {
    let mut rules = allow_list(vec![rule(&["mkdir"], "SCMP_ACT_NOTIFY")]);
    rules.flags = ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"]
        .map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}"))
        .to_vec();
    let asking = compile(&rules).expect("good rules");
    assert!(asking.notify);
    assert_eq!(asking.flags, NEW_LISTENER | 2 | 4 | 32);
    rules.syscalls.clear();
    let plain = compile(&rules).expect("good rules");
    assert!(!plain.notify);
    assert_eq!(plain.flags, 1 | 2 | 4);
}
