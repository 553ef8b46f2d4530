//! From a record to a program that runs.
//!
//! ```text
//!   engine                                            monitor
//!     | holds addresses and ports, writes /etc files
//!     | mounts the root, resolves the user, decides
//!     | writes sandbox.json ── Launch (+ root) ─────────> |
//!     | <──────────────────────── Alive (+ netns) ─────── |
//!     | plugs the network in, attaches who waits          |
//!     | (the record is in by now) ── Go ────────────────> |
//!     | <──────────────────────────────────── Running ─── |
//! ```
//!
//! Whatever fails, all of it is taken back.

use crate::{
    Container, Engine, Error, State,
    archive::read_in_root,
    cell::{Cell, Link},
    container::Plugs,
    error::Doing,
    files, health,
    house::{House, replace},
    networks::{self, Mode},
    ports,
    state::Step,
    store::{Pending, Write},
    undo::Undo,
    watcher::Due,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use spec::{Sandbox, docker::EndpointSettings, wire::Request};
use std::{
    borrow::Cow,
    fs,
    net::IpAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

/// How long a monitor may take for one step.
const PATIENCE: Duration = Duration::from_secs(30);
/// Docker's exit code for a start that failed for want of a better one.
const FAILED: u8 = 128;

/// What came of a start that succeeded.
struct Began {
    pid: i32,
    init: OwnedFd,
    running: watch::Running,
}

impl Engine {
    /// Starts the program; returns once it runs.
    ///
    /// # Errors
    /// `NotModified` if it runs; [`Error::Start`] if it could not be started.
    pub fn start(&self, reference: &str) -> Result<(), Error> {
        let cell = self.0.find(reference)?;
        let _own = cell.own();
        self.start_owned(&cell)
    }

    /// Starts a container whose `verb` lock is held.
    pub(crate) fn start_owned(&self, cell: &Arc<Cell>) -> Result<(), Error> {
        let container = cell.now();
        match container.state {
            State::Running { .. } => {
                return Err(Error::NotModified(format!(
                    "container {} is already running",
                    container.id
                )));
            }
            State::Paused { .. } => {
                let words = "cannot start a paused container, try unpause instead";
                return Err(Error::Conflict(words.into()));
            }
            State::Removing | State::Dead => {
                let words = "container is marked for removal and cannot be started";
                return Err(Error::Conflict(words.into()));
            }
            State::Created | State::Exited | State::Starting | State::Restarting { .. } => {}
        }
        cell.step(Step::Start, |_| {})?;
        let begun = std::time::Instant::now();
        // Until it is known to run: then they are mounted for it.
        let held = self.0.hold_volumes(&container);
        match held.and_then(|held| Ok((self.0.bring_up(cell)?, held))) {
            Ok((began, _held)) => {
                self.0.meter.took(begun, |counts| &mut counts.start);
                self.began(cell, began)
            }
            Err(error) => {
                let error = self.0.why_not_here(&container, error);
                self.0.meter.with(|counts| counts.failed_starts += 1);
                self.gave_up(cell, &error);
                Err(error)
            }
        }
    }

    fn began(&self, cell: &Arc<Cell>, began: Began) -> Result<(), Error> {
        let house = &self.0;
        let now = crate::clock::now();
        let container = cell.step(Step::Began { pid: began.pid }, |container| {
            begins(container, now);
        })?;
        house.leave(&container);
        house.volume_events(&container, "mount");
        house.network_events(&container, "connect");
        self.tell_linked(cell);
        house.journal.container(&container, "start", &[]);
        let mut live = cell.live();
        live.init = Some(Arc::new(began.init));
        live.stopping = false;
        let watched = house.watcher.watch(&began.running, Due::Container(cell.id.clone()));
        live.link = Some(Link::Child(began.running));
        let late = live.take_attaching();
        drop(live);
        // They came while it was starting, and see what it says from now on.
        house.attach_all(cell, late);
        self.check_health(cell);
        watched.doing("watch", house.paths.run(&cell.id))
    }

    fn gave_up(&self, cell: &Arc<Cell>, error: &Error) {
        let house = &self.0;
        let ran_before = cell.now().last.started != 0;
        let code =
            if let Error::Start { code: code @ 126..=127, .. } = error { *code } else { FAILED };
        let stepped = cell.step(Step::GaveUp { ran_before }, |container| {
            container.last.code = code;
            container.last.error = error.to_string();
            House::withdraw(container);
        });
        match stepped {
            Ok(container) => {
                house.leave(&container);
                if container.host.auto_remove
                    && let Err(error) = self.remove_owned(cell, true)
                {
                    tracing::warn!(id = %cell.id, %error, "cannot remove what did not start");
                }
            }
            Err(error) => tracing::error!(id = %cell.id, %error, "cannot give up a start"),
        }
    }
}

impl House {
    /// Does all that can fail.
    fn bring_up(&self, cell: &Arc<Cell>) -> Result<Began, Error> {
        let mut undo = Undo::default();
        let container = self.connect(cell, &mut undo)?;
        let pending = self.announce(&container);
        self.limit_disk(&container)?;
        let mount = self.root(&container)?.mount(&self.layers(&container)?)?;
        let sandbox = self.decide_in(cell, &container, mount.as_fd())?;
        self.label(&container)?;
        let hidden = std::mem::take(&mut cell.live().hidden);
        let dir = self.run_dir(cell, &with_hidden(&sandbox, &hidden), &mut undo)?;
        let mut launching = watch::launch(watch::Launch {
            nursery: &self.nursery,
            dir: &dir,
            root: Some(mount.as_fd()),
            open_stdin: container.config.open_stdin,
            stdin_once: container.config.stdin_once,
            patience: PATIENCE,
        })?;
        let alive = launching.alive()?;
        let pid = Pid::from_raw(alive.pid).ok_or_else(|| broken(&container))?;
        let init = pidfd_open(pid, PidfdFlags::empty()).doing("watch init in", &dir)?;
        if let Some(netns) = alive.netns.as_ref().filter(|_| !container.plugs.is_empty()) {
            self.networks.plug(netns.as_fd(), &container.plugs)?;
            let plugs = container.plugs.clone();
            undo.with("unplug it", move || self.networks.unplug_all(&plugs));
            if Self::has_names(&container) {
                self.tell_names(&container, netns.as_fd(), init.as_fd())?;
                let id = &cell.id;
                undo.with("forget its names", move || {
                    self.resolver.leave(id);
                    Ok(())
                });
            }
        }
        let waiting = cell.live().take_attaching();
        self.attach_all(cell, waiting);
        pending.wait().map_err(|e| Error::records(&e))?;
        let running = launching.go()?;
        if !hidden.is_empty() {
            write_sandbox(&dir, &sandbox)?;
        }
        undo.keep();
        Ok(Began { pid: alive.pid, init, running })
    }

    /// Holds the container's place on the network and writes its files in
    /// `/etc`; returns it as published with both.
    fn connect<'a>(
        &'a self,
        cell: &'a Arc<Cell>,
        undo: &mut Undo<'a>,
    ) -> Result<Arc<Container>, Error> {
        let container = cell.now();
        let mode = Mode::parse(&container.host.network_mode)?;
        let mut peer = None;
        let mut plugs = Plugs::new();
        match &mode {
            Mode::Container(name) => peer = Some(self.find(name)?.now()),
            Mode::Network(_) | Mode::None => {
                let wishes = ports::wishes(&container.config, &container.host)?;
                plugs = self.networks.hold(&container, &wishes)?;
                let held = plugs.clone();
                undo.with("give its addresses back", move || {
                    self.networks.give_back(&held);
                    Ok(())
                });
            }
            Mode::Namespace(path) => networks::found(path)?,
            Mode::Host => {}
        }
        self.write_files(&container, &mode, &plugs)?;
        let ports = if plugs.is_empty() {
            spec::ports::PortMap::new()
        } else {
            networks::shown_ports(&container, &plugs)?
        };
        let endpoints = self.networks.settings(&container, &plugs);
        let labels = self.labels(&container)?;
        Ok(cell.change(|container| {
            if let Some(peer) = peer {
                container.hosts_path.clone_from(&peer.hosts_path);
                container.hostname_path.clone_from(&peer.hostname_path);
                container.resolv_conf_path.clone_from(&peer.resolv_conf_path);
            }
            container.endpoints = endpoints;
            container.plugs = plugs;
            container.ports = ports;
            container.process_label = labels.process;
            container.mount_label = labels.mount;
        }))
    }

    fn write_files(&self, container: &Container, mode: &Mode, plugs: &Plugs) -> Result<(), Error> {
        if matches!(mode, Mode::Container(_)) {
            // It uses those of the other one.
            return Ok(());
        }
        let mut places: Vec<_> = plugs.values().collect();
        places.sort_by(|a, b| a.ifname.cmp(&b.ifname));
        let addresses: Vec<IpAddr> = places
            .into_iter()
            .flat_map(|e| e.addr4.map(IpAddr::V4).into_iter().chain(e.addr6.map(IpAddr::V6)))
            .collect();
        let extra = container.host.extra_hosts.clone().unwrap_or_default();
        let name = self.hostname(container)?;
        let names = files::own_names(&name, &container.config.domainname);
        let hosts = files::hosts(&names, &extra, &addresses, self.networks.gateway())?;
        let hosts = self.with_links(container, hosts)?;
        files::write(&container.hosts_path, &hosts)?;
        files::write(&container.hostname_path, &format!("{name}\n"))?;
        let shared = *mode == Mode::Host;
        let named = self.networks.any_with_names(plugs);
        Self::write_resolv_conf(container, named, shared)
    }

    /// The record says where it will be before it is there.
    pub(crate) fn announce(&self, container: &Container) -> Pending {
        match serde_json::to_string(&container.moving(&self.machine.boot)) {
            Ok(moving) => {
                let id = container.id.to_string();
                self.store.begin(Write::Moving { id, moving })
            }
            Err(error) => Pending::failed(error.to_string()),
        }
    }

    /// Decides with the user that the image's own files name.
    fn decide_in(
        &self,
        cell: &Arc<Cell>,
        container: &Container,
        root: BorrowedFd<'_>,
    ) -> Result<Sandbox, Error> {
        let user = user_in(root, &container.config.user, container.host.group_add.as_deref())?;
        let points = self.points(container)?;
        let sandbox = self.decide(container, cell.slot, &user, &points, false)?;
        if sandbox.weakened != container.weakened {
            cell.change(|container| container.weakened.clone_from(&sandbox.weakened));
        }
        Ok(sandbox)
    }

    /// Labels what of the host's is to be the container's.
    fn label(&self, container: &Container) -> Result<(), Error> {
        let label = &container.mount_label;
        let points = self.points(container)?;
        Self::relabel(&points, label)?;
        let files =
            [&*container.hosts_path, &*container.hostname_path, &*container.resolv_conf_path];
        Self::relabel_files(files, label, container.host.network_mode.starts_with("container:"))
    }

    /// The directory where the monitor will live, with what it is to apply.
    fn run_dir<'a>(
        &'a self,
        cell: &'a Arc<Cell>,
        sandbox: &Sandbox,
        undo: &mut Undo<'a>,
    ) -> Result<std::path::PathBuf, Error> {
        let dir = self.paths.run(&cell.id);
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                // Of an earlier run that was not cleared away.
                fs::remove_dir_all(&dir).doing("remove", &dir)?;
                fs::DirBuilder::new().mode(0o700).create(&dir).doing("create", &dir)?;
            }
            made => made.doing("create", &dir)?,
        }
        let taken_back = dir.clone();
        undo.with("remove its run directory", move || {
            fs::remove_dir_all(&taken_back).doing("remove", &taken_back)
        });
        write_sandbox(&dir, sandbox)?;
        Ok(dir)
    }

    /// Forgets where a container was on the network, and what was mounted in it
    /// while it ran.
    pub(crate) fn withdraw(container: &mut Container) {
        container.plugs.clear();
        container.grafts.clear();
        container.ports = spec::ports::PortMap::new();
        for settings in container.endpoints.values_mut() {
            *settings = EndpointSettings {
                ipam_config: settings.ipam_config.take(),
                links: settings.links.take(),
                aliases: settings.aliases.take(),
                driver_opts: settings.driver_opts.take(),
                gw_priority: settings.gw_priority,
                network_id: std::mem::take(&mut settings.network_id),
                dns_names: settings.dns_names.take(),
                ..EndpointSettings::default()
            };
        }
    }

    /// Tells of all networks that a container comes to or leaves.
    pub(crate) fn network_events(&self, container: &Container, action: &str) {
        for name in container.plugs.keys() {
            if let Some(net) = self.networks.named(name) {
                self.say_of_network(&net, action, Some(&container.id));
            }
        }
    }

    /// Connects those who attached before the start.
    pub(crate) fn attach_all(
        &self,
        cell: &Cell,
        waiting: Vec<(crate::Attach, Box<dyn crate::Attaching>)>,
    ) {
        for (wish, client) in waiting {
            match self.attach_now(cell, wish, true) {
                Ok(stream) => client.deliver(stream),
                // Its client learns of it by the drop.
                Err(error) => tracing::warn!(id = %cell.id, %error, "cannot attach a client"),
            }
        }
    }

    /// Connects to the streams of a container whose monitor is up.
    pub(crate) fn attach_now(
        &self,
        cell: &Cell,
        wish: crate::Attach,
        pace: bool,
    ) -> Result<std::os::unix::net::UnixStream, Error> {
        let crate::Attach { stdin, stdout, stderr } = wish;
        let request = Request::Attach { stdin, stdout, stderr, pace };
        let (_, stream) = watch::hand_over(&self.paths.run(&cell.id), &request)?;
        Ok(stream)
    }
}

