//! Another program in a container that runs.
//!
//! ```text
//!   caller                  guide                         joiner
//!     | clone3 ─────────────> | hides                        |
//!     |                       | joins every namespace        |
//!     | <── Console (+pty) ── | closes all that is the host's|
//!     |                       | ── clone3 (its sibling) ───> | in the process namespace
//!     | <── Alive (+pidfd) ── x exits                        |
//!     | ─── Alive (its limits are set, this is its number) ─>|
//!     |                                                      | enters v1 cgroups
//!     | <── Ready ───────────────────────────────────────────| settles
//!     | <── (the socket closes on exec: it runs) ────────────x exec
//! ```
//!
//! The joiner can be seen by the container from its first instruction on, and
//! who has `CAP_SYS_PTRACE` over the host's user namespace may look into it
//! whatever it does to hide (CVE-2016-9962). So it is born with nothing of the
//! host's in it: in the container's root, with the descriptors that it needs.
//! The guide, which has both, is in the host's process namespace and cannot be
//! seen.

use crate::{
    Io, Options, Running, caps, console,
    dialogue::{self, Said},
    failure::{Doing, refusal},
    filesystem,
    filter::{Filter, Listener},
    ids::Ids,
    labels, launcher, limits,
    procfs::Proc,
    program::{self, Program},
    waiting,
};
use rustix::{
    fs::{Mode, OFlags},
    process::{DumpableBehavior, Signal},
    thread::ThreadNameSpaceType,
};
use spec::{
    Sandbox,
    oci::{Linux, Process, State},
    wire::Failure,
};
use std::{
    convert::Infallible,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};
use sys::process::{Clone, Cloned};

/// A running container, for [`exec`].
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its init.
    pub pidfd: BorrowedFd<'a>,
    /// What confines it; an exec is confined alike.
    pub sandbox: &'a Sandbox,
    /// Where it was made from, for a seccomp listener to be told; may be empty.
    pub bundle: &'a Path,
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
    let unified = launcher::open_unified(options.cgroup, false)?;
    let how = Clone { cgroup: unified.as_ref().map(AsFd::as_fd), ..Clone::default() };
    let made = sys::process::clone(how).doing(|| "fork the guide".into())?;
    let Cloned::Parent { pidfd: guide, .. } = made else {
        drop((socket, unified));
        let guide = Guide { target, process, linux, options, socket: &theirs };
        waiting::child(|| match guide.lead(io) {
            Ok(never) => match never {},
            Err(failure) => launcher::fail(&theirs, failure),
        })
    };
    drop((theirs, io));
    let mut talk = Talk { socket, process, console: None, warnings: Vec::new() };
    let born = talk.birth();
    waiting::reap(guide.as_fd());
    let (pid, pidfd) = born?;
    match talk.rest(pid) {
        Ok(()) => Ok(Running { pid, pidfd, console: talk.console, warnings: talk.warnings }),
        Err(failure) => {
            // It may be gone already.
            let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
            waiting::reap(pidfd.as_fd());
            Err(failure)
        }
    }
}

/// The caller's side of the dialogue.
struct Talk<'a> {
    socket: OwnedFd,
    process: &'a Process,
    console: Option<OwnedFd>,
    warnings: Vec<String>,
}

