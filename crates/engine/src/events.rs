//! What happened, for whoever wants to know.
//!
//! An event is told to every listener, remembered with the latest thousand,
//! and left to the records, so that a new daemon can still replay it.

use crate::{
    Container, Engine, Nanos,
    store::{EVENT_BYTES, EVENTS_KEPT, Store, Write},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

/// Longest action that is told, in bytes: one may hold a command, and that may
/// be as long as an image likes.
const ACTION: usize = 4 << 10;
/// Labels that are told with an event, in bytes of names and values.
const LABELS: usize = 16 << 10;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `container`, `image`, `volume`, `network`.
    pub kind: String,
    /// `create`, `die`, `exec_start: sh`, …; cut, and `...` put in its place,
    /// beyond 4 KiB.
    pub action: String,
    /// Identifier or name of what it happened to.
    pub actor: String,
    /// `image`, `name`, `exitCode`, labels, …
    pub attributes: BTreeMap<String, String>,
    /// When; no two are the same.
    pub at: Nanos,
}

/// Ends a subscription when dropped.
#[must_use = "dropping it ends the subscription"]
pub struct Subscription {
    journal: Arc<Journal>,
    number: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut inner = self.journal.lock();
        let at = inner.listeners.iter().position(|(number, _)| *number == self.number);
        let gone = at.map(|at| inner.listeners.swap_remove(at));
        // What the listener holds may want to speak to the journal as it goes.
        drop(inner);
        drop(gone);
    }
}

type Listener = Box<dyn FnMut(&Event) + Send>;

/// All events, past and to come.
pub(crate) struct Journal {
    store: Arc<Store>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    latest: Latest,
    listeners: Vec<(u64, Listener)>,
    numbers: u64,
}

/// The latest events: so many of them, and of so many bytes.
#[derive(Default)]
struct Latest {
    /// Each with its bytes.
    events: VecDeque<(usize, Event)>,
    bytes: usize,
}

impl Latest {
    fn push(&mut self, event: Event, bytes: usize) {
        self.events.push_back((bytes, event));
        self.bytes += bytes;
        while self.events.len() > EVENTS_KEPT as usize || self.bytes > EVENT_BYTES {
            let Some((bytes, _)) = self.events.pop_front() else { return };
            self.bytes -= bytes;
        }
    }
}

