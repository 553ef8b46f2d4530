//! The end of a container: heard of, folded into the record, cleared away.

use crate::{
    Container, Engine, Error, Last, Nanos,
    cell::{Cell, Link},
    error::Doing,
    health,
    house::House,
    restart,
    state::Step,
    store::Write,
    watcher::Due,
};
use spec::{
    Id,
    wire::{Exit, Reply},
};
use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The kernel takes this long at most to take an interface away, as a rule.
const SOON: Nanos = 1_000_000_000;
/// Until what stood in a network's way is looked for again.
const LATER: Nanos = 60 * SOON;
/// How long a daemon that ends waits for what is being done.
const LAST_WORK: Duration = Duration::from_secs(10);
/// Of a container whose monitor died: its program is killed with it.
const KILLED: u8 = 137;

impl Engine {
    /// Does what is due; called by workers.
    pub(crate) fn due(&self, due: Due) {
        match due {
            Due::Container(id) => self.heard(&id),
            Due::Exec(id) => self.exec_heard(&id),
            Due::Left(number) => self.left(number),
            Due::Restart(id) => self.restart_due(&id),
            Due::Dawn(id, tries) => self.start_at_dawn(&id, tries),
            Due::Probe(id, number) => self.probe_due(&id, number),
            Due::Tidy => self.tidy(),
            Due::Firewall => self.firewall_changed(),
            Due::Collect => self.collect_due(),
            Due::Grown => self.grown_due(),
            Due::Resolver => self.resolver_heard(),
            Due::Names => self.tell_all_names(),
        }
    }

    /// The link of a container has something to read: its end.
    fn heard(&self, id: &Id) {
        let Some(cell) = self.0.roster.get(id) else { return };
        let _own = cell.own();
        let link = cell.live().link.take();
        let told = match link {
            Some(Link::Child(mut running)) => {
                let told = running.told();
                self.part(running);
                told.ok()
            }
            Some(Link::Adopted(receiver)) => last_word(receiver),
            None => return,
        };
        let exit = told.unwrap_or_else(|| self.0.exit_of(&cell));
        self.finish(&cell, &exit);
    }

    /// A monitor may stay for those who still read; its own end is awaited.
    fn part(&self, running: watch::Running) {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let mut leaving = self.0.leaving.lock().expect("no holder panics");
        if let Err(error) = self.0.watcher.watch(&running, Due::Left(number)) {
            tracing::warn!(%error, "cannot wait for a monitor to leave");
        }
        leaving.insert(number, running);
    }

    fn left(&self, number: u64) {
        let running = self.0.leaving.lock().expect("no holder panics").remove(&number);
        if let Some(running) = running
            && let Err(error) = running.reap()
        {
            tracing::warn!(%error, "cannot reap a monitor");
        }
    }

    /// Folds an end into the record and clears up after it. The `verb` lock
    /// is held.
    pub(crate) fn finish(&self, cell: &Arc<Cell>, exit: &Exit) {
        let house = &*self.0;
        let before = cell.now();
        let last = Last {
            code: exit.code,
            finished: exit.at,
            oom: exit.oom,
            error: String::new(),
            started: before.last.started,
            log_dropped: exit.dropped,
        };
        let again = House::again(cell, &before, &last);
        let stepped = cell.step(Step::Ended { again }, |container| {
            container.last = last;
            if again.is_some() {
                container.restart_count += 1;
            }
            container.execs.clear();
            health::at_rest(&mut container.health);
            House::withdraw(container);
        });
        let after = match stepped {
            Ok(after) => after,
            Err(error) => {
                tracing::error!(id = %cell.id, %error, "an end without a beginning");
                return;
            }
        };
        cell.live().init = None;
        house.execs.forget_unused(&cell.id);
        house.leave(&after);
        if exit.oom {
            house.journal.container(&after, "oom", &[]);
        }
        let seconds = exit.at.saturating_sub(before.last.started) / 1_000_000_000;
        let more = [("exitCode", exit.code.to_string()), ("execDuration", seconds.to_string())];
        house.journal.container(&after, "die", &more);
        cell.tell();
        if let Err(error) = house.clear_up(&before) {
            tracing::error!(id = %cell.id, %error, "cannot clear up after a container");
        }
        house.let_volumes_go(&before);
        house.volume_events(&before, "unmount");
        if !before.plugs.is_empty() && !house.tidying.swap(true, Ordering::Relaxed) {
            house.watcher.at(crate::clock::now() + SOON, Due::Tidy);
        }
        if let Some(at) = again {
            house.watcher.at(at, Due::Restart(cell.id.clone()));
        } else if after.host.auto_remove
            && let Err(error) = self.remove_owned(cell, true)
        {
            tracing::error!(id = %cell.id, %error, "cannot remove a container that has ended");
        }
    }