/// Its program runs, since `now` as far as is seen.
pub(crate) fn begins(container: &mut Container, now: crate::Nanos) {
    container.last = crate::Last { started: now, ..crate::Last::default() };
    container.stopped_by_hand = false;
    container.health = health::at_start(&container.config, container.health.take());
}

/// What the monitor is to apply. In the run root, which is in memory.
fn write_sandbox(dir: &Path, sandbox: &Sandbox) -> Result<(), Error> {
    let text = serde_json::to_vec(sandbox).map_err(|e| Error::records(&e))?;
    let path = dir.join("sandbox.json");
    replace(&path, &text).doing("write", &path)
}

/// The same with variables that are told to the monitor alone, until the
/// program has begun.
fn with_hidden<'s>(sandbox: &'s Sandbox, hidden: &[String]) -> Cow<'s, Sandbox> {
    let mut sandbox = Cow::Borrowed(sandbox);
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    for pair in hidden {
        if let Some(process) = &mut sandbox.to_mut().config.process {
            process.env.retain(|known| name(known) != name(pair));
            process.env.push(pair.clone());
        }
    }
    sandbox
}

/// Whom a container runs as, by the files in its root.
pub(crate) fn user_in(
    root: BorrowedFd<'_>,
    user: &str,
    group_add: Option<&[String]>,
) -> Result<policy::user::Identity, Error> {
    let passwd = read_in_root(root, "etc/passwd")?;
    let group = read_in_root(root, "etc/group")?;
    Ok(policy::user::resolve(user, &passwd, &group, group_add.unwrap_or_default())?)
}

fn broken(container: &Container) -> Error {
    Error::records(&format!("the record of {} makes no sense", container.id))
}
