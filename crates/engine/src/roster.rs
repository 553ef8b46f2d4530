//! All containers, by identifier and name, and the ranges of ids they hold.

use crate::{Error, cell::Cell, selinux};
use spec::Id;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Bound,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// First host id of slot 0: beyond what /etc/subuid hands out by default.
pub(crate) const FIRST_ID: u32 = 0x4000_0000;
/// Slots that fit below 2³¹: before Linux 6.15 or so, devpts reads the `gid=`
/// of its mount as a signed number, and refuses all that is beyond.
/// Source: `match_int` in `parse_mount_options` of the kernel's
/// `fs/devpts/inode.c`.
pub(crate) const SLOTS: u32 = ((1 << 31) - FIRST_ID) / policy::RANGE;

/// First host id of a slot.
pub(crate) fn base(slot: u32) -> u32 {
    FIRST_ID + slot * policy::RANGE
}

#[derive(Default)]
pub(crate) struct Roster {
    index: RwLock<Index>,
    /// Where to look for free slots first.
    first_slot: u32,
}

#[derive(Default)]
struct Index {
    cells: BTreeMap<Id, Arc<Cell>>,
    names: HashMap<String, Id>,
    /// First slot of each holder, and how many it holds.
    slots: BTreeMap<u32, u32>,
    /// SELinux levels, by whom they are held.
    levels: HashMap<Id, String>,
}

