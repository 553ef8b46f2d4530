//! Any rules, compiled and run, mean what they say when read one by one.

use crate::{Arch, Call, compile_for, table::CALLS};
use proptest::prelude::*;
use spec::oci::{Seccomp, SyscallArg, SyscallRule};

const ERRNO: u32 = 0x0005_0000;
const ENOSYS: u32 = 0x0005_0026;

/// The answer to one call, by reading the rules as a person would.
fn read(rules: &Seccomp, arch: Arch, number: u32, args: [u64; 6]) -> u32 {
    let default = action(&rules.default_action, rules.default_errno_ret);
    let permissive = (0x7ff0_0000..0x8000_0000).contains(&default);
    let names: Vec<&str> =
        CALLS.iter().filter(|(_, n)| n[arch as usize] == number).map(|(name, _)| *name).collect();
    let mut found = None;
    let mut newest = None;
    for rule in &rules.syscalls {
        let answer = action(&rule.action, rule.errno_ret);
        for name in &rule.names {
            newest = newest.max(arch.number(name).filter(|n| *n < 0xf_0000 || arch != Arch::Arm));
            if answer == default || !names.contains(&name.as_str()) {
                continue;
            }
            if rule.args.is_empty() {
                return answer;
            }
            let alternatives = rule
                .args
                .iter()
                .any(|a| rule.args.iter().filter(|b| a.index == b.index).count() > 1);
            let mut tests = rule.args.iter().map(|arg| holds(arg, arch, args));
            let holds = if alternatives { tests.any(|t| t) } else { tests.all(|t| t) };
            if holds && found.is_none() {
                // An unconditional one may still come.
                found = Some(answer);
            }
        }
    }
    let private = arch == Arch::Arm && number >= 0xf_0000;
    let unknown = names.is_empty() || (!private && newest.is_some_and(|n| number > n));
    match found {
        Some(answer) => answer,
        None if !permissive && unknown => ENOSYS,
        None => default,
    }
}

fn action(word: &str, errno: Option<u32>) -> u32 {
    match word {
        "SCMP_ACT_ERRNO" => ERRNO | errno.unwrap_or(1),
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | errno.unwrap_or(1),
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_KILL" => 0,
        other => panic!("{other}"),
    }
}

fn holds(test: &SyscallArg, arch: Arch, args: [u64; 6]) -> bool {
    let cut = |v: u64| if arch.wide() { v } else { v & 0xffff_ffff };
    let (arg, value, two) = (cut(args[test.index as usize]), cut(test.value), cut(test.value_two));
    match test.op.as_str() {
        "SCMP_CMP_EQ" => arg == value,
        "SCMP_CMP_NE" => arg != value,
        "SCMP_CMP_GT" => arg > value,
        "SCMP_CMP_GE" => arg >= value,
        "SCMP_CMP_LT" => arg < value,
        "SCMP_CMP_LE" => arg <= value,
        "SCMP_CMP_MASKED_EQ" => arg & value == two,
        other => panic!("{other}"),
    }
}

/// Values whose halves differ, agree, overflow.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4_u64,
        Just(u64::MAX),
        Just(0xffff_ffff),
        Just(0x1_0000_0000),
        Just(0x7e02_0000),
        any::<u64>(),
        (0..3_u64, 0..3_u64).prop_map(|(high, low)| high << 32 | low),
    ]
}

fn test() -> impl Strategy<Value = SyscallArg> {
    let ops = prop::sample::select(vec![
        "SCMP_CMP_EQ",
        "SCMP_CMP_NE",
        "SCMP_CMP_GT",
        "SCMP_CMP_GE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_MASKED_EQ",
    ]);
    (0..6_u32, value(), value(), ops).prop_map(|(index, value, value_two, op)| SyscallArg {
        index,
        value,
        value_two,
        op: op.to_owned(),
    })
}

