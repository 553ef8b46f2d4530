//! Opening an engine: its records, its machine, its networks; then
//! [recovery](crate::recover) of what an earlier daemon left.

use crate::{
    Container, Engine, Error, Kind, Options, age,
    cell::Cell,
    collect::Collecting,
    container::Moving,
    disk::Disk,
    dns,
    error::Doing,
    events::Journal,
    exec::Execs,
    host::{self, Machine},
    house::{House, Paths},
    networks::Networks,
    places, recover, registries,
    roster::{self, Roster},
    store::{Row, Store, Write},
    volumes::Volumes,
    watcher::{Due, Watcher},
    workers::Workers,
};
use registry::Registry;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt as _},
    path::Path,
    sync::{Arc, Mutex, RwLock, Weak, atomic::AtomicBool},
};

/// The image that is always there.
const BUILTIN: &str = "cofferdam/report:latest";
/// The run root of an engine that was told nothing.
const DEFAULT_RUN: &str = "/run/cofferdam";
/// Slots between the first ranges of two engines.
const STRIDE: u32 = 256;

impl Engine {
    /// Opens the engine of a data root: reads the records, adopts what still
    /// runs, and sweeps what no record names. Returns as soon as reads can be
    /// answered; the rest goes on behind.
    ///
    /// # Errors
    /// The data root is another engine's, or the host lacks something.
    pub fn open(options: Options) -> Result<Self, Error> {
        let paths = Paths { data: options.data_root.clone(), run: options.run_root.clone() };
        make_dirs(&paths)?;
        age::count(&paths.data)?;
        places::make(&paths.data)?;
        let (store, left) = Store::open(&paths.data.join("state.db")).map_err(|error| {
            Error::Records(format!("{}: {error}", paths.data.join("state.db").display()))
        })?;
        let store = Arc::new(store);
        let facts: BTreeMap<String, String> = left.facts.into_iter().collect();
        let id = facts.get("id").cloned().unwrap_or_else(|| {
            let id = crate::random::id().to_string();
            store.leave(Write::Fact { key: "id", value: id.clone() });
            id
        });
        let machine = Machine::look(&paths.data);
        crate::build::sweep(&paths.data, &paths.run, &machine.boot)?;
        snapshot::remove(&paths.data.join(crate::migrate::HALF))?;
        let layout = cgroup::Layout::detect()?;
        let policy = host::policy(&options, &machine, &layout);
        let disk = Disk::open(&options, &machine.backing_filesystem, &facts)?;
        let user = unpackers_user(&paths.data);
        let workers = unpacker::Workers::new(dns::PROGRAM, user, &paths.data);
        let images = image::Store::open(&paths.data, workers)?;
        images.builtin(BUILTIN, builtin::REPORT)?;
        let sockets = crate::sockets::Sockets::read(&facts)?;
        let networks = Networks::open(&options, &store, &facts, &left.networks)?;
        let roster = Roster::new(first_slot(&paths.data));
        let restored = restore(&roster, &left.containers);
        let to_tell: Arc<Mutex<Weak<House>>> = Arc::default();
        let telling = Arc::clone(&to_tell);
        let watcher = Watcher::new(move |due| tell(&telling, due)).doing("start", "the watcher")?;
        let house = Arc::new(House {
            cgroup_parent: cgroup_parent(&paths.run),
            journal: Arc::new(Journal::new(Arc::clone(&store), &left.events)),
            volumes: Volumes::new(&left.volumes),
            disk,
            execs: Execs::default(),
            workers: Workers::default(),
            volume_use: RwLock::default(),
            leaving: Mutex::default(),
            tidying: AtomicBool::default(),
            collecting: Collecting::default(),
            sockets,
            named_builds: crate::build::Named::default(),
            prober: crate::health::Prober::new().doing("start", "the prober")?,
            meter: crate::meter::Meter::default(),
            nursery: watch::Nursery::new(&options.runtime_binary),
            resolver: dns::resolver(&paths.run, resolvers_user(&paths.data), &options.bridge),
            registry: Registry::new(registries::settings(&options)),
            options,
            paths,
            machine,
            policy,
            layout,
            id,
            store,
            roster,
            images,
            networks,
            watcher,
        });
        house.tell_cgroup_parent()?;
        introduce(&to_tell, &house);
        let engine = Self(house);
        recover::begin(&engine, restored);
        Ok(engine)
    }
}

impl House {
    /// For people and programs that look from outside: below which group all
    /// its containers' are.
    fn tell_cgroup_parent(&self) -> Result<(), Error> {
        let path = self.paths.run.join("cgroup-parent");
        let _ = fs::remove_file(&path);
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.doing("make", &path)?;
        writeln!(file, "{}", self.cgroup_parent).doing("write", &path)
    }
}

/// From now on the watcher tells this house.
fn introduce(to: &Mutex<Weak<House>>, house: &Arc<House>) {
    *to.lock().expect("nobody panics with it") = Arc::downgrade(house);
}

