//! How much of the disk a container may take.
//!
//! The file system counts and enforces: each container that has a limit is a
//! *project* of it, a number that all files of the container's directory (what
//! it wrote, its log) and of its anonymous volumes have from birth. The number
//! is never given out twice, so that what stays when a container goes is
//! nobody else's.

use crate::{Error, error::Doing, tree};
use std::{
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
};

/// The quotas of a data root's file system, which enforces them.
#[derive(Debug)]
pub struct Quotas {
    root: OwnedFd,
    path: PathBuf,
}

impl Quotas {
    /// Those of the file system that `data` is on; none if it enforces none.
    ///
    /// # Errors
    /// What the host said.
    pub fn of(data: &Path) -> Result<Option<Self>, Error> {
        let root = tree::open_dir(data).doing("open", data)?;
        let enforced = sys::quota::is_enforced(&root).doing("ask for the quotas of", data)?;
        Ok(enforced.then(|| Self { root, path: data.into() }))
    }

    /// Lets a project take so many bytes in all; 0 for any number.
    ///
    /// # Errors
    /// What the host said.
    pub fn limit(&self, project: u32, bytes: u64) -> Result<(), Error> {
        sys::quota::limit(&self.root, project, bytes).doing("set a quota of", &self.path)
    }

    /// Bytes that a project takes.
    ///
    /// # Errors
    /// What the host said.
    pub fn used(&self, project: u32) -> Result<u64, Error> {
        sys::quota::used(&self.root, project).doing("read a quota of", &self.path)
    }

    /// The project that a directory is of; none if it is of nobody's.
    ///
    /// # Errors
    /// What the host said.
    pub fn project(&self, dir: &Path) -> Result<Option<u32>, Error> {
        let open = tree::open_dir(dir).doing("open", dir)?;
        let project = sys::quota::project(&open).doing("ask for the project of", dir)?;
        Ok((project != 0).then_some(project))
    }

    /// Gives a directory, which is empty or made now, to a project.
    ///
    /// # Errors
    /// What the host said.
    pub fn assign(&self, dir: &Path, project: u32) -> Result<(), Error> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.doing("make the directory", dir)?;
        let open = tree::open_dir(dir).doing("open", dir)?;
        sys::quota::assign(&open, project).doing("give a project to", dir)
    }
}

/// Bytes of a size as Docker spells it (`10g`, `512MiB`), in powers of 1024.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let text = text.strip_suffix('i').unwrap_or(text);
    let unit = text.bytes().last().and_then(|last| b"kmgtp".iter().position(|unit| *unit == last));
    let (digits, shift) = match unit {
        Some(at) => (&text[..text.len() - 1], 10 * (at + 1)),
        None => (text, 0),
    };
    let (whole, part) = digits.trim_end().split_once('.').unwrap_or((digits.trim_end(), ""));
    let number = |digits: &str| -> Option<u64> {
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let bytes = number(whole)?.checked_mul(1 << shift)?;
    if !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Nobody means more than microunits.
    let part = &part[..part.len().min(6)];
    if part.is_empty() {
        return Some(bytes);
    }
    let scale = 10u64.pow(u32::try_from(part.len()).ok()?);
    let more = u128::from(number(part)?) * (1u128 << shift) / u128::from(scale);
    bytes.checked_add(u64::try_from(more).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_docker_reads_it() {
        assert_eq!(size("512"), Some(512));
        assert_eq!(size("10k"), Some(10 << 10));
        assert_eq!(size("10MB"), Some(10 << 20));
        assert_eq!(size("1.5GiB"), Some(3 << 29));
        assert_eq!(size(" 2 tb "), Some(2 << 40));
        for bad in ["", "g", "-1", "1x", "1.x", "1.5.5g", "99999999999t", "1e3", "+5"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        for bad in ["1.aéééé", "1.ééééé", "1.12345é", "é"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
