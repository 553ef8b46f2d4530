//! A new container: everything that can be refused is refused here, and the
//! record is written before anything on the host bears the name.

use crate::{
    Container, Created, Engine, Error, Last, MountPoint, State, VolumeWish,
    cell::Cell,
    container::Plugs,
    error::Doing,
    foreign,
    house::House,
    names,
    networks::{self, Mode},
    ports, selinux,
    store::Write,
    undo::Undo,
};
use policy::{
    mounts::{Point, Relabel, Source},
    user::Identity,
};
use snapshot::IdRange;
use spec::{
    Digest, Id, Sandbox,
    docker::{Config, CreateBody, EndpointSettings, HostConfig},
    ids::{Kept, Range},
};
use std::{collections::BTreeMap, fs, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};

/// Docker's default for `--shm-size`.
const SHM_SIZE: i64 = 64 << 20;

impl Engine {
    /// Makes a container; its program starts with [`Engine::start`].
    /// A name is made up if none is given; `client` is who asks, should its
    /// ids be kept (`--userns keep-id`). Of another `platform` than is asked
    /// for, in the spelling of `--platform`, an image is none.
    ///
    /// # Errors
    /// No such image, name taken, or the request cannot be met: said now
    /// rather than at the start.
    pub fn create(
        &self,
        name: Option<&str>,
        body: CreateBody,
        platform: &str,
        client: Option<Kept>,
    ) -> Result<Created, Error> {
        let house = &*self.0;
        let begun = std::time::Instant::now();
        let name = name.filter(|name| !name.is_empty()).map(names::checked).transpose()?;
        // As long as this is held no image goes for want of users.
        let _using_image = house.images.using();
        let image = house.images.lookup(&body.config.image)?;
        let detail = house.images.inspect(&image)?;
        let foreign = foreign::judge(&body.config.image, &detail.config, platform)?;
        let config = policy::merge(&detail.config.config, &body.config);
        let mut created = self.create_of(name, &image, config, body, Asker::Client(client))?;
        created.warnings.extend(foreign);
        house.meter.took(begun, |counts| &mut counts.create);
        Ok(created)
    }

    /// Makes the container of a build's step, of a state that the build has
    /// reached; it goes when the engine starts anew. Its program gets the
    /// `hidden` variables, too, which are written down nowhere.
    pub(crate) fn create_step(
        &self,
        image: &Digest,
        config: Config,
        body: CreateBody,
        hidden: Vec<String>,
    ) -> Result<Created, Error> {
        let created = self.create_of(None, image, config, body, Asker::Build)?;
        if !hidden.is_empty() {
            self.0.find(created.id.as_str())?.live().hidden = hidden;
        }
        Ok(created)
    }

    /// A container of a build's step becomes one like others.
    pub(crate) fn keep_step(&self, id: &Id) -> Result<(), Error> {
        let cell = self.0.find(id.as_str())?;
        let container = cell.change(|container| container.of_build = false);
        self.0.record(&container, cell.slot)
    }

    fn create_of(
        &self,
        name: Option<&str>,
        image: &Digest,
        config: Config,
        body: CreateBody,
        asker: Asker,
    ) -> Result<Created, Error> {
        let house = &*self.0;
        let id = crate::random::id();
        let mut undo = Undo::default();
        let (name, slot) = house.hold(name, &id, policy::userns::ranges(&body.host_config)?)?;
        undo.with("give the name back", {
            let (name, id) = (name.clone(), id.clone());
            move || {
                house.roster.release(&name, &id, slot);
                Ok(())
            }
        });
        let mut container = house.draft(&id, name, image, config, body)?;
        container.of_build = asker == Asker::Build;
        if let Asker::Client(Some(client)) = asker
            && policy::userns::keeps_id(&container.host)?
        {
            keep(&mut container, client)?;
        }
        container.level = house.roster.hold_level(&id, selinux::asked_level(&container.host));
        // As long as this is held no volume goes for want of users.
        let using = house.using_volumes();
        house.take_mounts(&mut container, &mut undo)?;
        let held = house.hold_new(&container);
        // Mounting may take minutes, and nobody is to wait for that.
        drop(using);
        house.mount_held(&held).map_err(|error| Error::Below {
            kind: error.kind(),
            message: format!("failed to populate volume: {error}"),
        })?;
        let warnings = house.try_out(&mut container, slot)?;
        house.record(&container, slot)?;
        undo.with("take back the record", || {
            house.store.write(Write::Gone { id: id.to_string() }).map_err(|e| Error::records(&e))
        });
        house.lay_out(&container, image, &mut undo)?;
        let cell = Arc::new(Cell::new(container, slot));
        house.roster.add(Arc::clone(&cell));
        drop(held);
        undo.keep();
        house.journal.container(&cell.now(), "create", &[]);
        Ok(Created { id: cell.id.clone(), warnings })
    }
}

