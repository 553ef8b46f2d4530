//! Runs a program as the kernel would.

use crate::Instruction;

/// One call: `struct seccomp_data`, less the instruction pointer.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub audit: u32,
    pub number: u32,
    pub args: [u64; 6],
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub action: u32,
    /// Instructions executed.
    pub steps: u32,
    /// No argument was looked at: the kernel can know the answer in advance.
    pub constant: bool,
}

/// Runs `program` on `call`. Panics where the kernel would have refused to
/// load it, at least on the way that this call takes.
pub fn run(program: &[Instruction], call: &Call) -> Outcome {
    let (mut at, mut a, mut steps, mut constant) = (0_usize, 0_u32, 0, true);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
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

#[allow(clippy::cast_possible_truncation)]
fn load(call: &Call, offset: u32) -> u32 {
    match offset {
        0 => call.number,
        4 => call.audit,
        16..64 if offset.is_multiple_of(8) => call.args[(offset as usize - 16) / 8] as u32,
        16..64 if offset.is_multiple_of(4) => (call.args[(offset as usize - 16) / 8] >> 32) as u32,
        _ => panic!("load from {offset}"),
    }
}

/// Whether every jump lands inside and every way ends in an answer, as the
/// kernel's `bpf_check_classic` demands.
pub fn is_well_formed(program: &[Instruction]) -> bool {
    program.iter().enumerate().all(|(at, i)| {
        let inside = |distance: usize| at + 1 + distance < program.len();
        match i.code {
            0x20 => i.k.is_multiple_of(4) && i.k < 64 && inside(0),
            0x54 => inside(0),
            0x05 => inside(i.k as usize),
            0x15 | 0x25 | 0x35 => inside(i.jt.into()) && inside(i.jf.into()),
            0x06 => true,
            _ => false,
        }
    })
}
