//! What may be done over a scoped socket, and to which containers.
//!
//! Every line of the table of `route` has a [`Reach`]; what is not said to be
//! reached is not. A [`Scope`] holds what was allowed and the labels that a
//! container has to have; for a client on its socket there are no others.

use crate::error::Error;
use engine::{Container, Engine, Event, ScopedSocket};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Lists, `inspect` without variables, figures, processes, events.
    Read,
    /// Variables in `inspect`, which often hold secrets.
    Env,
    /// What a container wrote.
    Logs,
    /// The verb, and so are the next ones.
    Start,
    Stop,
    Restart,
    Kill,
    /// And its opposite.
    Pause,
    /// Other programs in a container.
    Exec,
    /// The program's own streams, its input too.
    Attach,
    /// Files, out of a container.
    Files,
}

impl Right {
    /// All, and the words for them.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Read, "read"),
        (Self::Env, "env"),
        (Self::Logs, "logs"),
        (Self::Start, "start"),
        (Self::Stop, "stop"),
        (Self::Restart, "restart"),
        (Self::Kill, "kill"),
        (Self::Pause, "pause"),
        (Self::Exec, "exec"),
        (Self::Attach, "attach"),
        (Self::Files, "files"),
    ];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(right, _)| *right)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(right, _)| *right == self).map_or("", |(_, word)| word)
    }
}

/// How far a scoped socket reaches a line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not at all: it is about more than containers that are there, or it
    /// changes what one is.
    Never,
    /// Whatever is allowed: it tells nothing of any container.
    Always,
    /// It is a list, and the handler leaves out what is not in scope.
    Lists(Right),
    /// To the container that the path names.
    Container(Right),
    /// The same, with any right at all: clients ask this before other things.
    Seen,
    /// To the exec session that the path names, by its container.
    Session(Right),
}

/// Words of events that are no labels: a label of such a name would be hidden
/// by them, or taken for one.
const TAKEN: [&str; 12] = [
    "comment",
    "container",
    "execDuration",
    "execID",
    "exitCode",
    "image",
    "imageID",
    "imageRef",
    "name",
    "oldName",
    "path",
    "signal",
];

/// What of `inspect` is seen with any right.
const LITTLE: [&str; 6] = ["Id", "Name", "Created", "State", "Config", "RestartCount"];
/// And of its `Config`: whether there is a terminal, and whose it is.
const LITTLE_OF_CONFIG: [&str; 6] =
    ["Tty", "OpenStdin", "StdinOnce", "AttachStdin", "Labels", "Image"];

/// What one socket allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    rights: BTreeSet<Right>,
    labels: BTreeMap<String, String>,
}

impl Scope {
    /// Reads what was asked for or recorded.
    ///
    /// # Errors
    /// 400 for words that are unknown, for nothing allowed, and for no labels.
    pub fn of(socket: &ScopedSocket) -> Result<Self, Error> {
        let known = || Right::ALL.map(|(_, word)| word).join(", ");
        let right = |word: &String| {
            Right::parse(word)
                .ok_or_else(|| Error::bad(format!("unknown right {word:?}: there are {}", known())))
        };
        let rights = socket.allow.iter().map(right).collect::<Result<BTreeSet<_>, _>>()?;
        if rights.is_empty() {
            return Err(Error::bad(format!(
                "a socket that allows nothing: say some of {}",
                known()
            )));
        }
        if socket.labels.is_empty() {
            return Err(Error::bad(
                "a scoped socket needs a label that its containers have: say --label KEY=VALUE",
            ));
        }
        if let Some(key) = socket.labels.keys().find(|key| TAKEN.contains(&key.as_str())) {
            return Err(Error::bad(format!(
                "a label named {key:?} cannot say whose an event is: use another"
            )));
        }
        if socket.labels.keys().any(String::is_empty) {
            return Err(Error::bad("a label needs a name"));
        }
        Ok(Self { rights, labels: socket.labels.clone() })
    }

