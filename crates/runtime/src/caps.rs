//! The five capability sets.

use rustix::{
    io::Errno,
    thread::{CapabilitySet, CapabilitySets},
};
use spec::{capability, oci::Capabilities, wire::Failure};

use crate::failure::Doing;

/// The sets to end with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caps {
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

impl Caps {
    /// Reads the words. What is unknown, and what this process could not pass
    /// on (`held`), is left out and told in `warnings`.
    pub fn read(words: &Capabilities, held: u64, warnings: &mut Vec<String>) -> Self {
        let mut lacking = 0;
        let mut unknown = Vec::new();
        let mut set = |words: &[String]| {
            let mut bits = 0;
            for word in words {
                match number(word) {
                    Some(number) => bits |= 1 << number,
                    None if unknown.contains(word) => {}
                    None => unknown.push(word.clone()),
                }
            }
            lacking |= bits & !held;
            bits & held
        };
        let caps = Self {
            bounding: set(&words.bounding),
            effective: set(&words.effective),
            permitted: set(&words.permitted),
            inheritable: set(&words.inheritable),
            ambient: set(&words.ambient),
        };
        if !unknown.is_empty() {
            warnings.push(format!("ignoring unknown capabilities: [{}]", unknown.join(" ")));
        }
        for (number, name) in capability::NAMES.iter().enumerate() {
            if lacking & (1 << number) != 0 {
                warnings.push(format!("this machine cannot grant {name}"));
            }
        }
        caps
    }

    /// Would a process with these sets be allowed to load a filter itself?
    pub fn can_administer(&self) -> bool {
        self.effective & CapabilitySet::SYS_ADMIN.bits() != 0
    }

    /// Drops from the bounding set what is not in it: for good, whatever a
    /// file grants. Needs `CAP_SETPCAP`.
    pub fn bound(&self) -> Result<(), Failure> {
        for number in 0..u64::BITS {
            let bit = 1u64 << number;
            if self.bounding & bit != 0 {
                continue;
            }
            let dropped = rustix::thread::remove_capability_from_bounding_set(
                CapabilitySet::from_bits_retain(bit),
            );
            match dropped {
                // One more than this kernel has.
                Err(Errno::INVAL) => break,
                other => {
                    other.doing(|| format!("drop capability {number} from the bounding set"))?;
                }
            }
        }
        Ok(())
    }

    /// Puts the other four sets in force.
    pub fn apply(&self, warnings: &mut Vec<String>) -> Result<(), Failure> {
        let set = CapabilitySet::from_bits_retain;
        let sets = CapabilitySets {
            effective: set(self.effective & self.permitted),
            permitted: set(self.permitted),
            inheritable: set(self.inheritable),
        };
        rustix::thread::set_capabilities(None, sets).doing(|| "set the capabilities".into())?;
        for (number, name) in capability::NAMES.iter().enumerate() {
            let bit = 1u64 << number;
            if self.ambient & bit != 0
                && rustix::thread::configure_capability_in_ambient_set(set(bit), true).is_err()
            {
                warnings.push(format!("can't raise ambient capability {name}"));
            }
        }
        Ok(())
    }
}

/// What this process holds, and the kernel knows.
pub(crate) fn held() -> Result<u64, Failure> {
    Ok(rustix::thread::capabilities(None)
        .doing(|| "read the capabilities".into())?
        .permitted
        .bits())
}

/// Makes all that this process holds effective again, after a change of user.
pub(crate) fn raise() -> Result<(), Failure> {
    let doing = || "raise the capabilities".into();
    let mut sets = rustix::thread::capabilities(None).doing(doing)?;
    sets.effective = sets.permitted;
    rustix::thread::set_capabilities(None, sets).doing(doing)
}

fn number(word: &str) -> Option<usize> {
    let upper = word.to_ascii_uppercase();
    capability::number(&format!("CAP_{}", upper.strip_prefix("CAP_").unwrap_or(&upper)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernels_numbers() {
        assert_eq!(number("CAP_SYS_ADMIN"), Some(21));
        assert_eq!(number("cap_checkpoint_restore"), Some(40));
        assert_eq!(CapabilitySet::SYS_ADMIN.bits(), 1 << 21);
    }

    #[test]
    fn what_the_machine_lacks_is_a_warning() {
        let words = ["CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_NONSENSE"].map(Into::into).to_vec();
        let words = Capabilities { bounding: words, ..Capabilities::default() };
        let mut warnings = Vec::new();
        let caps = Caps::read(&words, 1, &mut warnings);
        assert_eq!(caps.bounding, 1);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }
}
