//! The verbs, by what they are about.

pub mod end;
pub mod events;
pub mod exec;
pub mod features;
pub mod launch;
pub mod limits;
pub mod look;
pub mod spec_file;
