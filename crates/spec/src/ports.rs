//! Ports of a container as the API writes them: maps by `80/tcp`. A range of
//! ten thousand has as many entries there and is one run here, whoever copies,
//! records or reads it.

mod proto;
mod set;

pub use proto::{Proto, UnknownProto};
pub use set::PortSet;

use crate::docker::PortBinding;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
};
use std::{
    collections::{BTreeMap, btree_map},
    fmt,
    ops::RangeInclusive,
};

/// What a port of a container is bound to; none if it is only exposed.
pub type Bindings = Option<Vec<PortBinding>>;

/// `PortBindings` and `Ports`: what each port is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortMap {
    /// By protocol and first port. None touches another that it could be
    /// one with.
    runs: BTreeMap<(Proto, u16), Run>,
    /// What is spelt otherwise: ranges, a port without a protocol, `0`.
    odd: BTreeMap<String, Bindings>,
}

/// Ports beside one another, bound to ports beside one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    last: u16,
    /// What the first is bound to.
    to: Option<Vec<Side>>,
}

/// A port of the host; or none, for any, and then for each of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// As written; may be empty.
    pub ip: String,
    /// Not 0.
    pub port: Option<u16>,
}

impl Side {
    fn read(binding: &PortBinding) -> Option<Self> {
        let port = match binding.host_port.as_str() {
            "" => None,
            text => Some(number(text)?),
        };
        Some(Self { ip: binding.host_ip.clone(), port })
    }

    /// So many ports further on.
    fn after(&self, offset: u16) -> Self {
        Self { ip: self.ip.clone(), port: self.port.map(|port| port + offset) }
    }

    fn binding(&self, offset: u16) -> PortBinding {
        let port = self.after(offset).port.map(|port| port.to_string());
        PortBinding { host_ip: self.ip.clone(), host_port: port.unwrap_or_default() }
    }
}

/// Reads a number as it would be written, and not 0.
fn number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

/// Reads a key as it would be written.
fn key(text: &str) -> Option<(Proto, u16)> {
    let (port, proto) = text.split_once('/')?;
    Some((proto.parse().ok()?, number(port)?))
}

impl Run {
    /// One port with its bindings, if they are spelt as they would be written.
    fn read(port: u16, bindings: &Bindings) -> Option<Self> {
        let read = |list: &[PortBinding]| list.iter().map(Side::read).collect::<Option<Vec<_>>>();
        let to = match bindings {
            None => None,
            Some(list) => Some(read(list)?),
        };
        Some(Self { last: port, to })
    }

    fn after(&self, offset: u16) -> Option<Vec<Side>> {
        self.to.as_ref().map(|to| to.iter().map(|side| side.after(offset)).collect())
    }

    /// Is that what follows this one, so many ports after its first?
    fn goes_on(&self, offset: u16, next: &Self) -> bool {
        let follows = |(one, other): (&Side, &Side)| {
            one.ip == other.ip
                && match (one.port, other.port) {
                    (None, None) => true,
                    (Some(one), Some(other)) => one.checked_add(offset) == Some(other),
                    _ => false,
                }
        };
        match (&self.to, &next.to) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(follows)
            }
            _ => false,
        }
    }

    fn bindings(&self, offset: u16) -> Bindings {
        self.to.as_ref().map(|to| to.iter().map(|side| side.binding(offset)).collect())
    }
}

/// Ports of a container that are bound alike.
#[derive(Clone, Debug)]
pub struct Span<'a> {
    /// Of which protocol.
    pub proto: Proto,
    /// The container's.
    pub ports: RangeInclusive<u16>,
    /// What the first is bound to, and the others likewise; none if they are
    /// only exposed.
    pub to: Option<&'a [Side]>,
}

