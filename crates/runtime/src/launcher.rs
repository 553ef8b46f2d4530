//! The launcher: makes init, then builds the container's tree around it.
//!
//! It is forked from the caller and lives for a few milliseconds. It has the
//! host's rights throughout, and a mount namespace of its own that init shares
//! until it copies it: nothing is ever attached to the host's tree, and what
//! was built disappears with the last process in it.

use crate::{
    Cgroup, Io, Options, Root, caps, console,
    devices::Maker,
    dialogue::{self, Said},
    door,
    failure::{Doing, refusal},
    filter::Listener,
    ids::Ids,
    init::{self, Init},
    labels, limits, mask,
    mounts::{Planned, Site},
    namespaces::Namespaces,
    options::{self, PRIVATE},
    procfs::Proc,
    program, sysctl,
    tree::{self, Tree, Want},
    userns::Maps,
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    mount::UnmountFlags,
    process::{DumpableBehavior, WaitId, WaitIdOptions},
    thread::{LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags},
};
use spec::{
    Sandbox,
    oci::{IdMapping, Linux, Process},
    wire::Failure,
};
use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};
use sys::{
    mount::{self as attr, Change},
    process::{Clone, Cloned},
};

/// All that the launcher is given.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub sandbox: &'a Sandbox,
    pub process: &'a Process,
    pub linux: &'a Linux,
    pub bundle: &'a Path,
    pub root: Root<'a>,
    pub io: Io,
    pub options: &'a Options<'a>,
    /// The children's end of the dialogue.
    pub socket: OwnedFd,
}

/// Runs the launcher; in the course of it, init too.
pub(crate) fn run(job: Job<'_>) -> i32 {
    // Init takes the job with it; its failures go the same way.
    let Ok(socket) = job.socket.try_clone() else { return 1 };
    match launch(job) {
        Ok(()) => 0,
        Err(failure) => fail(&socket, failure),
    }
}

/// Tells the caller why it will not be.
pub(crate) fn fail(socket: &OwnedFd, failure: Failure) -> i32 {
    // A caller that is gone needs no explanation.
    drop(dialogue::say(socket.as_fd(), &Said::Failed(failure), &[]));
    1
}

fn launch(job: Job<'_>) -> Result<(), Failure> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .doing(|| "hide from other processes".into())?;
    let proc = Proc::open()?;
    labels::check(&proc, job.process, &job.linux.mount_label)?;
    let namespaces = Namespaces::open(&job.linux.namespaces)?;
    let tasks = open_tasks(job.options.cgroup, namespaces.user.is_some())?;
    let unified = open_unified(job.options.cgroup, namespaces.user.is_some())?;
    let door = job.options.door.map(door::open).transpose()?;
    // Not by init, who might find the host's tree gone already.
    let supervisor = Listener::connect(job.linux.seccomp.as_ref())?;
    rustix::process::umask(Mode::empty());
    namespaces.join()?;
    if namespaces.new.contains(UnshareFlags::NEWTIME) {
        offset_clocks(&job, &proc)?;
    }
    sys::process::unshare(UnshareFlags::NEWNS).doing(|| "make a mount namespace".into())?;
    rustix::process::chdir("/").doing(|| "enter the root".into())?;
    let (to_init, from_launcher) = dialogue::pair()?;

    // A joined user namespace must be entered before init is made in it, and
    // nothing can be built from there: somebody else builds meanwhile, who
    // must still know processes by the host's numbers.
    let mut builder = None;
    if namespaces.user.is_some() {
        let (news, birth) = dialogue::pair()?;
        match sys::process::clone(Clone::default()).doing(|| "fork the builder".into())? {
            Cloned::Child => {
                drop((birth, from_launcher));
                let built = hear_birth(&news).and_then(|(pid, pidfd)| {
                    build(&job, &proc, &namespaces, &to_init, pid, &pidfd)
                });
                let code = built.map_or_else(|failure| fail(&job.socket, failure), |()| 0);
                sys::process::exit(code)
            }
            Cloned::Parent { pidfd, .. } => builder = Some((pidfd, birth)),
        }
    }
    namespaces.join_processes()?;
    if let Some(user) = &namespaces.user {
        rustix::thread::move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))
            .doing(|| "join the user namespace".into())?;
    }

    let later = UnshareFlags::NEWNS | UnshareFlags::NEWCGROUP | UnshareFlags::NEWTIME;
    let how = Clone {
        namespaces: namespaces.new.difference(later),
        cgroup: unified.as_ref().map(AsFd::as_fd),
        sibling: true,
    };
    let owner = counted_as(&namespaces, &job);
    if let Some(owner) = owner {
        be(owner)?;
    }
    match sys::process::clone(how).doing(|| "make the container's first process".into())? {
        Cloned::Child => {
            drop((to_init, builder));
            let launcher = from_launcher;
            init::run(Init { job, proc, namespaces, tasks, door, supervisor, launcher })
        }
        Cloned::Parent { pid, pidfd } => {
            if owner.is_some() {
                be(0)?;
            }
            drop((from_launcher, door, tasks, supervisor));
            match builder {
                None => build(&job, &proc, &namespaces, &to_init, pid, &pidfd),
                Some((builder, birth)) => {
                    drop(to_init);
                    dialogue::say(birth.as_fd(), &Said::Alive { pid }, &[pidfd.as_fd()])
                        .doing(|| "tell of the container's first process".into())?;
                    rustix::process::waitid(WaitId::PidFd(builder.as_fd()), WaitIdOptions::EXITED)
                        .doing(|| "wait for the builder".into())?;
                    Ok(())
                }
            }
        }
    }
}

