//! Compose files: from text to a project, and what is to be done for it.
//!
//! ```text
//!  text ─▶ node ─▶ interpolate ─▶ shape ─▶ load (include, extends) ─▶ merge
//!         places    variables    one form                               │
//!            ┌───────────────────────────────────────────────────────────┘
//!            ▼
//!         normal ─▶ project ─▶ graph, plan, create ─▶ requests of the Engine API
//!      names, defaults          what, in which order      (sent by `cli`)
//! ```
//!
//! Pure, but for files that are read through a function of the caller's:
//! equal files and variables give equal projects and equal plans. A tree
//! keeps the place of every value until the end, so that what is wrong is
//! told with file, line and column. What the specification has and this
//! engine has not is refused by name; what Compose ignores is warned of.

mod create;
mod dotenv;
mod emit;
mod error;
mod graph;
mod interpolate;
mod load;
mod merge;
mod model;
mod node;
mod normal;
mod plan;
mod project;
mod schema;
mod shape;

pub use create::{
    Injected, Kind, Named, create_body, image, injected, label, network_body, ulimits, volume_body,
};
pub use dotenv::read as read_variables;
pub use emit::Form;
pub use error::{Error, Outcome};
pub use graph::{dependents, order, with_dependencies};
pub use interpolate::Variables;
pub use model::{
    Build, Condition, Dependency, FileObject, Grant, Mount, Network, Port, Service, Volume,
};
pub use plan::{Found, Policy, Step, Wish, plan};
pub use project::{Asked, Project, load};
pub use shape::{clean, scalars::split};
