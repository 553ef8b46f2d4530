//! Content addresses: an algorithm and a checksum, `sha256:9f86d0…`.

use serde::{Deserialize, Serialize};

/// The checksum of some content, in its only spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Why a text is no digest; worded as Docker words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotADigest {
    /// No `algorithm:checksum` at all, or letters that are no digits.
    #[error("invalid checksum digest format")]
    Format,
    /// An algorithm that nobody here can compute.
    #[error("unsupported digest algorithm")]
    Algorithm,
    /// Too few or too many digits for the algorithm.
    #[error("invalid checksum digest length")]
    Length,
}

impl Digest {
    /// The address of content whose SHA-256 was computed.
    pub fn from_sha256(sum: [u8; 32]) -> Self {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in sum {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        Self(text)
    }

    /// `algorithm:checksum`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What comes before the colon.
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }

    /// What comes after the colon: lower-case hexadecimal digits, nothing
    /// that a path could stumble over.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The first 12 digits, as people see it.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        let (algorithm, hex) = text.split_once(':').ok_or(NotADigest::Format)?;
        if algorithm.is_empty()
            || hex.is_empty()
            || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Err(NotADigest::Format);
        }
        let len = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return Err(NotADigest::Algorithm),
        };
        if hex.len() == len { Ok(Self(text)) } else { Err(NotADigest::Length) }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl std::str::FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        Self::try_from(text.to_owned())
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_as_it_was_spelt() {
        let digest = Digest::from_sha256([0x0f; 32]);
        assert_eq!(digest.as_str().parse(), Ok(digest.clone()));
        assert_eq!((digest.algorithm(), digest.short()), ("sha256", "0f0f0f0f0f0f"));
    }

    #[test]
    fn what_is_no_digest_is_refused_with_its_reason() {
        let parse = |text: &str| text.parse::<Digest>();
        assert_eq!(parse("sha256"), Err(NotADigest::Format));
        assert_eq!(parse("sha256:../../etc/passwd"), Err(NotADigest::Format));
        assert_eq!(parse(&format!("sha256:{}", "A".repeat(64))), Err(NotADigest::Format));
        assert_eq!(parse("md5:d41d8cd98f00b204e9800998ecf8427e"), Err(NotADigest::Algorithm));
        assert_eq!(parse("sha256:abcd"), Err(NotADigest::Length));
    }
}
