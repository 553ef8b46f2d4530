//! What a new daemon does about what an old one left.
//!
//! For every record the machine is asked for [four facts](crate::verdict);
//! then follow the sweep of what no record names, and the restart policies.
//! All verbs wait for the verdict of the container they are about, and for
//! nothing else.

use crate::{
    Container, Engine, Error, State,
    cell::{Cell, Link},
    error::Doing,
    house::House,
    restart,
    start::begins,
    state::Step,
    verdict::{Seen, Verdict, verdict},
    watcher::Due,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use spec::{
    Id,
    wire::{Exit, Reply, Request},
};
use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    sync::{Arc, mpsc},
};

/// How often it is looked whether those are up that one is linked to: for ten
/// seconds at the least.
const PATIENCE: u32 = 100;

/// Starts recovery. Until a container has its verdict, its owner lets no verb
/// pass; readers see the record.
pub(crate) fn begin(engine: &Engine, mut boots: HashMap<Id, String>) {
    let house = &engine.0;
    house.give_levels();
    let (done, all_done) = mpsc::channel::<()>();
    for cell in house.roster.all() {
        house.networks.adopt(&cell.now().plugs);
        let boot = boots.remove(&cell.id).unwrap_or_default();
        let (engine, done) = (engine.clone(), done.clone());
        house.workers.give(move || {
            let mut own = cell.own_first();
            engine.recover(&cell, &boot);
            cell.set_free(&mut own);
            drop(own);
            engine.end_of_build(&cell);
            drop(done);
        });
    }
    drop(done);
    let engine = engine.clone();
    house.workers.give(move || {
        // It ends when the last sender has gone.
        all_done.iter().for_each(drop);
        let house = &engine.0;
        if let Err(error) = house.images.release_all(&|id| house.users(id)) {
            tracing::warn!(%error, "cannot remove what images left to their containers");
        }
        engine.sweep();
        engine.0.sweep_volumes();
        engine.0.sweep_imports();
        engine.firewall_changed();
        if house.networks.was_loose() {
            engine.hold_to_policies();
        }
        if house.networks.is_unsure() {
            engine.tidy();
        }
        engine.find_resolver();
        engine.dawn();
        engine.disk_has_changed();
        engine.collect_from_now_on();
    });
}

impl Engine {
    /// A step's container goes with its build, which is no more.
    fn end_of_build(&self, cell: &Cell) {
        if !cell.now().of_build {
            return;
        }
        match self.remove(cell.id.as_str(), true, true) {
            Ok(()) | Err(Error::NoContainer(_)) => {}
            Err(error) => {
                tracing::warn!(id = %cell.id, %error, "cannot remove a build's container");
            }
        }
    }

    /// Finds out what became of one container, and acts on it. Its `verb`
    /// lock is held.
    fn recover(&self, cell: &Arc<Cell>, boot: &str) {
        let container = cell.now();
        if let Err(error) = self.act(cell, &container, boot) {
            tracing::error!(id = %cell.id, %error, "cannot recover a container");
        }
    }

    fn act(&self, cell: &Arc<Cell>, container: &Container, boot: &str) -> Result<(), Error> {
        let house = &self.0;
        let (seen, connection) = house.look(container, boot);
        let found = verdict(&seen);
        let was_alive = matches!(
            container.state,
            State::Starting | State::Running { .. } | State::Paused { .. }
        );
        match (found, connection) {
            (Verdict::Adopt(pid), Some(receiver)) => {
                tracing::info!(id = %cell.id, pid, "adopted");
                self.adopt(cell, pid, receiver)
            }
            (Verdict::Ended(exit), _) if was_alive => {
                self.finish(cell, &exit);
                Ok(())
            }
            (Verdict::Ended(_), _) => house.clear_up(container),
            (Verdict::Orphaned | Verdict::Adopt(_), _) => {
                tracing::warn!(id = %cell.id, "its monitor is dead: its program is killed");
                house.clear_group(container)?;
                self.lost(cell, was_alive)
            }
            (Verdict::Lost, _) => self.lost(cell, was_alive),
        }?;
        // A removal that was cut short is finished; one that the verdict just
        // brought about (--rm) is on its way.
        if container.state == State::Removing {
            let stuck = cell.step(Step::Stuck, |_| {})?;
            house.leave(&stuck);
        }
        if matches!(container.state, State::Removing | State::Dead) {
            self.remove_owned(cell, false)?;
        }
        Ok(())
    }

