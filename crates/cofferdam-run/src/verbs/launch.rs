//! `create`, `start` and `run`: from a bundle to a running program.
//!
//! ```text
//! create: claim the id ─ control group ─ prepare ─ record ─ ready ─ leave
//! start:                                                     knock ─ poststart
//! run:    claim the id ─ control group ─ prepare ─ record ─ ready ─ go ─ poststart ─ wait
//! ```
//!
//! Whatever fails takes back everything before it.

use crate::{
    App, Given,
    bundle::Bundle,
    clock,
    container::{self, Container, Status},
    hand_over::{Receiver, preserved},
    problem::{Doing, Problem},
    record::{Draft, Record},
    scope,
    streams::Foreground,
};
use cgroup::{Cgroup, Layout, systemd::Anchor};
use runtime::{Io, Options, Root, Running, Waiting};
use spec::{Sandbox, oci::Config};
use std::{
    borrow::Cow,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// `create`.
pub fn create(app: &App, given: &Given) -> Result<u8, Problem> {
    let launch = Launch::begin(app, given, Way::Create)?;
    let Launch { waiting, container, receivers, .. } = launch.ready(app)?;
    let made = waiting.leave().map_err(|failure| container.failed(&failure));
    let running = take_back_on_error(app, &container, made)?;
    receivers.serve(app, running).map(|_| 0)
}

/// `start`.
pub fn start(app: &App, given: &Given) -> Result<u8, Problem> {
    let container = Container::open(app, &given.arguments[0])?;
    match container.status()? {
        Status::Created => {}
        Status::Stopped => return Err(Problem::HasStopped),
        _ => return Err(Problem::AlreadyRunning),
    }
    let door = container.door();
    runtime::knock(&door).map_err(|failure| container.failed(&failure))?;
    forget(&door)?;
    container.post_start()?;
    Ok(0)
}

/// `run`.
pub fn run(app: &App, given: &Given) -> Result<u8, Problem> {
    let way = if given.has("detach") { Way::Detach } else { Way::Stay };
    if way == Way::Stay && !given.has("no-subreaper") {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .doing("become", "the reaper of orphans")?;
    }
    let launch = Launch::begin(app, given, way)?;
    let Launch { waiting, container, receivers, foreground } = launch.ready(app)?;
    let begun = waiting.go().map_err(|failure| container.failed(&failure)).and_then(|running| {
        container.post_start()?;
        receivers.serve(app, running)
    });
    let running = take_back_on_error(app, &container, begun)?;
    let Some(foreground) = foreground else { return Ok(0) };
    let code = foreground.stand_by(running.pid, running.pidfd.as_fd(), running.console.as_ref())?;
    if !given.has("keep") {
        container.remove(app)?;
    }
    // Page by page, what is freed would have to be fetched once more.
    std::mem::forget(container);
    Ok(code)
}

impl Container {
    /// A failed launch, in words that name the command.
    fn failed(&self, failure: &spec::wire::Failure) -> Problem {
        let args = self.record.spec.process.as_ref().map(|process| &process.args[..]);
        Problem::launch(failure, args.and_then(<[String]>::first).map_or("", String::as_str))
    }

    /// Runs the hooks that follow the program's beginning; if one fails, the
    /// container is stopped.
    fn post_start(&self) -> Result<(), Problem> {
        let hooks = self.record.spec.hooks.as_ref().map(|hooks| &hooks.poststart[..]);
        let hooks = hooks.unwrap_or_default();
        if hooks.is_empty() {
            return Ok(());
        }
        if let Err(failure) = runtime::hooks::run("poststart", hooks, &self.state(Status::Running))
        {
            self.kill()?;
            return Err(Problem::Hook(failure));
        }
        Ok(())
    }
}

/// What becomes of the caller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It leaves; the program waits for `start`.
    Create,
    /// It leaves; the program runs.
    Detach,
    /// It stands by until the program ends.
    Stay,
}

/// A container on its way.
struct Launch {
    waiting: Waiting,
    container: Container,
    receivers: Receivers,
    foreground: Option<Foreground>,
}

impl Launch {
    /// Up to a process that waits in its namespaces.
    fn begin(app: &App, given: &Given, way: Way) -> Result<Self, Problem> {
        let id = &given.arguments[0];
        container::check_id(id)?;
        let pid_file = given.last("pid-file").map(absolute).transpose()?;
        let bundle = Bundle::open(given.last("bundle").filter(|dir| !dir.is_empty()))?;
        let Bundle { dir, rootfs, config } = bundle;
        let terminal = config.process.as_ref().is_some_and(|process| process.terminal);
        let receivers = Receivers::connect(given, terminal, way != Way::Stay, pid_file)?;
        let listening = listening()?;
        let (spec, sandbox) = share(id, config, listening);
        let record = Record {
            id: id.clone(),
            created: clock::nanoseconds(clock::now()),
            bundle: dir.to_string_lossy().into_owned(),
            rootfs: rootfs.to_string_lossy().into_owned(),
            spec,
            ..Record::default()
        };
        let mut container = Container::claim(app, record)?;
        let wish = Wish { given, sandbox, listening, dir: &dir, rootfs: &rootfs, way };
        let made = make(app, &wish, &mut container);
        match made {
            Ok((waiting, foreground)) => Ok(Self { waiting, container, receivers, foreground }),
            Err(problem) => take_back_on_error(app, &container, Err(problem)),
        }
    }

