//! What can be done to a container that is there.

use crate::{
    Attach, Attaching, Condition, Container, Engine, Error, Filters, Pruned, Size, State,
    UpdateWish, Waited, cell::Cell, names, signals, state::Step, undo::Undo,
};
use spec::wire::Request;
use std::{
    os::fd::AsFd,
    sync::{Arc, mpsc},
    time::Duration,
};

/// Docker's default for `--stop-timeout`.
const STOP_TIMEOUT: i64 = 10;
/// How long a program may take to die of KILL before it counts as stuck.
const DYING: Duration = Duration::from_secs(30);

impl Engine {
    /// By full identifier, name (with or without slash) or unique prefix.
    ///
    /// # Errors
    /// None or several.
    pub fn container(&self, reference: &str) -> Result<Arc<Container>, Error> {
        Ok(self.0.find(reference)?.now())
    }

    /// All of them, newest first. Filters are the caller's business.
    pub fn containers(&self) -> Vec<Arc<Container>> {
        let mut all: Vec<_> = self.0.roster.all().iter().map(|cell| cell.now()).collect();
        all.sort_by_key(|container| std::cmp::Reverse(container.created));
        all
    }

    /// What a container takes on disk. Walks its writable layer.
    ///
    /// # Errors
    /// No such container, or its layer cannot be read.
    pub fn container_size(&self, reference: &str) -> Result<Size, Error> {
        self.0.size_of(&*self.container(reference)?)
    }