impl Roster {
    /// Hands out slots from `first_slot` on, so that engines beside one
    /// another do not share ranges.
    pub fn new(first_slot: u32) -> Self {
        Self { first_slot: first_slot % SLOTS, ..Self::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().expect("no holder panics")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().expect("no holder panics")
    }

    /// By full identifier, name (with or without slash) or unique prefix.
    pub fn find(&self, reference: &str) -> Result<Arc<Cell>, Error> {
        let index = self.read();
        if let Some(cell) = reference.parse().ok().and_then(|id: Id| index.cells.get(&id)) {
            return Ok(Arc::clone(cell));
        }
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Some(cell) = index.names.get(name).and_then(|id| index.cells.get(id)) {
            return Ok(Arc::clone(cell));
        }
        let mut fitting = index.fitting(reference);
        match (fitting.next(), fitting.next()) {
            (Some(cell), None) => Ok(Arc::clone(cell)),
            (Some(_), Some(_)) => Err(Error::Ambiguous(reference.to_owned())),
            (None, _) => Err(Error::NoContainer(reference.to_owned())),
        }
    }

    /// By identifier.
    pub fn get(&self, id: &Id) -> Option<Arc<Cell>> {
        self.read().cells.get(id).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Cell>> {
        self.read().cells.values().cloned().collect()
    }

    /// Of all containers, and of those that are being made.
    pub fn ids(&self) -> BTreeSet<Id> {
        self.read().names.values().cloned().collect()
    }

    /// Holds a name and `count` slots side by side for a container to be, and
    /// gives the first of them.
    ///
    /// # Errors
    /// [`Error::NameTaken`]; or there are no such slots.
    pub fn hold(&self, name: &str, id: &Id, count: u32) -> Result<u32, Error> {
        let mut index = self.write();
        index.refuse_taken(name)?;
        let slot = (self.first_slot..SLOTS)
            .chain(0..self.first_slot)
            .find(|slot| index.are_free(*slot, count))
            .ok_or_else(|| Error::Conflict("every range of ids is taken".into()))?;
        index.names.insert(name.to_owned(), id.clone());
        index.slots.insert(slot, count);
        Ok(slot)
    }

    /// Holds an SELinux level for a container to be: the one it asks for, or
    /// one that nobody has.
    pub fn hold_level(&self, id: &Id, asked: Option<&str>) -> String {
        let mut index = self.write();
        let draw = || {
            let taken: HashSet<&str> = index.levels.values().map(String::as_str).collect();
            selinux::draw(|level| taken.contains(level))
        };
        let level = asked.map_or_else(draw, str::to_owned);
        index.levels.insert(id.clone(), level.clone());
        level
    }

    /// Lets go of what was held, or of a container that is gone.
    pub fn release(&self, name: &str, id: &Id, slot: u32) {
        let mut index = self.write();
        if index.names.get(name) == Some(id) {
            index.names.remove(name);
        }
        index.slots.remove(&slot);
        index.levels.remove(id);
        index.cells.remove(id);
    }

    /// Shows a container for which a name and slot are held.
    pub fn add(&self, cell: Arc<Cell>) {
        self.write().cells.insert(cell.id.clone(), cell);
    }

    /// Takes in a container of the records.
    pub fn restore(&self, cell: Arc<Cell>) {
        let mut index = self.write();
        index.names.insert(cell.now().name.clone(), cell.id.clone());
        // It could not have been made with words that make no sense.
        let count = policy::userns::ranges(&cell.now().host).unwrap_or(1);
        index.slots.insert(cell.slot, count);
        index.levels.insert(cell.id.clone(), cell.now().level.clone());
        index.cells.insert(cell.id.clone(), cell);
    }

    /// Exchanges a name; the old one is free then.
    ///
    /// # Errors
    /// [`Error::NameTaken`].
    pub fn rename(&self, old: &str, new: &str, id: &Id) -> Result<(), Error> {
        let mut index = self.write();
        index.refuse_taken(new)?;
        index.names.insert(new.to_owned(), id.clone());
        index.names.remove(old);
        Ok(())
    }
}

impl Index {
    fn refuse_taken(&self, name: &str) -> Result<(), Error> {
        match self.names.get(name) {
            Some(holder) => {
                Err(Error::NameTaken { name: name.to_owned(), holder: holder.to_string() })
            }
            None => Ok(()),
        }
    }

    /// Whether nobody holds, or has, ids of `count` slots from `slot` on.
    fn are_free(&self, slot: u32, count: u32) -> bool {
        let end = slot.saturating_add(count);
        let below = self.slots.range(..end).next_back();
        let held = below.is_some_and(|(first, count)| first + count > slot);
        end <= SLOTS && !held && !self.borrowed(base(slot), count)
    }

    /// A container that joined another's namespaces may have its ids when that
    /// one is long gone, and its slots free.
    fn borrowed(&self, first: u32, count: u32) -> bool {
        let within = |id: u32| id >= first && (id - first) / policy::RANGE < count;
        self.cells.values().any(|cell| {
            let now = cell.now();
            now.id_base.is_some_and(|id| id != base(cell.slot) && within(id))
        })
    }

    /// Containers whose identifier begins so.
    fn fitting<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<Cell>> {
        let hex = !prefix.is_empty() && prefix.len() < 64;
        let first = format!("{prefix:0<64}").parse::<Id>().ok().filter(|_| hex);
        let from = first.map(|first| self.cells.range((Bound::Included(first), Bound::Unbounded)));
        from.into_iter()
            .flatten()
            .map(|(_, cell)| cell)
            .take_while(move |cell| cell.id.as_str().starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Container;

    fn add(roster: &Roster, byte: u8, name: &str) -> Arc<Cell> {
        let id = Id::from_random([byte; 32]);
        let slot = roster.hold(name, &id, 1).expect("free");
        let cell = Arc::new(Cell::new(Container::blank(id, name), slot));
        roster.add(Arc::clone(&cell));
        cell
    }

    #[test]
    fn a_container_is_found_by_identifier_name_and_unique_prefix() {
        let roster = Roster::default();
        let one = add(&roster, 0xab, "one");
        add(&roster, 0xac, "two");
        for reference in [one.id.as_str(), "one", "/one", "ab", one.id.short()] {
            assert_eq!(roster.find(reference).expect("found").id, one.id, "{reference}");
        }
        assert!(matches!(roster.find("a"), Err(Error::Ambiguous(_))));
        for reference in ["", "on", "ad", "xyz", "/"] {
            let missing = roster.find(reference);
            assert!(matches!(missing, Err(Error::NoContainer(_))), "{reference:?}");
        }
    }

    #[test]
    fn a_name_outranks_a_prefix() {
        let roster = Roster::default();
        add(&roster, 0xab, "one");
        let named = add(&roster, 0x12, "ab");
        assert_eq!(roster.find("ab").expect("found").id, named.id);
    }

    #[test]
    fn a_name_belongs_to_one_container() {
        let roster = Roster::default();
        let one = add(&roster, 1, "one");
        let other = Id::from_random([2; 32]);
        let clash = roster.hold("one", &other, 1).expect_err("taken");
        assert!(clash.to_string().contains(one.id.as_str()), "{clash}");
        roster.rename("one", "uno", &one.id).expect("free");
        roster.hold("one", &other, 1).expect("free now");
    }

    #[test]
    fn ranges_of_ids_are_disjoint_and_given_again_only_after_release() {
        let roster = Roster::default();
        let (one, two) = (add(&roster, 1, "one"), add(&roster, 2, "two"));
        assert!(base(two.slot).abs_diff(base(one.slot)) >= policy::RANGE);
        roster.release("one", &one.id, one.slot);
        assert_eq!(add(&roster, 3, "three").slot, one.slot);
        assert!(u64::from(base(SLOTS - 1)) + u64::from(policy::RANGE) <= 1 << 31);
    }

    /// SEL-2: what keeps containers from one another's files.
    #[test]
    fn sel2_a_hundred_containers_have_a_hundred_pairs_of_categories() {
        let roster = Roster::default();
        let id = |byte: u8| Id::from_random([byte; 32]);
        let pairs: BTreeSet<String> =
            (0..100).map(|byte| roster.hold_level(&id(byte), None)).collect();
        assert_eq!(pairs.len(), 100);
        let one = pairs.first().expect("a hundred").clone();
        assert_eq!(roster.hold_level(&id(100), Some(&one)), one, "it asked for another's");
        roster.release("", &id(0), 0);
        assert_eq!(roster.read().levels.len(), 100);
    }

    #[test]
    fn large_ranges_lie_between_others_and_overlap_none() {
        let roster = Roster::default();
        let holds = |name: &str, byte, count| {
            roster.hold(name, &Id::from_random([byte; 32]), count).expect("free")
        };
        assert_eq!((holds("a", 1, 1), holds("b", 2, 3), holds("c", 3, 1)), (0, 1, 4));
        roster.release("b", &Id::from_random([2; 32]), 1);
        assert_eq!((holds("d", 4, 4), holds("e", 5, 2), holds("f", 6, 2)), (5, 1, 9));
        assert_eq!(holds("g", 7, 1), 3, "what is left of the gap");
        let all = roster.hold("h", &Id::from_random([8; 32]), SLOTS);
        assert!(matches!(all, Err(Error::Conflict(_))));
    }

    #[test]
    fn ids_that_somebody_joined_are_not_given_again_while_it_has_them() {
        let roster = Roster::default();
        let one = add(&roster, 1, "one");
        let two = add(&roster, 2, "two");
        two.change(|container| container.id_base = Some(base(one.slot)));
        roster.release("one", &one.id, one.slot);
        assert_eq!(add(&roster, 3, "three").slot, 2);
        roster.release("two", &two.id, two.slot);
        assert_eq!(add(&roster, 4, "four").slot, one.slot);
    }

    #[test]
    fn one_that_is_being_made_is_known_to_the_sweep() {
        let roster = Roster::default();
        let id = Id::from_random([1; 32]);
        let slot = roster.hold("one", &id, 1).expect("free");
        assert!(roster.ids().contains(&id) && roster.all().is_empty());
        roster.release("one", &id, slot);
        assert!(roster.ids().is_empty());
    }

    #[test]
    fn engines_beside_one_another_begin_at_different_ranges() {
        let roster = Roster::new(SLOTS - 1);
        assert_eq!(add(&roster, 1, "one").slot, SLOTS - 1);
        assert_eq!(add(&roster, 2, "two").slot, 0, "around the end");
    }
}
