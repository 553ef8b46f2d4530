//! What things take, and what they may take.

use crate::{Container, Engine, Error, ImageSummary, Size, Volume};
use spec::docker::{HostConfig, RestartPolicy};
use std::sync::Arc;

/// Answer of `top`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// Columns.
    pub titles: Vec<String>,
    /// One row a process.
    pub processes: Vec<Vec<String>>,
}

/// The body of `POST /containers/{id}/update`: limits that are set are
/// changed, the others stay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateWish {
    /// Only the limits of it count.
    pub limits: HostConfig,
    /// If it is to change.
    pub restart_policy: Option<RestartPolicy>,
}

/// Answer of `system df`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskUsage {
    /// Bytes of all layers, each counted once.
    pub layers: u64,
    /// Every image, and how many of its bytes it shares with others.
    pub images: Vec<(ImageSummary, u64)>,
    /// Every container.
    pub containers: Vec<(Arc<Container>, Size)>,
    /// Every volume, with its bytes.
    pub volumes: Vec<(Volume, u64)>,
}

impl Engine {
    /// Measures everything. Walks directories: takes its time.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn disk_usage(&self) -> Result<DiskUsage, Error> {
        todo!()
    }
}
