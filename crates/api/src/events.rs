//! `GET /events`: what happens, as it happens.

use crate::answer::{Answer, Content, Outcome};
use crate::call::Call;
use crate::error::Error;
use crate::filter::Filters;
use crate::streams::blocking;
use crate::when;
use engine::{Event, Nanos};
use hyper::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Events that a client may be behind before it loses its connection.
const BEHIND: usize = 1 << 16;

const FILTERS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

/// One event, with the fields of old clients before those of new ones.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    status: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    from: &'a str,
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(rename = "Action")]
    action: &'a str,
    #[serde(rename = "Actor")]
    actor: Actor<'a>,
    scope: &'static str,
    time: u64,
    #[serde(rename = "timeNano")]
    time_nano: Nanos,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Actor<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    attributes: &'a BTreeMap<String, String>,
}

impl<'a> Message<'a> {
    fn of(event: &'a Event) -> Self {
        let attribute = |key: &str| event.attributes.get(key).map_or("", String::as_str);
        let (status, id, from) = match &*event.kind {
            "container" => (&*event.action, &*event.actor, attribute("image")),
            "image" => (&*event.action, &*event.actor, ""),
            _ => ("", "", ""),
        };
        Self {
            status,
            id,
            from,
            kind: &event.kind,
            action: &event.action,
            actor: Actor { id: &event.actor, attributes: &event.attributes },
            scope: "local",
            time: when::seconds(event.at),
            time_nano: event.at,
        }
    }

    fn line(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(self).expect("maps with string keys can be written");
        text.push(b'\n');
        text
    }
}

/// `GET /events`: headers at once, then one object an event.
pub async fn follow(mut call: Call) -> Outcome {
    call.read_body().await?;
    let filters = Filters::parse(call.query.text("filters"), FILTERS)?;
    let since = when::in_query(&call.query, "since")?;
    let until = when::in_query(&call.query, "until")?;
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(Error::bad("`since` time cannot be after `until` time"));
    }
    let (sender, pieces) = mpsc::channel(BEHIND);
    let tap = Arc::new(Mutex::new(Some(sender)));
    let feeding = Arc::clone(&tap);
    let scope = call.scope().cloned();
    let subscription = blocking(move || {
        Ok(call.engine.events(since, move |event| {
            if until.is_some_and(|until| event.at > until)
                || !wanted(&filters, event)
                || scope.as_ref().is_some_and(|scope| !scope.hears(event))
            {
                return;
            }
            let mut tap = feeding.lock().unwrap_or_else(PoisonError::into_inner);
            let line = Ok(Message::of(event).line().into());
            if tap.as_ref().is_some_and(|sender| sender.try_send(line).is_err()) {
                // It has left, or reads too slowly to be told everything.
                *tap = None;
            }
        }))
    })
    .await?;
    let end = until.map(|until| {
        let left = Duration::from_nanos(until.saturating_sub(when::now()));
        AbortOnDrop(tokio::spawn(async move {
            tokio::time::sleep(left).await;
            *tap.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }))
    });
    Ok(Answer::of(StatusCode::OK, "application/json", Content::Stream(pieces))
        .holding((subscription, end)))
}

/// A task that ends with whoever holds this.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn wanted(filters: &Filters, event: &Event) -> bool {
    let attribute = |key: &str| event.attributes.get(key).map_or("", String::as_str);
    // An exec's action carries its command and a health check's its result.
    let action = event.action.split(':').next().unwrap_or_default();
    let named = |kind: &str| {
        filters.any(kind, |wanted| {
            event.kind == kind
                && (event.actor.starts_with(wanted) || attribute("name").starts_with(wanted))
        })
    };
    let of_image = filters.any("image", |wanted| {
        let known_as = match &*event.kind {
            "container" => attribute("image"),
            "image" => attribute("name"),
            _ => return false,
        };
        known_as == wanted
            || known_as.rsplit_once(':').is_some_and(|(name, _)| name == wanted)
            || (event.kind == "image" && event.actor == wanted)
    });
    filters.exactly("type", &event.kind)
        && filters.any("event", |wanted| wanted == event.action || wanted == action)
        && filters.exactly("scope", "local")
        && filters.labels(&event.attributes)
        && of_image
        && [
            "container",
            "volume",
            "network",
            "plugin",
            "daemon",
            "service",
            "node",
            "secret",
            "config",
        ]
        .iter()
        .all(|kind| named(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, action: &str) -> Event {
        let attributes = [("image", "alpine:3"), ("name", "web"), ("tier", "front")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        Event {
            kind: kind.into(),
            action: action.into(),
            actor: "abcdef".into(),
            attributes: attributes.into(),
            at: 1_700_000_000_000_000_007,
        }
    }

    fn wants(filter: &str, event: &Event) -> bool {
        wanted(&Filters::parse(filter, FILTERS).expect(filter), event)
    }

    #[test]
    fn an_event_of_a_container_has_the_old_fields_too() {
        let line = Message::of(&event("container", "die")).line();
        let text = String::from_utf8(line).expect("text");
        assert!(text.starts_with(
            r#"{"status":"die","id":"abcdef","from":"alpine:3","Type":"container","Action":"die","Actor":{"ID":"abcdef","Attributes":{"#
        ), "{text}");
        assert!(text.ends_with(
            "\"scope\":\"local\",\"time\":1700000000,\"timeNano\":1700000000000000007}\n"
        ));
    }

    #[test]
    fn an_event_of_a_network_has_not() {
        let line = Message::of(&event("network", "connect")).line();
        assert!(line.starts_with(br#"{"Type":"network","#));
    }

    #[test]
    fn filters_choose_by_kind_name_and_action() {
        let exec = event("container", "exec_start: sh -c true");
        for holds in [
            "",
            r#"{"type":["container"]}"#,
            r#"{"event":["exec_start"],"container":["abc"]}"#,
            r#"{"container":{"web":true,"other":true}}"#,
            r#"{"image":["alpine"],"label":["tier=front"]}"#,
        ] {
            assert!(wants(holds, &exec), "{holds}");
        }
        for fails in [
            r#"{"type":["image"]}"#,
            r#"{"event":["exec"]}"#,
            r#"{"container":["db"]}"#,
            r#"{"network":["web"]}"#,
            r#"{"image":["debian"]}"#,
            r#"{"label":["tier=back"]}"#,
        ] {
            assert!(!wants(fails, &exec), "{fails}");
        }
    }
}
