//! The caller's side of a launch.

use crate::{
    Io, Options, Root,
    dialogue::{self, Said},
    failure::{Doing, refusal},
    hooks,
    launcher::{self, Job},
    state,
};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use spec::{
    Sandbox,
    oci::{Hooks, State},
    wire::Failure,
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    panic::AssertUnwindSafe,
    path::Path,
};
use sys::process::{Clone, Cloned};

/// A process that waits in its namespaces for leave to begin.
///
/// Dropping it kills it.
#[derive(Debug)]
pub struct Waiting {
    /// Init, as the host sees it; a child of the caller.
    pub pid: i32,
    /// The same, safe from reuse.
    pub pidfd: OwnedFd,
    /// Its network namespace, if it is a new one.
    pub netns: Option<OwnedFd>,
    socket: OwnedFd,
    launcher: Option<OwnedFd>,
    hooks: Option<Box<(Hooks, State)>>,
    console: Option<OwnedFd>,
    warnings: Vec<String>,
    /// Whether it waits for [`crate::knock`] rather than for the caller.
    door: bool,
    ready: bool,
    /// Whether it is nobody's any more, or the caller's as a [`Running`].
    gone: bool,
}

/// A process that is, or will be, the program.
#[derive(Debug)]
pub struct Running {
    /// As the host sees it; a child of the caller.
    pub pid: i32,
    /// The same, safe from reuse.
    pub pidfd: OwnedFd,
    /// The master side of its terminal, if one was asked for.
    pub console: Option<OwnedFd>,
    /// What the machine would not grant, one line each.
    pub warnings: Vec<String>,
}

/// Begins to make the container; returns as soon as its namespaces exist,
/// while its root is still being built.
///
/// The caller must have one thread.
///
/// # Errors
/// One line for people: the step, its object and what the kernel said.
pub fn prepare(
    sandbox: &Sandbox,
    bundle: &Path,
    root: Root<'_>,
    io: Io,
    options: &Options<'_>,
) -> Result<Waiting, Failure> {
    let config = &sandbox.config;
    let process = config.process.as_ref().ok_or_else(|| refusal("the config has no process"))?;
    let linux = config.linux.as_ref().ok_or_else(|| refusal("the config has no linux section"))?;
    let (socket, theirs) = dialogue::pair()?;
    match sys::process::clone(Clone::default()).doing(|| "fork the launcher".into())? {
        Cloned::Child => {
            drop(socket);
            let job = Job { sandbox, process, linux, bundle, root, io, options, socket: theirs };
            child(|| launcher::run(job))
        }
        Cloned::Parent { pidfd: launcher, .. } => {
            drop((theirs, io));
            let (pid, mut fds) = match hear_alive(&socket) {
                Ok(alive) => alive,
                Err(failure) => {
                    // It ends by itself; what it made ends with the socket.
                    drop(socket);
                    reap(launcher.as_fd());
                    return Err(failure);
                }
            };
            let hooks = config
                .hooks
                .clone()
                .map(|hooks| Box::new((hooks, state(sandbox, bundle, pid, "creating"))));
            let netns = if fds.len() > 1 { fds.pop() } else { None };
            let pidfd =
                fds.pop().ok_or_else(|| refusal("the launcher sent no process descriptor"))?;
            Ok(Waiting {
                pid,
                pidfd,
                netns,
                socket,
                launcher: Some(launcher),
                hooks,
                console: None,
                warnings: Vec::new(),
                door: options.door.is_some(),
                ready: false,
                gone: false,
            })
        }
    }
}

/// Runs a forked child's whole life. A panic ends it as an error would: it
/// must not unwind into the copy of the parent's frames.
pub(crate) fn child(life: impl FnOnce() -> i32) -> ! {
    let code = std::panic::catch_unwind(AssertUnwindSafe(life)).unwrap_or(101);
    sys::process::exit(code)
}

