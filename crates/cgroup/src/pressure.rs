//! How long tasks of a group have waited for what others have: the kernel's
//! pressure stall information.
//!
//! It belongs to version 2's tree alone, but needs none of its controllers: a
//! machine whose limits are of version 1 has it too, if both trees are there.
//!
//! Source: `Documentation/accounting/psi.rst` of the kernel.

use crate::{Cgroup, Error, dir::Dir, stats::text};
use rustix::io::Errno;

/// Of one group; none of what this kernel does not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Waiting for a processor.
    pub cpu: Option<Stalls>,
    /// Waiting for memory.
    pub memory: Option<Stalls>,
    /// Waiting for block devices.
    pub io: Option<Stalls>,
}

/// Of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    /// While some task waited.
    pub some: Stall,
    /// While none of those that were not idle did anything else.
    pub full: Stall,
}

/// How long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// Part of the last ten seconds, in hundredths of a percent.
    pub avg10: u32,
    /// Of the last minute.
    pub avg60: u32,
    /// Of the last five.
    pub avg300: u32,
    /// Microseconds since the group was made.
    pub total: u64,
}

impl Cgroup {
    /// Reads three files.
    ///
    /// # Errors
    /// If the group is gone or cannot be read.
    pub fn pressure(&self) -> Result<Pressure, Error> {
        let Some(dir) = self.unified() else { return Ok(Pressure::default()) };
        Ok(Pressure {
            cpu: stalls(dir, "cpu.pressure")?,
            memory: stalls(dir, "memory.pressure")?,
            io: stalls(dir, "io.pressure")?,
        })
    }
}

/// None where the kernel keeps no account, or was told not to
/// (`cgroup.pressure`, `psi=0`).
fn stalls(dir: &Dir, file: &str) -> Result<Option<Stalls>, Error> {
    match text(dir, file) {
        Ok(text) => Ok(read(&text)),
        Err(error) if error.errno() == Some(Errno::OPNOTSUPP.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lines of `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`. Older kernels
/// have no `full` of processors.
fn read(text: &str) -> Option<Stalls> {
    let line = |kind: &str| {
        let words = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
        let value =
            |key: &str| words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let share = |key: &str| {
            let (whole, part) = value(key)?.split_once('.')?;
            Some(whole.parse::<u32>().ok()? * 100 + part.parse::<u32>().ok()?)
        };
        Some(Stall {
            avg10: share("avg10")?,
            avg60: share("avg60")?,
            avg300: share("avg300")?,
            total: value("total")?.parse().ok()?,
        })
    };
    Some(Stalls { some: line("some")?, full: line("full").unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_are_read_in_hundredths_and_microseconds() {
        let text = "some avg10=1.25 avg60=0.30 avg300=0.00 total=12345\n\
                    full avg10=100.00 avg60=0.02 avg300=0.00 total=99\n";
        let stalls = read(text).expect("two lines");
        let some = Stall { avg10: 125, avg60: 30, avg300: 0, total: 12_345 };
        assert_eq!(stalls.some, some);
        assert_eq!((stalls.full.avg10, stalls.full.avg60, stalls.full.total), (10_000, 2, 99));
    }

    #[test]
    fn an_older_kernel_has_one_line_and_one_without_has_none() {
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(read(text).expect("a line").full, Stall::default());
        assert_eq!(read(""), None);
    }
}