/// The first of the ids that only login users and services of a host have not.
const NO_HOSTS: u32 = 1 << 16;

/// Who a new user namespace is made by. What its processes take of the
/// kernel's objects that are bounded for each user (inotify instances, watches,
/// namespaces) is counted for its maker, too, in the namespace above: made by
/// root, 128 inotify instances of one container would leave none to any other,
/// nor to the host's root. So it is made by its own root, who has nobody else's
/// count; but not by an id that may be a user's of the host, for the maker rules
/// a namespace from outside.
///
/// Source: user_namespaces(7), namespaces(7) (`/proc/sys/user`),
/// `create_user_ns` and `inc_ucount` of the kernel.
fn counted_as(namespaces: &Namespaces, job: &Job<'_>) -> Option<u32> {
    let ids = Ids { uids: &job.linux.uid_mappings, gids: &job.linux.gid_mappings };
    let owner = ids.owner().0;
    let is_new = namespaces.new.contains(UnshareFlags::NEWUSER);
    (is_new && owner >= NO_HOSTS).then_some(owner)
}

/// Acts as a user of the host, with all that this process holds; files stay
/// root's.
fn be(user: u32) -> Result<(), Failure> {
    let doing = || format!("act as user {user}");
    sys::process::set_effective_user(user).doing(doing)?;
    sys::process::set_file_owner(0, 0).doing(doing)?;
    caps::raise()
}

fn hear_birth(news: &OwnedFd) -> Result<(i32, OwnedFd), Failure> {
    match dialogue::hear(news.as_fd())? {
        Some((Said::Alive { pid }, mut fds)) if fds.len() == 1 => Ok((pid, fds.remove(0))),
        _ => Err(refusal("the launcher ended early")),
    }
}

/// The files with which init will move itself; opened with the host's rights,
/// which is what the kernel asks for when they are written to.
pub(crate) fn open_tasks(
    cgroup: Option<&Cgroup>,
    from_userns: bool,
) -> Result<Vec<OwnedFd>, Failure> {
    let Some(cgroup) = cgroup else { return Ok(Vec::new()) };
    let v1 = cgroup.v1.iter().map(|(_, dir)| dir.join("tasks"));
    // Being born in a version 2 group takes rights over it that a maker inside
    // a user namespace has not.
    let v2 = cgroup.unified.iter().filter(|_| from_userns).map(|dir| dir.join("cgroup.procs"));
    v1.chain(v2)
        .map(|path| {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::open(&path, flags, Mode::empty())
                .doing(|| format!("open {}", path.display()))
        })
        .collect()
}

