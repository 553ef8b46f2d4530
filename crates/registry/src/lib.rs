//! Images from registries and to them, by the OCI distribution protocol.

mod error;

pub use error::{Error, Kind};
