//! Filters, as clients give them: words to accepted values.

use crate::{Error, Nanos};
use spec::duration::nanoseconds;
use std::collections::BTreeMap;

/// `filters=` of a request, in either of its spellings, already read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

impl Filters {
    /// # Errors
    /// One that is not among these, in Docker's words.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Error::Invalid(format!("invalid filter '{key}'"))),
            None => Ok(()),
        }
    }

    pub(crate) fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// A switch, if it is given.
    ///
    /// # Errors
    /// Another value than a yes or a no.
    pub(crate) fn yes(&self, key: &str) -> Result<Option<bool>, Error> {
        let read = |value: &String| match value.as_str() {
            "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
            "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
            other => Err(Error::Invalid(format!("invalid filter '{key}={other}'"))),
        };
        self.values(key).first().map(read).transpose()
    }

    /// The time before which something must have been made.
    ///
    /// # Errors
    /// What is neither a time nor a duration.
    pub(crate) fn until(&self, now: Nanos) -> Result<Option<Nanos>, Error> {
        let read = |text: &String| {
            moment(text, now)
                .ok_or_else(|| Error::Invalid(format!("invalid filter 'until={text}'")))
        };
        self.values("until").first().map(read).transpose()
    }

    /// The same by another name.
    ///
    /// # Errors
    /// As [`Filters::until`].
    pub(crate) fn until_of(&self, key: &str, now: Nanos) -> Result<Option<Nanos>, Error> {
        let read = |text: &String| {
            moment(text, now)
                .ok_or_else(|| Error::Invalid(format!("invalid filter '{key}={text}'")))
        };
        self.values(key).first().map(read).transpose()
    }

    /// Is this one of a filter's values, if it has any?
    pub(crate) fn fits(&self, key: &str, value: &str) -> bool {
        let values = self.values(key);
        values.is_empty() || values.iter().any(|wish| wish == value)
    }

    /// Do `label` and `label!` let this pass?
    pub(crate) fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let fits = |wish: &String| match wish.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wish),
        };
        self.values("label").iter().all(fits) && !self.values("label!").iter().any(fits)
    }
}

/// Reads RFC 3339, seconds since the epoch, or a duration before now (`24h`).
fn moment(text: &str, now: Nanos) -> Option<Nanos> {
    if let Some(nanos) = spec::stamp::parse(text) {
        return Some(nanos);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let time = std::time::Duration::try_from_secs_f64(seconds).ok()?;
        return u64::try_from(time.as_nanos()).ok();
    }
    now.checked_sub(Nanos::try_from(nanoseconds(text)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(pairs: &[(&str, &str)]) -> Filters {
        let mut filters = Filters::default();
        for (key, value) in pairs {
            filters.0.entry((*key).into()).or_default().push((*value).into());
        }
        filters
    }

    #[test]
    fn an_unknown_filter_is_refused_in_dockers_words() {
        let refused = filters(&[("zzz", "1")]).only(&["label"]).expect_err("unknown");
        assert_eq!(refused.to_string(), "invalid filter 'zzz'");
    }

    #[test]
    fn labels_must_all_fit_and_unwanted_ones_must_not() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".into(), "2".into())]);
        assert!(filters(&[("label", "a"), ("label", "b=2")]).labels(&labels));
        assert!(!filters(&[("label", "a"), ("label", "b=3")]).labels(&labels));
        assert!(!filters(&[("label!", "a=1")]).labels(&labels));
        assert!(filters(&[("label!", "c")]).labels(&labels));
    }

    #[test]
    fn until_takes_times_and_durations() {
        let now = 10_000_000_000_000;
        let until = |text| filters(&[("until", text)]).until(now).ok().flatten();
        assert_eq!(until("5"), Some(5_000_000_000));
        assert_eq!(until("1970-01-01T00:00:05Z"), Some(5_000_000_000));
        assert_eq!(until("1h30m"), Some(now - 5_400_000_000_000));
        assert_eq!(until("500ms"), Some(now - 500_000_000));
        assert_eq!(until("yesterday"), None);
        assert_eq!(until("1x"), None);
    }
}
