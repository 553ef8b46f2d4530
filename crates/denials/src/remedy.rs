//! The smallest option that would allow what was denied.

use crate::{
    Denied, Seen,
    judge::{Judge, Layer, Verdict, arch},
};
use policy::caps::{DEFAULT, HOST_USER};
use spec::{capability, oci};
use std::fs;

/// `CLONE_NEWUSER`: what it makes takes no capability.
const NEW_USER: u64 = 0x1000_0000;

/// Settings of the kernel that a container has for itself: see
/// `--sysctl` in `policy::sysctls`.
const OWN_SETTINGS: [&str; 4] = ["net/", "kernel/shm", "kernel/msg", "fs/mqueue/"];

/// The filter of system calls stopped it. A capability that opens the call in
/// the default filter gives the right to do it as well; else the call alone
/// is allowed by a filter of one's own.
pub fn filter(judge: &Judge, denied: &Denied) -> Verdict {
    let call = denied.name();
    let why = format!("the container's filter of system calls does not allow {call}");
    let option = opened_by(judge, denied).unwrap_or_else(|| {
        format!(
            "--security-opt seccomp=FILE, with what `cofferdam why --allow {call} {}` prints",
            judge.name
        )
    });
    Verdict::new(Layer::Seccomp, why, Some(option))
}

fn opened_by(judge: &Judge, denied: &Denied) -> Option<String> {
    let spaces = ["clone", "unshare"].contains(&denied.name().as_str());
    if spaces && denied.call.args[0] & NEW_USER != 0 {
        return None;
    }
    let own = judge.linux()?.seccomp.as_ref()?;
    if *own != policy::default_rules(&judge.bounding, arch()) {
        return None;
    }
    let opens = |capability: &&&str| {
        let mut with = judge.bounding.clone();
        with.push((**capability).to_owned());
        let rules = policy::default_rules(&with, arch());
        // Cheaper than a program for each of forty.
        rules != *own
            && seccomp::compile(&rules).is_ok_and(|program| {
                program.answer(&denied.call).action & 0x7fff_0000 == 0x7fff_0000
            })
    };
    // The widest of all is the last to be named.
    let rest = capability::NAMES.iter().filter(|name| **name != "CAP_SYS_ADMIN");
    let found = rest.clone().find(opens).or_else(|| Some(&"CAP_SYS_ADMIN").filter(opens))?;
    Some(add(judge, found, policy::caps::is_powerless(found)))
}

/// `--cap-add`, and what it takes for the capability to have power.
fn add(judge: &Judge, capability: &str, whole_machine: bool) -> String {
    let short = capability.trim_start_matches("CAP_");
    if !(whole_machine && judge.ids.is_some()) {
        return format!("--cap-add {short}");
    }
    let there = DEFAULT.contains(&capability) || HOST_USER.contains(&capability);
    if there { "--userns=host".to_owned() } else { format!("--userns=host --cap-add {short}") }
}

/// The kernel asked for a capability in vain.
pub fn capability(
    judge: &Judge,
    denied: &Denied,
    capability: &str,
    asked: &[&str],
    whole_machine: bool,
) -> Verdict {
    let over = if whole_machine { " over the whole machine" } else { "" };
    let why = format!("the kernel asked for {}{over}", asked.join(", then "));
    let user = inside(judge, denied.uid);
    let unable = user != Some(0);
    if !whole_machine && judge.has(capability) {
        let who = user.map_or_else(|| "somebody else".to_owned(), |id| format!("user {id}"));
        let why = format!("{why}, which root of the container has and {who} has not");
        let option = unable.then_some("--user 0");
        return Verdict::new(Layer::Capability, why, option);
    }
    let mut option = add(judge, capability, whole_machine);
    if unable {
        option.push_str(" --user 0");
    }
    Verdict::new(Layer::Capability, why, Some(option))
}

/// A file's owner and mode are in the way of one who may not pass over them.
/// None where the capability to do so was taken from the container, and where
/// it is the program's own file: then it is something above it.
pub fn permissions(judge: &Judge, denied: &Denied, seen: Option<&Seen>) -> Option<Verdict> {
    if !judge.has("CAP_DAC_OVERRIDE") {
        return None;
    }
    let user = inside(judge, denied.uid)?;
    let seen = seen?;
    let owner = inside(judge, seen.owner).filter(|owner| *owner != user)?;
    let why = format!(
        "{} is of user {owner}, mode {:04o}, and the program runs as user {user}",
        seen.path, seen.mode
    );
    Some(Verdict::new(Layer::Permissions, why, Some(format!("--user {owner}"))))
}

