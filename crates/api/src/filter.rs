//! The `filters` parameter: a map from a key to the values wanted.
//!
//! New clients write `{"label":{"a=b":true}}`, old ones `{"label":["a=b"]}`.
//! Values of one key are alternatives, keys are conditions that all hold;
//! labels are conditions each. Every endpoint names the keys it knows.

use crate::error::Error;
use regex_lite::Regex;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Parsed filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Spelling {
    New(BTreeMap<String, BTreeMap<String, bool>>),
    Old(BTreeMap<String, Vec<String>>),
}

impl Filters {
    /// Reads the parameter; an empty one filters nothing.
    ///
    /// # Errors
    /// 400 for text that is no filter and for a key not among `known`.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, Error> {
        let Self(map) = Self::read(text)?;
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Error::bad(format!("invalid filter '{key}'"))),
            None => Ok(Self(map)),
        }
    }

    /// The same with whatever keys.
    ///
    /// # Errors
    /// 400 for text that is no filter.
    pub fn read(text: &str) -> Result<Self, Error> {
        if matches!(text.trim(), "" | "null") {
            return Ok(Self::default());
        }
        let spelling = serde_json::from_str(text).map_err(|_| Error::bad("invalid filter"))?;
        Ok(Self(match spelling {
            Spelling::New(map) => map
                .into_iter()
                .map(|(key, values)| {
                    (key, values.into_iter().filter(|(_, on)| *on).map(|(v, _)| v).collect())
                })
                .collect(),
            Spelling::Old(map) => {
                map.into_iter().map(|(key, values)| (key, values.into_iter().collect())).collect()
            }
        }))
    }

    /// The same with one more value of a key: what old clients say beside it.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.0.entry(key.to_owned()).or_default().insert(value.to_owned());
        self
    }

    /// Is the key given at all?
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The values of a key.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flatten().map(String::as_str)
    }

    /// The only value of a key, if it is given.
    ///
    /// # Errors
    /// 400 when there are several.
    pub fn one(&self, key: &str) -> Result<Option<&str>, Error> {
        let mut values = self.values(key);
        let first = values.next();
        if values.next().is_some() { Err(self.invalid(key)) } else { Ok(first) }
    }

    /// True if the key is not given or one of its values satisfies `holds`.
    pub fn any(&self, key: &str, holds: impl Fn(&str) -> bool) -> bool {
        !self.has(key) || self.values(key).any(holds)
    }

    /// True if the key is not given or `actual` is one of its values.
    pub fn exactly(&self, key: &str, actual: &str) -> bool {
        self.any(key, |wanted| wanted == actual)
    }

    /// Docker's match for names and ids: equal, or a regular expression that
    /// matches somewhere in `actual`.
    pub fn matches(&self, key: &str, actual: &str) -> bool {
        self.any(key, |wanted| matches(wanted, actual))
    }

    /// A yes-or-no filter.
    ///
    /// # Errors
    /// 400 for a value that is neither, or both at once.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>, Error> {
        if !self.has(key) {
            return Ok(None);
        }
        let has = |words: &[&str]| self.values(key).any(|v| words.contains(&v));
        match (has(&["1", "true"]), has(&["0", "false"])) {
            (true, false) => Ok(Some(true)),
            (false, true) => Ok(Some(false)),
            _ => Err(self.invalid(key)),
        }
    }

    /// Every `label` holds and no `label!` does.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|actual| actual == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").all(holds) && !(self.has("label!") && self.values("label!").all(holds))
    }

    /// For the engine's own filtering.
    pub fn for_engine(&self) -> engine::Filters {
        let list = |(key, values): (&String, &BTreeSet<String>)| {
            (key.clone(), values.iter().cloned().collect())
        };
        engine::Filters(self.0.iter().map(list).collect())
    }

    /// The error that names this key and its values.
    pub fn invalid(&self, key: &str) -> Error {
        let values: Vec<&str> = self.values(key).collect();
        Error::bad(format!("invalid filter '{key}=[{}]'", values.join(" ")))
    }
}

/// Equal, or a regular expression that matches somewhere in `actual`.
pub fn matches(wanted: &str, actual: &str) -> bool {
    wanted == actual || Regex::new(wanted).is_ok_and(|regex| regex.is_match(actual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Filters {
        Filters::parse(text, &["label", "label!", "name", "dangling", "id"]).expect("a filter")
    }

    #[test]
    fn both_spellings_say_the_same() {
        let new = parse(r#"{"label":{"a=b":true,"c":true},"name":{"x":true,"no":false}}"#);
        let old = parse(r#"{"label":["a=b","c"],"name":["x"]}"#);
        assert_eq!(new, old);
        assert_eq!(parse(""), Filters::default());
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = Filters::parse(r#"{"zzz":["1"]}"#, &["name"]).expect_err("unknown");
        assert_eq!((error.status(), error.to_string().as_str()), (400, "invalid filter 'zzz'"));
    }

    #[test]
    fn text_that_is_no_filter_is_refused() {
        for text in ["{", "[]", "7", r#"{"name":"x"}"#, r#"{"name":{"x":3}}"#] {
            assert_eq!(Filters::parse(text, &["name"]).expect_err(text).status(), 400);
        }
    }

    #[test]
    fn a_name_is_a_regular_expression() {
        let filters = parse(r#"{"name":["^/?web[0-9]$"]}"#);
        assert!(filters.matches("name", "web1") && filters.matches("name", "/web2"));
        assert!(!filters.matches("name", "webx") && !filters.matches("name", "xweb1"));
        assert!(parse(r#"{"name":["a+("]}"#).matches("name", "a+("), "or the very name");
        assert!(parse("").matches("name", "anything"));
    }

    #[test]
    fn labels_are_all_wanted_and_the_negated_ones_unwanted() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert!(parse(r#"{"label":["a","a=b"]}"#).labels(&labels));
        assert!(!parse(r#"{"label":["a","c"]}"#).labels(&labels));
        assert!(!parse(r#"{"label!":["a=b"]}"#).labels(&labels));
        assert!(parse(r#"{"label!":["a=c"]}"#).labels(&labels));
    }

    #[test]
    fn a_yes_or_no_is_one_of_them() {
        assert_eq!(parse(r#"{"dangling":["1"]}"#).boolean("dangling").expect("yes"), Some(true));
        assert_eq!(
            parse(r#"{"dangling":["false"]}"#).boolean("dangling").expect("no"),
            Some(false)
        );
        let error = parse(r#"{"dangling":["maybe"]}"#).boolean("dangling").expect_err("neither");
        assert_eq!(error.to_string(), "invalid filter 'dangling=[maybe]'");
        assert!(parse(r#"{"dangling":["1","0"]}"#).boolean("dangling").is_err());
    }
}
