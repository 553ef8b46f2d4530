//! Kernel settings of the container's own namespaces.
//!
//! They are written through the verified procfs by a process that is in the
//! namespace. A setting that is the whole host's is refused, whoever asks.

use crate::{
    caps,
    failure::{Doing, refusal},
    namespaces::Namespaces,
    procfs::Proc,
};
use rustix::{io::Errno, process::Uid, thread::UnshareFlags};
use spec::wire::Failure;
use std::collections::BTreeMap;

/// Who must write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The launcher, which has joined the other namespaces.
    Launcher,
    /// Init, which alone is in the user namespace.
    Init,
}

/// Writes those of `settings` that are `writer`'s, whose files belong to the
/// container's root, `owner` on the host.
pub(crate) fn write(
    settings: &BTreeMap<String, String>,
    namespaces: &Namespaces,
    proc: &Proc,
    writer: Writer,
    owner: (u32, u32),
) -> Result<(), Failure> {
    let of_network = |name: &String| path(name).starts_with("net/");
    let own = writer == Writer::Launcher && settings.keys().any(of_network);
    let own = if own { Some(Proc::own()?) } else { None };
    let proc = own.as_ref().unwrap_or(proc);
    for (name, value) in settings {
        let path = path(name);
        let (who, flag) = home(&path).ok_or_else(|| {
            refusal(format!("sysctl {name:?} is not in a separate kernel namespace"))
        })?;
        if !namespaces.private(flag) {
            return Err(refusal(format!(
                "sysctl {name:?} is not allowed: the container shares that namespace with the host"
            )));
        }
        if who == writer {
            let set = || proc.write(&format!("sys/{path}"), value.as_bytes());
            let done = match set() {
                // Since Linux 6.10 some are the namespace's root's alone.
                Err(Errno::ACCESS) if owner != (0, 0) && writer == Writer::Launcher => {
                    as_user(owner, set)?
                }
                done => done,
            };
            done.doing(|| format!("set the sysctl {name} to {value:?}"))?;
        }
    }
    Ok(())
}

/// The path under `/proc/sys`. Names are written with dots or slashes; the
/// first of either decides, and the other then stands for itself.
fn path(name: &str) -> String {
    if name.find(['.', '/']).is_some_and(|at| name.as_bytes()[at] == b'/') {
        return name.into();
    }
    name.chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        })
        .collect()
}

/// Does something as the container's root, whom the kernel looks at here
/// where no capability counts.
fn as_user<T>(owner: (u32, u32), act: impl FnOnce() -> T) -> Result<T, Failure> {
    let become_user = |uid: u32| {
        rustix::thread::set_thread_res_uid(None, Uid::from_raw(uid), None)
            .doing(|| "change the effective user".into())
    };
    become_user(owner.0)?;
    let done = act();
    become_user(0)?;
    sys::process::set_file_owner(owner.0, owner.1)
        .doing(|| "make files as the container".into())?;
    caps::raise()?;
    Ok(done)
}

/// Which namespace a setting belongs to; none if it is the host's.
fn home(path: &str) -> Option<(Writer, UnshareFlags)> {
    const IPC: [&str; 8] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return None;
    }
    if path.starts_with("net/") {
        Some((Writer::Launcher, UnshareFlags::NEWNET))
    } else if path.starts_with("fs/mqueue/") || IPC.contains(&path) {
        Some((Writer::Launcher, UnshareFlags::NEWIPC))
    } else if path == "kernel/domainname" {
        Some((Writer::Launcher, UnshareFlags::NEWUTS))
    } else if path.starts_with("user/") {
        Some((Writer::Init, UnshareFlags::NEWUSER))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_hosts_has_no_writer() {
        for name in ["kernel.core_pattern", "vm.swappiness", "net.../kernel.x", "kernel.hostname"] {
            assert_eq!(home(&path(name)), None, "{name}");
        }
        assert_eq!(home("net/../kernel/core_pattern"), None);
    }

    #[test]
    fn either_separator_is_understood() {
        assert_eq!(path("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }

    #[test]
    fn limits_of_a_user_namespace_are_written_from_inside() {
        let home = home(&path("user.max_user_namespaces"));
        assert_eq!(home, Some((Writer::Init, UnshareFlags::NEWUSER)));
    }
}