impl House {
    /// Holds the name that was asked for, or one that is free.
    fn hold(&self, name: Option<&str>, id: &Id, ranges: u32) -> Result<(String, u32), Error> {
        if let Some(name) = name {
            return Ok((name.to_owned(), self.roster.hold(name, id, ranges)?));
        }
        let mut tries = 0..64;
        loop {
            let name = names::made_up(crate::random::bytes(), tries.start > 5);
            match self.roster.hold(&name, id, ranges) {
                Err(Error::NameTaken { .. }) if tries.next().is_some() => {}
                held => return Ok((name, held?)),
            }
        }
    }

    /// The container as asked for, in words alone.
    fn draft(
        &self,
        id: &Id,
        name: String,
        image: &Digest,
        mut config: Config,
        body: CreateBody,
    ) -> Result<Container, Error> {
        let mut host = body.host_config;
        crate::asked::variables(&body.config.env)?;
        self.complete(&mut host, &mut config, id)?;
        crate::egress::take(&mut host, &body.config)?;
        let mut words = Vec::new();
        words.extend(config.entrypoint.iter().flat_map(|words| words.0.clone()));
        words.extend(config.cmd.iter().flat_map(|words| words.0.clone()));
        if words.is_empty() {
            return Err(Error::Invalid("no command specified".into()));
        }
        let path = words.remove(0);
        let mode = Mode::parse(&host.network_mode)?;
        if let Mode::Namespace(path) = &mode {
            networks::found(path)?;
        }
        let mut endpoints = self.networks.asked(&body.networking_config, &mode)?;
        crate::egress::may_be_at(endpoints.values(), &crate::egress::policy(&host)?)?;
        match self.networks.first(&mode) {
            Some(first) if first == "bridge" => self.settle_links(&mut host)?,
            // There a link is a name that the resolver knows.
            Some(first) if !matches!(first.as_str(), "host" | "none") => {
                let links = host.links.take().filter(|links| !links.is_empty());
                if let (Some(links), Some(place)) = (links, endpoints.get_mut(&first)) {
                    place.links.get_or_insert(links);
                }
            }
            Some(_) if host.network_mode == "none" && host.links.iter().flatten().count() > 0 => {
                let words = "a link leads to a container on the same network, and there is none";
                return Err(Error::Invalid(words.into()));
            }
            _ => {}
        }
        let macs = asked_macs(&mut config, &endpoints, self.networks.first(&mode).as_deref())?;
        ports::wishes(&config, &host)?;
        let disk = self.disk.share(&host, &self.store)?;
        let dir = self.paths.container(id);
        Ok(Container {
            id: id.clone(),
            name,
            created: crate::clock::now(),
            image: image.to_string(),
            path,
            args: words,
            config,
            host,
            state: State::Created,
            last: Last::default(),
            health: None,
            restart_count: 0,
            stopped_by_hand: false,
            mounts: Vec::new(),
            endpoints,
            ports: spec::ports::PortMap::new(),
            weakened: Vec::new(),
            id_base: None,
            id_size: None,
            kept: None,
            execs: Vec::new(),
            log_path: None,
            hostname_path: dir.join("hostname"),
            hosts_path: dir.join("hosts"),
            resolv_conf_path: dir.join("resolv.conf"),
            upper_dir: dir.join("upper"),
            process_label: String::new(),
            mount_label: String::new(),
            level: String::new(),
            plugs: Plugs::new(),
            grafts: BTreeMap::new(),
            macs,
            of_build: false,
            disk,
            asked_ports: None,
            dir,
        })
    }

