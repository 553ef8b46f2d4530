//! What a JSON value may look like: kinds, and structures by name.
//!
//! Structures are written down as text, for they are to be read beside the
//! API's documents. A name at the start of a line, then its fields, indented
//! and apart by blanks, each `NAME:KIND`:
//!
//! | Written | Means |
//! |---|---|
//! | `text`, `int`, `num`, `bool`, `any` | what JSON calls so; `any` is everything |
//! | `time`, `id`, `digest` | texts: RFC 3339; 64 hexadecimal digits; `sha256:` and such |
//! | `"a\|b"` | one of these texts |
//! | `[K]`, `{K}`, `NAME` | a list of K, a map with values K, a structure |
//! | `K~` | K, or null |
//! | `NAME?:K` | may be absent |
//! | `NAME@44..:K`, `NAME@..43:K` | only in these minor versions of API 1, where it must be |

use serde_json::Value;
use std::collections::BTreeMap;

/// What a value may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything at all.
    Any,
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// Any number.
    Num,
    /// Any string.
    Text,
    /// RFC 3339.
    Time,
    /// 64 hexadecimal digits.
    Id,
    /// An algorithm, a colon, and hexadecimal digits.
    Digest,
    /// One of these strings.
    OneOf(Vec<String>),
    /// Of one kind each.
    List(Box<Kind>),
    /// Keys are anybody's.
    Map(Box<Kind>),
    /// The structure of this name.
    Of(String),
    /// Or null.
    OrNull(Box<Kind>),
}

/// A field of a structure.
#[derive(Clone, Debug)]
struct Field {
    may_be_absent: bool,
    /// First and last minor version that has it.
    versions: (u16, u16),
    kind: Kind,
}

/// Structures by name.
#[derive(Clone, Debug, Default)]
pub struct Shapes(BTreeMap<String, BTreeMap<String, Field>>);

impl Kind {
    /// Reads a kind.
    ///
    /// # Panics
    /// If it is none: the text is part of the test.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let inner = |open: char, close: char| {
            text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close))
        };
        if let Some(kind) = text.strip_suffix('~') {
            return Self::OrNull(Box::new(Self::read(kind)));
        }
        if let Some(kind) = inner('[', ']') {
            return Self::List(Box::new(Self::read(kind)));
        }
        if let Some(kind) = inner('{', '}') {
            return Self::Map(Box::new(Self::read(kind)));
        }
        if let Some(words) = inner('"', '"') {
            return Self::OneOf(words.split('|').map(str::to_owned).collect());
        }
        match text {
            "any" => Self::Any,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "num" => Self::Num,
            "text" => Self::Text,
            "time" => Self::Time,
            "id" => Self::Id,
            "digest" => Self::Digest,
            name if name.starts_with(|c: char| c.is_ascii_uppercase()) => Self::Of(name.into()),
            other => panic!("no kind: {other:?}"),
        }
    }
}

impl Field {
    fn read(text: &str) -> (String, Self) {
        let (name, kind) = text.split_once(':').unwrap_or_else(|| panic!("no kind: {text:?}"));
        let (name, versions) = match name.split_once('@') {
            Some((name, versions)) => {
                let (first, last) = versions.split_once("..").expect("A..B");
                (name, (first.parse().unwrap_or(0), last.parse().unwrap_or(u16::MAX)))
            }
            None => (name, (0, u16::MAX)),
        };
        let bare = name.strip_suffix('?');
        let field = Self { may_be_absent: bare.is_some(), versions, kind: Kind::read(kind) };
        (bare.unwrap_or(name).to_owned(), field)
    }
}

