//! A container as the verbs see it: a directory below `--root` with its
//! record, a process and a control group.
//!
//! ```text
//! create ──▶ created ── start ──▶ running ◀── pause, resume ──▶ paused
//!               │                    │ its program ends
//!               └──── kill ──────▶ stopped ── delete ──▶ gone
//! ```
//!
//! Nothing but `delete` removes the directory, and nothing else says where
//! in its life a container is: that is asked of the kernel each time.

use crate::{
    App,
    problem::{Doing, Problem},
    record::Record,
    scope,
};
use cgroup::Cgroup;
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    process::{Pid, PidfdFlags},
};
use spec::oci::State;
use std::{
    fs,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a killed init gets to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// One container that exists.
pub struct Container {
    pub dir: PathBuf,
    pub record: Record,
}

/// Whether the text can name a container, and a directory.
pub fn check_id(id: &str) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_+-.".contains(&b);
    match id {
        "" => Err(Problem::EmptyId),
        "." | ".." => Err(Problem::BadId),
        _ if !id.bytes().all(fits) => Err(Problem::BadId),
        _ => Ok(()),
    }
}

impl Container {
    /// Finds a container by its identifier.
    pub fn open(app: &App, id: &str) -> Result<Self, Problem> {
        check_id(id)?;
        let dir = app.root.join(id);
        let record = Record::load(&dir)?;
        Ok(Self { dir, record })
    }

    /// Takes the identifier; nothing else exists yet.
    pub fn claim(app: &App, record: Record) -> Result<Self, Problem> {
        check_id(&record.id)?;
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).recursive(true).create(&app.root).doing("create", &app.root)?;
        let dir = app.root.join(&record.id);
        match fs::DirBuilder::new().mode(0o711).create(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Problem::Exists),
            other => {
                other.doing("create", &dir)?;
                Ok(Self { dir, record })
            }
        }
    }

    pub fn save(&self) -> Result<(), Problem> {
        self.record.save(&self.dir)
    }

    /// Where init waits for `start`; the name is there as long as it waits.
    pub fn door(&self) -> PathBuf {
        self.dir.join("start.sock")
    }

    pub fn cgroup(&self) -> Cgroup {
        Cgroup::from_paths(&self.record.cgroup_paths)
    }

    /// Asks the kernel where the container is in its life.
    pub fn status(&self) -> Result<Status, Problem> {
        let pid = self.record.init_process_pid;
        if pid == 0 {
            return Ok(Status::Creating);
        }
        if !lives(pid, self.record.init_process_start) {
            return Ok(Status::Stopped);
        }
        if self.cgroup().frozen()? {
            return Ok(Status::Paused);
        }
        Ok(if self.door().exists() { Status::Created } else { Status::Running })
    }

    /// Init, if it lives; safe from a reuse of its number.
    pub fn init(&self) -> Result<Option<OwnedFd>, Problem> {
        let Some(pid) = Pid::from_raw(self.record.init_process_pid) else { return Ok(None) };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            other => other.doing("open the process of", &self.record.id)?,
        };
        // Checked after opening: what the descriptor names is what began then.
        let same = lives(self.record.init_process_pid, self.record.init_process_start);
        Ok(same.then_some(pidfd))
    }

    /// What hooks read and `state` prints a part of.
    pub fn state(&self, status: Status) -> State {
        let pid = self.record.init_process_pid;
        State {
            oci_version: self.record.spec.oci_version.clone(),
            id: self.record.id.clone(),
            status: status.word().into(),
            pid: (status != Status::Stopped && pid != 0).then_some(pid),
            bundle: self.record.bundle.clone(),
            annotations: self.record.spec.annotations.clone(),
        }
    }

    /// Whether it has a pid namespace of its own: then its init takes every
    /// other process along.
    pub fn own_pids(&self) -> bool {
        let namespaces = self.record.spec.linux.as_ref().map(|linux| &linux.namespaces);
        namespaces.is_some_and(|all| all.iter().any(|n| n.kind == "pid" && n.path.is_empty()))
    }

    /// Kills every process and waits until they are gone.
    pub fn kill(&self) -> Result<(), Problem> {
        let init = self.init()?;
        if let Some(init) = &init {
            match sys::signal::send_pidfd(rustix::fd::AsFd::as_fd(init), 9) {
                Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                other => other.doing("kill the process of", &self.record.id)?,
            }
        }
        self.cgroup().kill()?;
        match &init {
            Some(init) if !ends(init, PATIENCE)? => Err(Problem::StillRunning),
            _ => Ok(()),
        }
    }

    /// Removes what a container that has ended leaves: its control groups,
    /// then whatever its `poststop` hooks remove, then the record.
    pub fn remove(&self, app: &App) -> Result<(), Problem> {
        self.remove_groups()?;
        self.post_stop(app);
        // In most there is the record and nothing else.
        if Record::remove(&self.dir).and_then(|()| fs::remove_dir(&self.dir)).is_ok() {
            return Ok(());
        }
        match fs::remove_dir_all(&self.dir) {
            // Another delete was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.doing("remove", &self.dir),
        }
    }

    /// Ends whoever is in the container's groups, and the groups.
    pub fn remove_groups(&self) -> Result<(), Problem> {
        let cgroup = self.cgroup();
        if self.record.unit.is_none() && cgroup.remove_unused()? {
            return Ok(());
        }
        // Without a pid namespace of its own, processes outlive init.
        cgroup.kill()?;
        if let Some(unit) = &self.record.unit {
            scope::stop(unit)?;
        }
        // What systemd does not know it does not remove either.
        Ok(cgroup.remove()?)
    }

    /// Runs the `poststop` hooks. One that fails is reported and stops nothing.
    pub fn post_stop(&self, app: &App) {
        let hooks = self.record.spec.hooks.as_ref().map(|hooks| &hooks.poststop[..]);
        let state = self.state(Status::Stopped);
        for hook in hooks.unwrap_or_default() {
            if let Err(failure) =
                runtime::hooks::run("poststop", std::slice::from_ref(hook), &state)
            {
                app.log.warn(&failure.to_string());
            }
        }
    }
}

/// Waits for a process to end; false if it does not.
fn ends(pidfd: &OwnedFd, patience: Duration) -> Result<bool, Problem> {
    let timeout = patience.try_into().expect("seconds fit");
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let ended = rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&timeout)));
    Ok(ended.doing("wait for", "init")? > 0)
}

/// Whether the process that began at `start` lives: not even a zombie.
fn lives(pid: i32, start: u64) -> bool {
    matches!(stat(pid), Some((state, began)) if began == start && !matches!(state, 'Z' | 'X'))
}

/// When a process began, in clock ticks since boot.
pub fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|(_, start)| start)
}

fn stat(pid: i32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?)
}

/// State and start time (fields 3 and 22 of proc_pid_stat(5)); the name in
/// field 2 may hold anything, a `)` too.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_the_root() {
        for bad in ["", ".", "..", "a/b", "../a", "a b", "a\n", "ä"] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "A-1_2.3+4", "...", "-x"] {
            assert!(check_id(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_hostile_process_name_does_not_confuse() {
        let text = "7 (a) Z 1 (b)) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 315367 0 0";
        assert_eq!(parse_stat(text), Some(('S', 315_367)));
    }

    #[test]
    fn this_process_lives_and_only_since_it_began() {
        let pid = i32::try_from(std::process::id()).expect("a pid is an int");
        let start = start_time(pid).expect("we are there");
        assert!(lives(pid, start));
        assert!(!lives(pid, start + 1));
    }
}
