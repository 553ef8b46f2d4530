//! Layers into a copy-on-write root and back.
//!
//! # A layer
//!
//! The tar of a layer is hostile input. [`unpack`] reads it once, as a
//! stream, and writes what it says below one directory that it was given and
//! nowhere else; the result is what overlayfs takes as a lower layer
//! (whiteouts are character devices 0:0, opaque directories carry
//! `trusted.overlay.opaque`), with the ids that the tar names. It is never
//! changed afterwards.
//!
//! # A container's root
//!
//! ```text
//!   prepare ──▶ Root { upper, work } ── mount(layers) ──▶ a detached overlay
//!      │             │                                      (moved into the
//!      │             ├─ changes, pack, size                  container's mount
//!      └── remove ◀──┘                                       namespace)
//! ```
//!
//! Lower layers reach the container's range of ids through idmapped mounts;
//! the upper directory is born in that range and is shifted back whenever it
//! is packed. One of the host's own ids (a build's `COPY`) can become a layer
//! as it lies there: [`Root::adopt`]. Nothing is ever attached to the host's tree of mounts.

mod adopt;
mod changes;
mod entry;
mod error;
mod ids;
mod left;
mod limits;
mod link;
mod merge;
mod node;
mod overlay;
mod pack;
mod pax;
mod place;
mod quota;
mod reader;
mod recipe;
mod root;
mod sparse;
mod transfer;
mod tree;
mod unpack;
mod whiteout;
mod xattrs;

pub use changes::{Change, ChangeKind};
pub use entry::{Entry, EntryKind};
pub use error::{Error, Kind};
pub use ids::IdRange;
pub use left::{Left, Tree, settle};
pub use limits::Limits;
pub use link::{Linked, Way, link_tree};
pub use merge::merge;
pub use quota::{Quotas, size};
pub use reader::{BUFFER, Reader};
pub use recipe::{Recipe, repack};
pub use root::{Root, measure, mount_read_only, remove};
pub use transfer::{
    PathStat, PutOptions, export, export_whole, get, make_point, put, put_leaving, stat,
};
pub use unpack::{ROOT as LAYER_ROOT, SPARE as LAYER_SPARE, Unpacked, unpack, unpack_leaving};