    /// Everything but the last step; the pid is told before it.
    fn ready(mut self, app: &App) -> Result<Self, Problem> {
        let ready = self
            .waiting
            .ready()
            .map_err(|failure| self.container.failed(&failure))
            .and_then(|()| self.receivers.tell_pid(self.waiting.pid));
        match ready {
            Ok(()) => Ok(self),
            Err(problem) => {
                self.waiting.abort();
                take_back_on_error(app, &self.container, Err(problem))
            }
        }
    }
}

/// What is to be made, and how.
struct Wish<'a> {
    given: &'a Given,
    sandbox: &'static Sandbox,
    listening: u32,
    dir: &'a Path,
    rootfs: &'a Path,
    way: Way,
}

fn make(
    app: &App,
    wish: &Wish<'_>,
    container: &mut Container,
) -> Result<(Waiting, Option<Foreground>), Problem> {
    let Wish { given, sandbox, way, .. } = *wish;
    let process = sandbox.config.process.as_ref();
    let (terminal, size) = process.map_or((false, None), |p| (p.terminal, p.console_size));
    let (group, named) = limited_group(app, container, &sandbox.config)?;
    let foreground = (way == Way::Stay).then(|| Foreground::prepare(terminal)).transpose()?;
    let own = foreground.as_ref().map(Foreground::size).transpose()?.flatten();
    let io = if terminal { Io::Terminal { size: size.or(own) } } else { Io::Inherit };
    let places = places(&group);
    let door = container.door();
    let options = Options {
        cgroup: Some(&places),
        preserve_fds: preserved(given, wish.listening)?,
        no_pivot: given.has("no-pivot"),
        no_new_keyring: given.has("no-new-keyring"),
        door: (way == Way::Create).then_some(door.as_path()),
    };
    let root = Root::Path(wish.rootfs);
    let waiting = runtime::prepare(sandbox, wish.dir, root, io, &options)
        .map_err(|failure| container.failed(&failure))?;
    container.record.init_process_pid = waiting.pid;
    container.record.init_process_start = container::start_time(waiting.pid).unwrap_or(0);
    container.record.namespace_paths = namespace_paths(waiting.pid);
    match named {
        Named::Draft(draft) => draft.publish(&container.record, &container.dir)?,
        Named::Scope(anchor) => {
            // Init is in its group: the scope holds without it now.
            drop(anchor);
            container.save()?;
        }
    }
    Ok((waiting, foreground))
}

/// The bundle's words for the record, and what the container is made of, which
/// is the same but for what `listening` sockets add.
///
/// Never freed: this process ends soon, and would copy every page of it that
/// it shares with those that it has forked.
fn share(id: &str, mut config: Config, listening: u32) -> (Cow<'static, Config>, &'static Sandbox) {
    let given = (listening > 0).then(|| config.clone());
    if let Some(process) = config.process.as_mut().filter(|_| listening > 0) {
        process.env.extend([format!("LISTEN_FDS={listening}"), "LISTEN_PID=1".into()]);
    }
    config.linux.get_or_insert_default();
    let sandbox: &Sandbox = Box::leak(Box::new(Sandbox::from_config(id.into(), config)));
    (given.map_or(Cow::Borrowed(&sandbox.config), Cow::Owned), sandbox)
}

/// How many sockets the caller's supervisor has opened for the program, from
/// descriptor 3 on.
///
/// Source: `sd_listen_fds(3)`.
fn listening() -> Result<u32, Problem> {
    let own = std::process::id().to_string();
    match (std::env::var("LISTEN_PID"), std::env::var("LISTEN_FDS")) {
        (Ok(pid), Ok(count)) if pid == own => {
            count.parse().map_err(|_| Problem::BadValue { flag: "LISTEN_FDS", value: count })
        }
        _ => Ok(0),
    }
}

/// Where the name of a group was written down before anything bore it.
enum Named {
    Draft(Draft),
    /// In the record; and what holds the scope until there is a process.
    Scope(Anchor),
}