impl PortMap {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.odd.is_empty()
    }

    /// How many ports.
    pub fn len(&self) -> usize {
        let spans = self.runs.iter().map(|((_, first), run)| (*first..=run.last).len());
        spans.sum::<usize>() + self.odd.len()
    }

    /// How many bindings.
    pub fn bindings(&self) -> usize {
        let runs = self.runs.iter().map(|((_, first), run)| {
            (*first..=run.last).len() * run.to.as_ref().map_or(0, Vec::len)
        });
        runs.sum::<usize>() + self.odd.values().flatten().map(Vec::len).sum::<usize>()
    }

    /// Those that are spelt as Docker spells them.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        self.runs.iter().map(|((proto, first), run)| Span {
            proto: *proto,
            ports: *first..=run.last,
            to: run.to.as_deref(),
        })
    }

    /// Those that are not.
    pub fn odd(&self) -> impl Iterator<Item = (&str, &Bindings)> {
        self.odd.iter().map(|(key, bindings)| (key.as_str(), bindings))
    }

    /// What a port is bound to.
    pub fn get(&self, text: &str) -> Option<Bindings> {
        let Some((proto, port)) = key(text) else { return self.odd.get(text).cloned() };
        let ((of, first), run) = self.runs.range(..=(proto, port)).next_back()?;
        let there = *of == proto && port <= run.last;
        there.then(|| run.bindings(port - first)).or_else(|| self.odd.get(text).cloned())
    }

    /// Binds a port to these and nothing else.
    pub fn insert(&mut self, text: &str, bindings: Bindings) {
        self.remove(text);
        let run = key(text).and_then(|key| Some((key, Run::read(key.1, &bindings)?)));
        match run {
            Some(((proto, port), run)) => {
                self.runs.insert((proto, port), run);
                self.join(proto, port);
                self.join_after(proto, port);
            }
            None => {
                self.odd.insert(text.to_owned(), bindings);
            }
        }
    }

    /// Takes a port out.
    pub fn remove(&mut self, text: &str) -> Option<Bindings> {
        let Some((proto, port)) = key(text) else { return self.odd.remove(text) };
        self.cut_out(proto, port..=port);
        let run = self.runs.remove(&(proto, port));
        run.map(|run| run.bindings(0)).or_else(|| self.odd.remove(text))
    }

    /// Binds a port to these beside what it is bound to.
    pub fn add(&mut self, text: &str, more: impl IntoIterator<Item = PortBinding>) {
        let mut bindings = self.remove(text).flatten().unwrap_or_default();
        bindings.extend(more);
        self.insert(text, Some(bindings));
    }

    /// Binds ports to one more each.
    pub fn add_run(&mut self, proto: Proto, ports: RangeInclusive<u16>, side: &Side) {
        let base = *ports.start();
        self.change(proto, ports, |at, to| {
            to.get_or_insert_default().push(side.after(at - base));
        });
    }

    /// Has ports be there, if they are not.
    pub fn expose(&mut self, proto: Proto, ports: RangeInclusive<u16>) {
        self.change(proto, ports, |_, _| {});
    }

    /// Changes what ports are bound to, piece by piece: those that are not
    /// there are made.
    fn change(
        &mut self,
        proto: Proto,
        ports: RangeInclusive<u16>,
        mut change: impl FnMut(u16, &mut Option<Vec<Side>>),
    ) {
        let last = *ports.end();
        self.cut_out(proto, ports.clone());
        let mut at = *ports.start();
        loop {
            let next = self.runs.range((proto, at)..=(proto, last)).next();
            let gap = match next {
                None => Some(last),
                Some(((_, first), _)) if *first > at => Some(first - 1),
                Some(_) => None,
            };
            if let Some(last) = gap {
                self.runs.insert((proto, at), Run { last, to: None });
            }
            let run = self.runs.get_mut(&(proto, at)).expect("there is one now");
            change(at, &mut run.to);
            let end = run.last;
            self.join(proto, at);
            if end >= last {
                break;
            }
            at = end + 1;
        }
        self.join_after(proto, last);
    }

    /// Sees to it that no run crosses either end of these ports.
    fn cut_out(&mut self, proto: Proto, ports: RangeInclusive<u16>) {
        self.cut(proto, *ports.start());
        if let Some(after) = ports.end().checked_add(1) {
            self.cut(proto, after);
        }
    }

    fn cut(&mut self, proto: Proto, at: u16) {
        let Some((&(of, first), run)) = self.runs.range_mut(..(proto, at)).next_back() else {
            return;
        };
        if of == proto && run.last >= at {
            let right = Run { last: run.last, to: run.after(at - first) };
            run.last = at - 1;
            self.runs.insert((proto, at), right);
        }
    }

    /// Makes one of the run that begins here and the one before, if they are.
    fn join(&mut self, proto: Proto, at: u16) {
        let btree_map::Entry::Occupied(entry) = self.runs.entry((proto, at)) else { return };
        let run = entry.get().clone();
        let Some((&(of, first), before)) = self.runs.range_mut(..(proto, at)).next_back() else {
            return;
        };
        let touches = of == proto && before.last.checked_add(1) == Some(at);
        if touches && before.goes_on(at - first, &run) {
            before.last = run.last;
            self.runs.remove(&(proto, at));
        }
    }

    fn join_after(&mut self, proto: Proto, last: u16) {
        if let Some(after) = last.checked_add(1) {
            self.join(proto, after);
        }
    }

    /// All of it, port by port, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (String, Bindings)> {
        self.each().into_iter().map(|(key, of)| (key, of.bindings()))
    }

    /// The ports, in the order of the text.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        self.each().into_iter().map(|(key, _)| key)
    }

    fn each(&self) -> Vec<(String, One<'_>)> {
        let runs = self.runs.iter().flat_map(|((proto, first), run)| {
            (*first..=run.last)
                .map(move |port| (format!("{port}/{proto}"), One::Of(run, port - first)))
        });
        let odd = self.odd.iter().map(|(key, bindings)| (key.clone(), One::Odd(bindings)));
        let mut all: Vec<_> = runs.chain(odd).collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

/// One entry.
enum One<'a> {
    Of(&'a Run, u16),
    Odd(&'a Bindings),
}

impl One<'_> {
    fn bindings(&self) -> Bindings {
        match self {
            Self::Of(run, offset) => run.bindings(*offset),
            Self::Odd(bindings) => (*bindings).clone(),
        }
    }
}

impl<K: AsRef<str>> FromIterator<(K, Bindings)> for PortMap {
    fn from_iter<I: IntoIterator<Item = (K, Bindings)>>(all: I) -> Self {
        let mut map = Self::new();
        all.into_iter().for_each(|(key, bindings)| map.insert(key.as_ref(), bindings));
        map
    }
}

impl<K: AsRef<str>, const N: usize> From<[(K, Bindings); N]> for PortMap {
    fn from(all: [(K, Bindings); N]) -> Self {
        all.into_iter().collect()
    }
}

impl Serialize for PortMap {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let all = self.each();
        let mut map = to.serialize_map(Some(all.len()))?;
        for (key, of) in all {
            map.serialize_entry(&key, &of.bindings())?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for PortMap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Reader { compact: false })
    }
}

