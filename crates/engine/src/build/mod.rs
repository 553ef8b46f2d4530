//! Dockerfiles into images.
//!
//! ```text
//!   BuildWish ─▶ plan (which stages) ─▶ a thread for each stage
//!                                          │ FROM: an image, nothing, or what
//!                                          │       an earlier stage came to
//!                                          │ each instruction: known by its
//!                                          │   key? ─▶ what it came to before
//!                                          │   RUN ─▶ a container, packed
//!                                          │   COPY, ADD ─▶ files, packed
//!                                          │   all else ─▶ configuration
//!                                          ▼
//!                       one transaction: steps, images, names
//! ```
//!
//! A `RUN` is a container like any other: the same verbs make, start and
//! remove it, so it is confined as any other. What the plan and the files
//! are is decided in the room `build`; here it is done.

mod agent;
mod bases;
mod cache;
mod ends;
mod error;
mod fetch;
mod files;
mod job;
mod kept;
mod mounts;
mod named;
mod room;
mod run;
mod squash;
mod stage;
mod stubs;
mod wish;

pub use cache::{CacheEntry, CacheKeep, CachePruned, choose_cache};
pub use error::BuildError;
pub(crate) use named::Named;
pub use named::NamedBuild;
pub use room::BuildRoom;
pub(crate) use room::sweep;
pub use wish::{
    BuildClient, BuildContext, BuildManner, BuildSaid, BuildWish, Built, Cancel, StagePlan,
    StepPlan,
};