    fn adopt(&self, cell: &Arc<Cell>, pid: i32, receiver: watch::Receiver) -> Result<(), Error> {
        let house = &self.0;
        let dir = house.paths.run(&cell.id);
        let raw = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData).doing("adopt", &dir)?;
        let init = match pidfd_open(raw, PidfdFlags::empty()) {
            // It ended a moment ago, and its monitor will say so.
            Err(rustix::io::Errno::SRCH) => None,
            opened => Some(Arc::new(opened.doing("watch init in", &dir)?)),
        };
        house.networks.take_over(&cell.id, &cell.now().plugs);
        let frozen = house.group(&cell.now()).and_then(|group| group.frozen()).unwrap_or(false);
        // Without a process in its record it was let go by a daemon that died
        // before it could say so.
        let untold = cell.now().state.pid().is_none();
        let now = crate::clock::now();
        let adopted = cell.step(Step::Adopt { pid, frozen }, |container| {
            if untold {
                begins(container, now);
            }
        })?;
        house.leave(&adopted);
        if untold {
            house.network_events(&adopted, "connect");
            house.journal.container(&adopted, "start", &[]);
        }
        let mut live = cell.live();
        live.init = init;
        let watched = house.watcher.watch(&receiver, Due::Container(cell.id.clone()));
        live.link = Some(Link::Adopted(receiver));
        let late = live.take_attaching();
        drop(live);
        // They came while it was being recovered.
        house.attach_all(cell, late);
        if !frozen {
            self.check_health(cell);
        }
        watched.doing("watch the monitor in", &dir)
    }

    /// Both its monitor and its program are gone without a word.
    fn lost(&self, cell: &Arc<Cell>, was_alive: bool) -> Result<(), Error> {
        let container = cell.now();
        if !was_alive {
            return self.0.clear_up(&container);
        }
        if container.state == State::Starting {
            // It never began: as a start that failed.
            let ran_before = container.last.started != 0;
            let after = cell.step(Step::GaveUp { ran_before }, |container| {
                House::withdraw(container);
            })?;
            self.0.leave(&after);
            return self.0.clear_up(&container);
        }
        // Docker's code for a container that the host took with it.
        self.finish(cell, &Exit { code: 255, oom: false, at: crate::clock::now(), dropped: 0 });
        Ok(())
    }

    /// Starts what its restart policy wants up, now that the engine is.
    fn dawn(&self) {
        for cell in self.0.roster.all() {
            let container = cell.now();
            match container.state {
                State::Restarting { at } => {
                    self.0.watcher.at(at, Due::Restart(cell.id.clone()));
                    continue;
                }
                State::Exited => {}
                _ => continue,
            }
            let end = restart::End {
                code: container.last.code,
                by_hand: container.stopped_by_hand,
                restarts: container.restart_count,
            };
            if !restart::wanted_at_dawn(&container.host.restart_policy, end) {
                continue;
            }
            let engine = self.clone();
            self.0.workers.give(move || engine.start_at_dawn(&cell.id, 0));
        }
    }

    /// Starts one of them, when those are up that it is linked to: each takes
    /// its own time.
    pub(crate) fn start_at_dawn(&self, id: &Id, tries: u32) {
        let Some(cell) = self.0.roster.get(id) else { return };
        let _own = cell.own();
        if let Some(at) = self.0.linked_come(&cell.now(), true)
            && tries < PATIENCE
        {
            return self.0.watcher.at(at, Due::Dawn(id.clone(), tries + 1));
        }
        let started = self.start_owned(&cell);
        if let Err(error) = started
            && !matches!(error, Error::NotModified(_))
        {
            tracing::warn!(id = %cell.id, %error, "cannot start a container again");
        }
    }

    /// Removes what bears the name of a container that no record knows.
    fn sweep(&self) {
        let house = &self.0;
        // What is being created has its name held, and its record written,
        // before anything bears its id; what is listed here first and is not
        // in the roster afterwards is nobody's.
        let runs = names_in(&house.paths.run.join("containers"));
        let dirs = names_in(&house.paths.data.join("containers"));
        let groups = cgroup::children(&house.layout, &house.cgroup_parent);
        let groups = groups.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot list control groups");
            BTreeSet::new()
        });
        let known = house.roster.ids();
        for id in rubbish(&groups, &known) {
            report(&id, "control group", house.sweep_group(&id));
        }
        for id in rubbish(&runs, &known) {
            let dir = house.paths.run.join("containers").join(&id);
            report(&id, "run directory", fs::remove_dir_all(&dir).doing("remove", &dir));
        }
        for id in rubbish(&dirs, &known) {
            let dir = house.paths.data.join("containers").join(&id);
            let removed = snapshot::Root::remove(&house.paths.data, &id).map_err(Error::from);
            let removed = removed.and_then(|()| match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                outcome => outcome.doing("remove", &dir),
            });
            report(&id, "directory", removed);
        }
        match house.networks.sweep(house) {
            Ok(swept) => swept.iter().for_each(|what| tracing::info!(what, "swept of the network")),
            Err(error) => tracing::warn!(%error, "cannot sweep the network"),
        }
    }
}

