//! One call that was denied, as the kernel saw it.

use crate::program::{CS_32, PATH, RECORD, at, register};
use seccomp::{Arch, Call};

/// `__X32_SYSCALL_BIT`.
const X32: u32 = 0x4000_0000;

/// One denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// As the host counts.
    pub pid: i32,
    /// The thread.
    pub thread: i32,
    /// As the host counts.
    pub uid: u32,
    /// Its name for itself: the first 15 bytes of the program's.
    pub program: String,
    /// `errno(3)`.
    pub error: i32,
    /// The call and its arguments.
    pub call: Call,
    /// What it names, as it spelt it; at most 231 bytes of it.
    pub path: Option<String>,
    /// Capabilities that the kernel asked for during the call and did not
    /// find, in that order: numbers as in `linux/capability.h`.
    pub capabilities: Vec<u8>,
    /// Which of them it asked for over the whole machine.
    pub whole_machine: u64,
}

impl Denied {
    /// Reads a record; none if it is none.
    pub fn read(record: &[u8]) -> Option<Self> {
        if record.len() != RECORD as usize {
            return None;
        }
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&record[at..at + 8]);
            u64::from_ne_bytes(bytes)
        };
        let saved = |register: usize| word(at::REGISTERS + register * 8);
        let who = word(at::WHO);
        let path = text(&record[at::PATH..at::PATH + PATH]);
        Some(Self {
            pid: half(who >> 32),
            thread: half(who),
            uid: half(word(at::IDS)).cast_unsigned(),
            program: text(&record[at::NAME..at::REGISTERS]),
            error: half(word(at::ANSWER)).wrapping_neg(),
            call: call(saved),
            path: (!path.is_empty()).then_some(path),
            capabilities: order(word(at::ORDER)),
            whole_machine: word(at::WHOLE),
        })
    }

    /// The call's name, or its number.
    pub fn name(&self) -> String {
        let Call { arch, number, .. } = self.call;
        arch.name(number).map_or_else(|| format!("call {number}"), str::to_owned)
    }

    /// As `errno(3)` names it, or its number.
    pub fn error_name(&self) -> String {
        let known = [(1, "EPERM"), (13, "EACCES"), (30, "EROFS"), (38, "ENOSYS")];
        let name = known.iter().find(|(error, _)| *error == self.error);
        name.map_or_else(|| format!("error {}", self.error), |(_, name)| (*name).to_owned())
    }

    /// The mode that a call which opens a file was given: `O_*`. None for
    /// other calls, and where it is behind a pointer.
    pub fn open_flags(&self) -> Option<u64> {
        match self.name().as_str() {
            "open" => Some(self.call.args[1]),
            "openat" => Some(self.call.args[2]),
            "creat" => Some(1),
            _ => None,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn half(word: u64) -> i32 {
    (word as u32).cast_signed()
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The latest is in the lowest byte.
fn order(word: u64) -> Vec<u8> {
    word.to_be_bytes().into_iter().filter(|byte| *byte != 0).map(|byte| byte - 1).collect()
}

fn call(saved: impl Fn(usize) -> u64) -> Call {
    use register::{BP, BX, CS, CX, DI, DX, NUMBER, R8, R9, R10, SI};
    let number = half(saved(NUMBER)).cast_unsigned();
    if saved(CS) == u64::from(CS_32.cast_unsigned()) {
        let args = [BX, CX, DX, SI, DI, BP].map(|register| saved(register) & 0xffff_ffff);
        return Call { arch: Arch::I386, number, args };
    }
    let arch = if number & X32 == 0 { Arch::X86_64 } else { Arch::X32 };
    Call { arch, number, args: [DI, SI, DX, R10, R8, R9].map(saved) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Vec<u8> {
        let mut record = vec![0_u8; RECORD as usize];
        let mut put = |at: usize, value: u64| {
            record[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        };
        put(at::WHO, (7 << 32) + 8);
        put(at::IDS, 0x5_0001_86a0);
        put(at::ANSWER, (-1_i64).cast_unsigned());
        put(at::ORDER, (40 << 8) + 22);
        put(at::WHOLE, 1 << 39);
        put(at::REGISTERS + register::NUMBER * 8, 321);
        put(at::REGISTERS + register::DI * 8, 5);
        put(at::REGISTERS + register::CS * 8, 0x33);
        record[at::NAME..at::NAME + 4].copy_from_slice(b"bpf\0");
        record
    }

    #[test]
    fn a_record_is_read_as_the_programs_write_it() {
        let denied = Denied::read(&record()).expect("a record");
        assert_eq!((denied.pid, denied.thread, denied.uid), (7, 8, 100_000));
        assert_eq!((denied.error, denied.name().as_str()), (1, "bpf"));
        assert_eq!(denied.capabilities, [39, 21], "CAP_BPF first, then CAP_SYS_ADMIN");
        assert_eq!((denied.call.args[0], denied.path), (5, None));
    }

    #[test]
    fn a_call_of_a_32_bit_program_has_its_own_numbers() {
        let mut record = record();
        let mut put = |register: usize, value: u64| {
            let at = at::REGISTERS + register * 8;
            record[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        };
        put(register::CS, 0x23);
        put(register::NUMBER, 21);
        put(register::BX, 0xffff_ffff_0000_0001);
        let denied = Denied::read(&record).expect("a record");
        assert_eq!(denied.name(), "mount");
        assert_eq!(denied.call.args[0], 1);
    }

    #[test]
    fn what_is_no_record_is_none() {
        assert_eq!(Denied::read(&[0; 8]), None);
    }
}
