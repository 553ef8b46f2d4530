//! A program for the kernel, written step by step with named places to jump
//! to. It only ever jumps forward, so it ends.
//!
//! Source: `instruction-set.rst` of the kernel's documentation.

use sys::{bpf::Insn, trace::Map};

/// A register: 0 is what functions return, 1 to 5 their arguments, 6 to 9
/// survive calls, 10 is the end of the stack.
pub type Register = u8;

/// The end of the stack: what is kept lies below it.
pub const STACK: Register = 10;

/// Functions of the kernel, by their numbers in `linux/bpf.h`.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum Call {
    Lookup = 1,
    Update = 2,
    Delete = 3,
    PidTgid = 14,
    UidGid = 15,
    Comm = 16,
    Push = 87,
    ReadKernel = 113,
    ReadUserText = 114,
    PidInNamespace = 120,
}

/// When a jump is taken: a 64-bit register against a constant, unless said.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum If {
    Equal(Register, i32),
    Unequal(Register, i32),
    Above(Register, i32),
    /// Without sign, the lower 32 bits.
    AtLeast32(Register, u32),
    Zero32(Register),
    Differ(Register, Register),
    Always,
}

/// A place to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

/// A program in the making.
#[derive(Debug, Default)]
pub struct Code {
    steps: Vec<Insn>,
    jumps: Vec<(usize, Place)>,
    places: Vec<Option<usize>>,
}

impl Code {
    fn step(&mut self, code: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        self.steps.push(Insn { code, registers: to | from << 4, offset, immediate });
    }

    /// A place that is set later.
    pub fn place(&mut self) -> Place {
        self.places.push(None);
        Place(self.places.len() - 1)
    }

    /// This is it.
    pub fn here(&mut self, place: Place) {
        self.places[place.0] = Some(self.steps.len());
    }

    /// Jumps.
    pub fn jump(&mut self, when: If, place: Place) {
        self.jumps.push((self.steps.len(), place));
        match when {
            If::Equal(register, value) => self.step(0x15, register, 0, 0, value),
            If::Unequal(register, value) => self.step(0x55, register, 0, 0, value),
            If::Above(register, value) => self.step(0x25, register, 0, 0, value),
            If::AtLeast32(register, value) => self.step(0x36, register, 0, 0, value.cast_signed()),
            If::Zero32(register) => self.step(0x16, register, 0, 0, 0),
            If::Differ(one, other) => self.step(0x5d, one, other, 0, 0),
            If::Always => self.step(0x05, 0, 0, 0, 0),
        }
    }

    /// `to = from`
    pub fn copy(&mut self, to: Register, from: Register) {
        self.step(0xbf, to, from, 0, 0);
    }

    /// `to = value`
    pub fn set(&mut self, to: Register, value: i32) {
        self.step(0xb7, to, 0, 0, value);
    }

    /// `to = value`, 64 bits.
    pub fn set_wide(&mut self, to: Register, value: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "each half is wanted")]
        let half = |value: u64| (value as u32).cast_signed();
        self.step(0x18, to, 0, 0, half(value));
        self.step(0, 0, 0, 0, half(value >> 32));
    }

    /// `to = the map`
    pub fn set_map(&mut self, to: Register, map: &Map) {
        self.step(0x18, to, 1, 0, map.number());
        self.step(0, 0, 0, 0, 0);
    }

    /// `to = the stack's address + offset`
    pub fn address(&mut self, to: Register, offset: i16) {
        self.copy(to, STACK);
        self.step(0x07, to, 0, 0, offset.into());
    }

    /// `to = *(u64 *)(from + offset)`
    pub fn load(&mut self, to: Register, from: Register, offset: i16) {
        self.step(0x79, to, from, offset, 0);
    }

    /// `to = *(u32 *)(from + offset)`
    pub fn load_word(&mut self, to: Register, from: Register, offset: i16) {
        self.step(0x61, to, from, offset, 0);
    }

    /// `*(u64 *)(stack + offset) = from`
    pub fn store(&mut self, offset: i16, from: Register) {
        self.step(0x7b, STACK, from, offset, 0);
    }

    /// `*(u32 *)(stack + offset) = from`
    pub fn store_word(&mut self, offset: i16, from: Register) {
        self.step(0x63, STACK, from, offset, 0);
    }

    /// `*(u64 *)(stack + offset) = 0`
    pub fn clear(&mut self, offset: i16) {
        self.step(0x7a, STACK, 0, offset, 0);
    }

    /// `*(u64 *)to += from`, at once for all processors.
    pub fn count(&mut self, to: Register, from: Register) {
        self.step(0xdb, to, from, 0, 0);
    }

    /// `to = to - value`, 32 bits without sign.
    pub fn subtract_word(&mut self, to: Register, value: u32) {
        self.step(0x14, to, 0, 0, value.cast_signed());
    }

    /// `to = (u32)from`
    pub fn copy_word(&mut self, to: Register, from: Register) {
        self.step(0xbc, to, from, 0, 0);
    }

    /// `to += value`
    pub fn add(&mut self, to: Register, value: i32) {
        self.step(0x07, to, 0, 0, value);
    }

    /// `to <<= by`
    pub fn shift_by(&mut self, to: Register, by: Register) {
        self.step(0x6f, to, by, 0, 0);
    }

    /// `to <<= bits`
    pub fn shift(&mut self, to: Register, bits: i32) {
        self.step(0x67, to, 0, 0, bits);
    }

    /// `to |= from`
    pub fn or(&mut self, to: Register, from: Register) {
        self.step(0x4f, to, from, 0, 0);
    }

    /// `to &= from`
    pub fn and(&mut self, to: Register, from: Register) {
        self.step(0x5f, to, from, 0, 0);
    }

    /// Calls a function; its arguments are in 1 to 5, its answer comes in 0.
    pub fn call(&mut self, function: Call) {
        self.step(0x85, 0, 0, 0, function as i32);
    }

    /// The end.
    pub fn finish(mut self) -> Vec<Insn> {
        self.set(0, 0);
        self.step(0x95, 0, 0, 0, 0);
        for (at, place) in self.jumps {
            let to = self.places[place.0].expect("every place is set before the end");
            self.steps[at].offset = i16::try_from(to - at - 1).expect("programs are short");
        }
        self.steps
    }
}