impl House {
    /// The four facts, and the connection to the monitor that answered.
    fn look(&self, container: &Container, boot: &str) -> (Seen, Option<watch::Receiver>) {
        let dir = self.paths.run(&container.id);
        let exit = watch::exit(&dir).unwrap_or_else(|error| {
            tracing::warn!(id = %container.id, %error, "its end cannot be read");
            None
        });
        let answer = watch::Connection::open(&dir, &Request::Watch).and_then(|mut connection| {
            let reply = connection.reply()?;
            Ok((reply, connection.split().1))
        });
        let (monitor, receiver) = match answer {
            Ok((Reply::State { id, pid }, receiver)) if id == container.id.as_str() => {
                (pid, Some(receiver))
            }
            Ok(_) | Err(watch::Error::Absent(_)) => (None, None),
            Err(error) => {
                tracing::warn!(id = %container.id, %error, "its monitor does not answer");
                (None, None)
            }
        };
        let populated = self.group(container).and_then(|group| group.populated()).unwrap_or(false);
        let seen = Seen { same_boot: boot == self.machine.boot, exit, monitor, populated };
        (seen, receiver)
    }

    fn sweep_group(&self, id: &str) -> Result<(), Error> {
        let path = format!("{}/{id}", self.cgroup_parent);
        let group = cgroup::Cgroup::open(&self.layout, &path)?;
        if group.populated()? {
            group.kill()?;
        }
        Ok(group.remove()?)
    }
}

/// What is named after a container that is not known. Other names are not
/// ours to judge.
pub(crate) fn rubbish(found: &BTreeSet<String>, known: &BTreeSet<Id>) -> Vec<String> {
    let unknown = |name: &&String| name.parse::<Id>().is_ok_and(|id| !known.contains(&id));
    found.iter().filter(unknown).cloned().collect()
}

pub(crate) fn names_in(dir: &std::path::Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn report(id: &str, what: &str, outcome: Result<(), Error>) {
    match outcome {
        Ok(()) => tracing::info!(id, what, "swept"),
        Err(error) => tracing::warn!(id, what, %error, "cannot sweep"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweep_takes_what_is_named_after_nobody_and_nothing_else() {
        let id = |byte| Id::from_random([byte; 32]);
        let found = [id(1).to_string(), id(2).to_string(), "somebody-elses".into()].into();
        let swept = rubbish(&found, &BTreeSet::from([id(1)]));
        assert_eq!(swept, [id(2).to_string()]);
    }
}