impl Shapes {
    /// Reads structures as they are written down.
    ///
    /// # Panics
    /// If the text is amiss, or names what it does not describe.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut shapes = BTreeMap::<String, BTreeMap<String, Field>>::new();
        let mut name = String::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if line.starts_with(' ') {
                let fields = shapes.get_mut(&name).expect("fields have a name above them");
                for (field, kind) in line.split_whitespace().map(Field::read) {
                    assert!(fields.insert(field.clone(), kind).is_none(), "{name}.{field} twice");
                }
            } else {
                line.trim().clone_into(&mut name);
                assert!(shapes.insert(name.clone(), BTreeMap::new()).is_none(), "{name} twice");
            }
        }
        let shapes = Self(shapes);
        for field in shapes.0.values().flat_map(BTreeMap::values) {
            shapes.known(&field.kind);
        }
        shapes
    }

    /// Is all that a kind names described?
    ///
    /// # Panics
    /// If not.
    pub fn known(&self, kind: &Kind) {
        match kind {
            Kind::List(kind) | Kind::Map(kind) | Kind::OrNull(kind) => self.known(kind),
            Kind::Of(name) => assert!(self.0.contains_key(name), "no structure {name}"),
            _ => {}
        }
    }

    /// What is amiss with a value of an answer in this minor version, each
    /// with the place where it is.
    #[must_use]
    pub fn faults(&self, kind: &Kind, value: &Value, version: u16) -> Vec<String> {
        let mut faults = Vec::new();
        self.look(kind, value, version, "", &mut faults);
        faults
    }

    fn look(&self, kind: &Kind, value: &Value, version: u16, at: &str, faults: &mut Vec<String>) {
        let fits = match (kind, value) {
            (Kind::Any, _) | (Kind::OrNull(_), Value::Null) => true,
            (Kind::OrNull(kind), value) => return self.look(kind, value, version, at, faults),
            (Kind::List(kind), Value::Array(list)) => {
                for (i, value) in list.iter().enumerate() {
                    self.look(kind, value, version, &format!("{at}[{i}]"), faults);
                }
                true
            }
            (Kind::Map(kind), Value::Object(map)) => {
                for (key, value) in map {
                    self.look(kind, value, version, &format!("{at}[{key:?}]"), faults);
                }
                true
            }
            (Kind::Of(name), Value::Object(map)) => {
                self.fields(name, map, version, at, faults);
                true
            }
            (kind, value) => is_plain(kind, value),
        };
        if !fits {
            faults.push(format!("{at}: {value} is no {kind:?}"));
        }
    }

    fn fields(
        &self,
        name: &str,
        map: &serde_json::Map<String, Value>,
        version: u16,
        at: &str,
        faults: &mut Vec<String>,
    ) {
        let fields = &self.0[name];
        let has = |field: &Field| (field.versions.0..=field.versions.1).contains(&version);
        for (key, value) in map {
            match fields.get(key).filter(|field| has(field)) {
                Some(field) => {
                    self.look(&field.kind, value, version, &format!("{at}.{key}"), faults);
                }
                None => faults.push(format!("{at}.{key}: no such field of {name}")),
            }
        }
        for (key, field) in fields {
            if has(field) && !field.may_be_absent && !map.contains_key(key) {
                faults.push(format!("{at}.{key}: missing of {name}"));
            }
        }
    }
}

fn is_plain(kind: &Kind, value: &Value) -> bool {
    let text = value.as_str();
    let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match kind {
        Kind::Bool => value.is_boolean(),
        Kind::Int => value.is_i64() || value.is_u64(),
        Kind::Num => value.is_number(),
        Kind::Text => text.is_some(),
        Kind::Time => text.is_some_and(is_time),
        Kind::Id => text.is_some_and(|text| text.len() == 64 && hex(text)),
        Kind::Digest => text
            .and_then(|text| text.split_once(':'))
            .is_some_and(|(kind, rest)| kind == "sha256" && rest.len() == 64 && hex(rest)),
        Kind::OneOf(words) => text.is_some_and(|text| words.iter().any(|word| word == text)),
        _ => false,
    }
}

/// `2006-01-02T15:04:05`, a fraction or none, and `Z` or an offset.
fn is_time(text: &str) -> bool {
    let pattern = b"0000-00-00T00:00:00";
    let bytes = text.as_bytes();
    let begins = bytes.len() > pattern.len()
        && pattern.iter().zip(bytes).all(
            |(p, b)| {
                if *p == b'0' { b.is_ascii_digit() } else { p == b }
            },
        );
    let rest = text.get(pattern.len()..).unwrap_or_default();
    let zone =
        rest.strip_prefix('.').map_or(rest, |f| f.trim_start_matches(|c: char| c.is_ascii_digit()));
    begins && (zone == "Z" || (zone.len() == 6 && zone.starts_with(['+', '-'])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = "
Thing
    Id:id Names:[text] Old@..43:int New@44..:bool
    Part?:Part~ State:\"on|off\"
Part
    At:time Sum?:digest More?:{num}
";

    fn faults(value: &Value, version: u16) -> Vec<String> {
        Shapes::read(TEXT).faults(&Kind::read("Thing"), value, version)
    }

    #[test]
    fn what_fits_has_no_fault() {
        let id = "0".repeat(64);
        let new = json!({"Id": id, "Names": ["a"], "New": true, "State": "on", "Part": {
            "At": "2006-01-02T15:04:05.7Z", "Sum": format!("sha256:{id}"), "More": {"x": 1.5}}});
        assert_eq!(faults(&new, 51), [""; 0]);
        let old = json!({"Id": id, "Names": [], "Old": 1, "State": "off", "Part": null});
        assert_eq!(faults(&old, 43), [""; 0]);
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        let value = json!({"Id": "x", "Names": [1], "New": 1, "State": "up", "Extra": 0,
            "Part": {"At": "yesterday", "Sum": "md5:0", "More": {"x": "1"}}});
        let places: Vec<String> = faults(&value, 51)
            .into_iter()
            .map(|fault| fault.split(':').next().expect("a place").to_owned())
            .collect();
        assert_eq!(
            places,
            [
                ".Extra",
                ".Id",
                ".Names[0]",
                ".New",
                ".Part.At",
                ".Part.More[\"x\"]",
                ".Part.Sum",
                ".State"
            ]
        );
        let missing = faults(&json!({"Id": "0".repeat(64)}), 43);
        assert_eq!(
            missing,
            [".Names: missing of Thing", ".Old: missing of Thing", ".State: missing of Thing"]
        );
    }
}
