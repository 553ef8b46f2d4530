//! Who we are to a registry, and what it asks of us.
//!
//! ```text
//!   request ─▶ 401, WWW-Authenticate: Basic …   ─▶ again, with name and password
//!           ─▶ 401, WWW-Authenticate: Bearer …  ─▶ the realm gives a token
//!                                               ─▶ again, with the token
//! ```
//!
//! Secrets go to the registry that they are for and to the realm that it
//! names, never in the clear where the registry itself is spoken to
//! encrypted, and never to whom a redirect led (CVE-2020-15157).

use base64::{Engine as _, alphabet, engine};
use serde::Deserialize;
use spec::docker::null_is_default;
use std::fmt;

/// What a client sent along for one registry.
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "lowercase")]
pub struct Credentials {
    /// The user's name.
    #[serde(deserialize_with = "null_is_default")]
    pub username: String,
    /// The user's password.
    #[serde(deserialize_with = "null_is_default")]
    pub password: String,
    /// Name and password, joined by a colon, in base64.
    #[serde(deserialize_with = "null_is_default")]
    pub auth: String,
    /// Whose they are.
    #[serde(deserialize_with = "null_is_default")]
    pub serveraddress: String,
    /// Stands for a password at the realm of tokens.
    #[serde(deserialize_with = "null_is_default")]
    pub identitytoken: String,
    /// A token, to be used as it is.
    #[serde(deserialize_with = "null_is_default")]
    pub registrytoken: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials of {:?}", self.username)
    }
}

/// Base64 as clients write it: with padding or without.
const URL_SAFE: engine::GeneralPurpose = lenient(&alphabet::URL_SAFE);
const STANDARD: engine::GeneralPurpose = lenient(&alphabet::STANDARD);

const fn lenient(alphabet: &alphabet::Alphabet) -> engine::GeneralPurpose {
    let config = engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent);
    engine::GeneralPurpose::new(alphabet, config)
}

impl Credentials {
    /// Reads the header `X-Registry-Auth`.
    ///
    /// # Errors
    /// It is no JSON in base64, in words.
    pub fn from_header(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let bytes = URL_SAFE
            .decode(text)
            .or_else(|_| STANDARD.decode(text))
            .map_err(|e| format!("invalid X-Registry-Auth header: {e}"))?;
        let read: Self = serde_json::from_slice(&bytes)
            .map_err(|e| format!("invalid X-Registry-Auth header: {e}"))?;
        read.complete()
    }

    /// Takes name and password from where they stand joined.
    ///
    /// # Errors
    /// They do not, in words.
    pub fn complete(mut self) -> Result<Self, String> {
        if self.username.is_empty() && !self.auth.is_empty() {
            let joined = STANDARD.decode(&self.auth).ok().and_then(|b| String::from_utf8(b).ok());
            let joined = joined.as_deref().and_then(|text| text.split_once(':'));
            let (name, password) = joined.ok_or("invalid auth: NAME:PASSWORD is wanted")?;
            // Go's client pads with zeros.
            (self.username, self.password) =
                (name.to_owned(), password.trim_matches('\0').to_owned());
        }
        Ok(self)
    }

    /// Nobody in particular.
    pub fn is_nobody(&self) -> bool {
        self.username.is_empty() && self.identitytoken.is_empty() && self.registrytoken.is_empty()
    }

    /// The value of a header that says name and password.
    pub(crate) fn basic(&self) -> Option<String> {
        let joined = format!("{}:{}", self.username, self.password);
        (!self.username.is_empty())
            .then(|| format!("Basic {}", engine::general_purpose::STANDARD.encode(joined)))
    }
}

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: String, scope: String },
}

impl Challenge {
    /// Of several ways, the first that is carried.
    pub fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        headers.into_iter().find_map(Self::parse_one)
    }

    fn parse_one(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut realm = None;
        let (mut service, mut scope) = (String::new(), String::new());
        for (key, value) in parameters(rest) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = value,
                "scope" => scope = value,
                _ => {}
            }
        }
        realm.map(|realm| Self::Bearer { realm, service, scope })
    }
}

/// `key="value",key=value`; a backslash takes the next letter as it is.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        let key: String = std::iter::from_fn(|| rest.next_if(|c| *c != '=')).collect();
        if rest.next().is_none() {
            return found;
        }
        let mut value = String::new();
        if rest.next_if_eq(&'"').is_some() {
            while let Some(c) = rest.next() {
                match c {
                    '"' => break,
                    '\\' => value.extend(rest.next()),
                    c => value.push(c),
                }
            }
            while rest.next_if(|c| *c != ',').is_some() {}
        } else {
            value.extend(std::iter::from_fn(|| rest.next_if(|c| *c != ',')));
        }
        rest.next();
        found.push((key.trim().to_owned(), value.trim().to_owned()));
    }
}

/// What a realm gives, under either name.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Token {
    token: String,
    #[serde(rename = "access_token")]
    access: String,
}

impl Token {
    /// The token, if there is one.
    pub fn value(self) -> Option<String> {
        [self.token, self.access].into_iter().find(|token| !token.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> String {
        engine::general_purpose::URL_SAFE.encode(json)
    }

    #[test]
    fn a_header_is_read_with_padding_and_without() {
        let text = header(r#"{"username":"a","password":"b??>","serveraddress":"x"}"#);
        for text in [text.as_str(), text.trim_end_matches('=')] {
            let read = Credentials::from_header(text).expect(text);
            assert_eq!((&*read.username, &*read.password), ("a", "b??>"));
        }
        assert!(Credentials::from_header("").is_ok_and(|c| c.is_nobody()));
        assert!(Credentials::from_header("e30=").is_ok_and(|c| c.is_nobody()));
        assert!(Credentials::from_header("%%%").is_err());
        assert!(Credentials::from_header(&header("[1")).is_err());
    }

    #[test]
    fn what_a_client_leaves_null_is_as_not_said() {
        let text = header(r#"{"username":"a","password":"b","auth":null,"identitytoken":null}"#);
        let read = Credentials::from_header(&text).expect("valid");
        assert_eq!((&*read.username, &*read.password, &*read.auth), ("a", "b", ""));
    }

    #[test]
    fn a_joined_name_and_password_come_apart_at_the_first_colon() {
        let joined = engine::general_purpose::STANDARD.encode("a:b:c");
        let read = Credentials::from_header(&header(&format!(r#"{{"auth":"{joined}"}}"#)));
        let read = read.expect("valid");
        assert_eq!((&*read.username, &*read.password), ("a", "b:c"));
    }

    #[test]
    fn no_secret_is_ever_printed() {
        let secret = Credentials {
            username: "a".into(),
            password: "geheim".into(),
            ..Credentials::default()
        };
        assert!(!format!("{secret:?}").contains("geheim"));
    }

    #[test]
    fn a_challenge_is_read_with_its_commas_and_quotes() {
        let text = r#"Bearer realm="https://a/token",service="a,b",scope="repository:x/y:pull,push",error=x"#;
        assert_eq!(
            Challenge::parse(["Negotiate", text]),
            Some(Challenge::Bearer {
                realm: "https://a/token".into(),
                service: "a,b".into(),
                scope: "repository:x/y:pull,push".into(),
            })
        );
        assert_eq!(Challenge::parse([r#"basic realm="x""#]), Some(Challenge::Basic));
        assert_eq!(Challenge::parse(["Bearer service=x"]), None, "nobody to ask");
        assert!(Challenge::parse([r#"Bearer realm="unended"#]).is_some());
    }
}
