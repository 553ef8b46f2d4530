//! The two programs that look on.
//!
//! ```text
//!   cap_capable  the kernel asked whether a thread has a capability, and the
//!                answer was no: remembered for the thread, in order
//!   sys_exit     the thread's call ends: with one of the errors that a denial
//!                has, the call, its arguments, its first path and what was
//!                remembered go into the queue; with any other end they are
//!                forgotten
//! ```
//!
//! Both first ask whether the thread is one of the container's. A call that a
//! filter stops comes to its end, too, so nothing has to look on at its start.
//!
//! Source: `include/trace/events/{syscalls,capability}.h`; `struct pt_regs` of
//! x86-64.

use crate::assemble::{Call, Code, If, Place, Register, STACK};
use sys::{bpf::Insn, trace::Map};

/// Bytes of one record.
pub const RECORD: u32 = 464;
/// Bytes of a path in it, with its end.
pub const PATH: usize = 232;
/// Bytes of the registers in it.
pub const REGISTERS: usize = 168;
/// Calls that have a number below this are looked up for their path.
pub const CALLS: u32 = 512;
/// Of what is remembered of a thread: which capabilities, in which order, and
/// which over the whole machine.
pub const MEMORY: u32 = 24;

/// Where things are in a record.
pub mod at {
    /// Process above, thread below.
    pub const WHO: usize = 0;
    /// Group above, user below, as the host counts.
    pub const IDS: usize = 8;
    /// What the call returned.
    pub const ANSWER: usize = 16;
    /// Capabilities that were asked for in vain, a bit each.
    pub const ASKED: usize = 24;
    /// The last eight of them plus one, the latest in the lowest byte.
    pub const ORDER: usize = 32;
    /// Those that were asked for over the whole machine.
    pub const WHOLE: usize = 40;
    /// The program's name.
    pub const NAME: usize = 48;
    /// As at the call's end.
    pub const REGISTERS: usize = 64;
    /// What the call names, if it names a path.
    pub const PATH: usize = 232;
}

/// Where in the registers, as words of eight bytes.
pub mod register {
    #![allow(missing_docs)]
    pub const BP: usize = 4;
    pub const BX: usize = 5;
    pub const R10: usize = 7;
    pub const R9: usize = 8;
    pub const R8: usize = 9;
    pub const CX: usize = 11;
    pub const DX: usize = 12;
    pub const SI: usize = 13;
    pub const DI: usize = 14;
    pub const NUMBER: usize = 15;
    pub const CS: usize = 17;
}

/// The registers of the first three arguments, as the map of paths has them.
#[expect(clippy::cast_possible_truncation, reason = "there are twenty-one")]
pub const NAMING: [u32; 3] = [register::DI as u32, register::SI as u32, register::DX as u32];

/// The code segment of 32-bit programs.
pub const CS_32: i32 = 0x23;

const EVENT: i16 = -464;
const KEY: i16 = EVENT - 8;
const SMALL: i16 = KEY - 8;

/// Who is one of the container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Whoever has one of its ids, which nobody else has.
    Ids {
        /// As the host counts.
        first: u32,
        /// How many.
        size: u32,
    },
    /// Whoever is in its process namespace.
    Processes {
        /// Device of the namespace's file.
        device: u64,
        /// Its inode.
        inode: u64,
    },
}

/// What the programs share with us.
#[derive(Debug)]
pub struct Maps {
    /// Of each thread.
    pub memory: Map,
    /// Records.
    pub queue: Map,
    /// For each call the register with its path, or 0.
    pub paths: Map,
    /// How many records found no room.
    pub lost: Map,
    /// The address of the machine's own user namespace.
    pub machine: Map,
}

impl Scope {
    /// Leaves for `out` unless the thread is one of the container's.
    fn check(self, code: &mut Code, out: Place) {
        match self {
            Self::Ids { first, size } => {
                code.call(Call::UidGid);
                code.copy_word(1, 0);
                code.subtract_word(1, first);
                code.jump(If::AtLeast32(1, size), out);
            }
            Self::Processes { device, inode } => {
                code.set_wide(1, device);
                code.set_wide(2, inode);
                code.address(3, SMALL);
                code.set(4, 8);
                code.call(Call::PidInNamespace);
                code.jump(If::Unequal(0, 0), out);
            }
        }
    }
}

/// `to = the value at the key on the stack`, or away if there is none.
fn look_up(code: &mut Code, map: &Map, key: i16, none: Place) {
    code.set_map(1, map);
    code.address(2, key);
    code.call(Call::Lookup);
    code.jump(If::Equal(0, 0), none);
}

fn small(code: &mut Code, value: Register) {
    code.store_word(SMALL, value);
}