    /// Fills in what Docker fills in, and identifiers for names.
    fn complete(&self, host: &mut HostConfig, config: &mut Config, id: &Id) -> Result<(), Error> {
        let or = |word: &mut String, default: &str| {
            if word.is_empty() {
                default.clone_into(word);
            }
        };
        if host.network_mode == "default" {
            host.network_mode.clear();
        }
        or(
            &mut host.network_mode,
            if config.network_disabled == Some(true) { "none" } else { "bridge" },
        );
        or(&mut host.ipc_mode, "private");
        or(&mut host.cgroupns_mode, "private");
        or(&mut host.restart_policy.name, "no");
        host.log_config = policy::merged_log(&host.log_config, &self.options.log);
        or(&mut host.runtime, "cofferdam-run");
        crate::restart::check(&host.restart_policy, host.auto_remove)?;
        crate::asked::check(config, host)?;
        // How clients spell "none of my own".
        host.memory_swappiness = host.memory_swappiness.filter(|value| *value != -1);
        host.pids_limit = host.pids_limit.filter(|limit| *limit != 0);
        config.volumes = config.volumes.take().filter(|volumes| !volumes.is_empty());
        if host.shm_size == 0 {
            host.shm_size = SHM_SIZE;
        }
        let modes = [&mut host.network_mode, &mut host.ipc_mode, &mut host.pid_mode];
        for mode in modes.into_iter().chain([&mut host.userns_mode]) {
            if let Some(peer) = mode.strip_prefix("container:").filter(|peer| !peer.is_empty()) {
                *mode = format!("container:{}", self.find(peer)?.id);
            }
        }
        let labels = self.label_options(host)?;
        if !labels.is_empty() {
            host.security_opt.get_or_insert_default().extend(labels);
        }
        // With somebody else's name there is none of its own.
        let joined = host.network_mode.starts_with("container:");
        if config.hostname.is_empty() && !joined && host.uts_mode != "host" {
            config.hostname = match host.network_mode.as_str() {
                "host" => crate::host::name(),
                _ => id.short().to_owned(),
            };
        }
        Ok(())
    }