    /// Attaches to the program's streams from now on. `client` gets a
    /// connection on which [frames](spec::wire) flow: at once if it runs,
    /// before its first byte if it is yet to start. It is dropped without one
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
        client: Box<dyn Attaching>,
    ) -> Result<(), Error> {
        let cell = self.0.find(reference)?;
        let mut live = cell.live();
        let container = cell.now();
        match container.state {
            State::Paused { .. } => Err(Error::Conflict(format!(
                "container {} is paused, unpause the container before attach",
                container.id
            ))),
            State::Running { .. } => {
                drop(live);
                let stream = self.0.attach_now(&cell, wish, false)?;
                self.0.journal.container(&container, "attach", &[]);
                client.deliver(stream);
                Ok(())
            }
            State::Removing | State::Dead => Err(Error::Conflict(format!(
                "container {} is marked for removal and cannot be started",
                container.id
            ))),
            _ => {
                live.attach_later(wish, client);
                drop(live);
                self.0.journal.container(&container, "attach", &[]);
                Ok(())
            }
        }
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
        self.0.find(reference)?.wait(condition, Box::new(answer));
        Ok(())
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
        let cell = self.0.find(reference)?;
        let container = cell.now();
        let how = How::of(&container, signal, timeout)?;
        if !self.halt(&cell, &how)? {
            let words = format!("container {} is already stopped", container.id);
            return Err(Error::NotModified(words));
        }
        self.0.journal.container(&cell.now(), "stop", &[]);
        Ok(())
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
        let cell = self.0.find(reference)?;
        let how = How::of(&cell.now(), signal, timeout)?;
        if self.halt(&cell, &How { keep: true, ..how })? {
            self.0.journal.container(&cell.now(), "stop", &[]);
        }
        let _own = cell.own();
        match self.start_owned(&cell) {
            // Somebody else was faster, which is as good.
            Ok(()) | Err(Error::NotModified(_)) => {}
            Err(error) => return Err(error),
        }
        self.0.journal.container(&cell.now(), "restart", &[]);
        Ok(())
    }

    /// Sees to it that it does not run; false if it did not.
    fn halt(&self, cell: &Arc<Cell>, how: &How) -> Result<bool, Error> {
        let own = cell.own();
        let container = cell.now();
        if matches!(container.state, State::Restarting { .. }) {
            let container = cell.step(Step::Stay, |c| c.stopped_by_hand = !how.keep)?;
            self.0.leave(&container);
            return Ok(true);
        }
        if !container.state.is_running() {
            return Ok(false);
        }
        cell.live().stopping = true;
        if !how.keep {
            cell.change(|container| container.stopped_by_hand = true);
        }
        let (tell, told) = mpsc::channel();
        cell.wait(Condition::NotRunning, Box::new(move |waited| drop(tell.send(waited))));
        self.send(cell, how.signal)?;
        // The end itself needs the lock.
        drop(own);
        let stopped = match how.patience {
            None => told.recv().is_ok(),
            Some(patience) => told.recv_timeout(patience).is_ok(),
        };
        if !stopped {
            self.kill_hard(cell, &told)?;
        }
        Ok(true)
    }

    /// KILL, to init and then to all, and waits.
    fn kill_hard(&self, cell: &Arc<Cell>, told: &mpsc::Receiver<Waited>) -> Result<(), Error> {
        let container = cell.now();
        if !container.state.is_running() {
            return Ok(());
        }
        self.send(cell, signals::KILL)?;
        if told.recv_timeout(DYING / 3).is_ok() {
            return Ok(());
        }
        self.0.group(&container)?.kill()?;
        told.recv_timeout(DYING).map(drop).map_err(|_| {
            Error::Conflict(format!(
                "container {} did not die of KILL: a process of it hangs in the kernel",
                container.id
            ))
        })
    }

    /// Sends a signal to init, and sees to it that it arrives.
    fn send(&self, cell: &Cell, signal: i32) -> Result<(), Error> {
        let container = cell.now();
        let init = cell.live().init.clone();
        let init = init.ok_or_else(|| not_running(&container))?;
        self.0.journal.container(&container, "kill", &[("signal", signal.to_string())]);
        match sys::signal::send_pidfd(init.as_fd(), signal) {
            Ok(()) => {}
            // It is ending already.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            Err(source) => {
                let path = format!("/proc/{}", container.state.pid().unwrap_or(0)).into();
                return Err(Error::Host { doing: "send a signal to", path, source });
            }
        }
        if matches!(container.state, State::Paused { .. }) {
            // A frozen program takes no signal.
            self.0.group(&container)?.thaw()?;
            let thawed = cell.step(Step::Resume, |_| {})?;
            self.0.leave(&thawed);
            self.0.journal.container(&thawed, "unpause", &[]);
        }
        Ok(())
    }

    /// Sends a signal (`KILL` if none), by name or number.
    ///
    /// # Errors
    /// Not running, or no such signal.
    pub fn kill(&self, reference: &str, signal: Option<&str>) -> Result<(), Error> {
        let cell = self.0.find(reference)?;
        let text = signal.filter(|text| !text.is_empty()).unwrap_or("KILL");
        let words = |why: &str| format!("cannot kill container: {reference}: {why}");
        let number = signals::parse(text)
            .ok_or_else(|| Error::Invalid(words(&format!("invalid signal: {text}"))))?;
        let own = cell.own();
        let container = cell.now();
        if !container.state.is_running() {
            return Err(Error::Conflict(words(&not_running(&container).to_string())));
        }
        let stop = container.config.stop_signal.as_deref().and_then(signals::parse);
        if number == signals::KILL || number == stop.unwrap_or(signals::TERM) {
            cell.live().stopping = true;
            cell.change(|container| container.stopped_by_hand = true);
        }
        if number != signals::KILL {
            return self.send(&cell, number);
        }
        let (tell, told) = mpsc::channel();
        cell.wait(Condition::NotRunning, Box::new(move |waited| drop(tell.send(waited))));
        drop(own);
        self.kill_hard(&cell, &told)
    }

    /// Freezes all its processes.
    ///
    /// # Errors
    /// Not running, or paused.
    pub fn pause(&self, reference: &str) -> Result<(), Error> {
        let cell = self.0.find(reference)?;
        let _own = cell.own();
        let container = cell.now();
        match container.state {
            State::Running { .. } => {}
            State::Paused { .. } => {
                let words = format!("Container {} is already paused", container.id);
                return Err(Error::Conflict(words));
            }
            _ => return Err(Error::Conflict(format!("Container {} is not running", container.id))),
        }
        let group = self.0.group(&container)?;
        group.freeze()?;
        let rest = |container: &mut Container| crate::health::at_rest(&mut container.health);
        let paused = cell.step(Step::Pause, rest).inspect_err(|_| {
            // It ended meanwhile: nothing stays frozen.
            if let Err(error) = group.thaw() {
                tracing::warn!(id = %cell.id, %error, "cannot thaw what has ended");
            }
        })?;
        self.0.leave(&paused);
        self.0.journal.container(&paused, "pause", &[]);
        Ok(())
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// Not paused.
    pub fn unpause(&self, reference: &str) -> Result<(), Error> {
        let cell = self.0.find(reference)?;
        let _own = cell.own();
        let container = cell.now();
        if !matches!(container.state, State::Paused { .. }) {
            return Err(Error::Conflict(format!("Container {} is not paused", container.id)));
        }
        self.0.group(&container)?.thaw()?;
        let resumed = cell.step(Step::Resume, |_| {})?;
        self.0.leave(&resumed);
        self.0.journal.container(&resumed, "unpause", &[]);
        self.check_health(&cell);
        Ok(())
    }

    /// Removes it; `force` kills it first, `volumes` takes its anonymous
    /// volumes along.
    ///
    /// # Errors
    /// It runs and `force` is not set.
    pub fn remove(&self, reference: &str, force: bool, volumes: bool) -> Result<(), Error> {
        let cell = self.0.find(reference)?;
        if force {
            let how = How { signal: signals::KILL, patience: Some(DYING), keep: false };
            self.halt(&cell, &how)?;
        }
        let _own = cell.own();
        let container = cell.now();
        let refuse = |words: &str| {
            Err(Error::Conflict(format!("cannot remove container \"{reference}\": {words}")))
        };
        match container.state {
            State::Running { .. } | State::Starting => {
                refuse("container is running: stop the container before removing or force remove")
            }
            State::Paused { .. } => refuse(
                "container is paused and must be unpaused first: unpause and then stop the \
                 container before removing or force remove",
            ),
            State::Restarting { .. } if !force => refuse(
                "container is restarting: stop the container before removing or force remove",
            ),
            // `--rm` or somebody else was faster.
            State::Removing if self.0.roster.get(&cell.id).is_none() => {
                Err(Error::NoContainer(reference.to_owned()))
            }
            _ => self.remove_owned(&cell, volumes),
        }
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// Name taken or malformed.
    pub fn rename(&self, reference: &str, name: &str) -> Result<(), Error> {
        let cell = self.0.find(reference)?;
        let _own = cell.own();
        if name.is_empty() {
            return Err(Error::Invalid("Neither old nor new names may be empty".into()));
        }
        let new = names::checked(name)?;
        let old = cell.now().name.clone();
        if new == old {
            return Err(Error::Invalid(
                "Renaming a container with the same name as its current name".into(),
            ));
        }
        self.0.roster.rename(&old, new, &cell.id)?;
        let renamed = cell.change(|container| {
            new.clone_into(&mut container.name);
            self.0.networks.name_anew(container);
        });
        if let Err(error) = self.0.record(&renamed, cell.slot) {
            cell.change(|container| {
                old.clone_into(&mut container.name);
                self.0.networks.name_anew(container);
            });
            self.0.roster.rename(new, &old, &cell.id)?;
            return Err(error);
        }
        if renamed.state.pid().is_some() {
            self.0.tell_names_of(&cell)?;
        }
        self.0.journal.container(&renamed, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    /// Changes limits and restart policy; returns warnings.
    ///
    /// # Errors
    /// A value that the kernel or the policy refuses.
    pub fn update(&self, reference: &str, wish: UpdateWish) -> Result<Vec<String>, Error> {
        let cell = self.0.find(reference)?;
        let _own = cell.own();
        let container = cell.now();
        if matches!(container.state, State::Removing | State::Dead) {
            let words = "container is marked for removal and cannot be \"update\"";
            return Err(Error::Conflict(words.into()));
        }
        if let Some(policy) = &wish.restart_policy {
            crate::restart::check(policy, container.host.auto_remove)?;
        }
        let egress = wish.limits.egress.as_deref();
        let egress =
            egress.map(|words| crate::egress::may_change(&container, words)).transpose()?;
        let labels = wish.labels.applied(&container.config.labels)?;
        let resources = policy::update(&container.host, &wish.limits, &self.0.policy)?;
        if container.state.is_running() {
            self.0.group(&container)?.apply(&resources)?;
        }
        let mut undo = Undo::default();
        if let Some(policy) = &egress
            && container.state.pid().is_some()
        {
            let before = crate::egress::policy(&container.host)?;
            self.0.refence(&cell, policy)?;
            let (house, cell) = (&self.0, &cell);
            undo.with("hold it to its former policy", move || house.refence(cell, &before));
        }
        let regrafted = (!wish.mounts.is_empty())
            .then(|| self.0.regraft(&cell, &wish.mounts, &mut undo))
            .transpose()?;
        let published =
            (!wish.ports.is_empty()).then(|| self.0.republish(&cell, &wish.ports)).transpose()?;
        undo.keep();
        let serves_anew = published.is_some() && container.state.pid().is_some();
        let updated = cell.change(|container| {
            crate::usage::merge(&mut container.host, &wish.limits);
            if let Some(done) = &regrafted {
                done.take(container);
            }
            self.0.weaken_anew(container);
            container.config.labels = labels;
            if let Some(bindings) = published {
                container.config.exposed_ports.extend_from(&bindings);
                container.host.port_bindings = bindings;
            }
            if let Some(policy) = wish.restart_policy {
                container.host.restart_policy = policy;
            }
        });
        self.0.record(&updated, cell.slot)?;
        if serves_anew {
            self.0.tell_names_of(&cell)?;
        }
        self.0.journal.container(&updated, "update", &[]);
        if let Some(done) = regrafted {
            self.0.regrafted(&updated, done);
        }
        Ok(Vec::new())
    }

    /// Changes the size of its terminal.
    ///
    /// # Errors
    /// Not running.
    pub fn resize(&self, reference: &str, height: u16, width: u16) -> Result<(), Error> {
        let cell = self.0.find(reference)?;
        let container = cell.known().now();
        if !container.state.is_running() {
            return Err(not_running(&container));
        }
        if !container.config.tty {
            // There is nothing to resize, and Docker says nothing of it.
            return Ok(());
        }
        watch::ask(&self.0.paths.run(&cell.id), &Request::Resize { width, height, exec: None })?;
        let more = [("height", height.to_string()), ("width", width.to_string())];
        self.0.journal.container(&container, "resize", &more);
        Ok(())
    }

    /// Removes those that do not run, as far as the filters (`until`,
    /// `label`, `label!`) let.
    ///
    /// # Errors
    /// A filter that is not known.
    pub fn prune_containers(&self, filters: &Filters) -> Result<Pruned, Error> {
        filters.only(&["until", "label", "label!"])?;
        let until = filters.until(crate::clock::now())?;
        let mut pruned = Pruned::default();
        for container in self.containers() {
            let wanted = matches!(container.state, State::Created | State::Exited | State::Dead)
                && until.is_none_or(|until| container.created < until)
                && filters.labels(&container.config.labels);
            if !wanted {
                continue;
            }
            let size = self.0.size_of(&container).map_or(0, |size| size.rw);
            match self.remove(container.id.as_str(), false, false) {
                Ok(()) => {
                    pruned.removed.push(container.id.to_string());
                    pruned.reclaimed += size;
                }
                // Started or removed by somebody else meanwhile.
                Err(Error::Conflict(_) | Error::NoContainer(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let reclaimed = [("reclaimed".to_owned(), pruned.reclaimed.to_string())];
        self.0.journal.say("container", "prune", "", reclaimed.into());
        Ok(pruned)
    }
}

/// How to stop one.
struct How {
    signal: i32,
    /// Before KILL; for ever if none.
    patience: Option<Duration>,
    /// It is to be started again at once: not stopped by hand.
    keep: bool,
}

impl How {
    fn of(
        container: &Container,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<Self, Error> {
        let text = signal.filter(|text| !text.is_empty());
        let own = container.config.stop_signal.as_deref().filter(|text| !text.is_empty());
        let signal = match text.or(own) {
            None => signals::TERM,
            Some(text) => signals::parse(text)
                .ok_or_else(|| Error::Invalid(format!("invalid signal: {text}")))?,
        };
        let seconds = timeout.or(container.config.stop_timeout).unwrap_or(STOP_TIMEOUT);
        let patience = u64::try_from(seconds).ok().map(Duration::from_secs);
        Ok(Self { signal, patience, keep: false })
    }
}

/// Docker's words.
pub(crate) fn not_running(container: &Container) -> Error {
    Error::Conflict(format!("container {} is not running", container.id))
}