/// A host's id as the container counts.
fn inside(judge: &Judge, id: u32) -> Option<u32> {
    let Some(ids) = &judge.ids else { return Some(id) };
    ids.uids().iter().find_map(|line| {
        let offset = id.checked_sub(line.host_id).filter(|offset| *offset < line.size)?;
        Some(line.container_id + offset)
    })
}

/// A mount is read-only.
pub fn read_only(judge: &Judge, denied: &Denied, seen: Option<&Seen>) -> Verdict {
    let unknown = |why: String| Verdict::new(Layer::Mount, why, None::<String>);
    if let Some(seen) = seen {
        let why = format!("{} is on {}, which is mounted read-only", seen.path, seen.mount);
        return Verdict::new(Layer::Mount, why, Some(writable(judge, &seen.path, &seen.mount)));
    }
    match denied.path.as_deref() {
        // Of a container that has ended its mounts as they were decided are
        // left, and a path that says all of itself.
        Some(path) if is_whole(path) => {
            let mount = by_configuration(judge, path);
            let why = format!("{path} is by its name on {mount}, which is mounted read-only");
            Verdict::new(Layer::Mount, why, Some(writable(judge, path, &mount)))
        }
        Some(path) => unknown(format!(
            "{path} is on a mount that is read-only; which one is not known, since the program \
             has ended and with it the directory that it was in"
        )),
        None => unknown("it is on a mount that is read-only; the call says not which".into()),
    }
}

fn writable(judge: &Judge, path: &str, mount: &str) -> String {
    let own = |setting: &str| OWN_SETTINGS.iter().any(|own| setting.starts_with(own));
    if let Some(setting) = path.strip_prefix("/proc/sys/")
        && own(setting)
    {
        return format!("--sysctl {}=VALUE", setting.replace('/', "."));
    }
    if mount == "/proc" || mount.starts_with("/proc/") {
        return "--security-opt systempaths=unconfined".to_owned();
    }
    if mount == "/sys/fs/cgroup" || mount.starts_with("/sys/fs/cgroup/") {
        return "--security-opt writable-cgroups=true".to_owned();
    }
    if mount == "/sys" || mount.starts_with("/sys/") {
        return "--privileged".to_owned();
    }
    let config = &judge.sandbox.config;
    match config.mounts.iter().rev().find(|given| given.destination == mount) {
        Some(given) if given.kind == "tmpfs" => format!("--tmpfs {mount}, without ro"),
        Some(given) => format!("-v {}:{mount}, without ro", given.source),
        None if mount == "/" => {
            let directory = path.trim_end_matches('/').rsplit_once('/').map_or("", |(dir, _)| dir);
            if directory.is_empty() {
                "the same without --read-only".to_owned()
            } else {
                format!("--tmpfs {directory}, a volume there, or no --read-only")
            }
        }
        None => format!("-v VOLUME:{mount}"),
    }
}

/// Does a path lead from the root to its end without a turn?
fn is_whole(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|part| [".", ".."].contains(&part))
}

/// The mount that a path is on by what was decided, where nothing can be seen
/// any more.
fn by_configuration(judge: &Judge, path: &str) -> String {
    let below = |place: &str| {
        place == "/"
            || path == place
            || path.strip_prefix(place).is_some_and(|r| r.starts_with('/'))
    };
    let given = judge.sandbox.config.mounts.iter().map(|mount| mount.destination.as_str());
    let covered = judge.linux().map_or(&[][..], |linux: &oci::Linux| &linux.readonly_paths);
    let all = given.chain(covered.iter().map(String::as_str)).filter(|place| below(place));
    all.max_by_key(|place| place.len()).unwrap_or("/").to_owned()
}

/// The host's device with these numbers, with the rights that were wanted.
pub fn device(block: bool, numbers: (u32, u32), path: &str, access: &str) -> String {
    match host_node(block, numbers) {
        Some(node) if node == path => format!("--device {node}:{node}:{access}"),
        Some(node) => format!("--device {node}:{path}:{access}"),
        None => {
            let letter = if block { 'b' } else { 'c' };
            format!("--device-cgroup-rule '{letter} {}:{} {access}'", numbers.0, numbers.1)
        }
    }
}

/// Making a node of a device that the list does not have.
pub fn make_device(block: bool, (major, minor): (u32, u32)) -> Verdict {
    let letter = if block { 'b' } else { 'c' };
    let why = format!("{letter} {major}:{minor} is not among the devices it may make");
    let option = format!("--device-cgroup-rule '{letter} {major}:{minor} m'");
    Verdict::new(Layer::Device, why, Some(option))
}

/// Where the host has the device, by what its kernel says.
fn host_node(block: bool, (major, minor): (u32, u32)) -> Option<String> {
    let kind = if block { "block" } else { "char" };
    let text = fs::read_to_string(format!("/sys/dev/{kind}/{major}:{minor}/uevent")).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(format!("/dev/{name}"))
}
