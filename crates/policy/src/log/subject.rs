//! What of a container a log may tell.

use crate::{Refusal, Wish};
use regex_lite::Regex;
use serde_json::{Value, json};
use spec::docker::LogConfig;
use std::collections::BTreeMap;
use template::Template;

type Attributes = BTreeMap<String, String>;

/// Expressions and templates are well formed.
pub fn check(asked: &LogConfig) -> Result<(), Refusal> {
    pattern(asked, "labels-regex")?;
    pattern(asked, "env-regex")?;
    if let Some(tag) = asked.config.get("tag") {
        parsed(tag)?;
    }
    Ok(())
}

/// The tag that was asked for, or this one, filled in.
pub fn tag(wish: &Wish<'_>, asked: &LogConfig, default: &str) -> Result<String, Refusal> {
    let text = asked.config.get("tag").map_or(default, String::as_str);
    let bad = |error: template::Error| Refusal::invalid(format!("invalid tag: {error}"));
    parsed(text)?.fill(&subject(wish)).map_err(bad)
}

fn parsed(tag: &str) -> Result<Template, Refusal> {
    Template::new(tag).map_err(|error| Refusal::invalid(format!("invalid tag: {error}")))
}

/// What a tag may ask for: the words of Docker's.
fn subject(wish: &Wish<'_>) -> Value {
    let short = |id: &str| id.chars().take(12).collect::<String>();
    let image = wish.log.image.strip_prefix("sha256:").unwrap_or(wish.log.image);
    let labels = wish.config.labels.clone();
    json!({
        "ID": short(wish.id),
        "FullID": wish.id,
        "Name": wish.log.name,
        "ImageID": short(image),
        "ImageFullID": wish.log.image,
        "ImageName": wish.config.image,
        "DaemonName": "docker",
        "ContainerID": wish.id,
        "ContainerName": format!("/{}", wish.log.name),
        "ContainerImageID": wish.log.image,
        "ContainerImageName": wish.config.image,
        "ContainerEnv": wish.config.env,
        "ContainerLabels": labels,
    })
}

/// The attributes of `json-file`, spelt as a JSON object; empty for none.
pub fn attributes(wish: &Wish<'_>, asked: &LogConfig) -> Result<String, Refusal> {
    let mut all = told(wish, asked, str::to_owned)?;
    // There is no tag unless one is asked for.
    let tag = tag(wish, asked, "")?;
    if !tag.is_empty() {
        all.insert("tag".into(), tag);
    }
    if all.is_empty() {
        return Ok(String::new());
    }
    let text = serde_json::to_string(&all)
        .map_err(|error| Refusal::invalid(format!("cannot spell the log's attributes: {error}")))?;
    // As Go's encoder escapes for HTML.
    let escaped = [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026")];
    Ok(escaped.iter().fold(text, |text, (from, to)| text.replace(*from, to)))
}

/// The fields that all entries of a container have in the journal: Docker's.
pub fn fields(wish: &Wish<'_>, asked: &LogConfig) -> Result<Vec<(String, String)>, Refusal> {
    let tag = tag(wish, asked, super::TAG)?;
    let own = [
        ("CONTAINER_ID", wish.id.chars().take(12).collect()),
        ("CONTAINER_ID_FULL", wish.id.to_owned()),
        ("CONTAINER_NAME", wish.log.name.to_owned()),
        ("CONTAINER_TAG", tag.clone()),
        ("IMAGE_NAME", wish.config.image.clone()),
        ("SYSLOG_IDENTIFIER", tag),
    ];
    let own: Vec<_> = own.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let mut all = told(wish, asked, field)?;
    all.retain(|key, _| !key.is_empty() && !own.iter().any(|(taken, _)| taken == key));
    Ok(own.into_iter().chain(all).collect())
}

/// A name as the journal has names: capitals, digits and underlines, and no
/// underline first.
///
/// Source: moby's `sanitizeKeyMod`.
fn field(key: &str) -> String {
    let name: String = key
        .to_uppercase()
        .chars()
        .map(|c| if c.is_ascii_uppercase() || c.is_ascii_digit() { c } else { '_' })
        .collect();
    name.trim_start_matches('_').to_owned()
}

/// The labels and variables that the options name, under changed names.
fn told(
    wish: &Wish<'_>,
    asked: &LogConfig,
    name: impl Fn(&str) -> String,
) -> Result<Attributes, Refusal> {
    let labels: Attributes =
        wish.config.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let env: Attributes = wish
        .config
        .env
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let mut all = Attributes::new();
    for (key, from) in [("labels", &labels), ("env", &env)] {
        for word in asked.config.get(key).map_or("", String::as_str).split(',') {
            if let Some(value) = from.get(word) {
                all.insert(name(word), value.clone());
            }
        }
        if let Some(pattern) = pattern(asked, &format!("{key}-regex"))? {
            let fits = from.iter().filter(|(known, _)| pattern.is_match(known));
            all.extend(fits.map(|(known, value)| (name(known), value.clone())));
        }
    }
    Ok(all)
}

fn pattern(asked: &LogConfig, key: &str) -> Result<Option<Regex>, Refusal> {
    let text = asked.config.get(key).filter(|text| !text.is_empty());
    let made = text.map(|text| {
        Regex::new(text)
            .map_err(|error| Refusal::invalid(format!("invalid value for {key}: {error}")))
    });
    made.transpose()
}
