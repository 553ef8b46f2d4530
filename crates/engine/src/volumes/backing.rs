//! What is in a volume that is not a directory of ours alone: the file system
//! of a device, of a server or of memory, or another directory.
//!
//! Said by the three options of Docker's local driver, `type`, `device` and
//! `o`, which are what mount(8) takes as `-t`, its source and `-o`.

use crate::Error;
use rustix::mount::{MountFlags, MountPropagationFlags};
use std::{collections::BTreeMap, ffi::CString};

/// A mount to be made on a volume's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backing {
    pub kind: String,
    pub device: String,
    pub flags: MountFlags,
    pub propagation: MountPropagationFlags,
    /// What the file system itself is told, by commas.
    pub data: String,
}

/// Words of `o` that set or clear a flag; `mount(8)`, filesystem-independent
/// options.
const FLAGS: [(&str, bool, MountFlags); 24] = {
    use MountFlags as F;
    [
        ("defaults", true, F::empty()),
        ("ro", true, F::RDONLY),
        ("rw", false, F::RDONLY),
        ("suid", false, F::NOSUID),
        ("nosuid", true, F::NOSUID),
        ("dev", false, F::NODEV),
        ("nodev", true, F::NODEV),
        ("exec", false, F::NOEXEC),
        ("noexec", true, F::NOEXEC),
        ("sync", true, F::SYNCHRONOUS),
        ("async", false, F::SYNCHRONOUS),
        ("dirsync", true, F::DIRSYNC),
        ("mand", true, F::PERMIT_MANDATORY_FILE_LOCKING),
        ("nomand", false, F::PERMIT_MANDATORY_FILE_LOCKING),
        ("atime", false, F::NOATIME),
        ("noatime", true, F::NOATIME),
        ("diratime", false, F::NODIRATIME),
        ("nodiratime", true, F::NODIRATIME),
        ("relatime", true, F::RELATIME),
        ("norelatime", false, F::RELATIME),
        ("strictatime", true, F::STRICTATIME),
        ("nostrictatime", false, F::STRICTATIME),
        ("bind", true, F::BIND),
        ("rbind", true, F::BIND.union(F::REC)),
    ]
};

const PROPAGATION: [(&str, MountPropagationFlags); 8] = {
    use MountPropagationFlags as P;
    [
        ("private", P::PRIVATE),
        ("rprivate", P::PRIVATE.union(P::REC)),
        ("shared", P::SHARED),
        ("rshared", P::SHARED.union(P::REC)),
        ("slave", P::DOWNSTREAM),
        ("rslave", P::DOWNSTREAM.union(P::REC)),
        ("unbindable", P::UNBINDABLE),
        ("runbindable", P::UNBINDABLE.union(P::REC)),
    ]
};

impl Backing {
    /// What the options ask for; nothing if there are none.
    ///
    /// # Errors
    /// An option that the driver has not, one that needs another beside it, a
    /// size, which only a quota could keep.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Option<Self>, Error> {
        let refuse = |words: String| Err(Error::Invalid(words));
        let known = ["type", "device", "o", "size"];
        if let Some(other) = options.keys().find(|key| !known.contains(&key.as_str())) {
            return refuse(format!("invalid option: {other:?}"));
        }
        if options.contains_key("size") {
            return refuse("quota size requested but no quota support".into());
        }
        let get = |key: &str| options.get(key).cloned();
        let (kind, device) = match (get("type"), get("device")) {
            (Some(kind), Some(device)) => (kind, device),
            (Some(_), None) => return refuse("missing required option: \"device\"".into()),
            (None, Some(_)) => return refuse("missing required option: \"type\"".into()),
            (None, None) if get("o").is_some() => {
                return refuse("missing required option: \"device\"".into());
            }
            (None, None) => return Ok(None),
        };
        let mut backing = Self {
            kind,
            device,
            flags: MountFlags::empty(),
            propagation: MountPropagationFlags::empty(),
            data: String::new(),
        };
        for word in get("o").unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
            backing.take(word);
        }
        for text in [&backing.kind, &backing.device, &backing.data] {
            if CString::new(text.as_str()).is_err() {
                return refuse("an option of a volume holds a zero byte".into());
            }
        }
        Ok(Some(backing))
    }

    /// Whether what is in it is gone with the mount.
    pub fn is_memory(&self) -> bool {
        matches!(self.kind.as_str(), "tmpfs" | "ramfs")
    }

    fn take(&mut self, word: &str) {
        if let Some((_, set, flag)) = FLAGS.iter().find(|(name, ..)| *name == word) {
            self.flags.set(*flag, *set);
        } else if let Some((_, flag)) = PROPAGATION.iter().find(|(name, _)| *name == word) {
            self.propagation |= *flag;
        } else {
            if !self.data.is_empty() {
                self.data.push(',');
            }
            self.data.push_str(word);
        }
    }

    /// What a failure is told with: no secret of a server's is in it.
    pub fn told(&self, path: &str) -> String {
        let mut told = format!("mount {}:{path}, flags: {:#x}", self.device, self.flags.bits());
        let masked = |word: &str| match word.split_once('=') {
            Some((key @ ("password" | "pass"), _)) => format!("{key}=********"),
            _ => word.to_owned(),
        };
        if !self.data.is_empty() {
            let words: Vec<String> = self.data.split(',').map(masked).collect();
            told.push_str(&format!(", data: {}", words.join(",")));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Option<Backing>, Error> {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Backing::parse(&options.iter().map(text).collect())
    }

    #[test]
    fn words_are_flags_propagation_or_the_file_systems_own() {
        let options =
            [("type", "none"), ("device", "/srv"), ("o", "rbind,ro,rshared,uid=7,size=1m")];
        let backing = parse(&options).expect("valid").expect("some");
        assert_eq!(backing.flags, MountFlags::BIND | MountFlags::REC | MountFlags::RDONLY);
        let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
        assert_eq!((backing.propagation, backing.data.as_str()), (shared, "uid=7,size=1m"));
    }

    #[test]
    fn a_later_word_takes_back_an_earlier_one() {
        let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "ro,nosuid,rw")];
        let backing = parse(&options).expect("valid").expect("some");
        assert_eq!(backing.flags, MountFlags::NOSUID);
    }

    #[test]
    fn no_options_are_a_directory_and_half_of_them_are_refused() {
        assert_eq!(parse(&[]).expect("valid"), None);
        for (options, words) in [
            (&[("o", "bind")][..], "missing required option: \"device\""),
            (&[("type", "nfs"), ("o", "ro")], "missing required option: \"device\""),
            (&[("device", "/x")], "missing required option: \"type\""),
            (&[("colour", "red")], "invalid option: \"colour\""),
            (&[("size", "1g")], "quota size requested but no quota support"),
        ] {
            let error = parse(options).expect_err(words);
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn a_password_is_not_told() {
        let options =
            [("type", "cifs"), ("device", "//h/s"), ("o", "username=me,password=secret,ro")];
        let told = parse(&options).expect("valid").expect("some").told("/v");
        assert_eq!(told, "mount //h/s:/v, flags: 0x1, data: username=me,password=********");
    }
}
