//! Every way in which a container is weaker than the default, in words that
//! `inspect` shows and `audit` counts.

use crate::{
    Host, Ids, Wish, caps,
    devices::Devices,
    labels,
    mounts::{Point, Source, within},
    namespaces::{Space, Spaces},
    paths,
    security::{Filter, Options},
};
use spec::{Sandbox, ids::Range};

/// Directories of the host where writing is ruling it.
const RULING: [&str; 9] = ["/", "/boot", "/dev", "/etc", "/proc", "/root", "/sys", "/usr", "/var"];

/// Sockets of engines, by their last name: who talks to one is root.
const SOCKETS: [&str; 5] =
    ["docker.sock", "cofferdam.sock", "containerd.sock", "podman.sock", "crio.sock"];

/// Lists all weakenings of a finished sandbox.
pub fn list(
    sandbox: &Sandbox,
    wish: &Wish<'_>,
    spaces: &Spaces,
    options: &Options,
    devices: &Devices,
    host: &Host,
) -> Vec<String> {
    let mut words = Vec::new();
    let asked = wish.host_config;
    if asked.privileged {
        words.push(
            "runs privileged: it has all capabilities and all devices of the host".to_owned(),
        );
    }
    namespaces(spaces, wish.joined.user.is_some(), &mut words);
    capabilities(sandbox, spaces, asked.privileged, &mut words);
    layers(sandbox, wish, options, host, &mut words);
    for device in &devices.given {
        words.push(format!("can use devices of the host: {device}"));
    }
    for point in wish.mounts {
        mount(point, host, &mut words);
    }
    if options.writable_cgroups && !asked.privileged {
        words.push("can change its own cgroup".to_owned());
    }
    if asked.pids_limit.is_some_and(|limit| limit < 0) {
        words.push("has no limit of processes".to_owned());
    }
    if asked.oom_kill_disable == Some(true) {
        words.push("is not killed when it runs out of memory".to_owned());
    }
    if asked.oom_score_adj < 0 {
        words.push("is killed after others when the host runs out of memory".to_owned());
    }
    if sandbox.log.file.as_ref().is_some_and(|file| file.max_bytes == u64::MAX) {
        words.push("has a log without bounds".to_owned());
    }
    words
}

fn namespaces(spaces: &Spaces, joined_user: bool, words: &mut Vec<String>) {
    if spaces.user == Space::Host {
        words.push(format!(
            "has no user namespace of its own: root in it is root of the host ({})",
            spaces.user_reason
        ));
    }
    if let Ids::Range(Range { kept: Some(kept), .. }) = spaces.ids {
        words.push(format!(
            "is user {} and group {} of the host where it has these ids (--userns keep-id)",
            kept.uid, kept.gid
        ));
    }
    if joined_user && matches!(spaces.user, Space::Joined(_)) {
        words.push("shares another container's user ids".to_owned());
    }
    for (space, what) in [
        (spaces.network, "network"),
        (spaces.pid, "processes"),
        (spaces.ipc, "shared memory and message queues"),
        (spaces.uts, "host name"),
        (spaces.cgroup, "view of cgroups"),
    ] {
        match space {
            Space::Own => {}
            Space::Host => words.push(format!("shares the host's {what}")),
            Space::Joined(_) => words.push(format!("shares another container's {what}")),
            Space::Named => words.push(format!("shares a {what} that others made: no guard holds")),
        }
    }
}

fn capabilities(sandbox: &Sandbox, spaces: &Spaces, privileged: bool, words: &mut Vec<String>) {
    if privileged {
        return;
    }
    let process = sandbox.config.process.as_ref();
    let have = process.and_then(|process| process.capabilities.as_ref());
    let usual = |cap: &str| caps::DEFAULT.contains(&cap) || caps::HOST_USER.contains(&cap);
    let more: Vec<&str> = have
        .iter()
        .flat_map(|sets| &sets.bounding)
        .map(String::as_str)
        .filter(|cap| !usual(cap))
        .collect();
    if !more.is_empty() {
        let bounds = if spaces.private_user() { ", within its own user namespace" } else { "" };
        words.push(format!("has capabilities beyond the default{bounds}: {}", more.join(", ")));
    }
}

