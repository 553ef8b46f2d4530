//! The ids of a container and those of the host.

use serde::{Deserialize, Serialize};

/// What the kernel shows for an id without a mapping.
const NOBODY: u32 = 65534;

/// A container's ids `0..size` are the host's `base..base + size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdRange {
    /// First of the host's ids.
    pub base: u32,
    /// How many.
    pub size: u32,
}

impl IdRange {
    /// No user namespace: ids are what they are.
    pub const HOST: Self = Self { base: 0, size: u32::MAX };

    /// Whether ids mean the same inside and outside.
    pub fn is_host(self) -> bool {
        self.base == 0
    }

    /// The container's id for one of the host's; `nobody` for a foreign one.
    #[must_use]
    pub fn inside(self, host: u32) -> u32 {
        match host.checked_sub(self.base) {
            Some(id) if id < self.size => id,
            _ => NOBODY,
        }
    }

    /// The host's id for one of the container's; none beyond the range.
    pub fn outside(self, id: u32) -> Option<u32> {
        if id < self.size { self.base.checked_add(id) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_out_and_come_back() {
        let range = IdRange { base: 100_000, size: 65_536 };
        assert_eq!(range.outside(1000), Some(101_000));
        assert_eq!(range.inside(101_000), 1000);
        assert_eq!(range.outside(65_536), None);
        assert_eq!(range.inside(0), NOBODY, "the host's root is nobody inside");
        assert_eq!(IdRange::HOST.inside(1000), 1000);
    }
}
