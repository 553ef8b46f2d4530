//! Instructions, written last to first.
//!
//! A classic BPF jump goes forward only, so whoever writes from the end knows
//! every target already. A conditional jump reaches 255 instructions; beyond
//! that it goes to an unconditional one, which is put in where needed.

use crate::{Instruction, words::Action};

/// Where an instruction stands: how many were written before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// Offset in `struct seccomp_data` of the call's number.
pub const NUMBER: u32 = 0;
/// Offset of the architecture.
pub const ARCHITECTURE: u32 = 4;

/// Offset of an argument's lower half. Both our architectures are little
/// endian.
pub fn low(index: u8) -> u32 {
    16 + 8 * u32::from(index)
}

/// Offset of an argument's upper half.
pub fn high(index: u8) -> u32 {
    low(index) + 4
}

/// Jump if the accumulator is the operand.
pub const JEQ: u16 = 0x15;
/// Jump if it is greater.
pub const JGT: u16 = 0x25;
/// Jump if it is not less.
pub const JGE: u16 = 0x35;
const LD_ABS: u16 = 0x20;
const AND: u16 = 0x54;
const JA: u16 = 0x05;
const RET: u16 = 0x06;

/// Reach of a conditional jump, less the two that may be put in before it.
const REACH: usize = 250;

/// A program as it grows.
#[derive(Default)]
pub struct Code {
    reversed: Vec<Instruction>,
    answers: Vec<(Action, Label)>,
}

impl Code {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.reversed.push(Instruction { code, jt, jf, k });
        Label(self.reversed.len() - 1)
    }

    /// How many instructions stand between the next one and `to`.
    fn distance(&self, to: Label) -> usize {
        self.reversed.len() - 1 - to.0
    }

    /// A place from which `action` is returned, and which a jump reaches.
    pub fn answer(&mut self, action: Action) -> Label {
        let known = self.answers.iter().rposition(|(a, _)| *a == action);
        if let Some(at) = known {
            let label = self.answers[at].1;
            if self.distance(label) <= REACH {
                return label;
            }
            self.answers.remove(at);
        }
        let label = self.push(RET, 0, 0, action);
        self.answers.push((action, label));
        label
    }

    /// Makes `to` the next instruction, if it is not yet.
    fn go(&mut self, to: Label) {
        let distance = self.distance(to);
        if distance > 0 {
            let k = u32::try_from(distance).expect("a program is short");
            self.push(JA, 0, 0, k);
        }
    }

    /// A place near enough for a conditional jump from which `to` is reached.
    fn near(&mut self, to: Label) -> Label {
        if self.distance(to) <= REACH {
            return to;
        }
        self.go(to);
        Label(self.reversed.len() - 1)
    }

    /// Compares the accumulator with `k`.
    pub fn jump(&mut self, code: u16, k: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let yes = self.near(yes);
        let no = self.near(no);
        let short = |distance| u8::try_from(distance).expect("made near");
        let (jt, jf) = (short(self.distance(yes)), short(self.distance(no)));
        self.push(code, jt, jf, k)
    }

    /// Loads 32 bits of `struct seccomp_data`, then goes on at `next`.
    pub fn load(&mut self, offset: u32, next: Label) -> Label {
        self.go(next);
        self.push(LD_ABS, 0, 0, offset)
    }

    /// Keeps some bits of the accumulator, then goes on at `next`.
    pub fn and(&mut self, mask: u32, next: Label) -> Label {
        if mask == u32::MAX {
            return next;
        }
        self.go(next);
        self.push(AND, 0, 0, mask)
    }

    /// The program, first instruction first.
    pub fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }
}