pub(crate) fn open_unified(
    cgroup: Option<&Cgroup>,
    from_userns: bool,
) -> Result<Option<OwnedFd>, Failure> {
    let dir = cgroup.and_then(|cgroup| cgroup.unified.as_ref()).filter(|_| !from_userns);
    dir.map(|dir| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(dir, flags, Mode::empty()).doing(|| format!("open {}", dir.display()))
    })
    .transpose()
}

/// Makes the time namespace, which init will be born in, and sets its clocks:
/// possible only before anybody is in it.
fn offset_clocks(job: &Job<'_>, proc: &Proc) -> Result<(), Failure> {
    sys::process::unshare(UnshareFlags::NEWTIME).doing(|| "make a time namespace".into())?;
    for (clock, offset) in &job.linux.time_offsets {
        let line = format!("{clock} {} {}\n", offset.secs, offset.nanosecs);
        proc.write("self/timens_offsets", line.as_bytes())
            .doing(|| format!("set the offset of the clock {clock}"))?;
    }
    Ok(())
}

/// Builds everything around process `pid`.
fn build(
    job: &Job<'_>,
    proc: &Proc,
    namespaces: &Namespaces,
    to_init: &OwnedFd,
    pid: i32,
    pidfd: &OwnedFd,
) -> Result<(), Failure> {
    announce(job, proc, namespaces, pid, pidfd)?;
    let (uids, gids);
    let ids = if namespaces.new.contains(UnshareFlags::NEWUSER) {
        let ids = Ids { uids: &job.linux.uid_mappings, gids: &job.linux.gid_mappings };
        ids.write(proc, pid)?;
        ids
    } else if namespaces.mapped() {
        (uids, gids) = (read_map(proc, pid, "uid_map")?, read_map(proc, pid, "gid_map")?);
        Ids { uids: &uids, gids: &gids }
    } else {
        Ids { uids: &[], gids: &[] }
    };
    let mut warnings = Vec::new();
    // A root without CAP_SYS_RESOURCE sets limits of nobody but its own kind;
    // who made a namespace may do all in it.
    let maker = counted_as(namespaces, job);
    if let Some(maker) = maker {
        be(maker)?;
    }
    limits::apply(proc, pid, job.process, &mut warnings)?;
    if maker.is_some() {
        be(0)?;
    }
    for line in warnings {
        program::tell(job.socket.as_fd(), line)?;
    }
    own_streams(&job.io, job.process, ids);

    let mounts = &job.sandbox.config.mounts;
    let planned = mounts
        .iter()
        .map(|mount| Planned::new(mount, job.bundle))
        .collect::<Result<Vec<_>, _>>()?;
    let tree = attach_root(job)?;
    let set_up_dev = !planned.iter().any(|mount| mount.binds("/dev"));

    // From here on with the eyes of the container's namespaces, and its root's
    // hands: what is made belongs to it.
    join_new(namespaces, pidfd)?;
    let (uid, gid) = ids.owner();
    if (uid, gid) != (0, 0) {
        sys::process::set_file_owner(uid, gid).doing(|| "make files as the container".into())?;
        caps::raise()?;
    }
    let site = Site {
        tree: &tree,
        proc,
        pid,
        ids,
        maps: Maps { ids, pid: namespaces.mapped().then_some(pid) },
        cgroup: job.options.cgroup,
        cgroup_private: namespaces.private(UnshareFlags::NEWCGROUP),
        pids_private: namespaces.private(UnshareFlags::NEWPID),
        label: &job.linux.mount_label,
    };
    let late =
        planned.into_iter().map(|mount| mount.apply(&site)).collect::<Result<Vec<_>, _>>()?;
    if set_up_dev {
        Maker::new(&tree, ids).make_all(&job.linux.devices)?;
    }
    if !job.process.cwd.is_empty() {
        tree.make(Path::new(&job.process.cwd), Want::Dir)?;
    }
    let terminal = open_terminal(job, &tree, ids)?;
    let writer = sysctl::Writer::Launcher;
    sysctl::write(&job.linux.sysctl, namespaces, proc, writer, (uid, gid))?;
    mask::freeze(&tree, &job.linux.readonly_paths)?;
    mask::hide(&tree, &job.linux.masked_paths, &job.linux.mount_label)?;
    for mount in late.into_iter().flatten() {
        let change = Change { set: attr::RDONLY, ..Change::default() };
        attr::change(mount.as_fd(), false, &change).doing(|| "make a tmpfs read-only".into())?;
    }
    run_hooks(job, to_init)?;
    finish_root(job, &tree, namespaces)?;
    let root = job.options.no_pivot.then(|| tree.root());
    let fds: Vec<_> = root.into_iter().chain(terminal.as_ref().map(AsFd::as_fd)).collect();
    dialogue::say(to_init.as_fd(), &Said::Built, &fds)
        .doing(|| "reach the container's first process".into())
}