impl Talk<'_> {
    /// Until the joiner is there.
    fn birth(&mut self) -> Result<(i32, OwnedFd), Failure> {
        loop {
            match dialogue::hear(self.socket.as_fd())? {
                None => return Err(refusal("the guide into the container ended early")),
                Some((Said::Alive { pid }, mut fds)) if fds.len() == 1 => {
                    return Ok((pid, fds.remove(0)));
                }
                Some((said, fds)) => self.take(said, fds)?,
            }
        }
    }

    /// Sets what takes the host's rights, and lets it go on until it is the
    /// program.
    fn rest(&mut self, pid: i32) -> Result<(), Failure> {
        limits::apply(&Proc::open()?, pid, self.process, &mut self.warnings)?;
        dialogue::say(self.socket.as_fd(), &Said::Alive { pid }, &[])
            .doing(|| "speak to the process".into())?;
        let mut ready = false;
        loop {
            match dialogue::hear(self.socket.as_fd())? {
                None if ready => return Ok(()),
                None => return Err(refusal("the process ended before it was the program")),
                Some((Said::Ready, _)) => ready = true,
                Some((said, fds)) => self.take(said, fds)?,
            }
        }
    }

    fn take(&mut self, said: Said, mut fds: Vec<OwnedFd>) -> Result<(), Failure> {
        match said {
            Said::Console => self.console = fds.pop(),
            Said::Warning(line) => self.warnings.push(line),
            Said::Failed(failure) => return Err(failure),
            _ => return Err(refusal("the process spoke out of turn")),
        }
        Ok(())
    }
}

/// Leads into the container.
struct Guide<'a> {
    target: Target<'a>,
    process: &'a Process,
    linux: &'a Linux,
    options: &'a Options<'a>,
    socket: &'a OwnedFd,
}

/// What is taken along.
struct Luggage {
    /// To write `0` to. Not before: the guide, who is one more, could make it
    /// one too many.
    tasks: Vec<OwnedFd>,
    filter: Option<Filter>,
    /// What the filter's supervisor is told of the container.
    state: Option<State>,
    terminal: Option<OwnedFd>,
    /// To ask for labels with.
    proc: Option<Proc>,
}

impl Guide<'_> {
    /// Makes the joiner; neither of them returns.
    fn lead(&self, io: Io) -> Result<Infallible, Failure> {
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .doing(|| "hide from other processes".into())?;
        let proc = Proc::open()?;
        if let Some(affinity) = &self.process.exec_cpu_affinity {
            limits::affinity(&affinity.initial)?;
        }
        let tasks = launcher::open_tasks(self.options.cgroup, false)?;
        let mapped = self.has("user");
        self.own_streams(&proc, &io, mapped)?;
        let (filter, state) = self.filter(&proc)?;
        self.enter()?;
        let terminal = self.open_terminal(&io, mapped)?;
        program::take_given(io)?;
        // In a user namespace nobody has the right to look; outside of one the
        // joiner makes a procfs of the container's own.
        let proc = Some(proc).filter(|_| mapped && labels::wanted(self.process));
        let luggage = Luggage { tasks, filter, state, terminal, proc };
        self.leave_behind(&luggage)?;
        let how = Clone { sibling: true, ..Clone::default() };
        match sys::process::clone(how).doing(|| "fork into the container".into())? {
            Cloned::Child => {
                let joiner = Joiner { guide: self, mapped };
                let failure = joiner.join(luggage);
                sys::process::exit(launcher::fail(self.socket, failure))
            }
            Cloned::Parent { pid, pidfd } => {
                dialogue::say(self.socket.as_fd(), &Said::Alive { pid }, &[pidfd.as_fd()])
                    .doing(|| "tell of the process".into())?;
                sys::process::exit(0)
            }
        }
    }

    /// Closes every descriptor but those that are taken along. Their owners
    /// are in frames that this process never returns to.
    fn leave_behind(&self, luggage: &Luggage) -> Result<(), Failure> {
        let mut keep = vec![self.socket.as_fd()];
        keep.extend(luggage.tasks.iter().map(AsFd::as_fd));
        keep.extend(luggage.terminal.as_ref().map(AsFd::as_fd));
        keep.extend(luggage.proc.as_ref().map(Proc::as_fd));
        keep.extend(luggage.filter.as_ref().and_then(Filter::listener).map(Listener::socket));
        sys::process::close_all_but(3 + self.options.preserve_fds, &keep)
            .doing(|| "close what is the host's".into())
    }

    fn has(&self, kind: &str) -> bool {
        self.linux.namespaces.iter().any(|namespace| namespace.kind == kind)
    }

    /// Joins every namespace of the container, all at once; the one of
    /// processes is for children alone.
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
        // Listed or not, it is in one; which need not belong to its user
        // namespace, so that it is joined with the host's rights.
        rustix::thread::move_into_thread_name_spaces(self.target.pidfd, T::PROCESS_ID)
            .doing(|| "join the container's process namespace".into())?;
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

    fn filter(&self, proc: &Proc) -> Result<(Option<Filter>, Option<State>), Failure> {
        let Some(rules) = &self.linux.seccomp else { return Ok((None, None)) };
        let mut filter = Filter::compile(rules)?;
        filter.listen(Listener::connect(Some(rules))?);
        if filter.listener().is_none() {
            return Ok((Some(filter), None));
        }
        let pid = pid_of(proc, self.target.pidfd)?;
        let Target { sandbox, bundle, .. } = self.target;
        let state = crate::state(sandbox, bundle, pid, "running");
        Ok((Some(filter), Some(state)))
    }

    fn open_terminal(&self, io: &Io, mapped: bool) -> Result<Option<OwnedFd>, Failure> {
        let Io::Terminal { size } = io else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).doing(|| "open the root".into())?;
        let (master, slave) = console::open(root.as_fd(), *size)?;
        let uid = self.process.user.uid;
        // Whoever is to become nobody's number is refused later, in words.
        let uid = (uid != u32::MAX).then(|| rustix::fs::Uid::from_raw(uid));
        match rustix::fs::fchown(&slave, uid, None) {
            // A devpts of another user namespace than the container's.
            Err(rustix::io::Errno::PERM) if mapped => {}
            other => other.doing(|| "give the terminal to the user".into())?,
        }
        dialogue::say(self.socket.as_fd(), &Said::Console, &[master.as_fd()])
            .doing(|| "hand the terminal over".into())?;
        Ok(Some(slave))
    }
}

