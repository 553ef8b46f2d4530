//! Which ways into the kernel there are, and what a call's number is there.

/// Set in the numbers of x32 calls.
pub use crate::table::X as X32_BIT;
use crate::table::{ARM, CALLS, NONE};

/// A way into the kernel: its numbers, and the width of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Arch {
    X86_64,
    /// `int 0x80` and 32-bit programs on x86.
    I386,
    /// 32-bit pointers in 64-bit mode.
    X32,
    Aarch64,
    /// 32-bit programs on aarch64 (EABI).
    Arm,
}

impl Arch {
    /// What this crate was built for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Self = Self::X86_64;
    /// What this crate was built for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Self = Self::Aarch64;

    /// `AUDIT_ARCH_*` of `linux/audit.h`: what the kernel says it is.
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Arguments are 64 bits wide. Those of x32 are, too, in the kernel.
    pub fn wide(self) -> bool {
        !matches!(self, Self::I386 | Self::Arm)
    }

    /// The number of the call named `name`, if there is one.
    pub fn number(self, name: &str) -> Option<u32> {
        let at = CALLS.binary_search_by(|(call, _)| (*call).cmp(name)).ok()?;
        Some(CALLS[at].1[self as usize]).filter(|number| *number != NONE)
    }

    /// All numbers that have a name.
    pub fn numbers(self) -> impl Iterator<Item = u32> {
        CALLS.iter().map(move |(_, numbers)| numbers[self as usize]).filter(|n| *n != NONE)
    }

    /// Whether `number` tells how new a call is: the larger, the newer.
    pub fn counts_up(self, number: u32) -> bool {
        self != Self::Arm || number < ARM
    }
}

/// What an OCI document calls an architecture: ours, or one of a machine that
/// our program cannot run on (`None` within), or nothing at all (`None`).
#[expect(clippy::option_option, reason = "unknown and foreign are two answers")]
pub fn named(word: &str) -> Option<Option<Arch>> {
    Some(match word {
        "SCMP_ARCH_X86_64" => Some(Arch::X86_64),
        "SCMP_ARCH_X86" => Some(Arch::I386),
        "SCMP_ARCH_X32" => Some(Arch::X32),
        "SCMP_ARCH_AARCH64" => Some(Arch::Aarch64),
        "SCMP_ARCH_ARM" => Some(Arch::Arm),
        "SCMP_ARCH_MIPS"
        | "SCMP_ARCH_MIPS64"
        | "SCMP_ARCH_MIPS64N32"
        | "SCMP_ARCH_MIPSEL"
        | "SCMP_ARCH_MIPSEL64"
        | "SCMP_ARCH_MIPSEL64N32"
        | "SCMP_ARCH_PPC"
        | "SCMP_ARCH_PPC64"
        | "SCMP_ARCH_PPC64LE"
        | "SCMP_ARCH_S390"
        | "SCMP_ARCH_S390X"
        | "SCMP_ARCH_PARISC"
        | "SCMP_ARCH_PARISC64"
        | "SCMP_ARCH_RISCV64"
        | "SCMP_ARCH_LOONGARCH64"
        | "SCMP_ARCH_M68K"
        | "SCMP_ARCH_SH"
        | "SCMP_ARCH_SHEB" => None,
        _ => return None,
    })
}

/// The architectures of one program, the native one first: those of its kin
/// that were named. Others never reach this kernel.
pub fn family(native: Arch, named: &[Arch]) -> Vec<Arch> {
    let kin: &[Arch] = match native {
        Arch::X86_64 | Arch::X32 => &[Arch::I386, Arch::X32],
        Arch::Aarch64 => &[Arch::Arm],
        Arch::I386 | Arch::Arm => &[],
    };
    let native = if native == Arch::X32 { Arch::X86_64 } else { native };
    let mut all = vec![native];
    all.extend(kin.iter().filter(|arch| named.contains(arch)));
    all
}

/// i386 has calls that hide others behind their first argument. The name of
/// one hidden: behind what, and as which number.
///
/// Source: `linux/net.h` (`SYS_*`) and `linux/ipc.h`. `ipc` keeps a version
/// in the upper half of the argument.
pub fn hidden(name: &str) -> Option<(&'static str, u32)> {
    const SOCKETCALL: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    const IPC: [(&str, u32); 12] = [
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ];
    if let Some(at) = SOCKETCALL.iter().position(|call| *call == name) {
        return Some(("socketcall", u32::try_from(at).expect("twenty") + 1));
    }
    IPC.iter().find(|(call, _)| *call == name).map(|(_, number)| ("ipc", *number))
}
