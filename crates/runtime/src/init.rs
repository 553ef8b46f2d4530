//! Init: the container's first process, until it becomes the program.
//!
//! While the launcher builds it enters its control groups, sets what belongs
//! to its own namespaces and compiles the filter. When the tree is built it
//! copies the mounts into its user namespace (from then on their flags are
//! locked), settles, says that it is ready, and waits for leave.

use crate::{
    dialogue::{self, Said},
    door,
    failure::{Doing, refusal},
    filter::{Filter, Listener},
    hooks,
    launcher::{self, Job},
    namespaces::Namespaces,
    options,
    procfs::Proc,
    program::{self, Program},
    sysctl,
};
use rustix::{
    fs::{Mode, OFlags},
    net::{AddressFamily, SocketFlags, SocketType},
    thread::UnshareFlags,
};
use spec::wire::Failure;
use std::os::fd::{AsFd, OwnedFd};
use sys::mount::Change;

/// All that init is given.
#[derive(Debug)]
pub(crate) struct Init<'a> {
    pub job: Job<'a>,
    pub proc: Proc,
    pub namespaces: Namespaces,
    /// To write `0` to.
    pub tasks: Vec<OwnedFd>,
    /// Where to wait, if not for the caller.
    pub door: Option<OwnedFd>,
    /// Who is told of calls that the filter hands over.
    pub supervisor: Option<Listener>,
    /// To the launcher.
    pub launcher: OwnedFd,
}

/// Runs init; returns to nobody.
pub(crate) fn run(init: Init<'_>) -> ! {
    let Ok(mut listener) = init.job.socket.try_clone() else { sys::process::exit(1) };
    // Kept until the end: the launcher is not to hear of it, and complain,
    // before the caller has heard why.
    let Ok(_launcher) = init.launcher.try_clone() else { sys::process::exit(1) };
    let failure = live(init, &mut listener);
    sys::process::exit(launcher::fail(&listener, failure))
}

/// Why the program did not run; told to `listener`, who changes on the way.
fn live(init: Init<'_>, listener: &mut OwnedFd) -> Failure {
    match prepare(init, listener) {
        Err(failure) => failure,
        Ok(never) => match never {},
    }
}

fn prepare(init: Init<'_>, listener: &mut OwnedFd) -> Result<std::convert::Infallible, Failure> {
    let Init { job, proc, namespaces, tasks, door, supervisor, launcher } = init;
    for file in tasks {
        // A single thread that moves itself waits for no grace period.
        rustix::io::write(&file, b"0").doing(|| "enter the container's cgroup".into())?;
    }
    name_host(&job, &namespaces)?;
    if namespaces.new.contains(UnshareFlags::NEWNET) {
        bring_loopback_up()?;
    }
    let filter = compile(&job, &proc, supervisor)?;
    sys::signal::reset().doing(|| "reset the signals".into())?;
    let mut fds = wait_until_built(&job, &proc, &namespaces, &launcher)?;
    drop(launcher);
    if job.options.no_pivot && !fds.is_empty() {
        // Nobody has moved this process: it follows by itself.
        rustix::process::fchdir(fds.remove(0))
            .and_then(|()| rustix::process::chroot("."))
            .doing(|| "change the root".into())?;
    }
    own_mounts(&job, &namespaces)?;

    let Job { sandbox, process, options, io, bundle, .. } = job;
    program::take_streams(io, fds.pop())?;
    let program = Program {
        sandbox,
        process,
        proc: Some(&proc),
        filter,
        preserve_fds: options.preserve_fds,
        new_keyring: !options.no_new_keyring,
        init: sandbox.init,
        // `execCPUAffinity` is not for a container's first process.
        processors: None,
    };
    let mut warnings = Vec::new();
    let settled = program.settle(&mut warnings)?;
    for line in warnings {
        program::tell(listener.as_fd(), line)?;
    }
    dialogue::say(listener.as_fd(), &Said::Ready, &[]).doing(|| "say that all is ready".into())?;
    match door {
        None => drop(dialogue::expect(listener, &Said::Go)?),
        Some(door) => *listener = door::wait(door.as_fd())?,
    }
    if let Some(hooks) = &sandbox.config.hooks {
        let state = crate::state(sandbox, bundle, 1, "created");
        hooks::run("startContainer", &hooks.start_container, &state)?;
    }
    Err(program.begin(&settled, listener))
}

