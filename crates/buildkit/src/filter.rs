//! Filters of a prune, in containerd's language: fields with values,
//! `type==regular,shared`, all of which must hold; of several filters one.
//!
//! Source: containerd's `pkg/filters`; the fields are those of BuildKit's
//! `adaptUsageInfo`.

use crate::grpc::{Code, Status};
use engine::CacheEntry;

/// One filter: all of its conditions.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter(Vec<Condition>);

#[derive(Debug, PartialEq, Eq)]
struct Condition {
    field: Field,
    wish: Wish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id,
    Parents,
    Description,
    Type,
    InUse,
    Mutable,
    Immutable,
    Shared,
    Private,
}

#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Present,
    Is(String),
    IsNot(String),
    /// A regular expression that only says how a value begins.
    Begins(String),
}

impl Filter {
    /// Reads one.
    ///
    /// # Errors
    /// What is not understood, in words.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(condition).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an entry is what it asks for.
    pub fn fits(&self, entry: &CacheEntry) -> bool {
        self.0.iter().all(|condition| condition.fits(entry))
    }
}

fn condition(text: &str) -> Result<Condition, Status> {
    let wrong = |why: &str| {
        let words = format!("the prune filter {text:?} is not carried by this engine: {why}");
        Status::new(Code::InvalidArgument, words)
    };
    let at = text.find(['=', '!', '~']).unwrap_or(text.len());
    let (name, rest) = text.split_at(at);
    let field = match name.trim() {
        "id" => Field::Id,
        "parents" | "parent" => Field::Parents,
        "description" => Field::Description,
        "type" => Field::Type,
        "inuse" => Field::InUse,
        "mutable" => Field::Mutable,
        "immutable" => Field::Immutable,
        "shared" => Field::Shared,
        "private" => Field::Private,
        _ => return Err(wrong("there is no such field")),
    };
    let value = |text: &str| text.trim().trim_matches(['"', '\'', '/', '|']).to_owned();
    let wish = match (rest.get(..2), rest) {
        (_, "") => Wish::Present,
        (Some("=="), _) => Wish::Is(value(&rest[2..])),
        (Some("!="), _) => Wish::IsNot(value(&rest[2..])),
        (Some("~="), _) => {
            let pattern = value(&rest[2..]);
            let plain = |text: &str| {
                text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_'))
            };
            match pattern.strip_prefix('^') {
                Some(start) if plain(start) => Wish::Begins(start.to_owned()),
                _ => return Err(wrong("of expressions only ^WORD is")),
            }
        }
        _ => return Err(wrong("it is ==, != or ~=")),
    };
    Ok(Condition { field, wish })
}

impl Condition {
    fn fits(&self, entry: &CacheEntry) -> bool {
        // A flag has no value; it is there or not.
        let flag = |there: bool| there.then_some("");
        let value = match self.field {
            Field::Id => Some(entry.id.as_str()),
            Field::Parents => Some(entry.parent.as_str()).filter(|parent| !parent.is_empty()),
            Field::Description => Some(entry.description.as_str()),
            Field::Type => Some(entry.kind),
            Field::InUse => flag(entry.in_use),
            Field::Mutable => None,
            Field::Immutable => flag(true),
            Field::Shared => flag(entry.shared),
            Field::Private => flag(!entry.shared),
        };
        match (&self.wish, value) {
            (Wish::Present, value) => value.is_some(),
            (Wish::Is(wanted), value) => value == Some(wanted.as_str()),
            (Wish::IsNot(wanted), value) => value != Some(wanted.as_str()),
            (Wish::Begins(start), value) => value.is_some_and(|v| v.starts_with(start.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(text: &str) -> bool {
        let entry = CacheEntry {
            id: "sha256:ab".into(),
            parent: String::new(),
            kind: "regular",
            description: "RUN x".into(),
            size: 0,
            shared: true,
            in_use: false,
            created: 0,
            used: 0,
            uses: 0,
        };
        Filter::parse(text).expect(text).fits(&entry)
    }

    #[test]
    fn all_conditions_must_hold() {
        for yes in ["", "type==regular", "type==regular,shared", "id~=^sha256:a", "immutable"] {
            assert!(fits(yes), "{yes}");
        }
        for no in ["type==x", "type==regular,private", "type!=regular", "inuse", "id~=^b"] {
            assert!(!fits(no), "{no}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["size==1", "type=x", "description~=a.*b"] {
            assert!(Filter::parse(text).is_err(), "{text}");
        }
    }
}
