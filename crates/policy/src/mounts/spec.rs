//! Mounts as the runtime makes them, in order.

use super::{Below, Point, Source, depth, within};
use crate::{
    Host, Refusal, Wish,
    namespaces::{Space, Spaces},
    security::Options,
};
use spec::oci::Mount;

/// What `--shm-size` is if not said: 64 MiB.
const SHM: i64 = 64 << 20;

/// Kernel file systems first, then what was asked for, outer destinations
/// first, then the engine's three files.
///
/// # Errors
/// A [`Refusal`] for sizes that make no sense.
pub fn all(
    wish: &Wish<'_>,
    spaces: &Spaces,
    options: &Options,
    host: &Host,
) -> Result<Vec<Mount>, Refusal> {
    let asked = |path: &str| wish.mounts.iter().any(|point| point.destination == path);
    let own_dev = asked("/dev");
    let mut mounts = kernel(wish, spaces, options, host)?;
    mounts.retain(|mount| {
        let hidden = own_dev && within(&mount.destination, "/dev");
        !hidden && !asked(&mount.destination)
    });
    let mut points: Vec<&Point> = wish.mounts.iter().collect();
    points.sort_by_key(|point| depth(&point.destination));
    for point in points {
        mounts.push(turn(point, wish, spaces));
    }
    for (source, destination) in [
        (wish.files.resolv_conf, "/etc/resolv.conf"),
        (wish.files.hostname, "/etc/hostname"),
        (wish.files.hosts, "/etc/hosts"),
    ] {
        if source.is_empty() || asked(destination) {
            continue;
        }
        let mut words = vec!["bind", "rprivate", "nosuid", "nodev", "noexec"];
        if wish.host_config.readonly_rootfs {
            words.push("ro");
        }
        let mount = mount(destination, "bind", source, &words);
        mounts.push(map(mount, spaces));
    }
    Ok(mounts)
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.into(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

/// Lets the container's ids stand for the same ids on disk.
fn map(mut mount: Mount, spaces: &Spaces) -> Mount {
    mount.uid_mappings = spaces.uids();
    mount.gid_mappings = spaces.gids();
    mount
}

/// File systems that the kernel provides.
///
/// Those that show a namespace can be mounted by the owner of that namespace
/// only. Where it is shared and the user namespace is not, the host's own
/// mount of it is shown.
fn kernel(
    wish: &Wish<'_>,
    spaces: &Spaces,
    options: &Options,
    host: &Host,
) -> Result<Vec<Mount>, Refusal> {
    let privileged = wish.host_config.privileged;
    let foreign = |space: Space| spaces.private_user() && space == Space::Host;
    let quiet = ["nosuid", "noexec", "nodev"];
    let with = |more: &[&'static str]| [&quiet, more].concat();
    let writable = if privileged { "rw" } else { "ro" };
    let mut mounts = Vec::new();
    mounts.push(if foreign(spaces.pid) {
        mount("/proc", "bind", "/proc", &with(&["rbind", "rprivate"]))
    } else {
        mount("/proc", "proc", "proc", &quiet)
    });
    mounts.push(mount(
        "/dev",
        "tmpfs",
        "tmpfs",
        &["nosuid", "strictatime", "mode=755", "size=65536k"],
    ));
    mounts.push(mount(
        "/dev/pts",
        "devpts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    ));
    mounts.push(if foreign(spaces.network) {
        mount("/sys", "bind", "/sys", &with(&["bind", "rprivate", writable]))
    } else {
        mount("/sys", "sysfs", "sysfs", &with(&[writable]))
    });
    if crate::labels::is_nested(options, host) {
        // It is there once on a machine: what it may be told is the policy's to say.
        mounts.push(mount(
            "/sys/fs/selinux",
            "bind",
            "/sys/fs/selinux",
            &with(&["bind", "rprivate", "rw"]),
        ));
    }
    let cgroup = if privileged || options.writable_cgroups { "rw" } else { "ro" };
    mounts.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &with(&["relatime", cgroup])));
    mounts.push(if foreign(spaces.ipc) {
        mount("/dev/mqueue", "bind", "/dev/mqueue", &with(&["bind", "rprivate"]))
    } else {
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet)
    });
    let size = match wish.host_config.shm_size {
        0 => SHM,
        size if size < 0 => {
            return Err(Refusal::invalid("SHM size can not be less than 0"));
        }
        size => size,
    };
    match spaces.ipc {
        Space::Own if spaces.no_shm => {}
        // Only networks are found by a path.
        Space::Own | Space::Named => {
            let mut shm = mount("/dev/shm", "tmpfs", "shm", &with(&["mode=1777"]));
            shm.options.push(format!("size={size}"));
            mounts.push(shm);
        }
        Space::Host => {
            mounts.push(mount("/dev/shm", "bind", "/dev/shm", &with(&["bind", "rprivate"])));
        }
        Space::Joined(peer) => {
            let source = format!("/proc/{}/root/dev/shm", peer.pid);
            mounts.push(mount("/dev/shm", "bind", &source, &with(&["bind", "rprivate"])));
        }
    }
    Ok(mounts)
}

/// Kernel file systems cannot be id-mapped, and their ids are the kernel's.
fn mappable(path: &str) -> bool {
    !["/proc", "/sys", "/dev"].iter().any(|top| within(path, top))
}

fn turn(point: &Point, wish: &Wish<'_>, spaces: &Spaces) -> Mount {
    if let Source::Tmpfs { options } = &point.source {
        return tmpfs(point, options);
    }
    let recursive = point.below != Below::Out;
    let mut words = vec![if recursive { "rbind" } else { "bind" }];
    // No word for writable: it would make what the host has mounted read-only
    // there writable in the copy.
    words.extend(match (point.read_only, point.below) {
        (false, _) => None,
        (true, Below::Along) => Some("rro"),
        (true, Below::Out | Below::Writable) => Some("ro"),
    });
    // A device node in a volume, or in a directory of the host that is not
    // its /dev, is nothing that was asked for.
    if !wish.host_config.privileged && !within(&point.path, "/dev") && point.path != "/" {
        words.push("nodev");
    }
    words.push(match point.propagation.as_str() {
        "" => "rprivate",
        word => word,
    });
    let beneath = match &point.source {
        Source::Volume(volume) if !volume.subpath.is_empty() => {
            format!("beneath={}", volume.subpath)
        }
        _ => String::new(),
    };
    if !beneath.is_empty() {
        words.push(&beneath);
    }
    let mount = mount(&point.destination, "bind", &point.path, &words);
    if mappable(&point.path) { map(mount, spaces) } else { mount }
}

/// What was asked for outranks the careful defaults; the last word counts.
fn tmpfs(point: &Point, options: &[String]) -> Mount {
    let mut words: Vec<String> = ["noexec", "nosuid", "nodev"].map(str::to_owned).to_vec();
    if point.read_only {
        words.push("ro".into());
    }
    for option in options.iter().filter(|option| *option != "defaults") {
        let key = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
        let opposite = |word: &str| match word {
            "ro" => "rw".to_owned(),
            "rw" => "ro".to_owned(),
            word => word.strip_prefix("no").map_or_else(|| format!("no{word}"), str::to_owned),
        };
        words.retain(|word| key(word) != key(option) && *word != opposite(option));
        words.push(option.clone());
    }
    words.push("rprivate".into());
    Mount {
        destination: point.destination.clone(),
        kind: "tmpfs".into(),
        source: "tmpfs".into(),
        options: words,
        ..Mount::default()
    }
}

/// The options of what is mounted in memory at a point; those of a source are
/// none.
pub fn memory(point: &Point) -> Vec<String> {
    match &point.source {
        Source::Tmpfs { options } => tmpfs(point, options).options,
        Source::Bind { .. } | Source::Volume(_) => Vec::new(),
    }
}

/// How mounts made on the host must reach the container's root for these
/// mounts to work as asked; empty for not at all.
pub fn root_propagation(points: &[Point]) -> &'static str {
    let any = |words: [&str; 2]| points.iter().any(|p| words.contains(&p.propagation.as_str()));
    if any(["shared", "rshared"]) {
        "shared"
    } else if any(["slave", "rslave"]) {
        "rslave"
    } else {
        ""
    }
}
