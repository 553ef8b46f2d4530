//! Programs are run by an interpreter and compared with the rules read
//! directly, and with what libseccomp makes of the same rules.

mod peer;
mod promises;
mod reading;

use spec::oci::{Seccomp, SyscallArg, SyscallRule};

fn rule(names: &[&str], action: &str) -> SyscallRule {
    SyscallRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: action.to_owned(),
        ..SyscallRule::default()
    }
}

fn arg(index: u32, op: &str, value: u64, value_two: u64) -> SyscallArg {
    SyscallArg { index, value, value_two, op: op.to_owned() }
}

fn allow_list(rules: Vec<SyscallRule>) -> Seccomp {
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
            .map(str::to_owned)
            .to_vec(),
        syscalls: rules,
        ..Seccomp::default()
    }
}
