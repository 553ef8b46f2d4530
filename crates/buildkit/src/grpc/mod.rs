//! gRPC over HTTP/2: messages with a head of five bytes, a status in the
//! trailers. Own code on `h2`, because on `/session` the two ends change
//! places (the client of the HTTP connection serves), and what is needed of
//! gRPC is this much.
//!
//! Source: "gRPC over HTTP2", PROTOCOL-HTTP2.md of gRPC.

pub mod client;
mod frames;
pub mod server;
mod status;

pub use frames::{Incoming, Outgoing};
pub use status::{Code, Status};