fn hear_alive(socket: &OwnedFd) -> Result<(i32, Vec<OwnedFd>), Failure> {
    match dialogue::hear(socket.as_fd())? {
        Some((Said::Alive { pid }, fds)) => Ok((pid, fds)),
        Some((Said::Failed(failure), _)) => Err(failure),
        Some(_) => Err(refusal("the launcher spoke out of turn")),
        None => Err(refusal("the launcher ended early")),
    }
}

/// Waits for the end of a child. One that somebody else has reaped is as good.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) {
    let _ = rustix::io::retry_on_intr(|| {
        rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED)
    });
}

impl Waiting {
    /// Waits until everything but the last step is done; runs the `prestart`
    /// and `createRuntime` hooks on the way. A missing or unfit command is
    /// found here, as [`Failure::command`]. May be called more than once.
    ///
    /// # Errors
    /// Why the program will never run.
    pub fn ready(&mut self) -> Result<(), Failure> {
        while !self.ready {
            match dialogue::hear(self.socket.as_fd())? {
                Some((Said::Ready, _)) => self.ready = true,
                Some((Said::Console, mut fds)) => self.console = fds.pop(),
                Some((Said::Warning(line), _)) => self.warnings.push(line),
                Some((Said::Hooks, _)) => self.run_hooks()?,
                Some((Said::Failed(failure), _)) => return Err(failure),
                Some(_) => return Err(refusal("the container's init spoke out of turn")),
                None => return Err(refusal("the container's init ended early")),
            }
        }
        if let Some(launcher) = self.launcher.take() {
            reap(launcher.as_fd());
        }
        Ok(())
    }

    fn run_hooks(&self) -> Result<(), Failure> {
        if let Some(told) = &self.hooks {
            let (hooks, state) = &**told;
            hooks::run("prestart", &hooks.prestart, state)?;
            hooks::run("createRuntime", &hooks.create_runtime, state)?;
        }
        dialogue::say(self.socket.as_fd(), &Said::Hooked, &[])
            .doing(|| "go on after the hooks".into())
    }

    /// What the machine would not grant so far, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// [Gets ready](Self::ready) and lets the program begin: returns when
    /// exec has succeeded.
    ///
    /// # Errors
    /// Why it could not; init is gone then, and reaped.
    pub fn go(mut self) -> Result<Running, Failure> {
        self.ready()?;
        if self.door {
            return Err(refusal("init waits at its door: knock there"));
        }
        dialogue::say(self.socket.as_fd(), &Said::Go, &[])
            .doing(|| "let the program begin".into())?;
        loop {
            match dialogue::hear(self.socket.as_fd())? {
                None => return self.release(),
                Some((Said::Warning(line), _)) => self.warnings.push(line),
                Some((Said::Failed(failure), _)) => return Err(failure),
                Some(_) => return Err(refusal("the container's init spoke out of turn")),
            }
        }
    }

    /// [Gets ready](Self::ready) and leaves init waiting at
    /// [`Options::door`].
    ///
    /// # Errors
    /// As [`Waiting::go`].
    pub fn leave(mut self) -> Result<Running, Failure> {
        self.ready()?;
        if !self.door {
            return Err(refusal("init has no door to wait at"));
        }
        self.release()
    }

    fn release(mut self) -> Result<Running, Failure> {
        self.gone = true;
        let pidfd = self.pidfd.try_clone().doing(|| "keep the process descriptor".into())?;
        Ok(Running {
            pid: self.pid,
            pidfd,
            console: self.console.take(),
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    /// Gives it up: init is killed and reaped.
    pub fn abort(self) {}
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.gone {
            // An init that has ended already cannot be killed, and need not be.
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
            reap(self.pidfd.as_fd());
        }
        if let Some(launcher) = self.launcher.take() {
            // Without init it has nothing left to do; it may be in the middle
            // of a mount that hangs.
            let _ = rustix::process::pidfd_send_signal(&launcher, Signal::KILL);
            reap(launcher.as_fd());
        }
    }
}
