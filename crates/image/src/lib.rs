//! Content by digest, image documents, names.
//!
//! # The life of content
//!
//! ```text
//!   a stream ──▶ ingest (a temporary name; hashed, decompressed, unpacked)
//!                  │ digest right, all on disk
//!                  ▼
//!                committed (blobs/sha256/…, layers/<diff id>), immutable
//!                  │ an image record names it
//!                  ▼
//!                in use ── last name and last user gone ──▶ removed
//! ```
//!
//! A name moves last. Power may fail anywhere: what no record names is
//! rubbish, and swept by [`Store::open`]; what a record names is whole.
//!
//! An image's id is the digest of its configuration, as in Docker. A layer is
//! kept once, unpacked, together with what is needed to write out its very
//! tar again, byte for byte.

mod archive;
mod check;
mod collect;
mod content;
mod digest;
mod error;
mod ingest;
mod instructions;
mod load;
mod make;
mod outgoing;
mod partial;
mod passed;
mod record;
mod record_upkeep;
mod records;
mod removal;
mod save;
mod step_records;
mod steps;
mod store;
mod take_over;

pub use check::{Check, Checked, Finding, Mend};
pub use collect::Candidate;
pub use digest::digest;
pub use error::{Error, Kind};
pub use ingest::{Arrived, Ingest};
pub use load::Loaded;
pub use make::{Commit, Import, host, time as timestamp, time_of as timestamp_of};
pub use partial::Partial;
pub use record::{Deleted, Detail, HistoryItem, Pruned, Summary};
pub use records::Blob;
pub use removal::Given;
pub use steps::{Draft, Kept, Layer, Making, Step};
pub use store::{Store, Usage, nanos};
pub use take_over::{Foreign, TakenOver};