fn layers(
    sandbox: &Sandbox,
    wish: &Wish<'_>,
    options: &Options,
    host: &Host,
    words: &mut Vec<String>,
) {
    let linux = sandbox.config.linux.as_ref();
    match (&options.filter, linux.and_then(|linux| linux.seccomp.as_ref())) {
        (_, None) => words.push("may make any system call: seccomp is off".to_owned()),
        (Filter::Json(_), Some(_)) => {
            words.push("has a seccomp profile of its own instead of the default".to_owned());
        }
        (_, Some(_)) => {}
    }
    let (masked, read_only) = linux
        .map_or((&[][..], &[][..]), |linux| (&linux.masked_paths[..], &linux.readonly_paths[..]));
    let (unmasked, writable) = paths::missing(masked, read_only, host);
    if unmasked {
        words.push("sees kernel paths that are hidden by default".to_owned());
    }
    if writable {
        words.push("may write to kernel paths that are read-only by default".to_owned());
    }
    let label = sandbox.config.process.as_ref().map_or("", |process| &process.selinux_label);
    if host.selinux && label.is_empty() {
        words.push("is not confined by SELinux (label=disable)".to_owned());
    } else if host.selinux {
        let set = options.labels.iter().filter(|option| *option != "nested");
        for option in set.filter(|option| !labels::is_harmless(option)) {
            words.push(format!("has an SELinux label of its own: {option}"));
        }
        if labels::is_nested(options, host) {
            words.push("may ask SELinux what its policy lets it (label=nested)".to_owned());
        }
    }
    if host.apparmor
        && !host.apparmor_profile
        && options.apparmor.is_empty()
        && !wish.host_config.privileged
    {
        words.push(format!(
            "is not confined by AppArmor: its profile {} is not loaded",
            crate::labels::APPARMOR_PROFILE
        ));
    }
    if host.apparmor && !options.apparmor.is_empty() {
        words.push(match options.apparmor.as_str() {
            "unconfined" => "is not confined by AppArmor".to_owned(),
            profile => format!("has an AppArmor profile of its own: {profile}"),
        });
    }
}

fn mount(point: &Point, host: &Host, words: &mut Vec<String>) {
    let path = match &point.source {
        Source::Bind { .. } => point.path.as_str(),
        // Another directory, under a volume's name.
        Source::Volume(volume) => match volume.bound() {
            Some(device) => device,
            None => return,
        },
        Source::Tmpfs { .. } => return,
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    // A read-only mount of a socket does not keep anyone from talking.
    let scoped = |own: &String| {
        let all = format!("{own}/sockets");
        within(path, &all) && path != all
    };
    if host.engine_paths.iter().any(scoped) {
        words.push(format!("can use a scoped socket of the engine: {path} is mounted in it"));
        return;
    }
    let engine = host.engine_paths.iter().any(|own| within(path, own) || within(own, path));
    let holds_sockets = ["/run", "/var/run"].iter().any(|top| within(top, path) && path != "/");
    if SOCKETS.contains(&name) || holds_sockets || (engine && path != "/") {
        words.push(format!("can reach an engine that rules the host: {path} is mounted in it"));
        return;
    }
    let ruling = RULING.iter().any(|top| match *top {
        "/" => path == "/",
        // Data below /var and /root is data; the directories themselves hold
        // the host's own.
        "/var" | "/root" => path == *top,
        "/usr" | "/boot" | "/etc" | "/proc" | "/sys" | "/dev" => within(path, top),
        top => path == top,
    });
    if ruling && !point.read_only {
        words.push(format!("can write to the host's {path}"));
    } else if path == "/" {
        words.push("can read all files of the host".to_owned());
    } else if ruling && within(path, "/dev") {
        words.push(format!("can use devices of the host: {path} is mounted in it"));
    }
    if matches!(point.propagation.as_str(), "shared" | "rshared") {
        words.push(format!("can mount into the host's {path} ({})", point.propagation));
    }
}