/// In the container, on its way to become the program.
struct Joiner<'a> {
    guide: &'a Guide<'a>,
    mapped: bool,
}

impl Joiner<'_> {
    /// Why it did not become the program.
    fn join(&self, luggage: Luggage) -> Failure {
        match self.try_join(luggage) {
            Err(failure) => failure,
            Ok(never) => match never {},
        }
    }

    fn try_join(&self, luggage: Luggage) -> Result<Infallible, Failure> {
        let Guide { target, process, linux, options, socket } = *self.guide;
        let Luggage { tasks, mut filter, state, terminal, mut proc } = luggage;
        for file in tasks {
            rustix::io::write(&file, b"0").doing(|| "enter the container's cgroup".into())?;
        }
        sys::signal::reset().doing(|| "reset the signals".into())?;
        let Some((Said::Alive { pid }, _)) = dialogue::hear(socket.as_fd())? else {
            return Err(refusal("the caller ended early"));
        };
        let listener = filter.as_mut().and_then(Filter::listener_mut);
        if let (Some(listener), Some(rules), Some(state)) = (listener, &linux.seccomp, &state) {
            listener.describe(rules, state, pid)?;
        }
        if !self.mapped && labels::wanted(process) {
            proc = Some(Proc::verified(filesystem::create("proc", &[], 0)?)?);
        }
        program::take_streams(Io::Inherit, terminal)?;
        let program = Program {
            sandbox: target.sandbox,
            process,
            proc: proc.as_ref(),
            filter,
            preserve_fds: options.preserve_fds,
            new_keyring: !options.no_new_keyring,
            init: false,
            processors: process.exec_cpu_affinity.as_ref().map(|set| set.last.as_str()),
        };
        let mut warnings = Vec::new();
        let settled = program.settle(&mut warnings)?;
        for line in warnings {
            program::tell(socket.as_fd(), line)?;
        }
        dialogue::say(socket.as_fd(), &Said::Ready, &[])
            .doing(|| "say that all is ready".into())?;
        Err(program.begin(&settled, socket))
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