struct Reader {
    /// As well as the API's form.
    compact: bool,
}

impl<'de> Visitor<'de> for Reader {
    type Value = PortMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ports and what they are bound to")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<PortMap, A::Error> {
        let mut map = PortMap::new();
        while let Some((key, bindings)) = all.next_entry::<String, Bindings>()? {
            map.insert(&key, bindings);
        }
        Ok(map)
    }

    /// As [`compact`] writes it.
    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<PortMap, A::Error> {
        if !self.compact {
            return Err(serde::de::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let runs: Vec<(Proto, u16, Run)> = all.next_element()?.unwrap_or_default();
        let odd = all.next_element()?.unwrap_or_default();
        let runs = runs.into_iter().map(|(proto, first, run)| ((proto, first), run));
        Ok(PortMap { runs: runs.collect(), odd })
    }
}

/// Runs as they are, for records of our own; reads both forms.
pub mod compact {
    use super::{Deserializer, PortMap, Reader, Serialize as _, Serializer};

    /// Writes a map.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(map: &PortMap, to: S) -> Result<S::Ok, S::Error> {
        let runs = map.runs.iter().map(|((proto, first), run)| (*proto, *first, run));
        (runs.collect::<Vec<_>>(), &map.odd).serialize(to)
    }

    /// Reads one.
    ///
    /// # Errors
    /// It is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PortMap, D::Error> {
        from.deserialize_any(Reader { compact: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to(ip: &str, port: &str) -> PortBinding {
        PortBinding { host_ip: ip.into(), host_port: port.into() }
    }

    fn range(first: u16, last: u16, shift: u16) -> PortMap {
        (first..=last)
            .map(|port| (format!("{port}/tcp"), Some(vec![to("", &(port + shift).to_string())])))
            .collect()
    }

    #[test]
    fn a_range_is_one_run_however_it_comes() {
        let map = range(1000, 1999, 5);
        assert_eq!((map.runs.len(), map.len(), map.bindings()), (1, 1000, 1000));
        let backwards: PortMap = map.iter().collect::<Vec<_>>().into_iter().rev().collect();
        assert_eq!(backwards, map);
        let json = serde_json::to_string(&map).expect("plain data");
        assert_eq!(serde_json::from_str::<PortMap>(&json).expect("reads back"), map);
    }

    #[test]
    fn one_taken_out_leaves_two_runs_and_put_back_is_one_again() {
        let mut map = range(1000, 1999, 0);
        let taken = map.remove("1500/tcp");
        assert_eq!(taken, Some(Some(vec![to("", "1500")])));
        assert_eq!((map.runs.len(), map.get("1500/tcp"), map.len()), (2, None, 999));
        assert_eq!(map.get("1501/tcp"), Some(Some(vec![to("", "1501")])));
        map.insert("1500/tcp", taken.flatten());
        assert_eq!(map, range(1000, 1999, 0));
        map.insert("1500/tcp", None);
        assert_eq!((map.runs.len(), map.len()), (3, 1000));
    }

    #[test]
    fn what_is_spelt_otherwise_is_kept_as_it_is() {
        let text = r#"{"080/tcp":[{"HostIp":"","HostPort":"1"}],"1":null,"2/tcp":[{"HostIp":"","HostPort":"0"}],"3/tcp":[{"HostIp":"","HostPort":"8-9"}],"4-5/udp":null,"6/TCP":[],"7/tcp":[]}"#;
        let map: PortMap = serde_json::from_str(text).expect("valid");
        assert_eq!(serde_json::to_string(&map).expect("plain data"), text);
        assert_eq!((map.odd.len(), map.runs.len()), (6, 1));
        let set = PortSet::of(&map);
        assert!(set.contains("6/TCP") && set.contains("7/tcp") && !set.contains("6/tcp"));
    }

    #[test]
    fn a_record_is_short_and_reads_back() {
        #[derive(Serialize, Deserialize)]
        struct Record(#[serde(with = "compact")] PortMap);
        let mut map = range(10000, 19999, 0);
        map.insert("x", None);
        let json = serde_json::to_string(&Record(map.clone())).expect("plain data");
        assert!(json.len() < 200, "{json}");
        assert_eq!(serde_json::from_str::<Record>(&json).expect("reads back").0, map);
        // As an earlier version wrote it.
        let json = serde_json::to_string(&map).expect("plain data");
        assert_eq!(serde_json::from_str::<Record>(&json).expect("reads back").0, map);
    }

    #[test]
    fn runs_are_bound_beside_what_there_is() {
        let mut map = PortSet::from_iter(["5/tcp", "7/tcp"]).as_map().clone();
        let side = |ip: &str, port| Side { ip: ip.into(), port: Some(port) };
        map.add_run(Proto::Tcp, 6..=9, &side("0.0.0.0", 106));
        map.add_run(Proto::Tcp, 6..=9, &side("::", 106));
        assert_eq!(map.get("5/tcp"), Some(None));
        assert_eq!(map.get("9/tcp"), Some(Some(vec![to("0.0.0.0", "109"), to("::", "109")])));
        assert_eq!(map.runs.len(), 2);
        map.expose(Proto::Tcp, 1..=20);
        assert_eq!((map.runs.len(), map.len(), map.bindings()), (3, 20, 8));
    }

    proptest! {
        /// Whatever is done to it, it is what a plain map would be, in as few
        /// runs as can be.
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((1_u16..40, 0_u16..4, 0_u16..3), 0..200)) {
            let mut map = PortMap::new();
            let mut plain = BTreeMap::new();
            for (port, what, shift) in steps {
                let key = format!("{port}/tcp");
                match what {
                    0 => prop_assert_eq!(map.remove(&key), plain.remove(&key)),
                    1 => {
                        map.insert(&key, None);
                        plain.insert(key, None);
                    }
                    _ => {
                        let bindings = Some(vec![to("", &(port + shift).to_string())]);
                        map.insert(&key, bindings.clone());
                        plain.insert(key, bindings);
                    }
                }
                prop_assert_eq!(map.iter().collect::<BTreeMap<_, _>>(), plain.clone());
                let mut anew = PortMap::new();
                for (key, bindings) in &plain {
                    anew.insert(key, bindings.clone());
                }
                prop_assert_eq!(&anew, &map);
            }
        }
    }
}