/// Has what is due done by a worker, as long as there is an engine.
fn tell(house: &Mutex<Weak<House>>, due: Due) {
    let house = house.lock().expect("nobody panics with it").upgrade();
    if let Some(house) = house {
        let engine = Engine(Arc::clone(&house));
        match due {
            // There may be hundreds a second, and it only hands them on.
            Due::Probe(id, number) => engine.probe_due(&id, number),
            due => house.workers.give(move || engine.due(due)),
        }
    }
}

fn make_dirs(paths: &Paths) -> Result<(), Error> {
    let private = [
        paths.data.join("containers"),
        paths.data.join("volumes"),
        paths.run.join("containers"),
        paths.root(),
    ];
    for dir in private {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.doing("create", &dir)?;
    }
    Ok(())
}

/// The groups of an engine's containers are below a parent of its own.
fn cgroup_parent(run_root: &Path) -> String {
    if run_root == Path::new(DEFAULT_RUN) {
        return "/cofferdam".into();
    }
    format!("/cofferdam-{:08x}", hash(run_root) & 0xffff_ffff)
}

/// Where an engine begins to hand out ranges of ids.
fn first_slot(data_root: &Path) -> u32 {
    if data_root == Path::new("/var/lib/cofferdam") {
        return 0;
    }
    // The places besides the default's, spread by the path.
    let place = hash(data_root) % u64::from(roster::SLOTS / STRIDE - 1) + 1;
    u32::try_from(place).unwrap_or(1) * STRIDE
}

/// Whom an engine's resolver runs as: an id below all ranges of containers.
fn resolvers_user(data_root: &Path) -> u32 {
    roster::FIRST_ID - 1 - first_slot(data_root) / STRIDE
}

/// Whom couriers of logs run as that speak over a network: one of the ids
/// below those of resolvers.
pub(crate) fn couriers_user(data_root: &Path) -> u32 {
    resolvers_user(data_root) - roster::SLOTS / STRIDE
}

/// Whom those run as that take archives apart: below all couriers' ids.
fn unpackers_user(data_root: &Path) -> u32 {
    couriers_user(data_root) - roster::SLOTS / STRIDE
}

/// FNV-1a: the same on every day and in every version.
fn hash(path: &Path) -> u64 {
    path.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Takes in the containers of the records, and says in which boot each was
/// last changed.
fn restore(roster: &Roster, rows: &[Row]) -> HashMap<spec::Id, String> {
    let mut boots = HashMap::new();
    for row in rows {
        match read(row) {
            Ok((container, boot)) => {
                boots.insert(container.id.clone(), boot);
                roster.restore(Arc::new(Cell::restored(container, row.slot)));
            }
            Err(error) => {
                tracing::error!(id = row.id, %error, "the record of a container cannot be read");
            }
        }
    }
    boots
}

fn read(row: &Row) -> Result<(Container, String), Error> {
    let moving: Moving = serde_json::from_str(&row.moving).map_err(|e| Error::records(&e))?;
    let mut container = Container::read(&row.fixed).map_err(|e| Error::records(&e))?;
    let boot = moving.boot.clone();
    container.set_moving(moving);
    container.name.clone_from(&row.name);
    container.execs.clear();
    if container.id.as_str() != row.id {
        return Err(Error::Below { kind: Kind::Host, message: "it bears another's id".into() });
    }
    Ok((container, boot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_beside_one_another_have_parents_and_ranges_of_their_own() {
        let (one, two) = (Path::new("/run/a"), Path::new("/run/b"));
        assert_ne!(cgroup_parent(one), cgroup_parent(two));
        assert_ne!(first_slot(one), first_slot(two));
        assert_eq!(cgroup_parent(Path::new(DEFAULT_RUN)), "/cofferdam");
        assert_eq!(first_slot(Path::new("/var/lib/cofferdam")), 0);
    }

    #[test]
    fn whoever_reads_what_strangers_send_has_an_id_of_its_own() {
        let paths = (0..2000).map(|n| format!("/data/{n}")).chain(["/var/lib/cofferdam".into()]);
        let users = |user: fn(&Path) -> u32| {
            let users = paths.clone().map(move |path| user(Path::new(&path)));
            users.collect::<std::collections::BTreeSet<_>>()
        };
        let (resolvers, unpackers) = (users(resolvers_user), users(unpackers_user));
        let couriers = users(couriers_user);
        assert!(unpackers.last() < couriers.first(), "{unpackers:?} {couriers:?}");
        assert!(couriers.last() < resolvers.first(), "{couriers:?} {resolvers:?}");
        assert!(resolvers.last() < Some(&roster::FIRST_ID));
    }

    #[test]
    fn a_container_reads_back_from_its_record() {
        let mut container = Container::blank(crate::random::id(), "one");
        container.state = crate::State::Running { pid: 7 };
        container.last.started = 5;
        let row = Row {
            id: container.id.to_string(),
            name: "renamed".into(),
            slot: 3,
            fixed: container.spell().expect("plain data"),
            moving: serde_json::to_string(&container.moving("boot")).expect("plain data"),
        };
        let (read, boot) = read(&row).expect("reads back");
        assert_eq!(boot, "boot");
        assert_eq!(read, Container { name: "renamed".into(), ..container });
    }
}
