//! A process that does nothing, in a scope that would not be without one.
//!
//! systemd makes a scope around processes that exist and gives it up when
//! the last is gone. A container's first process must be born in its group,
//! or its namespace of control groups would begin above it: so that the group
//! is there before, another process holds it until then.

use super::Error;
use rustix::process::{Signal, WaitId, WaitIdOptions};
use std::os::fd::{AsFd, OwnedFd};
use sys::process::{Clone, Cloned};

/// Lives until it is dropped, and no longer than its maker.
#[derive(Debug)]
pub struct Anchor {
    pid: i32,
    pidfd: OwnedFd,
}

impl Anchor {
    /// Forks it.
    ///
    /// # Errors
    /// As `clone3(2)`; `EINVAL` in a process of several threads.
    pub fn drop_one() -> Result<Self, Error> {
        let maker = rustix::process::getpid();
        match sys::process::clone(Clone::default()).map_err(|e| Error::Anchor("fork", e))? {
            Cloned::Child => {
                let bound =
                    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
                // A maker that ended before has sent nothing.
                while bound && rustix::process::getppid() == Some(maker) {
                    rustix::event::pause();
                }
                sys::process::exit(0)
            }
            Cloned::Parent { pid, pidfd } => Ok(Self { pid, pidfd }),
        }
    }

    /// As this process counts.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = sys::signal::send_pidfd(self.pidfd.as_fd(), Signal::KILL.as_raw());
        let _ = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)
        });
    }
}
