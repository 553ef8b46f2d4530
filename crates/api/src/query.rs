//! What stands behind the question mark of a URL.

use crate::error::Error;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Decoded parameters; a name may come several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    /// Reads `a=1&b=2`.
    pub fn parse(text: &str) -> Self {
        let mut query = BTreeMap::<String, Vec<String>>::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            query.entry(decode(name, true)).or_default().push(decode(value, true));
        }
        Self(query)
    }

    /// The first value of `name`, if there is one that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The first value of `name`, or the empty string.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Every value of `name`.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Docker's reading of a switch: anything but a word for "no" is yes.
    pub fn flag(&self, name: &str) -> bool {
        !matches!(
            self.text(name).trim().to_ascii_lowercase().as_str(),
            "" | "0" | "no" | "false" | "none"
        )
    }

    /// As [`flag`](Self::flag), with a value for when it is absent.
    pub fn flag_or(&self, name: &str, absent: bool) -> bool {
        if self.0.contains_key(name) { self.flag(name) } else { absent }
    }

    /// A number.
    ///
    /// # Errors
    /// 400 when it is not one.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            Error::bad(format!("invalid value {text:?} for {name:?}: not a number that fits"))
        })
    }
}

/// Undoes percent-encoding; in a query, `+` is a space. A `%` that begins no
/// escape stays, and bytes that are not UTF-8 become U+FFFD.
pub fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (escape, bytes[at]) {
            (Some(byte), _) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (None, b'+') if plus => out.push(b' '),
            (None, byte) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_in_every_client_s_spelling() {
        let query = Query::parse("a=1&b=true&c=True&d=0&e=false&f=False&g=&h");
        for on in ["a", "b", "c"] {
            assert!(query.flag(on), "{on}");
        }
        for off in ["d", "e", "f", "g", "h", "absent"] {
            assert!(!query.flag(off), "{off}");
        }
        assert!(query.flag_or("absent", true) && !query.flag_or("d", true));
    }

    #[test]
    fn escapes_are_undone_once_and_broken_ones_kept() {
        let query = Query::parse("n=a%20b+c%2Fd%2525&x=%zz%4&p=%+1");
        assert_eq!(query.text("n"), "a b c/d%25");
        assert_eq!(query.text("x"), "%zz%4");
        assert_eq!(query.text("p"), "% 1");
        assert_eq!(decode("a+b%ff", false), "a+b\u{fffd}");
    }

    #[test]
    fn a_name_may_come_twice() {
        let query = Query::parse("names=a&names=b");
        assert_eq!(query.all("names"), ["a", "b"]);
        assert_eq!(query.get("names"), Some("a"));
    }

    #[test]
    fn a_number_that_is_none_is_the_client_s_mistake() {
        let query = Query::parse("t=5&h=abc");
        assert_eq!(query.number("t").expect("a number"), Some(5));
        assert_eq!(query.number::<u16>("h").expect_err("not a number").status(), 400);
        assert_eq!(query.number::<u16>("absent").expect("absent is fine"), None);
    }
}
