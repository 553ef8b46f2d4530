//! The ids of a container and those of the host.

use serde::{Deserialize, Serialize};
use spec::{
    ids::{Kept, extents},
    oci::IdMapping,
};

/// What the kernel shows for an id without a mapping.
const NOBODY: u32 = 65534;

/// A container's ids `0..size` are the host's `base..base + size`, but for a
/// user and a group that it may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdRange {
    /// First of the host's ids.
    pub base: u32,
    /// How many.
    pub size: u32,
    /// What is the same inside and outside; neither is root.
    pub kept: Option<Kept>,
}

impl IdRange {
    /// No user namespace: ids are what they are.
    pub const HOST: Self = Self { base: 0, size: u32::MAX, kept: None };

    /// Whether ids mean the same inside and outside.
    pub fn is_host(self) -> bool {
        self.base == 0
    }

    /// The container's user for one of the host's; `nobody` for a foreign one.
    #[must_use]
    pub fn user_inside(self, host: u32) -> u32 {
        self.inside(host, self.kept.map(|kept| kept.uid))
    }

    /// The container's group for one of the host's; `nobody` for a foreign one.
    #[must_use]
    pub fn group_inside(self, host: u32) -> u32 {
        self.inside(host, self.kept.map(|kept| kept.gid))
    }

    fn inside(self, host: u32, kept: Option<u32>) -> u32 {
        if kept == Some(host) {
            return host;
        }
        match host.checked_sub(self.base) {
            Some(id) if id < self.size && kept != Some(id) => id,
            _ => NOBODY,
        }
    }

    /// The host's user for one of the container's; none beyond the range.
    pub fn user_outside(self, id: u32) -> Option<u32> {
        self.outside(id, self.kept.map(|kept| kept.uid))
    }

    /// The host's group for one of the container's; none beyond the range.
    pub fn group_outside(self, id: u32) -> Option<u32> {
        self.outside(id, self.kept.map(|kept| kept.gid))
    }

    fn outside(self, id: u32, kept: Option<u32>) -> Option<u32> {
        if kept == Some(id) {
            return kept;
        }
        if id < self.size { self.base.checked_add(id) } else { None }
    }

    /// The lines of `uid_map` and of `gid_map`, as `user_namespaces(7)` has
    /// them.
    #[must_use]
    pub fn maps(self) -> [String; 2] {
        let text = |kept: Option<u32>| {
            let line = |m: &IdMapping| format!("{} {} {}\n", m.container_id, m.host_id, m.size);
            extents(self.base, self.size, kept).iter().map(line).collect()
        };
        [text(self.kept.map(|kept| kept.uid)), text(self.kept.map(|kept| kept.gid))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_out_and_come_back() {
        let range = IdRange { base: 100_000, size: 65_536, kept: None };
        assert_eq!(range.user_outside(1000), Some(101_000));
        assert_eq!(range.user_inside(101_000), 1000);
        assert_eq!(range.group_outside(65_536), None);
        assert_eq!(range.user_inside(0), NOBODY, "the host's root is nobody inside");
        assert_eq!(IdRange::HOST.user_inside(1000), 1000);
        assert_eq!(range.maps(), ["0 100000 65536\n", "0 100000 65536\n"]);
    }

    #[test]
    fn a_kept_id_is_itself_and_its_place_in_the_range_is_nobodys() {
        let kept = Some(Kept { uid: 1000, gid: 70_000 });
        let range = IdRange { base: 100_000, size: 65_536, kept };
        assert_eq!((range.user_outside(1000), range.user_inside(1000)), (Some(1000), 1000));
        assert_eq!(range.user_inside(101_000), NOBODY);
        assert_eq!((range.group_outside(1000), range.group_inside(101_000)), (Some(101_000), 1000));
        assert_eq!(
            (range.group_outside(70_000), range.group_inside(70_000)),
            (Some(70_000), 70_000)
        );
        assert_eq!(range.maps()[1], "0 100000 65536\n70000 70000 1\n");
    }
}
