//! Ports that are exposed.

use super::PortMap;
use crate::docker::Empty;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap as _,
};
use std::fmt;

/// `ExposedPorts`: ports that are bound to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSet(PortMap);

impl PortSet {
    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds one.
    pub fn insert(&mut self, text: &str) {
        self.0.insert(text, None);
    }

    /// Is it there?
    pub fn contains(&self, text: &str) -> bool {
        self.0.get(text).is_some()
    }

    /// All of them, in the order of the text.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        self.0.keys()
    }

    /// As a map, where they are bound to nothing.
    pub fn as_map(&self) -> &PortMap {
        &self.0
    }

    /// Those of a map, whatever they are bound to there.
    pub fn of(map: &PortMap) -> Self {
        let mut set = Self::default();
        set.extend_from(map);
        set
    }

    /// Adds those of a map.
    pub fn extend_from(&mut self, map: &PortMap) {
        map.spans().for_each(|span| self.0.expose(span.proto, span.ports));
        map.odd().for_each(|(key, _)| self.insert(key));
    }
}

impl<K: AsRef<str>> FromIterator<K> for PortSet {
    fn from_iter<I: IntoIterator<Item = K>>(all: I) -> Self {
        let mut set = Self::default();
        all.into_iter().for_each(|key| set.insert(key.as_ref()));
        set
    }
}

impl Serialize for PortSet {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.len()))?;
        for key in self.keys() {
            map.serialize_entry(&key, &Empty {})?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for PortSet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Set;
        impl<'de> Visitor<'de> for Set {
            type Value = PortSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("ports")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<PortSet, A::Error> {
                let mut set = PortSet::default();
                while let Some((key, Empty {})) = all.next_entry::<String, Empty>()? {
                    set.insert(&key);
                }
                Ok(set)
            }
        }
        from.deserialize_map(Set)
    }
}
