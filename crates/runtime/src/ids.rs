//! Ids as the container counts them, and as the host does.

use crate::{
    failure::{Doing, refusal},
    procfs::Proc,
};
use spec::{oci::IdMapping, wire::Failure};

/// A container's two id maps; empty where it has no user namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids<'a> {
    pub uids: &'a [IdMapping],
    pub gids: &'a [IdMapping],
}

impl Ids<'_> {
    /// The host's number of the container's user, if it has one.
    pub fn uid(&self, uid: u32) -> Option<u32> {
        to_host(self.uids, uid)
    }

    /// The host's number of the container's group, if it has one.
    pub fn gid(&self, gid: u32) -> Option<u32> {
        to_host(self.gids, gid)
    }

    /// Who owns what is made for the container: its root, or the first user
    /// and group that it has.
    pub fn owner(&self) -> (u32, u32) {
        let first = |map: &[IdMapping]| map.first().map_or(0, |m| m.host_id);
        (
            self.uid(0).unwrap_or_else(|| first(self.uids)),
            self.gid(0).unwrap_or_else(|| first(self.gids)),
        )
    }

    /// Writes both maps for process `pid`, the first in its user namespace.
    pub fn write(&self, proc: &Proc, pid: i32) -> Result<(), Failure> {
        for (file, map) in [("gid_map", self.gids), ("uid_map", self.uids)] {
            if map.is_empty() {
                return Err(refusal(format!(
                    "a new user namespace needs uidMappings and gidMappings: no {file}"
                )));
            }
            let path = format!("{pid}/{file}");
            proc.write(&path, lines(map).as_bytes())
                .doing(|| format!("write the container's {file}"))?;
        }
        Ok(())
    }
}

fn lines(map: &[IdMapping]) -> String {
    map.iter().map(|m| format!("{} {} {}\n", m.container_id, m.host_id, m.size)).collect()
}

/// Nobody has the last number: to the kernel it is "leave it as it is"
/// (chown(2), setresuid(2)).
fn to_host(map: &[IdMapping], id: u32) -> Option<u32> {
    let found = if map.is_empty() {
        Some(id)
    } else {
        map.iter().find_map(|m| {
            let offset = id.checked_sub(m.container_id)?;
            (offset < m.size).then(|| m.host_id.checked_add(offset))?
        })
    };
    found.filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &[IdMapping] = &[
        IdMapping { container_id: 0, host_id: 100_000, size: 10 },
        IdMapping { container_id: 20, host_id: 5, size: 1 },
    ];

    #[test]
    fn an_id_outside_the_maps_has_no_number_on_the_host() {
        let ids = Ids { uids: MAP, gids: MAP };
        assert_eq!(ids.uid(9), Some(100_009));
        assert_eq!(ids.gid(20), Some(5));
        assert_eq!(ids.uid(10), None);
        assert_eq!(ids.uid(u32::MAX), None);
    }

    #[test]
    fn without_a_user_namespace_ids_are_the_hosts() {
        let ids = Ids { uids: &[], gids: &[] };
        assert_eq!((ids.uid(7), ids.owner()), (Some(7), (0, 0)));
        assert_eq!((ids.uid(u32::MAX), ids.gid(u32::MAX)), (None, None));
    }
}
