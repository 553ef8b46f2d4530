//! Another program in a container that runs.
//!
//! ```text
//!   caller                                 joiner
//!     | clone3 (in its process namespace) ──> | hides, enters v1 cgroups, limits
//!     |                                       | joins the other namespaces
//!     | <── Console (+pty) ────────────────── | settles
//!     | <── Ready ─────────────────────────── |
//!     | (the socket closes on exec) ──────────x
//! ```
//!
//! The joiner is non-dumpable before it enters anything, so that nobody in
//! there can look into it or trace it (CVE-2016-9962).

use crate::{
    Cgroup, Io, Options, Running, caps, console,
    dialogue::{self, Said},
    failure::{Doing, refusal},
    filter::{Filter, Listener},
    ids::Ids,
    launcher, limits,
    procfs::Proc,
    program::{self, Program},
    waiting,
};
use rustix::{
    fs::{Mode, OFlags},
    process::{DumpableBehavior, PidfdFlags, Signal},
    thread::ThreadNameSpaceType,
};
use spec::{
    Sandbox,
    oci::{Linux, Process},
    wire::Failure,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::process::{Clone, Cloned};

/// A running container, for [`exec`].
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its init.
    pub pidfd: BorrowedFd<'a>,
    /// What confines it; an exec is confined alike.
    pub sandbox: &'a Sandbox,
}

/// Runs another program in a container: returns when exec has succeeded.
///
/// The process is a child of the caller, in all namespaces of the container,
/// in [`Options::cgroup`], and confined by the sandbox except where
/// `process` says otherwise (capabilities, labels, `noNewPrivileges`).
///
/// The caller must have one thread.
///
/// # Errors
/// Why it could not; the process is gone then, and reaped.
pub fn exec(
    target: Target<'_>,
    process: &Process,
    io: Io,
    options: &Options<'_>,
) -> Result<Running, Failure> {
    let config = &target.sandbox.config;
    let linux = config.linux.as_ref().ok_or_else(|| refusal("the config has no linux section"))?;
    let (socket, theirs) = dialogue::pair()?;
    let made = clone_inside(target.pidfd, options.cgroup)?;
    let Cloned::Parent { pid, pidfd } = made else {
        drop(socket);
        let joiner = Joiner { target, process, linux, options, socket: &theirs };
        waiting::child(|| launcher::fail(&theirs, joiner.join(io)))
    };
    drop((theirs, io));
    let mut running = Running { pid, pidfd, console: None, warnings: Vec::new() };
    match hear(&socket, &mut running) {
        Ok(()) => Ok(running),
        Err(failure) => {
            // It may be gone already.
            let _ = rustix::process::pidfd_send_signal(&running.pidfd, Signal::KILL);
            waiting::reap(running.pidfd.as_fd());
            Err(failure)
        }
    }
}

fn hear(socket: &OwnedFd, running: &mut Running) -> Result<(), Failure> {
    let mut ready = false;
    loop {
        match dialogue::hear(socket.as_fd())? {
            None if ready => return Ok(()),
            None => return Err(refusal("the process ended before it was the program")),
            Some((Said::Ready, _)) => ready = true,
            Some((Said::Console, mut fds)) => running.console = fds.pop(),
            Some((Said::Warning(line), _)) => running.warnings.push(line),
            Some((Said::Failed(failure), _)) => return Err(failure),
            Some(_) => return Err(refusal("the process spoke out of turn")),
        }
    }
}

/// Forks into the container's process namespace and version 2 control group.
fn clone_inside(target: BorrowedFd<'_>, cgroup: Option<&Cgroup>) -> Result<Cloned, Failure> {
    let unified = launcher::open_unified(cgroup, false)?;
    let doing = || "join the container's process namespace".into();
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .doing(|| "open the own process".into())?;
    // This is for children alone, and is taken back at once.
    let pids = ThreadNameSpaceType::PROCESS_ID;
    rustix::thread::move_into_thread_name_spaces(target, pids).doing(doing)?;
    let how = Clone { cgroup: unified.as_ref().map(AsFd::as_fd), ..Clone::default() };
    let cloned = sys::process::clone(how);
    if !matches!(cloned, Ok(Cloned::Child)) {
        rustix::thread::move_into_thread_name_spaces(own.as_fd(), pids).doing(doing)?;
    }
    cloned.doing(|| "fork into the container".into())
}

struct Joiner<'a> {
    target: Target<'a>,
    process: &'a Process,
    linux: &'a Linux,
    options: &'a Options<'a>,
    socket: &'a OwnedFd,
}

