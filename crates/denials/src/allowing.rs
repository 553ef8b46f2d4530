//! A filter with some calls more.

use seccomp::Arch;
use spec::oci::{Seccomp, SyscallRule};

/// Allows `calls` whatever their arguments; every other call is answered as
/// before.
///
/// # Errors
/// In words, for a name that is no call's.
pub fn allowing(mut rules: Seccomp, calls: &[&str]) -> Result<Seccomp, String> {
    for call in calls {
        let known = [Arch::X86_64, Arch::I386, Arch::Aarch64, Arch::Arm];
        if known.iter().all(|arch| arch.number(call).is_none()) {
            return Err(format!("there is no system call {call:?}"));
        }
    }
    for rule in &mut rules.syscalls {
        rule.names.retain(|name| !calls.contains(&name.as_str()));
    }
    rules.syscalls.retain(|rule| !rule.names.is_empty());
    rules.syscalls.push(SyscallRule {
        names: calls.iter().map(|call| (*call).to_owned()).collect(),
        action: "SCMP_ACT_ALLOW".into(),
        errno_ret: None,
        args: Vec::new(),
    });
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seccomp::Call;

    #[test]
    fn one_call_more_is_allowed_and_no_other() {
        let caps: Vec<String> = policy::caps::DEFAULT.map(str::to_owned).into();
        let before = policy::default_rules(&caps, crate::judge::arch());
        let with = allowing(before.clone(), &["unshare", "clone3"]).expect("both are calls");
        let (before, with) = (seccomp::compile(&before), seccomp::compile(&with));
        let (before, with) = (before.expect("rules"), with.expect("rules"));
        let ask = |program: &seccomp::Program, name: &str, first: u64| {
            let number = Arch::NATIVE.number(name).expect("a call");
            let args = [first, 0, 0, 0, 0, 0];
            program.answer(&Call { arch: Arch::NATIVE, number, args }).action
        };
        for call in ["unshare", "clone3"] {
            assert_ne!(ask(&before, call, 0x1000_0000), 0x7fff_0000, "{call}");
            assert_eq!(ask(&with, call, 0x1000_0000), 0x7fff_0000, "{call}");
        }
        for call in ["keyctl", "mount", "clone", "socket", "read"] {
            let new_user = 0x1000_0000;
            assert_eq!(ask(&before, call, new_user), ask(&with, call, new_user), "{call}");
        }
    }

    #[test]
    fn a_name_that_is_no_calls_is_refused() {
        let refused = allowing(Seccomp::default(), &["unshare", "unsare"]).expect_err("a slip");
        assert_eq!(refused, "there is no system call \"unsare\"");
    }
}
