//! What became of a container while no daemon looked.
//!
//! Facts from the machine go in, a verdict comes out; [`crate::recover`]
//! gathers the first and acts on the second.

use spec::wire::Exit;

/// What a new daemon finds for one record.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The record was last started during this boot (compare `boot_id`).
    pub same_boot: bool,
    /// `exit.json`, if the monitor got to write it.
    pub exit: Option<Exit>,
    /// A monitor answers for this id, with the pid of its init.
    pub monitor: Option<i32>,
    /// The cgroup still has members.
    pub populated: bool,
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It ended while we were away.
    Ended(Exit),
    /// It lives: reconnect.
    Adopt(i32),
    /// The monitor is dead and the program is not: kill the cgroup.
    Orphaned,
    /// Both are gone without a word, or the host restarted.
    Lost,
}

/// Sorts a container after a restart. A written exit outranks all else.
pub(crate) fn verdict(seen: &Seen) -> Verdict {
    match (&seen.exit, seen.same_boot, seen.monitor, seen.populated) {
        (Some(exit), ..) => Verdict::Ended(exit.clone()),
        (None, true, Some(pid), _) => Verdict::Adopt(pid),
        (None, true, None, true) => Verdict::Orphaned,
        (None, ..) => Verdict::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(bits: u8) -> Seen {
        Seen {
            same_boot: bits & 1 != 0,
            exit: (bits & 2 != 0).then_some(Exit { code: 3, oom: false, at: 9, dropped: 0 }),
            monitor: (bits & 4 != 0).then_some(7),
            populated: bits & 8 != 0,
        }
    }

    /// All sixteen combinations, each by hand.
    #[test]
    fn every_combination_of_facts_has_its_verdict() {
        use Verdict::{Adopt, Ended, Lost, Orphaned};
        let ended = || Ended(Exit { code: 3, oom: false, at: 9, dropped: 0 });
        let table = [
            (0b0000, Lost),
            (0b0001, Lost),
            (0b0010, ended()),
            (0b0011, ended()),
            (0b0100, Lost),
            (0b0101, Adopt(7)),
            (0b0110, ended()),
            (0b0111, ended()),
            (0b1000, Lost),
            (0b1001, Orphaned),
            (0b1010, ended()),
            (0b1011, ended()),
            (0b1100, Lost),
            (0b1101, Adopt(7)),
            (0b1110, ended()),
            (0b1111, ended()),
        ];
        for (bits, expected) in table {
            assert_eq!(verdict(&seen(bits)), expected, "{bits:04b}");
        }
    }
}
