//! Extended attributes on their way between archives and files: which are
//! carried, and how the ids inside them move between a container's range and
//! the host's.

use crate::IdRange;

/// What becomes of an attribute that an archive holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is set.
    Set,
    /// It is the host's business, or the kernel's, and is left to them.
    Dropped,
    /// It would tell overlayfs things that are the engine's to say.
    Refused,
}

/// Labels of mandatory access control and integrity belong to the host's
/// policy; `trusted.overlay.*` steers overlayfs.
pub(crate) fn fate(name: &[u8]) -> Fate {
    const LABELS: [&[u8]; 6] = [
        b"security.selinux",
        b"security.apparmor",
        b"security.ima",
        b"security.evm",
        b"security.SMACK64",
        b"security.SMACK64EXEC",
    ];
    if name.starts_with(b"trusted.overlay.") {
        return Fate::Refused;
    }
    if LABELS.contains(&name) {
        return Fate::Dropped;
    }
    let known: [&[u8]; 4] = [b"user.", b"trusted.", b"security.", b"system.posix_acl_"];
    if known.iter().any(|prefix| name.starts_with(prefix)) { Fate::Set } else { Fate::Dropped }
}

/// Whether it takes `CAP_SYS_ADMIN` to set it. Source: xattr(7).
pub(crate) fn is_for_administrators(name: &[u8]) -> bool {
    name.starts_with(b"trusted.") || (name.starts_with(b"security.") && name != CAPABILITY)
}

const CAPABILITY: &[u8] = b"security.capability";
/// `VFS_CAP_REVISION_2` and `_3` of linux/capability.h, with their lengths.
const CAP_V2: (u32, usize) = (0x0200_0000, 20);
const CAP_V3: (u32, usize) = (0x0300_0000, 24);
const CAP_REVISION: u32 = 0xff00_0000;

/// The value as a container's archive has it.
pub(crate) fn inside(name: &[u8], value: Vec<u8>, ids: IdRange) -> Vec<u8> {
    if ids.is_host() {
        return value;
    }
    if name == CAPABILITY {
        return capability_inside(value, ids);
    }
    shift_acl(name, value, |id| Some(ids.user_inside(id)), |id| Some(ids.group_inside(id)))
}

/// The value as the container's files have it on the host.
pub(crate) fn outside(name: &[u8], value: Vec<u8>, ids: IdRange) -> Vec<u8> {
    if ids.is_host() {
        return value;
    }
    if name == CAPABILITY {
        return capability_outside(value, ids);
    }
    shift_acl(name, value, |id| ids.user_outside(id), |id| ids.group_outside(id))
}

fn word(value: &[u8], at: usize) -> Option<u32> {
    let bytes = value.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
}

/// Granted by the container's root (revision 3 names it): revision 2 is what
/// its archive means by the same.
fn capability_inside(mut value: Vec<u8>, ids: IdRange) -> Vec<u8> {
    let magic = word(&value, 0).unwrap_or(0);
    if value.len() == CAP_V3.1
        && magic & CAP_REVISION == CAP_V3.0
        && word(&value, 20).is_some_and(|root| root == ids.base)
    {
        value.truncate(CAP_V2.1);
        value[..4].copy_from_slice(&(magic & !CAP_REVISION | CAP_V2.0).to_le_bytes());
    }
    value
}

fn capability_outside(mut value: Vec<u8>, ids: IdRange) -> Vec<u8> {
    let magic = word(&value, 0).unwrap_or(0);
    if value.len() == CAP_V2.1 && magic & CAP_REVISION == CAP_V2.0 {
        value[..4].copy_from_slice(&(magic & !CAP_REVISION | CAP_V3.0).to_le_bytes());
        value.extend_from_slice(&ids.base.to_le_bytes());
    }
    value
}

/// An ACL: a version of 4 bytes, then entries of tag, rights and id. Only the
/// tags `ACL_USER` (2) and `ACL_GROUP` (8) use the id.
fn shift_acl(
    name: &[u8],
    mut value: Vec<u8>,
    user: impl Fn(u32) -> Option<u32>,
    group: impl Fn(u32) -> Option<u32>,
) -> Vec<u8> {
    if !name.starts_with(b"system.posix_acl_") || value.len() < 4 {
        return value;
    }
    for entry in value[4..].chunks_exact_mut(8) {
        let id = u32::from_le_bytes(entry[4..].try_into().expect("four bytes"));
        let shifted = match u16::from_le_bytes([entry[0], entry[1]]) {
            2 => user(id),
            8 => group(id),
            _ => None,
        };
        entry[4..].copy_from_slice(&shifted.unwrap_or(id).to_le_bytes());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: IdRange = IdRange { base: 100_000, size: 65_536, kept: None };

    #[test]
    fn a_capability_goes_out_as_the_containers_own_and_comes_back() {
        let mut v2 = vec![0u8; 20];
        v2[..4].copy_from_slice(&0x0200_0001u32.to_le_bytes());
        let v3 = outside(CAPABILITY, v2.clone(), RANGE);
        assert_eq!((word(&v3, 0), word(&v3, 20)), (Some(0x0300_0001), Some(100_000)));
        assert_eq!(inside(CAPABILITY, v3, RANGE), v2);
    }

    #[test]
    fn the_ids_in_an_acl_are_shifted() {
        let mut acl = vec![2, 0, 0, 0, 2, 0, 7, 0];
        acl.extend_from_slice(&1000u32.to_le_bytes());
        acl.extend_from_slice(&[4, 0, 5, 0, 0xff, 0xff, 0xff, 0xff]);
        let out = outside(b"system.posix_acl_access", acl.clone(), RANGE);
        assert_eq!(word(&out, 8), Some(101_000));
        assert_eq!(word(&out, 16), Some(u32::MAX), "an entry without id stays");
        assert_eq!(inside(b"system.posix_acl_access", out, RANGE), acl);
    }

    #[test]
    fn what_steers_overlayfs_is_refused() {
        assert_eq!(fate(b"trusted.overlay.redirect"), Fate::Refused);
        assert_eq!(fate(b"security.selinux"), Fate::Dropped);
        assert_eq!(fate(b"security.capability"), Fate::Set);
    }
}