/// Makes the container's group and limits it. Its name is in the record before
/// anything bears it, so that a `delete` finds what a killed `create` has left.
fn limited_group(
    app: &App,
    container: &mut Container,
    config: &Config,
) -> Result<(Cgroup, Named), Problem> {
    let linux = config.linux.as_ref();
    let path = linux.map_or("", |linux| linux.cgroups_path.as_str());
    if app.systemd && !cgroup::systemd::is_running() {
        return Err(Problem::NoSystemd);
    }
    let mut limits = linux.and_then(|linux| linux.resources.clone()).unwrap_or_default();
    limits.devices.extend(cgroup::devices::standard());
    let layout = Layout::detect()?;
    let (group, named) = if app.systemd {
        let (group, anchor) = scope::start(container, &layout, path, &limits)?;
        (group, Named::Scope(anchor))
    } else {
        let (group, draft) = own_group(container, &layout, path)?;
        (group, Named::Draft(draft))
    };
    group.apply(&limits).map_err(Problem::Limits)?;
    Ok((group, named))
}

/// A group that nobody but this runtime keeps.
fn own_group(
    container: &mut Container,
    layout: &Layout,
    path: &str,
) -> Result<(Cgroup, Draft), Problem> {
    let id = container.record.id.clone();
    let path = if path.is_empty() { id.as_str() } else { path };
    let planned = Cgroup::plan(layout, path).map_err(Problem::Limits)?;
    container.record.cgroup_paths = planned.paths();
    let draft = container.record.draft(&container.dir)?;
    match Cgroup::create(layout, path) {
        Err(error @ cgroup::Error::InUse { .. }) => {
            // Somebody was faster: it is theirs, and not to be taken back.
            container.record.cgroup_paths.clear();
            Err(Problem::Limits(error))
        }
        other => Ok((other.map_err(Problem::Limits)?, draft)),
    }
}

/// The group's directories, for the process that is to enter them.
pub fn places(group: &Cgroup) -> runtime::Cgroup {
    runtime::Cgroup {
        unified: group.unified_path().map(Path::to_path_buf),
        v1: group.legacy_paths(),
    }
}

fn namespace_paths(pid: i32) -> std::collections::BTreeMap<String, String> {
    let kinds = [
        ("NEWCGROUP", "cgroup"),
        ("NEWIPC", "ipc"),
        ("NEWNET", "net"),
        ("NEWNS", "mnt"),
        ("NEWPID", "pid"),
        ("NEWTIME", "time"),
        ("NEWUSER", "user"),
        ("NEWUTS", "uts"),
    ];
    kinds.map(|(name, file)| (name.to_owned(), format!("/proc/{pid}/ns/{file}"))).into()
}

/// Whatever was made goes again when the launch fails; what other programs
/// made for it, too: their `poststop` hooks run, whether or not their others
/// have (`runtime.md`, "Lifecycle").
fn take_back_on_error<T>(
    app: &App,
    container: &Container,
    outcome: Result<T, Problem>,
) -> Result<T, Problem> {
    outcome.inspect_err(|_| {
        if let Err(problem) = container.remove_groups() {
            app.log.warn(&problem.line());
        }
        container.post_stop(app);
        if let Err(problem) =
            std::fs::remove_dir_all(&container.dir).doing("remove", &container.dir)
        {
            app.log.warn(&problem.line());
        }
    })
}

/// A name that is not needed any more, and may be gone.
fn forget(path: &Path) -> Result<(), Problem> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.doing("remove", path),
    }
}

fn absolute(path: &str) -> Result<PathBuf, Problem> {
    std::path::absolute(path).doing("find", path)
}

/// Whoever wants to hear of the process.
pub struct Receivers {
    console: Option<Receiver>,
    pidfd: Option<Receiver>,
    pid_file: Option<PathBuf>,
}

impl Receivers {
    pub fn connect(
        given: &Given,
        terminal: bool,
        detach: bool,
        pid_file: Option<PathBuf>,
    ) -> Result<Self, Problem> {
        let connect = |long| {
            given.last(long).filter(|path| !path.is_empty()).map(Receiver::connect).transpose()
        };
        let console = given.last("console-socket").is_some_and(|path| !path.is_empty());
        match (terminal, detach, console) {
            (true, true, false) => return Err(Problem::NoConsoleSocket),
            (false, _, true) | (_, false, true) => return Err(Problem::ConsoleSocketUnused),
            _ => {}
        }
        Ok(Self { console: connect("console-socket")?, pidfd: connect("pidfd-socket")?, pid_file })
    }

    /// Writes the pid file, whole or not at all.
    pub fn tell_pid(&self, pid: i32) -> Result<(), Problem> {
        let Some(path) = &self.pid_file else { return Ok(()) };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}"));
        std::fs::write(&temporary, pid.to_string()).doing("write", &temporary)?;
        std::fs::rename(&temporary, path).doing("replace", path)
    }

    /// Hands the descriptors over and says what the machine would not grant.
    pub fn serve(self, app: &App, running: Running) -> Result<Running, Problem> {
        for warning in &running.warnings {
            app.log.warn(warning);
        }
        if let Some(receiver) = self.pidfd {
            receiver.give(running.pidfd.as_fd(), "pidfd")?;
        }
        if let (Some(receiver), Some(console)) = (self.console, &running.console) {
            receiver.give(console.as_fd(), "/dev/ptmx")?;
        }
        Ok(running)
    }
}
