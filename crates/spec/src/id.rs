//! Identifiers: 64 lower-case hexadecimal digits, as Docker gives to
//! containers, networks and exec sessions.

use serde::{Deserialize, Serialize};

/// A 256-bit random identifier in its only spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

/// The text is not an identifier.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an identifier of 64 hexadecimal digits")]
pub struct NotAnId(String);

impl Id {
    /// Spells 32 random bytes, which the caller draws.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as people see it.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl TryFrom<String> for Id {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) { Ok(Self(text)) } else { Err(NotAnId(text)) }
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.0
    }
}

impl std::str::FromStr for Id {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        Self::try_from(text.to_owned())
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_spelt() {
        let id = Id::from_random([0xa5; 32]);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert_eq!(id.short(), "a5a5a5a5a5a5");
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "abc", &"g".repeat(64), &"A".repeat(64)] {
            assert!(text.parse::<Id>().is_err(), "{text:?}");
        }
    }
}
