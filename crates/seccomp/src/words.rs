//! The words of an OCI document, read: actions, operators, flags.

use crate::{
    Arch, Error, NEW_LISTENER,
    arch::{self, Finder, Hidden, Numbers},
};
use spec::oci;

/// `SECCOMP_RET_*` of `linux/seccomp.h`, with an errno or a tracer's message
/// in the lower half.
pub type Action = u32;

/// The whole process dies.
pub const KILL_PROCESS: Action = 0x8000_0000;
const KILL_THREAD: Action = 0x0000_0000;
const TRAP: Action = 0x0003_0000;
const ERRNO: Action = 0x0005_0000;
const USER_NOTIF: Action = 0x7fc0_0000;
const TRACE: Action = 0x7ff0_0000;
const LOG: Action = 0x7ffc_0000;
const ALLOW: Action = 0x7fff_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// The kernel cuts larger ones down to this.
const MAX_ERRNO: u32 = 4095;

/// "There is no such call."
pub const NO_SUCH_CALL: Action = ERRNO | ENOSYS;

/// Rules in numbers.
#[derive(Debug)]
pub struct Rules {
    /// For what no rule speaks of.
    pub default: Action,
    /// In the order of the document, those that repeat the default left out.
    pub list: Vec<Rule>,
    /// The largest number that the document speaks of, in the order of
    /// [`Arch`].
    pub newest: [Option<u32>; 5],
    /// Those of ours that it names.
    pub arches: Vec<Arch>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
    /// Some rule asks a supervisor.
    pub notify: bool,
}

/// One rule for some calls. All of its tests must hold.
#[derive(Debug)]
pub struct Rule {
    /// For which: names that no architecture knows are left out.
    pub calls: Vec<Named>,
    /// The answer.
    pub action: Action,
    /// None: it holds always.
    pub tests: Vec<Test>,
}

/// One call, looked up.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// On each architecture.
    pub numbers: &'static Numbers,
    /// What hides it on i386.
    pub hidden: Option<Hidden>,
}

/// One comparison with an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// 0 to 5.
    pub index: u8,
    /// How.
    pub op: Op,
    /// With what; for a masked comparison, the expected bits.
    pub value: u64,
    /// Applied to the argument first.
    pub mask: u64,
}

/// How an argument compares, without sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Op {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

/// Whether calls that the author of the rules did not know go through, in
/// some way: then inventing `ENOSYS` for them would take something away.
pub fn lets_through(action: Action) -> bool {
    matches!(action & 0xffff_0000, ALLOW | LOG | TRACE)
}

/// Reads a document.
///
/// # Errors
/// For a word that is not in the specification and a number out of range.
pub fn read(from: &oci::Seccomp) -> Result<Rules, Error> {
    let default = action(&from.default_action, from.default_errno_ret)?;
    if default == USER_NOTIF {
        return Err(Error::Notify("the default action"));
    }
    let mut rules = Rules {
        default,
        list: Vec::with_capacity(from.syscalls.len()),
        newest: [None; 5],
        arches: Vec::new(),
        flags: 0,
        notify: false,
    };
    for rule in &from.syscalls {
        let calls = look_up(&rule.names, &mut rules.newest);
        let action = action(&rule.action, rule.errno_ret)?;
        if action == USER_NOTIF {
            if rule.names.iter().any(|name| name == "write") {
                return Err(Error::Notify("used for write"));
            }
            rules.notify = true;
        }
        let tests = tests(rule)?;
        if action == default {
            continue;
        }
        if doubled(&tests) {
            rules.list.extend(tests.into_iter().map(|test| Rule {
                calls: calls.clone(),
                action,
                tests: vec![test],
            }));
        } else {
            rules.list.push(Rule { calls, action, tests });
        }
    }
    for word in &from.architectures {
        let arch = arch::named(word).ok_or_else(|| Error::Architecture(word.clone()))?;
        rules.arches.extend(arch);
    }
    rules.flags = flags(&from.flags, rules.notify)?;
    Ok(rules)
}

