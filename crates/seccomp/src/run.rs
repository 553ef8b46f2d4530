//! What a program answers to a call: an interpreter of classic BPF, for tests
//! and for telling people what a filter does. The kernel has its own.

use crate::{Arch, Instruction, Program};

/// One call: what the kernel's `struct seccomp_data` says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// By which way it came.
    pub arch: Arch,
    /// As [`Arch::number`] has it.
    pub number: u32,
    /// Zero-extended where the architecture's are narrower.
    pub args: [u64; 6],
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `SECCOMP_RET_*`, with an errno or a message in the lower half.
    pub action: u32,
    /// Instructions executed.
    pub steps: u32,
    /// No argument was looked at: the kernel can know the answer in advance.
    pub constant: bool,
}

impl Program {
    /// Runs the program on `call`.
    ///
    /// # Panics
    /// For a program that the kernel would not have loaded; none that
    /// [`crate::compile`] makes is.
    pub fn answer(&self, call: &Call) -> Outcome {
        let (mut at, mut a, mut steps, mut constant) = (0_usize, 0_u32, 0, true);
        loop {
            let Instruction { code, jt, jf, k } = self.instructions[at];
            at += 1;
            steps += 1;
            let branch = |yes: bool| usize::from(if yes { jt } else { jf });
            match code {
                0x20 => {
                    constant &= k < 8;
                    a = load(call, k);
                }
                0x54 => a &= k,
                0x05 => at += k as usize,
                0x15 => at += branch(a == k),
                0x25 => at += branch(a > k),
                0x35 => at += branch(a >= k),
                0x45 => at += branch(a & k != 0),
                0x06 => return Outcome { action: k, steps, constant },
                other => panic!("instruction {other:#x} at {at}"),
            }
        }
    }

    /// Whether every jump lands inside and every way ends in an answer, as the
    /// kernel demands (`bpf_check_classic`).
    pub fn is_well_formed(&self) -> bool {
        self.instructions.iter().enumerate().all(|(at, i)| {
            let inside = |distance: usize| at + 1 + distance < self.instructions.len();
            match i.code {
                0x20 => i.k.is_multiple_of(4) && i.k < 64 && inside(0),
                0x54 => inside(0),
                0x05 => inside(i.k as usize),
                0x15 | 0x25 | 0x35 | 0x45 => inside(i.jt.into()) && inside(i.jf.into()),
                0x06 => true,
                _ => false,
            }
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
fn load(call: &Call, offset: u32) -> u32 {
    let arg = |offset: u32| call.args[(offset as usize - 16) / 8];
    match offset {
        0 => call.number,
        4 => call.arch.audit(),
        16..64 if offset.is_multiple_of(8) => arg(offset) as u32,
        16..64 if offset.is_multiple_of(4) => (arg(offset) >> 32) as u32,
        _ => panic!("load from {offset}"),
    }
}
