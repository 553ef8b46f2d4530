//! A process that is sent somewhere to fetch one descriptor, and ends.
//!
//! Some things can only be made or copied from inside a namespace; a forked
//! child goes there, so that its sender stays where it is.

use crate::{
    dialogue::{self, Said},
    failure::{Doing, refusal},
    waiting,
};
use spec::wire::Failure;
use std::os::fd::{AsFd, OwnedFd};
use sys::process::{Clone, Cloned};

/// Runs `fetch` in a child and takes what it has fetched.
pub(crate) fn send(fetch: impl FnOnce() -> Result<OwnedFd, Failure>) -> Result<OwnedFd, Failure> {
    let (here, there) = dialogue::pair()?;
    match sys::process::clone(Clone::default()).doing(|| "fork for an errand".into())? {
        Cloned::Child => waiting::child(|| {
            let said = match fetch() {
                Ok(fd) => dialogue::say(there.as_fd(), &Said::Ready, &[fd.as_fd()]),
                Err(failure) => dialogue::say(there.as_fd(), &Said::Failed(failure), &[]),
            };
            i32::from(said.is_err())
        }),
        Cloned::Parent { pidfd, .. } => {
            drop(there);
            let answer = dialogue::expect(&here, &Said::Ready);
            waiting::reap(pidfd.as_fd());
            answer?.pop().ok_or_else(|| refusal("an errand brought nothing back"))
        }
    }
}