impl Joiner<'_> {
    /// Why it did not become the program.
    fn join(&self, io: Io) -> Failure {
        match self.try_join(io) {
            Err(failure) => failure,
            Ok(never) => match never {},
        }
    }

    fn try_join(&self, io: Io) -> Result<std::convert::Infallible, Failure> {
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .doing(|| "hide from other processes".into())?;
        let proc = Proc::open()?;
        if let Some(affinity) = &self.process.exec_cpu_affinity {
            limits::affinity(&affinity.initial)?;
        }
        for file in launcher::open_tasks(self.options.cgroup, false)? {
            rustix::io::write(&file, b"0").doing(|| "enter the container's cgroup".into())?;
        }
        let mut warnings = Vec::new();
        limits::apply(&proc, None, self.process, &mut warnings)?;
        let mapped = self.has("user");
        self.own_streams(&proc, &io, mapped)?;
        let filter = self.filter(&proc)?;
        self.enter()?;
        sys::signal::reset().doing(|| "reset the signals".into())?;
        let terminal = self.open_terminal(&io, mapped)?;
        program::take_streams(io, terminal)?;
        let program = Program {
            sandbox: self.target.sandbox,
            process: self.process,
            proc: &proc,
            filter,
            preserve_fds: self.options.preserve_fds,
            new_keyring: !self.options.no_new_keyring,
            init: false,
            processors: self.process.exec_cpu_affinity.as_ref().map(|set| set.last.as_str()),
        };
        let settled = program.settle(&mut warnings)?;
        for line in warnings {
            program::tell(self.socket.as_fd(), line)?;
        }
        dialogue::say(self.socket.as_fd(), &Said::Ready, &[])
            .doing(|| "say that all is ready".into())?;
        Err(program.begin(&settled, self.socket))
    }

    fn has(&self, kind: &str) -> bool {
        self.linux.namespaces.iter().any(|namespace| namespace.kind == kind)
    }

    /// Joins every namespace of the container, all at once, except the one it
    /// was forked into.
    fn enter(&self) -> Result<(), Failure> {
        use ThreadNameSpaceType as T;
        let kinds = [
            ("user", T::USER),
            ("mount", T::MOUNT),
            ("network", T::NETWORK),
            ("ipc", T::INTER_PROCESS_COMMUNICATION),
            ("uts", T::HOST_NAME_AND_NIS_DOMAIN_NAME),
            ("cgroup", T::CONTROL_GROUP),
            ("time", T::TIME),
        ];
        let wanted = kinds
            .into_iter()
            .filter(|(kind, _)| self.has(kind))
            .fold(T::empty(), |all, (_, flag)| all | flag);
        rustix::thread::move_into_thread_name_spaces(self.target.pidfd, wanted)
            .doing(|| "join the container's namespaces".into())?;
        if self.has("user") {
            // Files are made and opened as the container's root from here on.
            sys::process::set_file_owner(0, 0).doing(|| "act as the container's root".into())?;
            caps::raise()?;
        }
        Ok(())
    }

    fn own_streams(&self, proc: &Proc, io: &Io, mapped: bool) -> Result<(), Failure> {
        let (uids, gids) = (&self.linux.uid_mappings, &self.linux.gid_mappings);
        if !mapped {
            launcher::own_streams(io, self.process, Ids { uids: &[], gids: &[] });
        } else if uids.is_empty() {
            let pid = pid_of(proc, self.target.pidfd)?;
            let uids = launcher::read_map(proc, pid, "uid_map")?;
            launcher::own_streams(io, self.process, Ids { uids: &uids, gids: &[] });
        } else {
            launcher::own_streams(io, self.process, Ids { uids, gids });
        }
        Ok(())
    }

    fn filter(&self, proc: &Proc) -> Result<Option<Filter>, Failure> {
        let Some(rules) = &self.linux.seccomp else { return Ok(None) };
        let mut filter = Filter::compile(rules)?;
        if !rules.listener_path.is_empty() {
            let pid = pid_of(proc, self.target.pidfd)?;
            let bundle = std::path::Path::new("");
            let state = crate::state(self.target.sandbox, bundle, pid, "running");
            let own = crate::init::own_pid(proc)?;
            filter.listen(Listener::connect(rules, &state, own)?);
        }
        Ok(Some(filter))
    }

    fn open_terminal(&self, io: &Io, mapped: bool) -> Result<Option<OwnedFd>, Failure> {
        let Io::Terminal { size } = io else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).doing(|| "open the root".into())?;
        let (master, slave) = console::open(root.as_fd(), *size)?;
        let uid = rustix::fs::Uid::from_raw(self.process.user.uid);
        match rustix::fs::fchown(&slave, Some(uid), None) {
            // A devpts of another user namespace than the container's.
            Err(rustix::io::Errno::PERM) if mapped => {}
            other => other.doing(|| "give the terminal to the user".into())?,
        }
        dialogue::say(self.socket.as_fd(), &Said::Console, &[master.as_fd()])
            .doing(|| "hand the terminal over".into())?;
        Ok(Some(slave))
    }
}

/// The process that `pidfd` stands for, as the host counts.
fn pid_of(proc: &Proc, pidfd: BorrowedFd<'_>) -> Result<i32, Failure> {
    use std::os::fd::AsRawFd;
    let doing = || "find the container's first process".into();
    let path = format!("self/fdinfo/{}", pidfd.as_raw_fd());
    let file = proc.file(&path, OFlags::RDONLY).doing(doing)?;
    let mut bytes = [0; 1024];
    let len = rustix::io::read(&file, &mut bytes).doing(doing)?;
    String::from_utf8_lossy(&bytes[..len])
        .lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
        .ok_or_else(|| refusal("the container's first process has no number here"))
}