fn announce(
    job: &Job<'_>,
    proc: &Proc,
    namespaces: &Namespaces,
    pid: i32,
    pidfd: &OwnedFd,
) -> Result<(), Failure> {
    let network = if namespaces.new.contains(UnshareFlags::NEWNET) {
        let doing = || "open the container's network namespace".into();
        Some(proc.namespace(pid, "net").doing(doing)?)
    } else {
        None
    };
    let fds: Vec<_> =
        [pidfd.as_fd()].into_iter().chain(network.as_ref().map(AsFd::as_fd)).collect();
    dialogue::say(job.socket.as_fd(), &Said::Alive { pid }, &fds)
        .doing(|| "tell of the container's first process".into())
}

pub(crate) fn read_map(proc: &Proc, pid: i32, file: &str) -> Result<Vec<IdMapping>, Failure> {
    let doing = || format!("read the {file} of the joined user namespace");
    let fd = proc.file(&format!("{pid}/{file}"), OFlags::RDONLY).doing(doing)?;
    let mut bytes = [0; 4096];
    let len = rustix::io::read(&fd, &mut bytes).doing(doing)?;
    let number = |word: Option<&str>| word.and_then(|word| word.parse().ok());
    String::from_utf8_lossy(&bytes[..len])
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            Some(IdMapping {
                container_id: number(words.next())?,
                host_id: number(words.next())?,
                size: number(words.next())?,
            })
        })
        .collect::<Option<_>>()
        .ok_or_else(|| refusal(format!("cannot understand the {file} of the joined namespace")))
}

/// Gives the standard streams to the user, who may want to open `/dev/stdout`
/// anew. Not the null device, which is everybody's.
pub(crate) fn own_streams(io: &Io, process: &Process, ids: Ids<'_>) {
    if matches!(io, Io::Terminal { .. }) {
        return;
    }
    let Some(uid) = ids.uid(process.user.uid) else { return };
    let inherited = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let streams = match io {
        Io::Fds(fds) => fds.each_ref().map(AsFd::as_fd),
        _ => [inherited.0.as_fd(), inherited.1.as_fd(), inherited.2.as_fd()],
    };
    for stream in streams {
        let Ok(stat) = rustix::fs::fstat(stream) else { continue };
        if stat.st_uid != uid && stat.st_rdev != rustix::fs::makedev(1, 3) {
            // Some cannot be owned (a socket of another's); as with runc they
            // are then used as they are.
            let uid = rustix::fs::Uid::from_raw(uid);
            let _ = rustix::fs::fchown(stream, Some(uid), None);
        }
    }
}

/// Cuts the launcher's mounts off from the host's, and attaches the root.
fn attach_root(job: &Job<'_>) -> Result<Tree, Failure> {
    let path_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open("/", path_flags, Mode::empty()).doing(|| "open the root".into())?;
    let private = Change { propagation: PRIVATE, ..Change::default() };
    attr::change(top.as_fd(), true, &private).doing(|| "leave the host's peer groups".into())?;
    let (root, onto) = match job.root {
        Root::Mount(mount) => {
            (mount.try_clone_to_owned().doing(|| "take the root's mount".into())?, top)
        }
        Root::Path(path) if !path.is_absolute() => {
            return Err(refusal(format!("the root {} is not an absolute path", path.display())));
        }
        Root::Path(path) => {
            let doing = || format!("bind the root {}", path.display());
            let onto = rustix::fs::open(path, path_flags, Mode::empty()).doing(doing)?;
            (tree::copy(onto.as_fd(), true).doing(doing)?, onto)
        }
    };
    tree::attach(root.as_fd(), onto.as_fd()).doing(|| "attach the container's root".into())?;
    Ok(Tree::new(root))
}

