//! Images from registries and to them, by the OCI distribution protocol.
//!
//! # A pull
//!
//! ```text
//!   name ─▶ endpoints (mirrors, HTTPS, HTTP where allowed)
//!        ─▶ manifest, or index and the manifest for the platform   (manifests)
//!        ─▶ configuration: what the layers are                     (blob)
//!        ─▶ each layer that is not here, several at a time         (blob)
//!           socket ─▶ hashed ─▶ unpacked by the store as it comes
//!        ─▶ the image, its digest and its name, in one step
//! ```
//!
//! Nothing is believed before its digest has been seen to be right, and
//! nothing is held in memory but a few buffers a layer. A layer that several
//! pulls want comes once ([`flights`]).
//!
//! Calls block; what is asynchronous about HTTP stays inside its library.
//! A client, with its connections and certificates, lives as long as one
//! operation.

mod answer;
mod ask;
mod auth;
mod blob;
mod download;
mod endpoint;
mod error;
mod flights;
mod manifests;
mod pull;
mod push;
mod referrers;
mod said;
mod session;
mod tags;
mod upload;

pub use ask::{Found, Hit};
pub use auth::Credentials;
pub use blob::Pace;
pub use download::download;
pub use endpoint::Settings;
pub use error::{Error, Kind};
pub use pull::{Pull, Pulled};
pub use push::{Push, Pushed};
pub use said::Said;

use flights::{Flights, Slots};

/// Blobs under way at a time, of all operations together: Docker's number.
const TRANSFERS: usize = 3;

/// Speaks to registries. Threads may share it.
pub struct Registry {
    settings: Settings,
    flights: Flights,
    slots: Slots,
}

impl Registry {
    /// Speaks to nobody yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, flights: Flights::default(), slots: Slots::new(TRANSFERS) }
    }
}
