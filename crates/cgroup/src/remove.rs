//! Removing a group: every directory of it, in every hierarchy.

use crate::{
    Cgroup, Error, Layout,
    dir::{self, Dir},
    error::Doing,
    freeze,
};
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// How long processes that are already ending get to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Removes the group if there is neither a process nor another group in
    /// it; false, at once, if there is. [`Cgroup::kill`] and
    /// [`Cgroup::remove`] do the rest then.
    ///
    /// # Errors
    /// What the host said of one that cannot be removed for another reason.
    pub fn remove_unused(&self) -> Result<bool, Error> {
        // First the directory by which processes are found and killed: as long
        // as it is there, so are the others.
        let Some(witness) = self.witness() else { return Ok(true) };
        if !remove_dir(witness)? {
            return Ok(false);
        }
        for dir in self.dirs.iter().filter(|dir| dir.path != witness.path) {
            if !remove_dir(dir)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the group and all groups below it, in every hierarchy.
    ///
    /// Its processes must be ending ([`Cgroup::kill`]): it waits for the last
    /// to be gone. A directory that is not there is as good as removed.
    ///
    /// # Errors
    /// [`Error::TimedOut`] if processes stay in it.
    pub fn remove(&self) -> Result<(), Error> {
        let end = Instant::now() + PATIENCE;
        let (unified, legacy): (Vec<&Dir>, Vec<&Dir>) =
            self.dirs.iter().partition(|dir| dir.unified());
        // The version 2 directory goes last: it tells when the others can.
        for dir in legacy.into_iter().chain(unified) {
            let left = || end.saturating_duration_since(Instant::now());
            if remove_tree(dir)? {
                continue;
            }
            if !self.wait_empty(left())? {
                return Err(freeze::timed_out(dir, "empty", PATIENCE));
            }
            // The last process may still be on its way out of the others.
            if !freeze::poll_until(left(), || remove_tree(dir))? {
                return Err(freeze::timed_out(dir, "empty", PATIENCE));
            }
        }
        Ok(())
    }
}

/// Removes the directories of `parent` in which nothing is left, neither a
/// group nor a process. One that is not there is as good as removed.
///
/// # Errors
/// What the host said of one that cannot be removed for another reason.
pub fn remove_unused(layout: &Layout, parent: &str) -> Result<(), Error> {
    for dir in &Cgroup::at(layout, parent)?.dirs {
        remove_dir(dir)?;
    }
    Ok(())
}

/// False if something is in it.
fn remove_dir(dir: &Dir) -> Result<bool, Error> {
    match rustix::fs::rmdir(&dir.path) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::BUSY | Errno::NOTEMPTY) => Ok(false),
        Err(error) => Err(error).doing("remove control group", &dir.path),
    }
}

/// False if something in it is busy.
fn remove_tree(dir: &Dir) -> Result<bool, Error> {
    if remove_dir(dir)? {
        return Ok(true);
    }
    let children = match dir.children() {
        Err(error) if dir::gone(&error) => return Ok(true),
        other => other?,
    };
    for name in &children {
        if !remove_tree(&dir.child(name))? {
            return Ok(false);
        }
    }
    remove_dir(dir)
}