    /// Is it allowed?
    pub fn allows(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    /// Is the container one of its own?
    pub fn sees(&self, container: &Container) -> bool {
        self.covers(&container.config.labels)
    }

    /// Is the event one of its own containers'? An event has the labels that
    /// its container had; one whose labels were too long to be told is nobody's.
    pub fn hears(&self, event: &Event) -> bool {
        event.kind == "container" && self.covers(&event.attributes)
    }

    fn covers(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    /// What of an inspected container may be seen: all but its variables, or
    /// the little that clients ask before they do something else.
    ///
    /// # Errors
    /// None of our own types.
    pub fn lets_see(&self, whole: &impl Serialize) -> Result<Value, Error> {
        let mut whole = serde_json::to_value(whole).map_err(|e| Error::ours(e.to_string()))?;
        if !self.allows(Right::Read) {
            keep(&mut whole, &LITTLE);
            whole.get_mut("Config").into_iter().for_each(|config| keep(config, &LITTLE_OF_CONFIG));
        }
        if !self.allows(Right::Env)
            && let Some(config) = whole.get_mut("Config").and_then(Value::as_object_mut)
        {
            config.remove("Env");
        }
        Ok(whole)
    }

    /// A container by identifier, name or unique prefix, as if there were no
    /// others.
    ///
    /// # Errors
    /// 404, whether there is none or one that is not in scope.
    pub fn find(&self, engine: &Engine, reference: &str) -> Result<Arc<Container>, Error> {
        let mine = engine.containers().into_iter().filter(|container| self.sees(container));
        pick(&mine.collect::<Vec<_>>(), reference)
    }
}

/// Takes all other keys away.
fn keep(value: &mut Value, keys: &[&str]) {
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, _| keys.contains(&key.as_str()));
    }
}

/// The one of these that is meant.
fn pick(all: &[Arc<Container>], reference: &str) -> Result<Arc<Container>, Error> {
    let name = reference.strip_prefix('/').unwrap_or(reference);
    let whole = all.iter().find(|c| c.id.as_str() == reference);
    if let Some(exact) = whole.or_else(|| all.iter().find(|c| c.name == name)) {
        return Ok(Arc::clone(exact));
    }
    let missing = || Error::missing(format!("No such container: {reference}"));
    if reference.is_empty() {
        return Err(missing());
    }
    let fitting: Vec<_> = all.iter().filter(|c| c.id.as_str().starts_with(reference)).collect();
    match &fitting[..] {
        [only] => Ok(Arc::clone(only)),
        [] => Err(missing()),
        _ => Err(Error::bad(format!("multiple IDs found with provided prefix: {reference}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(allow: &[&str], labels: &[(&str, &str)]) -> ScopedSocket {
        ScopedSocket {
            name: "s".into(),
            allow: allow.iter().map(|word| (*word).to_owned()).collect(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            uid: 0,
            gid: 0,
            created: 0,
        }
    }

    fn event(kind: &str, attributes: &[(&str, &str)]) -> Event {
        Event {
            kind: kind.into(),
            action: "start".into(),
            actor: "x".into(),
            attributes: attributes.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            at: 1,
        }
    }

    #[test]
    fn every_right_has_a_word_of_its_own() {
        for (right, word) in Right::ALL {
            assert_eq!((Right::parse(word), right.word()), (Some(right), word));
        }
        assert_eq!(Right::parse("create"), None);
    }

    #[test]
    fn a_scope_allows_something_to_containers_with_a_label() {
        let refused = |allow: &[&str], labels: &[(&str, &str)]| {
            Scope::of(&socket(allow, labels)).expect_err("refused").to_string()
        };
        assert!(refused(&["create"], &[("a", "b")]).contains("unknown right \"create\""));
        assert!(refused(&[], &[("a", "b")]).contains("allows nothing"));
        assert!(refused(&["read"], &[]).contains("--label KEY=VALUE"));
        assert!(refused(&["read"], &[("name", "web")]).contains("whose an event is"));
        assert!(refused(&["read"], &[("", "web")]).contains("needs a name"));
    }

    #[test]
    fn an_event_is_heard_by_all_labels_and_of_containers_alone() {
        let scope = Scope::of(&socket(&["read"], &[("a", "1"), ("b", "2")])).expect("fine");
        assert!(scope.hears(&event("container", &[("a", "1"), ("b", "2"), ("name", "x")])));
        assert!(!scope.hears(&event("container", &[("a", "1"), ("b", "3")])));
        assert!(!scope.hears(&event("container", &[("a", "1")])));
        assert!(!scope.hears(&event("network", &[("a", "1"), ("b", "2")])));
    }
}
