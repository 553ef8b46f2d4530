//! The nouns of the engine. Plain data: nothing here opens a file, reads a
//! clock or asks the kernel.
//!
//! - [`capability`]: the names of Linux capabilities.
//! - [`id`]: identifiers of containers and the like.
//! - [`ids`]: which of the host's user and group ids a container's are.
//! - [`digest`], [`reference`](mod@reference), [`image`]: content addresses, names of images, and
//!   the documents that images are.
//! - [`docker`]: what a client of the Docker Engine API asks for.
//! - [`duration`]: lengths of time as Docker's users write them.
//! - [`exposed`]: ports as Dockerfiles name them.
//! - [`log`]: where what a program says goes, and how it gets there.
//! - [`oci`]: the runtime configuration of the OCI (`config.json`).
//! - [`ports`]: ports of a container, runs of them as one.
//! - [`sandbox`]: everything that will confine one container, decided.
//! - [`stamp`]: times of day as logs and the API spell them.
//! - [`wire`]: what the daemon and a monitor say to one another.

pub mod capability;
pub mod digest;
pub mod docker;
pub mod duration;
pub mod exposed;
pub mod id;
pub mod ids;
pub mod image;
pub mod log;
pub mod oci;
pub mod ports;
pub mod reference;
pub mod sandbox;
pub mod stamp;
pub mod wire;

pub use digest::Digest;
pub use id::Id;
pub use reference::Reference;
pub use sandbox::Sandbox;
