//! The isolation report as the host sees it, read from the kernel.

use crate::{Engine, Error};

/// One layer of a container's confinement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `capabilities`, `seccomp`, `user namespace`, …
    pub layer: String,
    /// By the sandbox that was decided.
    pub expected: String,
    /// In the kernel, now.
    pub found: String,
    /// Do they agree?
    pub ok: bool,
}

/// Of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// One row a layer.
    pub rows: Vec<Row>,
    /// Every way in which it is weaker than the default, in words.
    pub weakened: Vec<String>,
}

impl Engine {
    /// Compares a running container with what was decided for it.
    ///
    /// # Errors
    /// Not running.
    pub fn audit(&self, reference: &str) -> Result<Audit, Error> {
        todo!()
    }
}
