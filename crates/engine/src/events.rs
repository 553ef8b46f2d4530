//! What happened, for whoever wants to know.

use crate::{Engine, Nanos};
use std::collections::BTreeMap;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `container`, `image`, `volume`, `network`.
    pub kind: String,
    /// `create`, `die`, `exec_start: sh`, …
    pub action: String,
    /// Identifier or name of what it happened to.
    pub actor: String,
    /// `image`, `name`, `exitCode`, labels, …
    pub attributes: BTreeMap<String, String>,
    /// When.
    pub at: Nanos,
}

/// Ends a subscription when dropped.
pub struct Subscription {}

impl Engine {
    /// Calls `listen` with every event of the journal since then, if a time
    /// is given, and from now on with every new one, in order and without a
    /// gap. It must not block.
    pub fn events(
        &self,
        since: Option<Nanos>,
        listen: impl FnMut(&Event) + Send + 'static,
    ) -> Subscription {
        todo!()
    }
}
