//! Devices: which a container has, and what it may do with others.

use crate::{Refusal, Wish};
use spec::{
    docker::{DeviceMapping, HostConfig},
    oci::{Device, DeviceRule},
};

/// A device file of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// As asked for, or found in a directory asked for; links followed, so
    /// that the numbers are those of the device behind.
    pub path: String,
    /// `c` or `b`.
    pub kind: char,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Which device files the engine must look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All below `/dev` (`--privileged`), but for `/dev/pts`, `/dev/shm`,
    /// `/dev/mqueue`, `/dev/fd` and `/dev/console`; and these.
    All(Vec<String>),
    /// These. Of a directory: all below. A missing one is left out, and
    /// [`crate::sandbox`] refuses in Docker's words.
    Paths(Vec<String>),
}

/// Lists the device files to look up before a decision.
pub fn wanted(host_config: &HostConfig) -> Wanted {
    let devices = host_config.devices.iter().flatten().map(|device| &device.path_on_host);
    let weights = host_config.blkio_weight_device.iter().flatten().map(|device| &device.path);
    let rates = [
        &host_config.blkio_device_read_bps,
        &host_config.blkio_device_write_bps,
        &host_config.blkio_device_read_iops,
        &host_config.blkio_device_write_iops,
    ];
    let rates = rates.into_iter().flatten().flatten().map(|device| &device.path);
    let paths = devices.chain(weights).chain(rates).cloned().collect();
    if host_config.privileged { Wanted::All(paths) } else { Wanted::Paths(paths) }
}

/// Devices that every container has, by their numbers; `None` is any. The
/// runtime makes them. Source: `Documentation/admin-guide/devices.txt`.
const DEFAULT: [(i64, Option<i64>); 9] = [
    (1, Some(3)), // null
    (1, Some(5)), // zero
    (1, Some(7)), // full
    (1, Some(8)), // random
    (1, Some(9)), // urandom
    (5, Some(0)), // tty
    (5, Some(1)), // console
    (5, Some(2)), // ptmx
    (136, None),  // pts
];

/// What a container gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Devices {
    /// Nodes to make beyond the default ones.
    pub nodes: Vec<Device>,
    /// The cgroup's list; later rules win.
    pub rules: Vec<DeviceRule>,
    /// The host's devices given, for people.
    pub given: Vec<String>,
}

/// Decides on devices.
///
/// # Errors
/// A [`Refusal`] in Docker's words for a device that is not there, and for
/// rules that cannot be read.
pub fn choose(wish: &Wish<'_>) -> Result<Devices, Refusal> {
    let asked = wish.host_config;
    if let Some(request) = asked.device_requests.iter().flatten().next() {
        return Err(request_refused(request));
    }
    let mut devices = Devices::default();
    if asked.privileged {
        devices.rules.push(rule(true, "a", None, None, "rwm"));
        let all = wish.devices.iter().filter(|node| node.path.starts_with("/dev/"));
        devices.nodes.extend(all.map(|node| make(node, &node.path)));
    } else {
        devices.rules.push(rule(false, "a", None, None, "rwm"));
        for (major, minor) in DEFAULT {
            devices.rules.push(rule(true, "c", Some(major), minor, "rwm"));
        }
    }
    for mapping in asked.devices.iter().flatten() {
        give(mapping, wish, &mut devices)?;
    }
    for text in asked.device_cgroup_rules.iter().flatten() {
        devices.rules.push(parse_rule(text)?);
        if !asked.privileged {
            devices.given.push(format!("rule {text}"));
        }
    }
    Ok(devices)
}

fn give(mapping: &DeviceMapping, wish: &Wish<'_>, devices: &mut Devices) -> Result<(), Refusal> {
    let access = match mapping.cgroup_permissions.as_str() {
        "" => "rwm",
        access if access.bytes().all(|byte| b"rwm".contains(&byte)) => access,
        access => return Err(Refusal::invalid(format!("invalid device mode: {access}"))),
    };
    let source = mapping.path_on_host.trim_end_matches('/');
    let target = match mapping.path_in_container.trim_end_matches('/') {
        "" => source,
        target => target,
    };
    if !target.starts_with('/') || target.split('/').any(|part| part == "..") {
        return Err(Refusal::invalid(format!("{target} is not an absolute path")));
    }
    let mut found = false;
    for node in wish.devices {
        let below = node.path.strip_prefix(source).filter(|b| b.is_empty() || b.starts_with('/'));
        let Some(below) = below else { continue };
        found = true;
        let path = format!("{target}{below}");
        devices.nodes.retain(|other| other.path != path);
        devices.nodes.push(make(node, &path));
        let kind = node.kind.to_string();
        let (major, minor) = (Some(node.major.into()), Some(node.minor.into()));
        if !wish.host_config.privileged {
            devices.rules.push(rule(true, &kind, major, minor, access));
            devices.given.push(format!("{} ({access})", node.path));
        }
    }
    if found {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "error gathering device information while adding custom device {:?}: no such file or \
         directory",
        mapping.path_on_host
    )))
}

/// Owner and mode are the host's, read as the container's: group 44 of the
/// host is group 44 in the container, so that `--group-add` works.
fn make(node: &Node, path: &str) -> Device {
    let inside = |id: u32| Some(if id < crate::RANGE { id } else { 0 });
    Device {
        kind: node.kind.to_string(),
        path: path.to_owned(),
        major: node.major.into(),
        minor: node.minor.into(),
        file_mode: Some(node.mode & 0o777),
        uid: inside(node.uid),
        gid: inside(node.gid),
    }
}

fn rule(
    allow: bool,
    kind: &str,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> DeviceRule {
    DeviceRule { allow, kind: kind.to_owned(), major, minor, access: access.to_owned() }
}

/// `TYPE MAJOR:MINOR ACCESS`, as the kernel's `devices.allow` has it.
fn parse_rule(text: &str) -> Result<DeviceRule, Refusal> {
    let wrong = || Refusal::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let mut words = text.split(' ');
    let (Some(kind @ ("a" | "b" | "c")), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(wrong());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
    let number = |word: &str| match word {
        "*" => Ok(None),
        word if word.bytes().all(|byte| byte.is_ascii_digit()) => {
            word.parse::<u32>().map(|number| Some(number.into())).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    };
    if access.is_empty() || access.len() > 3 || access.bytes().any(|b| !b"rwm".contains(&b)) {
        return Err(wrong());
    }
    Ok(rule(true, kind, number(major)?, number(minor)?, access))
}

fn request_refused(request: &serde_json::Value) -> Refusal {
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let driver = word(&request["Driver"]);
    let sets = request["Capabilities"].as_array().cloned().unwrap_or_default();
    let sets: Vec<String> = sets
        .iter()
        .map(|set| {
            let names = set.as_array().cloned().unwrap_or_default();
            format!("[{}]", names.iter().map(word).collect::<Vec<_>>().join(" "))
        })
        .collect();
    Refusal::unsupported(format!(
        "could not select device driver {driver:?} with capabilities: [{}]",
        sets.join(" ")
    ))
}
