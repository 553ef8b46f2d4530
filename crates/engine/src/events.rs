//! What happened, for whoever wants to know.
//!
//! An event is told to every listener, remembered with the latest thousand,
//! and left to the records, so that a new daemon can still replay it.

use crate::{
    Container, Engine, Nanos,
    store::{EVENTS_KEPT, Store, Write},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `container`, `image`, `volume`, `network`.
    pub kind: String,
    /// `create`, `die`, `exec_start: sh`, …
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
    latest: VecDeque<Event>,
    listeners: Vec<(u64, Listener)>,
    numbers: u64,
}

impl Journal {
    /// Goes on where the records end.
    pub fn new(store: Arc<Store>, past: &[String]) -> Self {
        let read = |json: &String| match serde_json::from_str(json) {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::warn!(%error, "an event of the past cannot be read");
                None
            }
        };
        let latest = past.iter().filter_map(read).collect();
        Self { store, inner: Mutex::new(Inner { latest, ..Inner::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no listener panics")
    }

    /// Tells everybody.
    pub fn say(&self, kind: &str, action: &str, actor: &str, attributes: BTreeMap<String, String>) {
        let mut inner = self.lock();
        let before = inner.latest.back().map_or(0, |event| event.at);
        let event = Event {
            kind: kind.to_owned(),
            action: action.to_owned(),
            actor: actor.to_owned(),
            attributes,
            at: crate::clock::now().max(before + 1),
        };
        for (_, listen) in &mut inner.listeners {
            listen(&event);
        }
        match serde_json::to_string(&event) {
            Ok(json) => self.store.leave(Write::Event { at: event.at, json }),
            Err(error) => tracing::error!(%error, "cannot spell an event"),
        }
        if inner.latest.len() == EVENTS_KEPT as usize {
            inner.latest.pop_front();
        }
        inner.latest.push_back(event);
    }

    /// Tells everybody of something that happened to a container; `more` is
    /// added to its image, name and labels.
    pub fn container(&self, container: &Container, action: &str, more: &[(&str, String)]) {
        let mut attributes = container.config.labels.clone();
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
            inner.latest.iter().filter(|event| event.at >= since).for_each(&mut listen);
        }
        inner.numbers += 1;
        let number = inner.numbers;
        inner.listeners.push((number, Box::new(listen)));
        Subscription { journal: Arc::clone(self), number }
    }
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