fn word() -> impl Strategy<Value = (String, Option<u32>)> {
    let words = prop::sample::select(vec![
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_LOG",
        "SCMP_ACT_TRAP",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL",
    ]);
    (words, prop::option::of(0..100_u32)).prop_map(|(word, errno)| (word.to_owned(), errno))
}

/// Calls that i386 hides are left to a test of their own.
fn plain(name: &str) -> bool {
    crate::arch::hidden(name).is_none() && name != "ipc" && name != "socketcall"
}

fn rule() -> impl Strategy<Value = SyscallRule> {
    let names: Vec<&str> = CALLS.iter().map(|(name, _)| *name).filter(|name| plain(name)).collect();
    let names = prop::collection::vec(prop::sample::select(names), 1..10);
    (names, word(), prop::collection::vec(test(), 0..4)).prop_map(|(names, word, args)| {
        let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        names.push("no_such_call".to_owned());
        SyscallRule { names, action: word.0, errno_ret: word.1, args }
    })
}

fn rules() -> impl Strategy<Value = Seccomp> {
    (word(), prop::collection::vec(rule(), 0..12)).prop_map(|(default, syscalls)| Seccomp {
        default_action: default.0,
        default_errno_ret: default.1,
        architectures: ["X86_64", "X86", "X32", "AARCH64", "ARM", "MIPS"]
            .iter()
            .map(|arch| format!("SCMP_ARCH_{arch}"))
            .collect(),
        syscalls,
        ..Seccomp::default()
    })
}

fn check(native: Arch, arch: Arch, rules: &Seccomp, args: [u64; 6]) -> Result<(), TestCaseError> {
    let program = compile_for(native, rules).expect("rules of known words");
    prop_assert!(program.is_well_formed());
    let args = if arch.wide() { args } else { args.map(|arg| arg & 0xffff_ffff) };
    // What tests compare with, and its neighbours, is where mistakes are.
    let mut edges = vec![args];
    for test in rules.syscalls.iter().flat_map(|rule| &rule.args) {
        for value in [test.value, test.value_two] {
            for near in [value, value.wrapping_add(1), value.wrapping_sub(1)] {
                let mut args = args;
                args[test.index as usize] = if arch.wide() { near } else { near & 0xffff_ffff };
                edges.push(args);
            }
        }
    }
    let mut numbers: Vec<u32> = rules
        .syscalls
        .iter()
        .flat_map(|rule| &rule.names)
        .filter_map(|name| arch.number(name))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        for args in &edges {
            let call = Call { arch, number, args: *args };
            let got = program.answer(&call).action;
            prop_assert_eq!(got, read(rules, arch, number, *args), "{:?} {:x?}", arch, call);
        }
    }
    let base = if arch == Arch::X32 { crate::arch::X32_BIT } else { 0 };
    for number in (base..base + 600).chain([base + 4000, base + 0xf_0002, base + 0xf_0009]) {
        let call = Call { arch, number, args };
        let got = program.answer(&call).action;
        prop_assert_eq!(got, read(rules, arch, number, args), "{:?} {}", arch, number);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn x86_64_means_what_the_rules_say(rules in rules(), args in prop::array::uniform6(value())) {
        check(Arch::X86_64, Arch::X86_64, &rules, args)?;
    }

    #[test]
    fn i386_means_what_the_rules_say(rules in rules(), args in prop::array::uniform6(value())) {
        check(Arch::X86_64, Arch::I386, &rules, args)?;
    }

    #[test]
    fn x32_means_what_the_rules_say(rules in rules(), args in prop::array::uniform6(value())) {
        check(Arch::X86_64, Arch::X32, &rules, args)?;
    }

    #[test]
    fn aarch64_means_what_the_rules_say(rules in rules(), args in prop::array::uniform6(value())) {
        check(Arch::Aarch64, Arch::Aarch64, &rules, args)?;
    }

    #[test]
    fn arm_means_what_the_rules_say(rules in rules(), args in prop::array::uniform6(value())) {
        check(Arch::Aarch64, Arch::Arm, &rules, args)?;
    }
}
