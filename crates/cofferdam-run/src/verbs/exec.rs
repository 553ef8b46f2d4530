//! `exec`: another program in a container.

use crate::{
    App, Given,
    bundle::check_process,
    container::{Container, Status},
    hand_over::preserved,
    problem::{Doing, Problem},
    streams::Foreground,
    verbs::launch::{Receivers, places},
};
use cgroup::Cgroup;
use runtime::{Io, Options, Target};
use spec::{
    Sandbox,
    oci::{Capabilities, Process, User},
};
use std::{os::fd::AsFd, path::Path};

/// `exec`.
pub fn exec(app: &App, given: &Given) -> Result<u8, Problem> {
    let container = Container::open(app, &given.arguments[0])?;
    let preserve_fds = preserved(given, 0)?;
    match container.status()? {
        Status::Stopped | Status::Creating => return Err(Problem::ExecStopped),
        Status::Paused if !given.has("ignore-paused") => return Err(Problem::ExecPaused),
        _ => {}
    }
    let process = wanted(&container, given)?;
    let detach = given.has("detach");
    let pid_file = given.last("pid-file").filter(|path| !path.is_empty());
    let pid_file =
        pid_file.map(|path| std::path::absolute(path).doing("find", path)).transpose()?;
    let receivers = Receivers::connect(given, process.terminal, detach, pid_file)?;
    let pidfd = container.init()?.ok_or(Problem::ExecStopped)?;
    let mut config = container.record.spec.clone().into_owned();
    config.linux.get_or_insert_default();
    let sandbox = Sandbox::from_config(container.record.id.clone(), config);
    let group = group(&container, given)?;
    let places = places(&group);
    let foreground = (!detach).then(|| Foreground::prepare(process.terminal)).transpose()?;
    let own = foreground.as_ref().map(Foreground::size).transpose()?.flatten();
    let io = if process.terminal {
        Io::Terminal { size: process.console_size.or(own) }
    } else {
        Io::Inherit
    };
    let options = Options { cgroup: Some(&places), preserve_fds, ..Options::default() };
    let bundle = Path::new(&container.record.bundle);
    let target = Target { pidfd: pidfd.as_fd(), sandbox: &sandbox, bundle };
    let running = runtime::exec(target, &process, io, &options)
        .map_err(|failure| Problem::launch(&failure, &process.args[0]))?;
    receivers.tell_pid(running.pid)?;
    let running = receivers.serve(app, running)?;
    match foreground {
        Some(foreground) => {
            foreground.stand_by(running.pid, running.pidfd.as_fd(), running.console.as_ref())
        }
        None => Ok(0),
    }
}

/// The process that the options describe: a file's, or the container's own
/// with changes.
fn wanted(container: &Container, given: &Given) -> Result<Process, Problem> {
    if let Some(path) = given.last("process") {
        let text = std::fs::read_to_string(path).doing("read", path)?;
        let process: Process = serde_json::from_str(&text)
            .map_err(|source| Problem::BadJson { what: "the process", source })?;
        check_process(&process)?;
        return Ok(process);
    }
    let args = &given.arguments[1..];
    if args.is_empty() {
        return Err(Problem::NoCommand);
    }
    let mut process = container.record.spec.process.clone().unwrap_or_default();
    process.args = args.to_vec();
    process.terminal = given.has("tty");
    process.console_size = None;
    process.env.extend_from_slice(given.all("env"));
    if let Some(cwd) = given.last("cwd") {
        cwd.clone_into(&mut process.cwd);
    }
    if let Some(label) = given.last("process-label") {
        label.clone_into(&mut process.selinux_label);
    }
    if let Some(profile) = given.last("apparmor") {
        profile.clone_into(&mut process.apparmor_profile);
    }
    if given.last("no-new-privs").is_some() {
        process.no_new_privileges = given.has("no-new-privs");
    }
    if let Some(user) = given.last("user") {
        let umask = process.user.umask;
        process.user = User { umask, ..parse_user(user)? };
    }
    for gid in given.all("additional-gids") {
        process.user.additional_gids.push(parse_id("additional-gids", gid)?);
    }
    for cap in given.all("cap") {
        add_capability(process.capabilities.get_or_insert_default(), cap);
    }
    check_process(&process)?;
    Ok(process)
}

/// An id: decimal digits alone, and not the one that means none.
fn parse_id(flag: &'static str, text: &str) -> Result<u32, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let id = if digits { text.parse().ok().filter(|&id| id != u32::MAX) } else { None };
    id.ok_or_else(|| Problem::BadValue { flag, value: text.into() })
}

/// `UID` or `UID:GID`; what is anything else must not end as root
/// (CVE-2026-30892).
fn parse_user(text: &str) -> Result<User, Problem> {
    let number = |part| parse_id("user", part);
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    Ok(User { uid: number(uid)?, gid: number(gid)?, ..User::default() })
}

/// Into the sets that make it usable; the inheritable set stays as it is
/// (CVE-2022-29162), and an ambient capability would have to be in it.
fn add_capability(sets: &mut Capabilities, cap: &str) {
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        if !set.iter().any(|have| have == cap) {
            set.push(cap.to_owned());
        }
    }
}

/// The container's group, or the one below it that `--cgroup` names: for all
/// controllers, or for those listed before a colon.
fn group(container: &Container, given: &Given) -> Result<Cgroup, Problem> {
    let mut paths = container.record.cgroup_paths.clone();
    for word in given.all("cgroup") {
        let bad = || Problem::BadValue { flag: "cgroup", value: word.clone() };
        let (controllers, below) = match word.split_once(':') {
            Some((controllers, below)) => (Some(controllers), below),
            None => (None, word.as_str()),
        };
        let below = below.trim_start_matches('/');
        if below.split('/').any(|part| part == "..") {
            return Err(bad());
        }
        let listed = |name: &str| controllers.is_none_or(|list| list.split(',').any(|c| c == name));
        let unknown = |name: &str| !paths.contains_key(name);
        if controllers.is_some_and(|list| list.split(',').any(unknown)) {
            return Err(bad());
        }
        for (_, path) in paths.iter_mut().filter(|(name, _)| listed(name)) {
            *path = path.join(below);
        }
    }
    for path in paths.values() {
        path.metadata().doing("find control group", path)?;
    }
    Ok(Cgroup::from_paths(&paths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_one_number_or_two() {
        let ids = |text| parse_user(text).map(|user| (user.uid, user.gid)).ok();
        assert_eq!(ids("7"), Some((7, 0)));
        assert_eq!(ids("7:8"), Some((7, 8)));
        let odd = ["", "root", "7:", ":7", ":", "7:8:9", "-1", "+7", " 7", "7 ", "0x7", "7.0"];
        assert!(odd.iter().all(|text| ids(text).is_none()));
        assert_eq!(ids("4294967294"), Some((u32::MAX - 1, 0)));
        let none = ["4294967295", "0:4294967295", "4294967296", "18446744073709551616"];
        assert!(none.iter().all(|text| ids(text).is_none()));
    }

    #[test]
    fn an_added_capability_is_not_inheritable() {
        let mut sets = Capabilities::default();
        add_capability(&mut sets, "CAP_NET_RAW");
        add_capability(&mut sets, "CAP_NET_RAW");
        assert_eq!(sets.effective, ["CAP_NET_RAW"]);
        assert_eq!(sets.inheritable, [""; 0]);
        assert_eq!(sets.ambient, [""; 0]);
    }
}