    /// Watches the host's firewall from now on, and puts our tables back if
    /// somebody has taken them away.
    pub(crate) fn firewall_changed(&self) {
        let house = &self.0;
        let restored = match house.networks.stand_up() {
            Ok(false) => false,
            Ok(true) => {
                tracing::warn!("our nftables tables were taken away: they are restored");
                true
            }
            Err(error) => {
                tracing::error!(%error, "cannot restore our nftables tables");
                false
            }
        };
        if let Err(error) = house.watcher.watch(house.networks.lookout(), Due::Firewall) {
            tracing::error!(%error, "cannot watch the host's firewall");
        }
        if restored {
            self.hold_to_policies();
        }
    }

    /// What has begun while nothing held containers to their policies ends.
    pub(crate) fn hold_to_policies(&self) {
        if let Err(error) = self.0.networks.hold_to_policies(&self.0) {
            tracing::error!(%error, "cannot end what policies forbid and has begun");
        }
    }

    pub(crate) fn tidy(&self) {
        self.0.tidying.store(false, Ordering::Relaxed);
        if let Err(error) = self.0.networks.tidy(&self.0) {
            tracing::warn!(%error, "cannot tidy the network");
        }
        if self.0.networks.is_unsure() && !self.0.tidying.swap(true, Ordering::Relaxed) {
            self.0.watcher.at(crate::clock::now() + LATER, Due::Tidy);
        }
    }

    /// Finishes what is being done and writes down what is to be written, for
    /// a daemon that ends. Containers go on; without any on the network, that
    /// goes too, and without any group, so does the parent of all.
    pub fn close(&self) {
        self.0.watcher.close();
        if !self.0.workers.rest(LAST_WORK) {
            tracing::warn!("work is left to the next daemon");
        }
        self.0.nursery.close();
        if let Err(error) = self.0.resolver.close() {
            tracing::warn!(%error, "cannot take leave of the resolver");
        }
        let plugged = |cell: &Arc<Cell>| !cell.now().plugs.is_empty();
        if self.0.roster.all().iter().any(plugged) {
            self.tidy();
        } else if let Err(error) = self.0.networks.take_down() {
            tracing::warn!(%error, "cannot take the network down");
        }
        if let Err(error) = cgroup::remove_unused(&self.0.layout, &self.0.cgroup_parent) {
            tracing::warn!(%error, "cannot remove the parent of control groups");
        }
        if let Err(error) = self.0.note_used() {
            tracing::warn!(%error, "cannot note which images were used");
        }
        self.0.store.close();
    }

    fn restart_due(&self, id: &Id) {
        let Some(cell) = self.0.roster.get(id) else { return };
        let _own = cell.own();
        if !matches!(cell.now().state, crate::State::Restarting { .. }) {
            return;
        }
        // After a restart of the host all come up at once.
        if let Some(at) = self.0.linked_come(&cell.now(), false) {
            return self.0.watcher.at(at, Due::Restart(id.clone()));
        }
        if let Err(error) = self.start_owned(&cell) {
            tracing::warn!(%id, %error, "a restart failed");
        }
    }
}

impl House {
    /// When its restart policy wants it started again, if it does.
    fn again(cell: &Cell, container: &Container, last: &Last) -> Option<Nanos> {
        let mut live = cell.live();
        let end = restart::End {
            code: last.code,
            by_hand: live.stopping || container.stopped_by_hand,
            restarts: container.restart_count,
        };
        if !restart::wanted(&container.host.restart_policy, end) {
            return None;
        }
        let (pause, in_a_row) = restart::pause(last, live.in_a_row);
        live.in_a_row = in_a_row;
        Some(crate::clock::now() + pause)
    }

