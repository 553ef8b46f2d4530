//! Which of the host's ids a container's are.
//!
//! A container has a range of its own, and may keep one user and one group of
//! the host's under their own numbers (`--userns keep-id`). The lines that say
//! so are those of `user_namespaces(7)`.

use crate::oci::IdMapping;
use serde::{Deserialize, Serialize};

/// A user and a group of the host that are the same in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kept {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// The ids of one container: `0..size` are the host's `first..first + size`,
/// but for those that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First of the host's ids.
    pub first: u32,
    /// How many.
    pub size: u32,
    /// What is the same inside and outside; it may lie beyond the range.
    pub kept: Option<Kept>,
}

impl Range {
    /// The lines of `uid_map`.
    #[must_use]
    pub fn uids(&self) -> Vec<IdMapping> {
        extents(self.first, self.size, self.kept.map(|kept| kept.uid))
    }

    /// The lines of `gid_map`.
    #[must_use]
    pub fn gids(&self) -> Vec<IdMapping> {
        extents(self.first, self.size, self.kept.map(|kept| kept.gid))
    }

    /// What these lines mean; none where there are none.
    #[must_use]
    pub fn of(uids: &[IdMapping], gids: &[IdMapping]) -> Option<Self> {
        let first = uids.first()?.host_id;
        let (uid, size) = kept(uids);
        let (gid, _) = kept(gids);
        let kept = uid.zip(gid).map(|(uid, gid)| Kept { uid, gid });
        Some(Self { first, size, kept })
    }
}

/// The lines of one map. Without a kept id, or for one beyond the range, the
/// range is one piece; else the kept id's own place in it is left out.
#[must_use]
pub fn extents(first: u32, size: u32, kept: Option<u32>) -> Vec<IdMapping> {
    let line = |container_id, host_id, size| IdMapping { container_id, host_id, size };
    let Some(kept) = kept else { return vec![line(0, first, size)] };
    let same = line(kept, kept, 1);
    if kept >= size {
        return vec![line(0, first, size), same];
    }
    let above = line(kept + 1, first + kept + 1, size - kept - 1);
    let pieces = [line(0, first, kept), same, above];
    pieces.into_iter().filter(|piece| piece.size > 0).collect()
}

/// The kept id of one map, and the size of its range. A kept id right behind
/// the range counts as its last: the lines are the same.
fn kept(lines: &[IdMapping]) -> (Option<u32>, u32) {
    let kept = lines.iter().find(|line| line.container_id == line.host_id);
    let kept = kept.map(|line| line.container_id);
    let others = lines.iter().filter(|line| line.container_id != line.host_id);
    let size: u32 = others.map(|line| line.size).sum();
    (kept, size + u32::from(kept.is_some_and(|kept| kept <= size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(lines: &[IdMapping]) -> Vec<(u32, u32, u32)> {
        lines.iter().map(|line| (line.container_id, line.host_id, line.size)).collect()
    }

    #[test]
    fn a_kept_id_leaves_out_its_own_place() {
        assert_eq!(plain(&extents(100, 10, None)), [(0, 100, 10)]);
        assert_eq!(plain(&extents(100, 10, Some(4))), [(0, 100, 4), (4, 4, 1), (5, 105, 5)]);
        assert_eq!(plain(&extents(100, 10, Some(9))), [(0, 100, 9), (9, 9, 1)]);
        assert_eq!(plain(&extents(100, 10, Some(5000))), [(0, 100, 10), (5000, 5000, 1)]);
    }

    #[test]
    fn lines_say_which_range_they_are_of() {
        for kept in [None, Some((4, 5)), Some((5, 4)), Some((9, 9)), Some((5000, 6000))] {
            let kept = kept.map(|(uid, gid)| Kept { uid, gid });
            let range = Range { first: 100, size: 10, kept };
            assert_eq!(Range::of(&range.uids(), &range.gids()), Some(range));
        }
        assert_eq!(Range::of(&[], &[]), None);
    }
}
