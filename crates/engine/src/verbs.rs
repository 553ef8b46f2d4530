//! What can be done to a container.

use crate::{
    Attach, Condition, Container, Created, Engine, Error, Filters, Pruned, Size, Top, UpdateWish,
    Waited,
};
use spec::docker::CreateBody;
use std::{os::unix::net::UnixStream, sync::Arc};

impl Engine {
    /// Makes a container; its program starts with [`Engine::start`].
    /// A name is made up if none is given.
    ///
    /// # Errors
    /// No such image, name taken, or the request cannot be met: said now
    /// rather than at the start.
    pub fn create(&self, name: Option<&str>, body: CreateBody) -> Result<Created, Error> {
        todo!()
    }

    /// By full identifier, name (with or without slash) or unique prefix.
    ///
    /// # Errors
    /// None or several.
    pub fn container(&self, reference: &str) -> Result<Arc<Container>, Error> {
        todo!()
    }

    /// All of them, newest first. Filters are the caller's business.
    pub fn containers(&self) -> Vec<Arc<Container>> {
        todo!()
    }

    /// What a container takes on disk. Walks its writable layer.
    ///
    /// # Errors
    /// No such container, or its layer cannot be read.
    pub fn container_size(&self, reference: &str) -> Result<Size, Error> {
        todo!()
    }

    /// Starts the program; returns once it runs.
    ///
    /// # Errors
    /// `NotModified` if it runs; [`Error::Start`] if it could not be started.
    pub fn start(&self, reference: &str) -> Result<(), Error> {
        todo!()
    }

    /// Attaches to the program's streams from now on. `deliver` gets a
    /// connection on which [frames](spec::wire) flow: at once if it runs,
    /// before its first byte if it is yet to start. It is dropped uncalled
    /// if the container goes before it starts.
    ///
    /// Output arrives as `Stdout` and `Stderr` frames (a terminal's as
    /// `Stdout`), the end as a `Control` frame holding
    /// [`Reply::Ended`](spec::wire::Reply::Ended) or as a plain close. Input
    /// is to be sent as `Stdin` frames, its end as an empty one.
    ///
    /// # Errors
    /// No such container; paused; cannot be reached.
    pub fn attach(
        &self,
        reference: &str,
        wish: Attach,
        deliver: impl FnOnce(UnixStream) + Send + 'static,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Calls `answer` when the condition holds: perhaps at once.
    ///
    /// # Errors
    /// No such container.
    pub fn wait(
        &self,
        reference: &str,
        condition: Condition,
        answer: impl FnOnce(Waited) + Send + 'static,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Stop signal, then, after `timeout` seconds (negative: never), KILL.
    /// Both default to the container's own.
    ///
    /// # Errors
    /// `NotModified` if it does not run.
    pub fn stop(
        &self,
        reference: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Stops, if it runs, and starts.
    ///
    /// # Errors
    /// Those of both.
    pub fn restart(
        &self,
        reference: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Sends a signal (`KILL` if none), by name or number.
    ///
    /// # Errors
    /// Not running, or no such signal.
    pub fn kill(&self, reference: &str, signal: Option<&str>) -> Result<(), Error> {
        todo!()
    }

    /// Freezes all its processes.
    ///
    /// # Errors
    /// Not running, or paused.
    pub fn pause(&self, reference: &str) -> Result<(), Error> {
        todo!()
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// Not paused.
    pub fn unpause(&self, reference: &str) -> Result<(), Error> {
        todo!()
    }

    /// Removes it; `force` kills it first, `volumes` takes its anonymous
    /// volumes along.
    ///
    /// # Errors
    /// It runs and `force` is not set.
    pub fn remove(&self, reference: &str, force: bool, volumes: bool) -> Result<(), Error> {
        todo!()
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// Name taken or malformed.
    pub fn rename(&self, reference: &str, name: &str) -> Result<(), Error> {
        todo!()
    }

    /// Changes limits and restart policy; returns warnings.
    ///
    /// # Errors
    /// A value that the kernel or the policy refuses.
    pub fn update(&self, reference: &str, wish: UpdateWish) -> Result<Vec<String>, Error> {
        todo!()
    }

    /// Its processes, as ps(1) shows them.
    ///
    /// # Errors
    /// Not running; arguments that ps does not take.
    pub fn top(&self, reference: &str, ps_args: &str) -> Result<Top, Error> {
        todo!()
    }

    /// Changes the size of its terminal.
    ///
    /// # Errors
    /// Not running.
    pub fn resize(&self, reference: &str, height: u16, width: u16) -> Result<(), Error> {
        todo!()
    }

    /// Removes those that do not run, as far as the filters (`until`,
    /// `label`, `label!`) let.
    ///
    /// # Errors
    /// A filter that is not known.
    pub fn prune_containers(&self, filters: &Filters) -> Result<Pruned, Error> {
        todo!()
    }
}