    /// How a container ended whose monitor said nothing.
    pub(crate) fn exit_of(&self, cell: &Cell) -> Exit {
        match watch::exit(&self.paths.run(&cell.id)) {
            Ok(Some(exit)) => return exit,
            Ok(None) => tracing::warn!(id = %cell.id, "its monitor died: its program is killed"),
            Err(error) => tracing::warn!(id = %cell.id, %error, "its end cannot be read"),
        }
        Exit { code: KILLED, oom: false, at: crate::clock::now(), dropped: 0 }
    }

    /// Takes back what a run put on the host. Nothing to take back is no error.
    pub(crate) fn clear_up(&self, before: &Container) -> Result<(), Error> {
        // One step that fails must not keep the others from being done.
        self.resolver.leave(&before.id);
        let network = self.networks.leave(&before.plugs);
        self.network_events(before, "disconnect");
        let group = self.clear_group(before);
        let dir = self.paths.run(&before.id);
        let dir = match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome.doing("remove", &dir),
        };
        network.and(group).and(dir)
    }

    /// Kills what is left in its control group and removes that.
    pub(crate) fn clear_group(&self, container: &Container) -> Result<(), Error> {
        match self.group(container) {
            Err(error) if error.kind() == cgroup::Kind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
            Ok(group) => {
                if group.populated()? {
                    group.kill()?;
                }
                Ok(group.remove()?)
            }
        }
    }
}

/// Reads an adopted monitor's connection to its end.
fn last_word(receiver: watch::Receiver) -> Option<Exit> {
    receiver.map_while(Result::ok).find_map(|message| match message {
        watch::Message::Reply(Reply::Ended(exit)) => Some(exit),
        _ => None,
    })
}

impl Engine {
    /// Removes a container whose `verb` lock is held.
    pub(crate) fn remove_owned(&self, cell: &Arc<Cell>, volumes: bool) -> Result<(), Error> {
        let house = &*self.0;
        let begun = std::time::Instant::now();
        let container = cell.step(Step::Remove, |_| {})?;
        house.leave(&container);
        if let Err(error) = house.erase(&container, cell.slot) {
            let stuck = cell.step(Step::Stuck, |c| c.last.error = error.to_string());
            if let Ok(stuck) = stuck {
                house.leave(&stuck);
            }
            return Err(error);
        }
        house.was_used(&container.image);
        house.let_go(&container.image);
        // Before anybody is told that it is gone: all of it is.
        if volumes {
            house.drop_anonymous(&container);
        }
        house.journal.container(&container, "destroy", &[]);
        cell.gone();
        house.meter.took(begun, |counts| &mut counts.delete);
        Ok(())
    }
}

impl House {
    /// Takes everything of it from the disk, its record last.
    fn erase(&self, container: &Container, slot: u32) -> Result<(), Error> {
        self.clear_group(container)?;
        snapshot::Root::remove(&self.paths.data, container.id.as_str())?;
        match fs::remove_dir_all(&container.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).doing("remove", &container.dir);
            }
            _ => {}
        }
        self.free_disk(container);
        let gone = Write::Gone { id: container.id.to_string() };
        self.store.write(gone).map_err(|e| Error::records(&e))?;
        self.roster.release(&container.name, &container.id, slot);
        Ok(())
    }

    /// Removes the volumes that were made for it without a name.
    fn drop_anonymous(&self, container: &Container) {
        for mount in &container.mounts {
            let volume = self.volumes.get(&mount.name);
            let anonymous =
                volume.is_some_and(|v| v.labels.contains_key(crate::volumes::ANONYMOUS));
            if !anonymous {
                continue;
            }
            match self.drop_volume(&mount.name) {
                // Another container has it by --volumes-from.
                Ok(()) | Err(Error::Conflict(_)) => {}
                Err(error) => tracing::warn!(volume = mount.name, %error, "cannot remove a volume"),
            }
        }
    }
}