fn name_host(job: &Job<'_>, namespaces: &Namespaces) -> Result<(), Failure> {
    let config = &job.sandbox.config;
    let own = namespaces.private(UnshareFlags::NEWUTS);
    for (name, what) in [(&config.hostname, "host"), (&config.domainname, "domain")] {
        if name.is_empty() {
            continue;
        }
        if !own {
            return Err(refusal(format!(
                "cannot set the {what} name {name}: the container shares the host's"
            )));
        }
        let set = match what {
            "host" => rustix::system::sethostname(name.as_bytes()),
            _ => rustix::system::setdomainname(name.as_bytes()),
        };
        set.doing(|| format!("set the {what} name {name}"))?;
    }
    Ok(())
}

fn bring_loopback_up() -> Result<(), Failure> {
    let doing = || "bring the loopback interface up".into();
    let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None).doing(doing)?;
    sys::process::loopback_up(socket.as_fd()).doing(doing)
}

fn compile(
    job: &Job<'_>,
    proc: &Proc,
    supervisor: Option<Listener>,
) -> Result<Option<Filter>, Failure> {
    let Some(rules) = &job.linux.seccomp else { return Ok(None) };
    let mut filter = Filter::compile(rules)?;
    filter.listen(supervisor);
    if let Some(listener) = filter.listener_mut() {
        let pid = own_pid(proc)?;
        let state = crate::state(job.sandbox, job.bundle, pid, "creating");
        listener.describe(rules, &state, pid)?;
    }
    Ok(Some(filter))
}

/// What the host calls this process.
pub(crate) fn own_pid(proc: &Proc) -> Result<i32, Failure> {
    let doing = || "read the own process id".into();
    let link = proc.link("self").doing(doing)?;
    link.parse().map_err(|_| refusal("the host's /proc/self is no number"))
}

/// Waits for the tree, running the `createContainer` hooks if told to.
fn wait_until_built(
    job: &Job<'_>,
    proc: &Proc,
    namespaces: &Namespaces,
    launcher: &OwnedFd,
) -> Result<Vec<OwnedFd>, Failure> {
    loop {
        match dialogue::hear(launcher.as_fd())? {
            Some((Said::Built, fds)) => {
                let writer = sysctl::Writer::Init;
                sysctl::write(&job.linux.sysctl, namespaces, proc, writer, (0, 0))?;
                return Ok(fds);
            }
            Some((Said::InnerHooks, _)) => {
                if let Some(hooks) = &job.sandbox.config.hooks {
                    let state = crate::state(job.sandbox, job.bundle, own_pid(proc)?, "creating");
                    hooks::run("createContainer", &hooks.create_container, &state)?;
                }
                dialogue::say(launcher.as_fd(), &Said::Hooked, &[])
                    .doing(|| "reach the launcher".into())?;
            }
            Some(_) => return Err(refusal("the launcher spoke out of turn")),
            // It has told the caller why.
            None => sys::process::exit(1),
        }
    }
}

/// Leaves the launcher's mount namespace for a copy that the user namespace
/// owns, which is what locks the flags of all that was mounted. Without one
/// the launcher's is as good, and its own once the launcher has ended.
fn own_mounts(job: &Job<'_>, namespaces: &Namespaces) -> Result<(), Failure> {
    rustix::process::chdir("/").doing(|| "enter the root".into())?;
    let mut leave = namespaces.new.intersection(UnshareFlags::NEWCGROUP);
    if namespaces.mapped() {
        leave |= UnshareFlags::NEWNS;
    }
    if !leave.is_empty() {
        sys::process::unshare(leave).doing(|| "make the container's own namespaces".into())?;
    }
    let word = job.linux.rootfs_propagation.as_str();
    if namespaces.mapped() && !word.is_empty() {
        let (propagation, all) = options::propagation(word)
            .ok_or_else(|| refusal(format!("unknown rootfsPropagation {word:?}")))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).doing(|| "open the root".into())?;
        let change = Change { propagation, ..Change::default() };
        sys::mount::change(root.as_fd(), all, &change)
            .doing(|| format!("set rootfsPropagation {word}"))?;
    }
    Ok(())
}
