//! The Docker Engine HTTP API ⇄ engine calls.
//!
//! [`serve`] is the whole of it: it accepts connections on unix sockets and
//! answers requests until told to stop. A request is taken apart
//! (`call`, `query`), finds its line in the table of `route`, and is worked
//! on by a handler in the file of its noun; an error's kind becomes a status.
//!
//! | file | what is asked |
//! |---|---|
//! | `system` | ping, version, info, df, plugins |
//! | `containers`, `listed`, `inspected` | lists, `inspect`, the verbs |
//! | `streams`, `stats`, `exec`, `hijack` | attach, logs, wait, stats, exec |
//! | `websocket` | attach, for who has no other stream |
//! | `archive` | cp, export |
//! | `images`, `transfer` | images; load, save, import |
//! | `registries` | pull, push, log in, search |
//! | `volumes`, `networks`, `events`, `audit`, `why`, `doctor` | as they say |
//! | `metrics`, `exposition`, `scraped` | figures for Prometheus |
//! | `upgrade` | BuildKit's two connections |
//! | `sockets`, `doors`, `gate`, `scope`, `journal` | sockets for those who may do less |
//! | `refused` | what is not carried |
//!
//! Async ends here: everything the engine does is a blocking call on a thread
//! of its own, and everything that has to be waited for is a callback.

#![expect(clippy::struct_field_names, reason = "fields of JSON bear the API's own names")]
#![expect(clippy::unnecessary_wraps, reason = "all handlers have one signature")]

mod answer;
mod archive;
mod arriving;
mod audit;
mod build;
mod build_words;
mod call;
mod containers;
mod detach;
mod doctor;
mod doors;
mod error;
mod events;
mod exec;
mod exposition;
mod filter;
mod fold;
mod gate;
mod glob;
mod hijack;
mod images;
mod inspected;
mod journal;
mod lean;
mod listed;
mod metrics;
mod networks;
mod pipe;
mod query;
mod refused;
mod registries;
mod route;
mod scope;
mod scraped;
pub mod secure;
mod server;
mod socket;
mod sockets;
mod stats;
mod status;
mod streams;
mod system;
mod talk;
mod target;
mod transfer;
mod unpack;
mod upgrade;
mod upkeep;
mod volumes;
mod websocket;
mod when;
mod why;

pub use server::{Listener, serve};