/// Joins those of init's new namespaces that mounts and settings are bound to.
fn join_new(namespaces: &Namespaces, pidfd: &OwnedFd) -> Result<(), Failure> {
    let wanted = namespaces
        .new
        .intersection(UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS);
    if wanted.is_empty() {
        return Ok(());
    }
    let wanted = ThreadNameSpaceType::from_bits_retain(wanted.bits());
    rustix::thread::move_into_thread_name_spaces(pidfd.as_fd(), wanted)
        .doing(|| "join the container's namespaces".into())
}

fn open_terminal(job: &Job<'_>, tree: &Tree, ids: Ids<'_>) -> Result<Option<OwnedFd>, Failure> {
    let Io::Terminal { size } = job.io else { return Ok(None) };
    let (master, slave) = console::open(tree.root(), size)?;
    console::bind(tree, slave.as_fd())?;
    if let Some(uid) = ids.uid(job.process.user.uid) {
        rustix::fs::fchown(&slave, Some(rustix::fs::Uid::from_raw(uid)), None)
            .doing(|| "give the terminal to the user".into())?;
    }
    dialogue::say(job.socket.as_fd(), &Said::Console, &[master.as_fd()])
        .doing(|| "hand the terminal over".into())?;
    Ok(Some(slave))
}

/// `prestart` and `createRuntime` by the caller, `createContainer` by init.
fn run_hooks(job: &Job<'_>, to_init: &OwnedFd) -> Result<(), Failure> {
    let Some(hooks) = &job.sandbox.config.hooks else { return Ok(()) };
    let gone = || "reach the rest of the launch".into();
    if !(hooks.prestart.is_empty() && hooks.create_runtime.is_empty()) {
        dialogue::say(job.socket.as_fd(), &Said::Hooks, &[]).doing(gone)?;
        dialogue::expect(&job.socket, &Said::Hooked)?;
    }
    if !hooks.create_container.is_empty() {
        dialogue::say(to_init.as_fd(), &Said::InnerHooks, &[]).doing(gone)?;
        dialogue::expect(to_init, &Said::Hooked)?;
    }
    Ok(())
}

/// Makes the tree the root, for init too: the kernel moves everybody in this
/// mount namespace whose root it replaces.
fn finish_root(job: &Job<'_>, tree: &Tree, namespaces: &Namespaces) -> Result<(), Failure> {
    if job.sandbox.config.root.as_ref().is_some_and(|root| root.readonly) {
        let change = Change { set: attr::RDONLY, ..Change::default() };
        attr::change(tree.root(), false, &change).doing(|| "make the root read-only".into())?;
    }
    rustix::process::fchdir(tree.root()).doing(|| "enter the container's root".into())?;
    if job.options.no_pivot {
        rustix::process::chroot(".").doing(|| "change the root".into())?;
    } else {
        rustix::process::pivot_root(".", ".").doing(|| "pivot the root".into())?;
        // The old root lies on top of the new one now.
        rustix::mount::unmount(".", UnmountFlags::DETACH)
            .doing(|| "detach the host's tree".into())?;
    }
    // In a user namespace init's copy of the mounts begins as private.
    if namespaces.mapped() { Ok(()) } else { propagate(job, tree) }
}

/// Applies `rootfsPropagation`.
fn propagate(job: &Job<'_>, tree: &Tree) -> Result<(), Failure> {
    let word = job.linux.rootfs_propagation.as_str();
    if word.is_empty() {
        return Ok(());
    }
    let (propagation, all) = options::propagation(word)
        .ok_or_else(|| refusal(format!("unknown rootfsPropagation {word:?}")))?;
    match attr::change(tree.root(), all, &Change { propagation, ..Change::default() }) {
        // Nothing to be a slave of.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
        other => other.doing(|| format!("set rootfsPropagation {word}")),
    }
}