fn look_up(names: &[String], newest: &mut [Option<u32>; 5]) -> Vec<Named> {
    const ALL: [Arch; 5] = [Arch::X86_64, Arch::I386, Arch::X32, Arch::Aarch64, Arch::Arm];
    let mut calls = Vec::with_capacity(names.len());
    let mut finder = Finder::default();
    for name in names {
        let Some(numbers) = finder.numbers(name) else { continue };
        for (arch, newest) in ALL.into_iter().zip(newest.iter_mut()) {
            *newest = arch.of(numbers).filter(|n| arch.counts_up(*n)).max(*newest);
        }
        calls.push(Named { numbers, hidden: arch::hidden(name) });
    }
    calls
}

/// Several tests of one argument are alternatives, as in runc, which has kept
/// them so for the profiles written before rules could be repeated.
fn doubled(tests: &[Test]) -> bool {
    tests.iter().enumerate().any(|(at, a)| tests[..at].iter().any(|b| a.index == b.index))
}

/// An errno with an action that has none is ignored, as runc does.
fn action(word: &str, errno: Option<u32>) -> Result<Action, Error> {
    let errno = errno.unwrap_or(EPERM);
    Ok(match word {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        "SCMP_ACT_TRAP" => TRAP,
        "SCMP_ACT_ERRNO" if errno > MAX_ERRNO => return Err(Error::Errno(errno)),
        "SCMP_ACT_ERRNO" => ERRNO | errno,
        "SCMP_ACT_TRACE" if errno > 0xffff => return Err(Error::Errno(errno)),
        "SCMP_ACT_TRACE" => TRACE | errno,
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_LOG" => LOG,
        "SCMP_ACT_NOTIFY" => USER_NOTIF,
        _ => return Err(Error::Action(word.to_owned())),
    })
}

fn tests(rule: &oci::SyscallRule) -> Result<Vec<Test>, Error> {
    let mut tests = Vec::with_capacity(rule.args.len());
    for arg in &rule.args {
        let index = u8::try_from(arg.index).ok().filter(|index| *index < 6);
        let index = index.ok_or_else(|| Error::Index {
            call: rule.names.first().cloned().unwrap_or_default(),
            index: arg.index,
        })?;
        let (op, value, mask) = match arg.op.as_str() {
            "SCMP_CMP_EQ" => (Op::Equal, arg.value, u64::MAX),
            "SCMP_CMP_NE" => (Op::NotEqual, arg.value, u64::MAX),
            "SCMP_CMP_GT" => (Op::Greater, arg.value, u64::MAX),
            "SCMP_CMP_GE" => (Op::GreaterEqual, arg.value, u64::MAX),
            "SCMP_CMP_LT" => (Op::Less, arg.value, u64::MAX),
            "SCMP_CMP_LE" => (Op::LessEqual, arg.value, u64::MAX),
            "SCMP_CMP_MASKED_EQ" => (Op::Equal, arg.value_two, arg.value),
            _ => return Err(Error::Operator(arg.op.clone())),
        };
        tests.push(Test { index, op, value, mask });
    }
    Ok(tests)
}

/// `SECCOMP_FILTER_FLAG_*` of `linux/seccomp.h`.
fn flags(words: &[String], notify: bool) -> Result<u32, Error> {
    const TSYNC: u32 = 1 << 0;
    const LOG: u32 = 1 << 1;
    const SPEC_ALLOW: u32 = 1 << 2;
    const WAIT_KILLABLE_RECV: u32 = 1 << 5;
    let mut flags = if notify { NEW_LISTENER } else { 0 };
    for word in words {
        flags |= match word.as_str() {
            // Both would return a number, and the kernel takes one of them;
            // whoever loads this has a single thread.
            "SECCOMP_FILTER_FLAG_TSYNC" if notify => 0,
            "SECCOMP_FILTER_FLAG_TSYNC" => TSYNC,
            "SECCOMP_FILTER_FLAG_LOG" => LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => SPEC_ALLOW,
            // Of waiting for an answer: without a listener there is none, and
            // the kernel refuses the flag.
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" if !notify => 0,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => WAIT_KILLABLE_RECV,
            _ => return Err(Error::Flag(word.clone())),
        };
    }
    Ok(flags)
}
