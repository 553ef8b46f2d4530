//! Whom a container's program runs as.

use crate::Refusal;

/// A user of a container, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// As the container sees it.
    pub uid: u32,
    /// As the container sees it.
    pub gid: u32,
    /// Supplementary groups; the primary one is among them.
    pub groups: Vec<u32>,
    /// For `HOME`; empty if the image names none.
    pub home: String,
}

/// Reads `user` (`name`, `uid`, `name:group`, `uid:gid`, …) by the contents of
/// the container's `/etc/passwd` and `/etc/group` (empty if it has none).
///
/// # Errors
/// A [`Refusal`] for a name that is not there and a number beyond 32 bits.
pub fn resolve(
    _user: &str,
    _passwd: &str,
    _group: &str,
    _group_add: &[String],
) -> Result<Identity, Refusal> {
    todo!()
}