    /// Finds or makes a point's volume.
    pub(crate) fn volume_at<'a>(
        &'a self,
        point: &Point,
        wish: &policy::mounts::Volume,
        undo: &mut Undo<'a>,
    ) -> Result<MountPoint, Error> {
        let (volume, new) = self.make_volume(VolumeWish {
            name: wish.name.clone(),
            driver: wish.driver.clone(),
            labels: wish.labels.clone(),
            options: wish.options.clone(),
        })?;
        if new {
            let name = volume.name.clone();
            undo.with("remove the new volume", move || self.forget_volume(&name));
        }
        Ok(of_volume(point, volume.name, volume.mountpoint))
    }

    /// Finds or makes the volumes, and writes down all mounts.
    fn take_mounts<'a>(
        &'a self,
        container: &mut Container,
        undo: &mut Undo<'a>,
    ) -> Result<(), Error> {
        let points = policy::mounts::points(&container.config, &container.host)?;
        let listed = |point: &Point| {
            let mounts = container.host.mounts.iter().flatten();
            mounts.clone().any(|m| m.kind == "tmpfs" && m.target == point.destination)
        };
        let mut mounts = Vec::new();
        for point in &points {
            match &point.source {
                Source::Bind { create } => {
                    find_source(&point.path, *create)?;
                    mounts.push(bind(point));
                }
                Source::Volume(wish) => mounts.push(self.volume_at(point, wish, undo)?),
                Source::Tmpfs { .. } if listed(point) => mounts.push(MountPoint {
                    kind: "tmpfs".into(),
                    destination: point.destination.clone(),
                    rw: !point.read_only,
                    ..MountPoint::default()
                }),
                Source::Tmpfs { .. } => {}
            }
        }
        for other in container.host.volumes_from.iter().flatten() {
            self.take_from(other, &mut mounts)?;
        }
        container.mounts = mounts;
        Ok(())
    }

    /// `--volumes-from NAME[:ro]`.
    fn take_from(&self, text: &str, mounts: &mut Vec<MountPoint>) -> Result<(), Error> {
        let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
        let known = |word: &str| matches!(word, "ro" | "rw" | "z" | "Z" | "nocopy");
        if !mode.split(',').all(known) {
            return Err(Error::Invalid(format!("invalid mode: {mode}")));
        }
        let read_only = mode.split(',').any(|word| word == "ro");
        for mount in &self.find(name)?.now().mounts {
            let taken = mounts.iter().any(|own| own.destination == mount.destination);
            if !taken && mount.kind != "tmpfs" {
                mounts.push(MountPoint { rw: mount.rw && !read_only, ..mount.clone() });
            }
        }
        Ok(())
    }

    /// Asks for the confinement as it would be, so that refusals come now.
    fn try_out(&self, container: &mut Container, slot: u32) -> Result<Vec<String>, Error> {
        let points = self.points(container)?;
        let sandbox = self.decide(container, slot, &Identity::default(), &points, true)?;
        container.take_over(&sandbox);
        if !container.mount_label.is_empty() {
            self.may_relabel(&points)?;
        }
        let linux = sandbox.config.linux.unwrap_or_default();
        container.host.masked_paths.get_or_insert(linux.masked_paths);
        container.host.readonly_paths.get_or_insert(linux.readonly_paths);
        let mut warnings = Vec::new();
        let published = container.host.port_bindings.bindings();
        if published > 0 && container.host.network_mode == "host" {
            warnings.push("Published ports are discarded when using host network mode".into());
        }
        Ok(warnings)
    }

    /// Makes what is on the disk.
    fn lay_out<'a>(
        &'a self,
        container: &Container,
        image: &Digest,
        undo: &mut Undo<'a>,
    ) -> Result<(), Error> {
        let taken_back = container.clone();
        undo.with("remove its directory", move || {
            snapshot::Root::remove(&self.paths.data, taken_back.id.as_str())?;
            self.free_disk(&taken_back);
            let dir = &taken_back.dir;
            match fs::remove_dir_all(dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).doing("remove", dir)
                }
                _ => Ok(()),
            }
        });
        // Before anything is in them.
        self.count_disk(container)?;
        let root =
            snapshot::Root::prepare(&self.paths.data, container.id.as_str(), container.ids())?
                .labelled(&container.mount_label);
        self.fill_volumes(container, image, &root)
    }

    /// Copies what the image has below the mount points of empty volumes.
    fn fill_volumes(
        &self,
        container: &Container,
        image: &Digest,
        root: &snapshot::Root,
    ) -> Result<(), Error> {
        let mut mounted = None;
        for point in self.points(container)? {
            let Source::Volume(volume) = &point.source else { continue };
            if volume.no_copy || !volume.subpath.is_empty() || !is_empty(Path::new(&point.path))? {
                continue;
            }
            if mounted.is_none() {
                mounted = Some(root.mount(&self.layers_of(image)?)?);
            }
            let mount = mounted.as_ref().expect("mounted just now");
            crate::archive::copy_up(mount, container.ids(), &point.destination, &point.path)?;
        }
        Ok(())
    }
}

impl Container {
    /// Its ids as the host counts them.
    pub(crate) fn ids(&self) -> IdRange {
        let size = self.id_size.unwrap_or(policy::RANGE);
        self.id_base.map_or(IdRange::HOST, |base| IdRange { base, size, kept: self.kept })
    }

    /// The same, as policies see them; none if it shares the host's.
    pub(crate) fn range(&self) -> Option<Range> {
        let size = self.id_size.unwrap_or(policy::RANGE);
        self.id_base.map(|first| Range { first, size, kept: self.kept })
    }

    /// Notes what was decided, for readers.
    pub(crate) fn take_over(&mut self, sandbox: &Sandbox) {
        let linux = sandbox.config.linux.as_ref();
        let process = sandbox.config.process.as_ref();
        self.weakened.clone_from(&sandbox.weakened);
        let ids = linux.and_then(|l| Range::of(&l.uid_mappings, &l.gid_mappings));
        self.id_base = ids.map(|ids| ids.first);
        self.id_size = ids.map(|ids| ids.size);
        self.kept = ids.and_then(|ids| ids.kept);
        self.log_path = sandbox.log.file.as_ref().map(|file| file.path.clone().into());
        self.mount_label = linux.map(|l| l.mount_label.clone()).unwrap_or_default();
        self.process_label = process.map(|p| p.selinux_label.clone()).unwrap_or_default();
    }
}

