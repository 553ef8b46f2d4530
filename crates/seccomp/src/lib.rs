//! Compiles OCI seccomp rules into a classic BPF program.
//!
//! A [`Program`] is made once from [`spec::oci::Seccomp`], handed to
//! `seccomp(2)` as it is, and lives in the kernel for as long as the process
//! that loaded it and all its children. Nothing here touches the kernel.
//!
//! What a program looks like:
//!
//! ```text
//!   load the architecture
//!     one we know:   load the call's number, binary search over ranges of
//!                    numbers that are answered alike
//!                      a constant answer:  return it
//!                      an answer that depends on arguments: compare, return
//!     another:       kill the process
//! ```
//!
//! Nothing but the architecture and the number is loaded on the way to a
//! constant answer, so that the kernel (5.11 and newer) finds out when the
//! program is loaded which calls are always allowed, and then does not run it
//! for them at all.
//!
//! Where the rules leave room, they mean what runc with libseccomp makes of
//! them: names that no architecture knows are skipped; rules that repeat the
//! default are skipped; a rule without arguments outranks those with; two
//! conditions on one argument are alternatives; and where the default is a
//! refusal, calls newer than any that the rules name answer `ENOSYS`, so that
//! programs fall back as they would on an older kernel.

mod arch;
mod code;
mod plan;
mod run;
mod table;
mod words;

#[cfg(test)]
mod tests;

pub use arch::Arch;
pub use run::{Call, Outcome};

use code::{Code, Label};
use spec::oci::Seccomp;

/// One instruction: the kernel's `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation, as in `linux/bpf_common.h`.
    pub code: u16,
    /// How many instructions to skip when a comparison holds.
    pub jt: u8,
    /// How many to skip when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// A filter, ready for `seccomp(SECCOMP_SET_MODE_FILTER, flags, program)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// At most [`LONGEST`].
    pub instructions: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`; [`NEW_LISTENER`] is among them if and only if
    /// [`notify`](Self::notify) is set.
    pub flags: u32,
    /// Some call is answered by a supervisor: loading returns a descriptor
    /// that belongs to whoever listens at `listenerPath`.
    pub notify: bool,
}

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
pub const NEW_LISTENER: u32 = 1 << 3;

/// The kernel's `BPF_MAXINSNS`.
pub const LONGEST: usize = 4096;

/// Why rules are not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No `SCMP_ACT_*` that we know.
    #[error("unknown seccomp action {0:?}")]
    Action(String),
    /// No `SCMP_CMP_*` that we know.
    #[error("unknown seccomp operator {0:?}")]
    Operator(String),
    /// No `SCMP_ARCH_*` that we know.
    #[error("unknown seccomp architecture {0:?}")]
    Architecture(String),
    /// No `SECCOMP_FILTER_FLAG_*` that we know.
    #[error("unknown seccomp flag {0:?}")]
    Flag(String),
    /// A call has six arguments.
    #[error("seccomp rule for {call} compares argument {index}: there are 0 to 5")]
    Index {
        /// The first call of the rule.
        call: String,
        /// Beyond 5.
        index: u32,
    },
    /// `errno` is 0 to 4095.
    #[error("seccomp errno {0} is out of range")]
    Errno(u32),
    /// Nobody could answer the calls that hand the listener over.
    #[error("SCMP_ACT_NOTIFY cannot be {0}")]
    Notify(&'static str),
    /// The kernel would refuse it.
    #[error("the seccomp filter has {0} instructions, and the kernel takes 4096")]
    TooLong(usize),
}

/// Compiles `rules` for the architecture that this crate was built for and
/// those of its kin that the rules name.
///
/// Costs some 0.3 ms for a list of 400 names and three architectures.
///
/// # Errors
/// [`Error`] for a word that is unknown or a rule that cannot be expressed.
pub fn compile(rules: &Seccomp) -> Result<Program, Error> {
    compile_for(Arch::NATIVE, rules)
}

/// Compiles `rules` for a kernel of another architecture.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(native: Arch, rules: &Seccomp) -> Result<Program, Error> {
    let rules = words::read(rules)?;
    let arches = arch::family(native, &rules.arches);
    let mut code = Code::default();
    let foreign = code.answer(words::KILL_PROCESS);
    // Sections are written last to first: a jump only ever goes forward.
    let mut sections: Vec<(u32, Label)> = Vec::new();
    for &arch in arches.iter().filter(|arch| **arch != Arch::X32).rev() {
        let own = plan::emit(arch, &rules, &mut code);
        let start = if arch == Arch::X86_64 {
            // x32 calls come under x86_64's name, with a bit in their number.
            let x32 = if arches.contains(&Arch::X32) {
                plan::emit(Arch::X32, &rules, &mut code)
            } else if words::lets_through(rules.default) {
                foreign
            } else {
                code.answer(words::NO_SUCH_CALL)
            };
            code.jump(code::JGE, arch::X32_BIT, x32, own)
        } else {
            own
        };
        sections.push((arch.audit(), code.load(code::NUMBER, start)));
    }
    // The native one is tried first, so it is written last.
    let mut next = foreign;
    for (audit, section) in sections {
        next = code.jump(code::JEQ, audit, section, next);
    }
    code.load(code::ARCHITECTURE, next);
    let instructions = code.finish();
    if instructions.len() > LONGEST {
        return Err(Error::TooLong(instructions.len()));
    }
    Ok(Program { instructions, flags: rules.flags, notify: rules.notify })
}
