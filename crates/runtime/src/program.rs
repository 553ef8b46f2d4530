//! The last steps of a process before it becomes the program: the same for a
//! container's init and for another program that joins it.
//!
//! First it settles: user, groups, directory, and the command is found with
//! the user's eyes. Then, when it may begin, it gives up what is left, the
//! filter last of all that need any right, and executes.

use crate::{
    Io,
    caps::{self, Caps},
    command::Command,
    dialogue::{self, Said},
    failure::{Doing, refusal},
    filter::Filter,
    labels::{self, Asked, When},
    landlock, limits, pid1,
    procfs::Proc,
};
use rustix::{
    fs::Mode,
    io::Errno,
    process::{Gid, Uid},
};
use spec::{
    Sandbox,
    oci::{Personality, Process},
    wire::Failure,
};
use std::{
    ffi::CString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// A process on its way to become `process`.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub sandbox: &'a Sandbox,
    pub process: &'a Process,
    /// A procfs to ask for labels through; none if there are none.
    pub proc: Option<&'a Proc>,
    pub filter: Option<Filter>,
    pub preserve_fds: u32,
    pub new_keyring: bool,
    /// Stay as PID 1 and let a child become it.
    pub init: bool,
    /// Where it is to run in the end: a list of processors.
    pub processors: Option<&'a str>,
}

/// What was found out while settling.
#[derive(Debug)]
pub(crate) struct Settled {
    command: Command,
    caps: Caps,
}

impl Program<'_> {
    /// Takes on the user's ids and finds the command.
    pub fn settle(&self, warnings: &mut Vec<String>) -> Result<Settled, Failure> {
        let process = self.process;
        let words = process.capabilities.clone().unwrap_or_default();
        let caps = Caps::read(&words, caps::held()?, warnings);
        if let Some(linux) = &self.sandbox.config.linux
            && let Some(persona) = &linux.personality
        {
            personality(persona)?;
        }
        caps.bound()?;
        // A directory may be closed to the user and yet be what was asked
        // for; or open to the user alone (NFS).
        let early = self.enter_directory();
        self.take_ids()?;
        if early.is_err() {
            self.enter_directory()?;
        }
        if self.new_keyring {
            self.leave_keyring()?;
        }
        rustix::process::umask(Mode::from_raw_mode(process.user.umask.unwrap_or(0o022)));
        let command = Command::find(process)?;
        caps::raise()?;
        Ok(Settled { command, caps })
    }

    fn enter_directory(&self) -> Result<(), Failure> {
        let path = if self.process.cwd.is_empty() { "/" } else { &self.process.cwd };
        let doing = || format!("enter the directory {path}");
        rustix::process::chdir(path).doing(doing)?;
        // A link to a descriptor of ours could lead out of the container
        // (CVE-2024-21626). The kernel says so.
        let reached = rustix::process::getcwd(Vec::new()).doing(doing)?;
        if reached.to_bytes().first() != Some(&b'/') {
            rustix::process::chdir("/").doing(doing)?;
            return Err(refusal(format!("the directory {path} is outside of the container")));
        }
        Ok(())
    }

    fn take_ids(&self) -> Result<(), Failure> {
        let user = &self.process.user;
        if user.uid == u32::MAX || user.gid == u32::MAX {
            return Err(refusal(format!("no user can be {}:{}", user.uid, user.gid)));
        }
        let mut groups = user.additional_gids.clone();
        groups.sort_unstable();
        groups.dedup();
        if groups.last() == Some(&u32::MAX) {
            return Err(refusal(format!("no user can be in the group {}", u32::MAX)));
        }
        rustix::thread::set_keep_capabilities(true).doing(|| "keep capabilities".into())?;
        let groups: Vec<_> = groups.into_iter().map(Gid::from_raw).collect();
        rustix::thread::set_thread_groups(&groups)
            .doing(|| format!("take the groups {:?}", user.additional_gids))?;
        let gid = Gid::from_raw(user.gid);
        rustix::thread::set_thread_res_gid(gid, gid, gid)
            .doing(|| format!("become group {}", user.gid))?;
        let uid = Uid::from_raw(user.uid);
        rustix::thread::set_thread_res_uid(uid, uid, uid)
            .doing(|| format!("become user {}", user.uid))?;
        rustix::thread::set_keep_capabilities(false).doing(|| "keep capabilities no more".into())
    }

    fn leave_keyring(&self) -> Result<(), Failure> {
        self.proc.map_or(Ok(()), |proc| labels::keys(proc, self.process))?;
        let name = CString::new(format!("_ses.{}", self.sandbox.id))
            .map_err(|_| refusal("a zero byte in the container's id"))?;
        match sys::process::new_session_keyring(&name) {
            // A kernel without keyrings has none to share either.
            Err(error) if error.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) => Ok(()),
            other => other.map(drop).doing(|| "make a session keyring".into()),
        }
    }

    /// Becomes the program; returns only to say why it could not.
    pub fn begin(self, settled: &Settled, listener: &OwnedFd) -> Failure {
        match self.confine_and_exec(settled, listener) {
            Err(failure) => failure,
            Ok(never) => match never {},
        }
    }

    fn confine_and_exec(
        &self,
        settled: &Settled,
        listener: &OwnedFd,
    ) -> Result<std::convert::Infallible, Failure> {
        if self.process.no_new_privileges {
            rustix::thread::set_no_new_privs(true).doing(|| "set no_new_privs".into())?;
        }
        if self.init
            && let Some(child) = pid1::split()?
        {
            // Under its label it may not have the right to confine itself.
            let labels = self.labels(When::Now)?;
            self.give_up(settled, listener)?;
            labels.map_or(Ok(()), Asked::apply)?;
            pid1::watch(child);
        }
        if let Some(processors) = self.processors {
            limits::affinity(processors)?;
        }
        self.labels(When::Exec)?.map_or(Ok(()), Asked::apply)?;
        self.give_up(settled, listener)?;
        Err(settled.command.exec())
    }

    fn labels(&self, when: When) -> Result<Option<Asked>, Failure> {
        self.proc.map(|proc| labels::ask(proc, self.process, when)).transpose()
    }

    /// Landlock, capabilities and the filter.
    fn give_up(&self, settled: &Settled, listener: &OwnedFd) -> Result<(), Failure> {
        if let Some(rules) = &self.sandbox.landlock {
            landlock::apply(rules)?;
        }
        sys::process::cloexec_from(3 + self.preserve_fds)
            .doing(|| "close descriptors at exec".into())?;
        let mut warnings = Vec::new();
        // Loading takes a right that is about to go, unless no_new_privs
        // stands in for it: then the filter need not let `capset` pass.
        let first = !self.process.no_new_privileges && !settled.caps.can_administer();
        if let (true, Some(filter)) = (first, &self.filter) {
            filter.load()?;
        }
        settled.caps.apply(&mut warnings)?;
        for line in warnings {
            tell(listener.as_fd(), line)?;
        }
        if let (false, Some(filter)) = (first, &self.filter) {
            filter.load()?;
        }
        Ok(())
    }
}