impl Journal {
    /// Goes on where the records end.
    pub fn new(store: Arc<Store>, past: &[String]) -> Self {
        let mut latest = Latest::default();
        for json in past {
            match serde_json::from_str(json) {
                Ok(event) => latest.push(event, json.len()),
                Err(error) => tracing::warn!(%error, "an event of the past cannot be read"),
            }
        }
        Self { store, inner: Mutex::new(Inner { latest, ..Inner::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no listener panics")
    }

    /// Tells everybody.
    pub fn say(&self, kind: &str, action: &str, actor: &str, attributes: BTreeMap<String, String>) {
        let mut inner = self.lock();
        let before = inner.latest.events.back().map_or(0, |(_, event)| event.at);
        let event = Event {
            kind: kind.to_owned(),
            action: cut(action),
            actor: actor.to_owned(),
            attributes,
            at: crate::clock::now().max(before + 1),
        };
        for (_, listen) in &mut inner.listeners {
            listen(&event);
        }
        match serde_json::to_string(&event) {
            Ok(json) => {
                inner.latest.push(event, json.len());
                let at = inner.latest.events.back().map_or(0, |(_, event)| event.at);
                self.store.leave(Write::Event { at, json });
            }
            Err(error) => tracing::error!(%error, "cannot spell an event"),
        }
    }

    /// Tells everybody of something that happened to a container; `more` is
    /// added to its image, name and labels, of which 16 KiB are told.
    pub fn container(&self, container: &Container, action: &str, more: &[(&str, String)]) {
        let mut attributes = few(&container.config.labels);
        attributes.insert("image".into(), container.config.image.clone());
        attributes.insert("name".into(), container.name.clone());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.say("container", action, container.id.as_str(), attributes);
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.lock().listeners.len()
    }

    /// See [`Engine::events`].
    pub fn subscribe(
        self: &Arc<Self>,
        since: Option<Nanos>,
        mut listen: impl FnMut(&Event) + Send + 'static,
    ) -> Subscription {
        let mut inner = self.lock();
        if let Some(since) = since {
            let events = inner.latest.events.iter().map(|(_, event)| event);
            events.filter(|event| event.at >= since).for_each(&mut listen);
        }
        inner.numbers += 1;
        let number = inner.numbers;
        inner.listeners.push((number, Box::new(listen)));
        Subscription { journal: Arc::clone(self), number }
    }
}

/// An action as it is told.
fn cut(action: &str) -> String {
    if action.len() <= ACTION {
        return action.to_owned();
    }
    action[..action.floor_char_boundary(ACTION)].to_owned() + "..."
}

/// The first of these labels, as many as are told.
fn few(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut left = LABELS;
    let fits = |(name, value): &(&String, &String)| {
        let rest = left.checked_sub(name.len() + value.len());
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    labels.iter().filter(fits).map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl Engine {
    /// Calls `listen` with every event of the journal since then, if a time
    /// is given, and from now on with every new one, in order and without a
    /// gap. It must not block.
    pub fn events(
        &self,
        since: Option<Nanos>,
        listen: impl FnMut(&Event) + Send + 'static,
    ) -> Subscription {
        self.0.journal.subscribe(since, listen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn journal(dir: &tempfile::TempDir) -> Arc<Journal> {
        let (store, left) = Store::open(&dir.path().join("state.db")).expect("opened");
        Arc::new(Journal::new(Arc::new(store), &left.events))
    }

    fn heard(
        journal: &Arc<Journal>,
        since: Option<Nanos>,
    ) -> (Subscription, mpsc::Receiver<Event>) {
        let (tell, heard) = mpsc::channel();
        let listen = move |event: &Event| {
            let _ = tell.send(event.clone());
        };
        (journal.subscribe(since, listen), heard)
    }

    #[test]
    fn a_listener_hears_past_and_present_in_order() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let journal = journal(&dir);
        journal.say("container", "create", "a", BTreeMap::new());
        let (subscription, heard) = heard(&journal, Some(0));
        journal.say("container", "start", "a", BTreeMap::new());
        drop(subscription);
        journal.say("container", "die", "a", BTreeMap::new());
        let actions: Vec<_> = heard.iter().map(|event| event.action).collect();
        assert_eq!(actions, ["create", "start"], "and nothing after it left");
    }

    #[test]
    fn no_two_events_have_the_same_time() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let journal = journal(&dir);
        (0..100).for_each(|_| journal.say("volume", "create", "v", BTreeMap::new()));
        let (subscription, heard) = heard(&journal, Some(0));
        drop(subscription);
        let times: Vec<_> = heard.iter().map(|event| event.at).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    }

    #[test]
    fn what_an_image_makes_long_is_told_short() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let journal = journal(&dir);
        let (subscription, heard) = heard(&journal, None);
        let action = format!("exec_create: {}", "é".repeat(1 << 20));
        journal.say("container", &action, "a", BTreeMap::new());
        drop(subscription);
        let told = heard.try_recv().expect("one event").action;
        assert!(told.len() <= ACTION + 3 && action.starts_with(told.trim_end_matches("...")));
        let label = |name: &str, length: usize| (name.to_owned(), "x".repeat(length));
        let labels = BTreeMap::from([label("a", 10), label("b", LABELS), label("c", 20)]);
        assert_eq!(few(&labels), BTreeMap::from([label("a", 10), label("c", 20)]));
    }

    #[test]
    fn the_latest_are_no_more_than_so_many_bytes() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let old = journal(&dir);
        let long = BTreeMap::from([("x".to_owned(), "x".repeat(EVENT_BYTES / 10))]);
        (0..30).for_each(|_| old.say("volume", "create", "v", long.clone()));
        let kept = |journal: &Journal| journal.lock().latest.events.len();
        assert_eq!(kept(&old), 9);
        drop(old);
        assert_eq!(kept(&journal(&dir)), 9, "nor are they more for the next daemon");
    }

    #[test]
    fn a_new_daemon_can_replay_what_an_old_one_said() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let old = journal(&dir);
        old.say("volume", "create", "v", BTreeMap::from([("driver".into(), "local".into())]));
        drop(old);
        let new = journal(&dir);
        let (_subscription, heard) = heard(&new, Some(0));
        let event = heard.try_recv().expect("one event");
        assert_eq!(
            (event.action.as_str(), event.attributes["driver"].as_str()),
            ("create", "local")
        );
    }
}
