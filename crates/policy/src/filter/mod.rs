//! Which system calls a container may make.

pub(crate) mod default;
mod docker;

use crate::{Arch, Host, Refusal, security::Filter};
use default::{AF_ALG, AF_VSOCK, GROUPS, NEW_NAMESPACES, PERSONALITIES, When};
use spec::oci::{Seccomp, SyscallArg, SyscallRule};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// The rules for a container whose bounding set is `caps`, or none where that
/// was asked for.
///
/// # Errors
/// [`Refusal`] for a profile that cannot be read, and on a kernel that cannot
/// filter.
pub fn choose(
    wanted: &Filter,
    privileged: bool,
    caps: &[String],
    host: &Host,
) -> Result<Option<Seccomp>, Refusal> {
    let rules = match wanted {
        Filter::Unconfined => return Ok(None),
        Filter::Unspoken if privileged => return Ok(None),
        Filter::Unspoken | Filter::Builtin => default_rules(caps, host.arch),
        Filter::Json(text) => docker::read(text, caps, host)?,
    };
    if !host.seccomp {
        return Err(Refusal::Unsupported(
            "this kernel cannot filter system calls: to run without a filter, say \
             --security-opt seccomp=unconfined"
                .into(),
        ));
    }
    // The runtime compiles them. Mistakes of a user are refused now; the
    // default rules have none, a test says so.
    if matches!(wanted, Filter::Json(_)) {
        let native = match host.arch {
            Arch::X86_64 => seccomp::Arch::X86_64,
            Arch::Aarch64 => seccomp::Arch::Aarch64,
        };
        seccomp::compile_for(native, &rules)
            .map_err(|error| Refusal::Invalid(format!("invalid seccomp profile: {error}")))?;
    }
    Ok(Some(rules))
}

/// The names an OCI document has for a machine's architectures.
fn architectures(arch: Arch) -> Vec<String> {
    let words: &[&str] = match arch {
        Arch::X86_64 => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        Arch::Aarch64 => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The default filter.
pub fn default_rules(caps: &[String], arch: Arch) -> Seccomp {
    let has = |cap: &str| caps.iter().any(|have| have == cap);
    let mut names: Vec<String> = Vec::new();
    for group in GROUPS {
        let holds = match group.when {
            When::Always => true,
            When::Cap(cap) => has(cap),
            When::X86 => arch == Arch::X86_64,
            When::Arm => arch == Arch::Aarch64,
        };
        if holds {
            names.extend(group.calls.iter().map(|call| (*call).to_owned()));
        }
    }
    let mut syscalls = vec![allow(names, vec![])];
    for (op, family) in
        [("SCMP_CMP_LT", AF_ALG), ("SCMP_CMP_EQ", AF_ALG + 1), ("SCMP_CMP_GT", AF_VSOCK)]
    {
        syscalls.push(allow(vec!["socket".into()], vec![arg(op, family, 0)]));
    }
    for value in PERSONALITIES {
        syscalls.push(allow(vec!["personality".into()], vec![arg("SCMP_CMP_EQ", value, 0)]));
    }
    if !has("CAP_SYS_ADMIN") {
        let test = arg("SCMP_CMP_MASKED_EQ", NEW_NAMESPACES, 0);
        syscalls.push(allow(vec!["clone".into()], vec![test]));
        // Its flags are behind a pointer. C libraries then fall back to clone.
        syscalls.push(SyscallRule {
            names: vec!["clone3".into()],
            action: "SCMP_ACT_ERRNO".into(),
            errno_ret: Some(ENOSYS),
            args: vec![],
        });
    }
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".into(),
        default_errno_ret: Some(EPERM),
        architectures: architectures(arch),
        syscalls,
        ..Seccomp::default()
    }
}

fn allow(names: Vec<String>, args: Vec<SyscallArg>) -> SyscallRule {
    SyscallRule { names, action: "SCMP_ACT_ALLOW".into(), errno_ret: None, args }
}

fn arg(op: &str, value: u64, value_two: u64) -> SyscallArg {
    SyscallArg { index: 0, value, value_two, op: op.into() }
}