/// At the end of each call.
pub fn at_exit(scope: Scope, errors: &[i32], maps: &Maps) -> Vec<Insn> {
    let mut code = Code::default();
    let [out, nothing_asked, denied, push] = std::array::from_fn(|_| code.place());
    let field = |at: usize| EVENT + i16::try_from(at).expect("records are short");
    code.copy(6, 1);
    code.load(7, 6, 8);
    scope.check(&mut code, out);
    code.call(Call::PidTgid);
    code.store(KEY, 0);
    code.store(field(at::WHO), 0);
    for at in [at::ASKED, at::ORDER, at::WHOLE] {
        code.clear(field(at));
    }
    look_up(&mut code, &maps.memory, KEY, nothing_asked);
    for (from, at) in [(0, at::ASKED), (8, at::ORDER), (16, at::WHOLE)] {
        code.load(1, 0, from);
        code.store(field(at), 1);
    }
    code.set_map(1, &maps.memory);
    code.address(2, KEY);
    code.call(Call::Delete);
    code.here(nothing_asked);
    for error in errors {
        code.jump(If::Equal(7, -error), denied);
    }
    code.jump(If::Always, out);
    code.here(denied);
    code.call(Call::UidGid);
    code.store(field(at::IDS), 0);
    code.store(field(at::ANSWER), 7);
    code.address(1, field(at::NAME));
    code.set(2, 16);
    code.call(Call::Comm);
    code.address(1, field(at::REGISTERS));
    code.set(2, i32::try_from(REGISTERS).expect("few"));
    code.load(3, 6, 0);
    code.call(Call::ReadKernel);
    for word in 0..PATH / 8 {
        code.clear(field(at::PATH + word * 8));
    }
    path(&mut code, &field, maps, push);
    code.here(push);
    code.set_map(1, &maps.queue);
    code.address(2, EVENT);
    code.set(3, 0);
    code.call(Call::Push);
    code.jump(If::Equal(0, 0), out);
    code.set(1, 0);
    small(&mut code, 1);
    look_up(&mut code, &maps.lost, SMALL, out);
    code.set(1, 1);
    code.count(0, 1);
    code.here(out);
    code.finish()
}

/// Reads the path that the call names, if it does.
fn path(code: &mut Code, field: &impl Fn(usize) -> i16, maps: &Maps, none: Place) {
    let read = code.place();
    let saved = |register: usize| field(at::REGISTERS + register * 8);
    code.load(1, STACK, saved(register::CS));
    code.jump(If::Equal(1, CS_32), none);
    code.load(1, STACK, saved(register::NUMBER));
    code.jump(If::Above(1, CALLS.cast_signed() - 1), none);
    small(code, 1);
    look_up(code, &maps.paths, SMALL, none);
    code.load_word(1, 0, 0);
    for register in [register::DI, register::SI, register::DX, register::R10] {
        code.load(3, STACK, saved(register));
        code.jump(If::Equal(1, i32::try_from(register).expect("few")), read);
    }
    code.jump(If::Always, none);
    code.here(read);
    code.address(1, field(at::PATH));
    code.set(2, i32::try_from(PATH).expect("few"));
    code.call(Call::ReadUserText);
}

/// Where the kernel has answered whether a thread has a capability. `teacher`
/// is a thread of ours that asks over the whole machine, by which is learnt
/// what that looks like.
pub fn at_capability(scope: Scope, teacher: u64, maps: &Maps) -> Vec<Insn> {
    // On the stack: what is remembered of the thread, and the thread.
    let (asked, order, whole, who) = (KEY - 24, KEY - 16, KEY - 8, KEY);
    let mut code = Code::default();
    let [out, others, first, known, remember] = std::array::from_fn(|_| code.place());
    code.copy(6, 1);
    code.call(Call::PidTgid);
    code.copy(7, 0);
    code.set(1, 0);
    small(&mut code, 1);
    code.set_wide(1, teacher);
    code.jump(If::Differ(7, 1), others);
    code.load(1, 6, 8);
    code.store(asked, 1);
    code.set_map(1, &maps.machine);
    code.address(2, SMALL);
    code.address(3, asked);
    code.set(4, 0);
    code.call(Call::Update);
    code.jump(If::Always, out);
    code.here(others);
    code.load(1, 6, 32);
    code.jump(If::Zero32(1), out);
    scope.check(&mut code, out);
    code.load(8, 6, 24);
    code.jump(If::Above(8, 63), out);
    code.store(who, 7);
    for offset in [asked, order, whole] {
        code.clear(offset);
    }
    look_up(&mut code, &maps.memory, who, first);
    for (from, to) in [(0, asked), (8, order), (16, whole)] {
        code.load(1, 0, from);
        code.store(to, 1);
    }
    code.here(first);
    code.set(9, 1);
    code.shift_by(9, 8);
    code.load(2, STACK, asked);
    code.copy(3, 2);
    code.and(3, 9);
    code.jump(If::Unequal(3, 0), known);
    code.or(2, 9);
    code.store(asked, 2);
    code.load(2, STACK, order);
    code.shift(2, 8);
    code.copy(3, 8);
    code.add(3, 1);
    code.or(2, 3);
    code.store(order, 2);
    code.here(known);
    code.set(1, 0);
    small(&mut code, 1);
    look_up(&mut code, &maps.machine, SMALL, remember);
    code.load(2, 0, 0);
    code.load(3, 6, 8);
    code.jump(If::Differ(2, 3), remember);
    code.load(2, STACK, whole);
    code.or(2, 9);
    code.store(whole, 2);
    code.here(remember);
    code.set_map(1, &maps.memory);
    code.address(2, who);
    code.address(3, asked);
    code.set(4, 0);
    code.call(Call::Update);
    code.here(out);
    code.finish()
}
