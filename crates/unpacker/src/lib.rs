//! Archives of strangers, taken apart by processes that have few rights or
//! none.
//!
//! Each is the daemon's program, executed again as `cofferdamd unpacker …` for
//! one archive, and ends with it, or with the daemon. What is compressed is
//! undone by one that can read what it is given and write what comes of it,
//! and nothing else; the plain tar is parsed and written out by another, for
//! which there is no file but those below one directory, which is its root.
//!
//! ```text
//!             a stream                       a stream
//!                │                              │
//!   daemon ── feeds ─────▶ inflate              │   plain, or through inflate
//!                             │                 ▼
//!   daemon ◀── plain bytes ───┘               daemon: counts and hashes
//!                                               │
//!                                             feeds ─────▶ layer, in a directory
//!                                               ◀── what came of it ──┘
//! ```
//!
//! # What one that was taken over can do
//!
//! It can say what it likes. So a layer's digest is of the bytes that the
//! daemon handed to who unpacks it: who undoes the compression says nothing
//! about them, and who unpacks them has no say in what they are called. A
//! hostile stream can therefore make a wrong layer of its own digest, as any
//! stream can, and none of another's. What a layer's directory holds is looked
//! at once its process has ended, and the recipe that it wrote is read by a
//! process of the same kind.

mod codec;
mod error;
mod held;
mod process;
mod recipe;
mod ring;
mod start;
mod wire;
mod work;
mod xz;

pub use codec::{Begins, Forms};
pub use error::{Error, Kind};
pub use process::main;
pub use recipe::{NAME as RECIPE, Writer as RecipeWriter, create as create_recipe};
pub use start::Inflated;
pub use work::{Layer, Put, Workers};