/// Passes a warning on.
pub(crate) fn tell(listener: BorrowedFd<'_>, line: String) -> Result<(), Failure> {
    dialogue::say(listener, &Said::Warning(line), &[]).doing(|| "pass a warning on".into())
}

/// Puts standard streams that were given in place.
pub(crate) fn take_given(io: Io) -> Result<(), Failure> {
    let doing = || "set up the standard streams".into();
    if let Io::Fds(fds) = io {
        // None of them may be overwritten before it is in place.
        let fds = fds.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3));
        for (stream, fd) in (0..3).zip(fds) {
            sys::process::replace_stream(fd.doing(doing)?.as_fd(), stream).doing(doing)?;
        }
    }
    Ok(())
}

/// Puts the standard streams in place, and with a terminal makes it the
/// controlling one of a new session.
pub(crate) fn take_streams(io: Io, terminal: Option<OwnedFd>) -> Result<(), Failure> {
    let doing = || "set up the standard streams".into();
    match rustix::process::setsid() {
        // The first process of a namespace that was joined leads one already.
        Ok(_) | Err(Errno::PERM) => {}
        Err(error) => return Err(error).doing(|| "begin a session".into()),
    }
    if let Some(terminal) = terminal {
        rustix::process::ioctl_tiocsctty(&terminal)
            .doing(|| "take the controlling terminal".into())?;
        for stream in 0..3 {
            sys::process::replace_stream(terminal.as_fd(), stream).doing(doing)?;
        }
        return Ok(());
    }
    take_given(io)
}

fn personality(wanted: &Personality) -> Result<(), Failure> {
    /// `PER_LINUX32`, `sys/personality.h`.
    const LINUX32: u32 = 8;
    let domain = match wanted.domain.as_str() {
        "LINUX" | "" => 0,
        "LINUX32" => LINUX32,
        word => return Err(refusal(format!("unknown personality {word:?}"))),
    };
    if let Some(flag) = wanted.flags.first() {
        return Err(refusal(format!("personality flags are not supported: {flag:?}")));
    }
    sys::process::personality(domain).doing(|| format!("set the personality {}", wanted.domain))
}
