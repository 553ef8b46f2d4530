//! Which ways into the kernel there are, and what a call's number is there.

/// Set in the numbers of x32 calls.
pub use crate::table::X as X32_BIT;
use crate::table::{ARM, CALLS, NONE};
use std::cmp::Ordering;

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
        numbers(name).and_then(|numbers| self.of(numbers))
    }

    /// The name of the call with this number, if it has one.
    pub fn name(self, number: u32) -> Option<&'static str> {
        CALLS.iter().find(|(_, numbers)| self.of(numbers) == Some(number)).map(|(name, _)| *name)
    }

    /// This architecture's among the numbers of one call.
    pub(crate) fn of(self, numbers: &Numbers) -> Option<u32> {
        Some(numbers[self as usize]).filter(|number| *number != NONE)
    }

    /// All numbers that have a name, in order.
    pub(crate) fn all(self) -> Vec<u32> {
        let mut marks = [0_u64; 2 * SPAN as usize / 64];
        for number in CALLS.iter().filter_map(|(_, numbers)| self.of(numbers)) {
            let place = if number < SPAN { number } else { number - self.base() + SPAN };
            marks[place as usize / 64] |= 1 << (place % 64);
        }
        let mut all = Vec::with_capacity(CALLS.len());
        for (first, mut word) in (0..).step_by(64).zip(marks) {
            while word != 0 {
                let place = first + word.trailing_zeros();
                all.push(if place < SPAN { place } else { place - SPAN + self.base() });
                word &= word - 1;
            }
        }
        all
    }

    /// Where the numbers that do not begin at 0 begin.
    fn base(self) -> u32 {
        if self == Self::Arm { ARM } else { X32_BIT }
    }

    /// Whether `number` tells how new a call is: the larger, the newer.
    pub(crate) fn counts_up(self, number: u32) -> bool {
        self != Self::Arm || number < ARM
    }
}

/// One call's numbers, in the order of [`Arch`].
pub type Numbers = [u32; 5];

/// More than there are numbers from 0, and from an architecture's
/// [`base`](Arch::base).
const SPAN: u32 = 1024;

/// All numbers of the call named `name`.
pub fn numbers(name: &str) -> Option<&'static Numbers> {
    let at = CALLS.binary_search_by(|(call, _)| (*call).cmp(name)).ok()?;
    Some(&CALLS[at].1)
}

/// Looks names up one after another. In the order of the table, in which most
/// documents have them, the next is found within a few steps.
#[derive(Debug, Default)]
pub struct Finder {
    /// Behind the last one found.
    next: usize,
}

impl Finder {
    /// All numbers of the call named `name`.
    pub fn numbers(&mut self, name: &str) -> Option<&'static Numbers> {
        const STEPS: usize = 8;
        for (step, (call, numbers)) in CALLS.iter().skip(self.next).take(STEPS).enumerate() {
            match (*call).cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => {
                    self.next += step + 1;
                    return Some(numbers);
                }
                // It would stand between the two.
                Ordering::Greater if step > 0 => return None,
                Ordering::Greater => break,
            }
        }
        let at = CALLS.binary_search_by(|(call, _)| (*call).cmp(name)).ok()?;
        self.next = at + 1;
        Some(&CALLS[at].1)
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

/// A call that i386 hides behind the first argument of another.
#[derive(Clone, Copy, Debug)]
pub struct Hidden {
    /// The other's name.
    pub behind: &'static str,
    /// The argument.
    pub number: u32,
}

/// What `name` is hidden behind on i386, if it is.
///
/// Source: `linux/net.h` (`SYS_*`) and `linux/ipc.h`. `ipc` keeps a version
/// in the upper half of the argument.
pub fn hidden(name: &str) -> Option<Hidden> {
    let (behind, number) = match name {
        "socket" => ("socketcall", 1),
        "bind" => ("socketcall", 2),
        "connect" => ("socketcall", 3),
        "listen" => ("socketcall", 4),
        "accept" => ("socketcall", 5),
        "getsockname" => ("socketcall", 6),
        "getpeername" => ("socketcall", 7),
        "socketpair" => ("socketcall", 8),
        "send" => ("socketcall", 9),
        "recv" => ("socketcall", 10),
        "sendto" => ("socketcall", 11),
        "recvfrom" => ("socketcall", 12),
        "shutdown" => ("socketcall", 13),
        "setsockopt" => ("socketcall", 14),
        "getsockopt" => ("socketcall", 15),
        "sendmsg" => ("socketcall", 16),
        "recvmsg" => ("socketcall", 17),
        "accept4" => ("socketcall", 18),
        "recvmmsg" => ("socketcall", 19),
        "sendmmsg" => ("socketcall", 20),
        "semop" => ("ipc", 1),
        "semget" => ("ipc", 2),
        "semctl" => ("ipc", 3),
        "semtimedop" => ("ipc", 4),
        "msgsnd" => ("ipc", 11),
        "msgrcv" => ("ipc", 12),
        "msgget" => ("ipc", 13),
        "msgctl" => ("ipc", 14),
        "shmat" => ("ipc", 21),
        "shmdt" => ("ipc", 22),
        "shmget" => ("ipc", 23),
        "shmctl" => ("ipc", 24),
        _ => return None,
    };
    Some(Hidden { behind, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_whatever_order_they_come() {
        let names: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
        let orders = [
            names.clone(),
            names.iter().rev().copied().collect(),
            names.iter().step_by(7).copied().collect(),
            names.iter().flat_map(|name| ["", "zzz", name, name, "clonf"]).collect(),
        ];
        for order in orders {
            let mut finder = Finder::default();
            for name in order {
                assert_eq!(finder.numbers(name), numbers(name), "{name}");
            }
        }
    }

    #[test]
    fn all_numbers_come_in_order_and_once() {
        for arch in [Arch::X86_64, Arch::I386, Arch::X32, Arch::Aarch64, Arch::Arm] {
            let numbers = CALLS.iter().filter_map(|(_, numbers)| arch.of(numbers));
            let sorted: std::collections::BTreeSet<u32> = numbers.collect();
            assert_eq!(arch.all(), sorted.into_iter().collect::<Vec<_>>(), "{arch:?}");
        }
    }
}
