//! The option words of a mount, sorted into what the kernel is told.

use crate::failure::refusal;
use spec::wire::Failure;
use sys::mount as attr;

/// `MS_UNBINDABLE`, `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`: `linux/mount.h`.
pub(crate) const UNBINDABLE: u64 = 1 << 17;
/// Events neither come nor go.
pub(crate) const PRIVATE: u64 = 1 << 18;
/// Events come and do not go.
pub(crate) const SLAVE: u64 = 1 << 19;
/// Events come and go.
pub(crate) const SHARED: u64 = 1 << 20;

/// Flags to set and to clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub set: u64,
    pub clear: u64,
}

impl Flags {
    /// Later words win.
    fn take(&mut self, flag: u64, on: bool) {
        let (to, from) =
            if on { (&mut self.set, &mut self.clear) } else { (&mut self.clear, &mut self.set) };
        *to |= flag;
        *from &= !flag;
    }

    /// The three kinds of access time exclude one another, and are cleared
    /// together before one is set.
    fn take_atime(&mut self, kind: u64) {
        self.set = (self.set & !attr::ATIME) | kind;
        self.clear |= attr::ATIME;
    }
}

/// Id-mapping asked for by a word, beside `uidMappings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// This mount alone.
    One,
    /// All that are mounted below it, too.
    All,
}

/// All words of one mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Of this mount.
    pub flags: Flags,
    /// Of this mount and all below it.
    pub recursive: Flags,
    /// `MS_*`, and whether of all below it, in order.
    pub propagation: Vec<(u64, bool)>,
    /// `bind` (false) or `rbind` (true).
    pub bind: Option<bool>,
    /// `idmap` or `ridmap`.
    pub idmap: Option<Mapped>,
    /// Fill a new tmpfs with what it hides.
    pub copy_up: bool,
    /// How much of the source, from its end, is in a tree that others write
    /// in: no link on the way is followed there.
    pub beneath: Option<String>,
    /// For the file system itself.
    pub data: Vec<String>,
}

impl Options {
    /// Sorts `words`; the last of several that contradict one another wins.
    pub fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut options = Self::default();
        for word in words {
            options.take(word)?;
        }
        Ok(options)
    }

    fn take(&mut self, word: &str) -> Result<(), Failure> {
        if let Some((flag, on)) = flag(word) {
            self.flags.take(flag, on);
            return Ok(());
        }
        if let Some((flag, on)) = word.strip_prefix('r').and_then(flag) {
            self.recursive.take(flag, on);
            return Ok(());
        }
        match word {
            // The last four: how much the kernel logs, and what every file
            // system that can has had by itself since Linux 6.1.
            "defaults" | "" | "async" | "nomand" | "nolazytime" | "loud" | "silent"
            | "iversion" | "noiversion" => {}
            "atime" | "relatime" | "norelatime" | "nostrictatime" => {
                self.flags.take_atime(attr::RELATIME);
            }
            "noatime" => self.flags.take_atime(attr::NOATIME),
            "strictatime" => self.flags.take_atime(attr::STRICTATIME),
            "ratime" | "rrelatime" | "rnorelatime" | "rnostrictatime" => {
                self.recursive.take_atime(attr::RELATIME);
            }
            "rnoatime" => self.recursive.take_atime(attr::NOATIME),
            "rstrictatime" => self.recursive.take_atime(attr::STRICTATIME),
            "bind" => self.bind = Some(false),
            "rbind" => self.bind = Some(true),
            "idmap" => self.idmap = Some(Mapped::One),
            "ridmap" => self.idmap = Some(Mapped::All),
            "tmpcopyup" => self.copy_up = true,
            "remount" => {
                return Err(refusal("the mount option \"remount\" has no meaning here"));
            }
            _ if word.starts_with("beneath=") => {
                self.beneath = word.strip_prefix("beneath=").map(str::to_owned);
            }
            _ => match propagation(word) {
                Some(change) => self.propagation.push(change),
                None => self.data.push(word.into()),
            },
        }
        Ok(())
    }

    /// A word for a file system, which the mount of another's tree cannot
    /// follow. Those that the kernel itself passes over there are none.
    pub fn unfit_for_bind(&self) -> Option<&str> {
        let ignored = ["sync", "dirsync", "lazytime", "mand"];
        self.data.iter().map(String::as_str).find(|word| !ignored.contains(word))
    }
}

/// A word for a mount's flag, and whether it sets it.
fn flag(word: &str) -> Option<(u64, bool)> {
    Some(match word {
        "ro" => (attr::RDONLY, true),
        "rw" => (attr::RDONLY, false),
        "nosuid" => (attr::NOSUID, true),
        "suid" => (attr::NOSUID, false),
        "nodev" => (attr::NODEV, true),
        "dev" => (attr::NODEV, false),
        "noexec" => (attr::NOEXEC, true),
        "exec" => (attr::NOEXEC, false),
        "nodiratime" => (attr::NODIRATIME, true),
        "diratime" => (attr::NODIRATIME, false),
        "nosymfollow" => (attr::NOSYMFOLLOW, true),
        "symfollow" => (attr::NOSYMFOLLOW, false),
        _ => return None,
    })
}

/// A word for a propagation type, and whether it is recursive.
pub(crate) fn propagation(word: &str) -> Option<(u64, bool)> {
    Some(match word {
        "private" => (PRIVATE, false),
        "rprivate" => (PRIVATE, true),
        "shared" => (SHARED, false),
        "rshared" => (SHARED, true),
        "slave" => (SLAVE, false),
        "rslave" => (SLAVE, true),
        "unbindable" => (UNBINDABLE, false),
        "runbindable" => (UNBINDABLE, true),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Options {
        let words: Vec<String> = words.split(',').map(Into::into).collect();
        Options::parse(&words).expect("known words")
    }

    #[test]
    fn the_last_of_two_opposites_wins() {
        assert_eq!(parse("ro,rw").flags, Flags { set: 0, clear: attr::RDONLY });
        assert_eq!(parse("rw,ro").flags, Flags { set: attr::RDONLY, clear: 0 });
    }

    #[test]
    fn a_recursive_flag_is_not_one_of_the_top_mount_alone() {
        let options = parse("rbind,rro,rnosuid");
        assert_eq!(options.flags, Flags::default());
        assert_eq!(options.recursive.set, attr::RDONLY | attr::NOSUID);
        assert_eq!(options.bind, Some(true));
    }

    #[test]
    fn access_time_words_exclude_one_another() {
        let flags = parse("noatime,strictatime").flags;
        assert_eq!(flags, Flags { set: attr::STRICTATIME, clear: attr::ATIME });
    }

    #[test]
    fn a_bind_mount_has_no_options_of_a_file_system() {
        assert_eq!(parse("rbind,ro,sync,lazytime,silent,rslave").unfit_for_bind(), None);
        assert_eq!(parse("rbind,size=3").unfit_for_bind(), Some("size=3"));
        assert_eq!(parse("bind,nosuidd").unfit_for_bind(), Some("nosuidd"));
    }

    #[test]
    fn what_is_no_flag_goes_to_the_file_system() {
        let options = parse("nosuid,size=65536k,mode=755,rslave");
        assert_eq!(options.data, ["size=65536k", "mode=755"]);
        assert_eq!(options.propagation, [(SLAVE, true)]);
    }
}