/// Who makes a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// A client, with the ids that its connection has.
    Client(Option<Kept>),
    /// A build, for one of its steps.
    Build,
}

/// The container is to have its client's ids, and its program to be that user
/// unless somebody names another.
fn keep(container: &mut Container, client: Kept) -> Result<(), Error> {
    if client.uid.max(client.gid) >= crate::roster::FIRST_ID {
        let words = "--userns=keep-id would keep the id of another container, since a program in \
                     one asks for it: ask from the host";
        return Err(Error::Invalid(words.into()));
    }
    container.kept = Some(client);
    if container.config.user.is_empty() {
        container.config.user = format!("{}:{}", client.uid, client.gid);
    }
    Ok(())
}

/// The MAC addresses that a client asked for, by network. Old clients name one
/// for the container as a whole: that is its first network's.
fn asked_macs(
    config: &mut Config,
    endpoints: &BTreeMap<String, EndpointSettings>,
    first: Option<&str>,
) -> Result<BTreeMap<String, String>, Error> {
    let of = |(name, settings): (&String, &EndpointSettings)| {
        (name.clone(), settings.mac_address.clone())
    };
    let mut macs: BTreeMap<String, String> =
        endpoints.iter().map(of).filter(|(_, mac)| !mac.is_empty()).collect();
    let Some(first) = first else { return Ok(macs) };
    let whole = config.mac_address.clone().filter(|mac| !mac.is_empty());
    match (whole, macs.get(first)) {
        (Some(whole), Some(own)) if whole != *own => {
            let words = "the container-wide MAC address must match the endpoint-specific MAC \
                         address for the main network, or be left empty";
            return Err(Error::Invalid(words.into()));
        }
        (Some(whole), _) => {
            networks::mac(&whole)?;
            macs.insert(first.to_owned(), whole);
        }
        (None, Some(own)) => config.mac_address = Some(own.clone()),
        (None, None) => {}
    }
    Ok(macs)
}

/// The source of a bind mount: made if it may be, else it must be there.
pub(crate) fn find_source(path: &str, create: bool) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
            made.doing("create", path)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::Invalid(format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {path}"
        ))),
        Err(error) => Err(error).doing("look at", path),
    }
}

pub(crate) fn bind(point: &Point) -> MountPoint {
    let propagation = match point.propagation.as_str() {
        "" => "rprivate",
        other => other,
    };
    MountPoint {
        kind: "bind".into(),
        source: point.path.clone(),
        destination: point.destination.clone(),
        mode: mode(point, ""),
        rw: !point.read_only,
        propagation: propagation.into(),
        ..MountPoint::default()
    }
}

fn of_volume(point: &Point, name: String, source: String) -> MountPoint {
    MountPoint {
        kind: "volume".into(),
        name,
        source,
        destination: point.destination.clone(),
        driver: "local".into(),
        mode: match &point.source {
            // One that the image or a bare path asks for.
            Source::Volume(wish) if wish.name.is_empty() => mode(point, ""),
            _ => mode(point, "z"),
        },
        rw: !point.read_only,
        propagation: String::new(),
        subpath: match &point.source {
            Source::Volume(wish) => wish.subpath.clone(),
            _ => String::new(),
        },
    }
}

/// What of a mount's mode is shown; `otherwise` if it has none.
fn mode(point: &Point, otherwise: &str) -> String {
    let relabel = match point.relabel {
        Relabel::Keep => None,
        Relabel::Shared => Some("z"),
        Relabel::Private => Some("Z"),
    };
    let words: Vec<&str> = point.read_only.then_some("ro").into_iter().chain(relabel).collect();
    if words.is_empty() { otherwise.to_owned() } else { words.join(",") }
}

pub(crate) fn is_empty(dir: &Path) -> Result<bool, Error> {
    Ok(fs::read_dir(dir).doing("read", dir)?.next().is_none())
}
