//! Which namespaces a container has of its own, and whose it shares.

use crate::{
    Host, Ids, Joined, Own, Peer, RANGE, Refusal, Wish,
    userns::{self, Mode},
};
use spec::{
    docker::HostConfig,
    oci::{IdMapping, Namespace},
};

/// Where one of a container's namespaces comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// It is the container's own.
    Own,
    /// It is the host's.
    Host,
    /// It is another container's.
    Joined(Peer),
    /// Somebody else made it and left it at a path: the network stack of
    /// `--network ns:PATH`.
    Named,
}

/// All of a container's namespaces; that of mounts is always its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spaces {
    /// Process ids.
    pub pid: Space,
    /// System V and POSIX IPC.
    pub ipc: Space,
    /// There is no `/dev/shm` (`--ipc none`).
    pub no_shm: bool,
    /// Host and domain name.
    pub uts: Space,
    /// The network stack.
    pub network: Space,
    /// The view of the cgroup tree.
    pub cgroup: Space,
    /// User ids and capabilities.
    pub user: Space,
    /// What made it the host's, in the words of the request.
    pub user_reason: &'static str,
    /// Which ids the processes have on the host.
    pub ids: Ids,
}

/// Which ids the container's processes will have on the host: those that its
/// root file system must be made for. A container that joins another's
/// namespaces has that one's ids.
///
/// # Errors
/// A [`Refusal`] for modes that make no sense or exclude each other.
pub fn ids(
    host_config: &HostConfig,
    joined: &Joined,
    own: Own,
    host: &Host,
) -> Result<Ids, Refusal> {
    choose(host_config, false, joined, own, host).map(|spaces| spaces.ids)
}

/// Decides on all namespaces of a wish.
///
/// # Errors
/// As [`ids`].
pub fn of(wish: &Wish<'_>, host: &Host) -> Result<Spaces, Refusal> {
    let no_network = wish.config.network_disabled == Some(true);
    choose(wish.host_config, no_network, &wish.joined, wish.own, host)
}

fn choose(
    asked: &HostConfig,
    no_network: bool,
    joined: &Joined,
    own: Own,
    host: &Host,
) -> Result<Spaces, Refusal> {
    let pid = match asked.pid_mode.as_str() {
        "" | "private" => Space::Own,
        "host" => Space::Host,
        mode => join(mode, joined.pid).ok_or_else(|| unknown("PID mode", mode))?,
    };
    let ipc = match asked.ipc_mode.as_str() {
        "" | "private" | "shareable" | "none" => Space::Own,
        "host" => Space::Host,
        mode => join(mode, joined.ipc).ok_or_else(|| unknown("IPC mode", mode))?,
    };
    let uts = match asked.uts_mode.as_str() {
        "" | "private" => Space::Own,
        "host" => Space::Host,
        mode => return Err(unknown("UTS mode", mode)),
    };
    let network = match asked.network_mode.as_str() {
        "host" => Space::Host,
        mode if mode.starts_with("container:") && !no_network => {
            join(mode, joined.network).ok_or_else(|| unknown("network mode", mode))?
        }
        mode if mode.starts_with("ns:") && !no_network => {
            path_of(mode).map(|_| Space::Named).ok_or_else(|| unknown("network mode", mode))?
        }
        _ => Space::Own,
    };
    let cgroup = match asked.cgroupns_mode.as_str() {
        "host" => Space::Host,
        "" if asked.privileged => Space::Host,
        "" | "private" => Space::Own,
        mode => return Err(unknown("cgroup namespace mode", mode)),
    };
    let mode = Mode::of(asked)?;
    let (user, user_reason) = user(asked, mode, joined.user, [pid, ipc, network])?;
    let ids = match user {
        // A user namespace is never found by a path.
        Space::Host | Space::Named => Ids::Host,
        Space::Own => {
            able(host, own.first)?;
            let (size, keep) = match mode {
                Mode::Own { size, keep, .. } => (size, keep),
                Mode::Default | Mode::Host | Mode::Joined => (RANGE, false),
            };
            Ids::Range(userns::own(own, size, keep)?)
        }
        Space::Joined(peer) => peer.ids,
    };
    let no_shm = asked.ipc_mode == "none";
    Ok(Spaces { pid, ipc, no_shm, uts, network, cgroup, user, user_reason, ids })
}

fn unknown(what: &str, mode: &str) -> Refusal {
    Refusal::invalid(format!("invalid {what}: {mode}"))
}

/// The path of `ns:PATH`.
fn path_of(mode: &str) -> Option<&str> {
    mode.strip_prefix("ns:").filter(|path| path.starts_with('/') && !path.contains('\0'))
}

fn join(mode: &str, peer: Option<Peer>) -> Option<Space> {
    let name = mode.strip_prefix("container:")?;
    if name.is_empty() { None } else { peer.map(Space::Joined) }
}

/// A program in a user namespace of its own has no power over namespaces that
/// belong to another: what was asked for would be there and unusable.
fn user(
    asked: &HostConfig,
    mode: Mode,
    joined: Option<Peer>,
    shared: [Space; 3],
) -> Result<(Space, &'static str), Refusal> {
    let mode_text = &asked.userns_mode;
    let reason = match mode {
        Mode::Host => return Ok((Space::Host, "--userns host")),
        Mode::Default if asked.privileged => "--privileged",
        Mode::Default if shared[2] == Space::Host => "--network host",
        Mode::Default if shared[0] == Space::Host => "--pid host",
        Mode::Default if shared[1] == Space::Host => "--ipc host",
        Mode::Default | Mode::Own { .. } | Mode::Joined => "",
    };
    if mode == Mode::Joined && joined.is_none() {
        return Err(unknown("user namespace mode", mode_text));
    }
    let others = shared.iter().filter_map(|space| match space {
        Space::Joined(peer) => Some(*peer),
        Space::Own | Space::Host | Space::Named => None,
    });
    let mut peers = joined.into_iter().chain(others);
    let Some(first) = peers.next() else {
        return Ok((if reason.is_empty() { Space::Own } else { Space::Host }, reason));
    };
    if matches!(mode, Mode::Own { alone: true, .. }) {
        return Err(Refusal::conflict(format!(
            "--userns={mode_text} and joining a container, whose ids it would share"
        )));
    }
    if peers.any(|peer| peer.ids != first.ids) {
        return Err(Refusal::conflict(
            "the containers whose namespaces are to be joined have different user ids: join \
             namespaces of one of them, or say --userns=host",
        ));
    }
    match first.ids {
        Ids::Host if matches!(mode, Mode::Own { .. }) => Err(Refusal::conflict(format!(
            "--userns={mode_text} and joining a container that has the host's user ids"
        ))),
        Ids::Host => Ok((Space::Host, "joining a container that has none")),
        Ids::Range(_) if reason.is_empty() => Ok((Space::Joined(first), "")),
        Ids::Range(_) => Err(Refusal::conflict(format!(
            "{reason} needs the host's user ids, and the container whose namespaces are to be \
             joined has ids of its own: leave one of them out, or say --userns=host"
        ))),
    }
}

fn able(host: &Host, range: u32) -> Result<(), Refusal> {
    if !host.user_namespaces {
        return Err(Refusal::unsupported(
            "this host has no user namespaces (see user.max_user_namespaces): to run without, \
             with root in the container as root of the host, say --userns=host",
        ));
    }
    if !host.idmapped_mounts {
        return Err(Refusal::unsupported(
            "this kernel cannot id-map mounts (Linux 5.12 can): to run with the host's user ids, \
             say --userns=host",
        ));
    }
    if range < RANGE || range.checked_add(RANGE).is_none() {
        return Err(Refusal::invalid(format!(
            "the container's id range cannot begin at {range}: it would reach ids of the host"
        )));
    }
    Ok(())
}

impl Spaces {
    /// Root in the container is not root of the host.
    pub fn private_user(&self) -> bool {
        self.user != Space::Host
    }

    /// The lines of `uid_map`; none with the host's ids.
    pub fn uids(&self) -> Vec<IdMapping> {
        match self.ids {
            Ids::Host => Vec::new(),
            Ids::Range(range) => range.uids(),
        }
    }

    /// The lines of `gid_map`; none with the host's ids.
    pub fn gids(&self) -> Vec<IdMapping> {
        match self.ids {
            Ids::Host => Vec::new(),
            Ids::Range(range) => range.gids(),
        }
    }

    /// As an OCI document lists them: a namespace not listed is the host's.
    pub fn list(&self, asked: &HostConfig) -> Vec<Namespace> {
        let all = [
            ("user", "user", self.user),
            ("pid", "pid", self.pid),
            ("ipc", "ipc", self.ipc),
            ("uts", "uts", self.uts),
            ("network", "net", self.network),
            ("cgroup", "cgroup", self.cgroup),
            ("mount", "mnt", Space::Own),
        ];
        let listed = all.into_iter().filter_map(|(kind, file, space)| match space {
            Space::Host => None,
            Space::Own => Some(Namespace { kind: kind.into(), path: String::new() }),
            Space::Joined(peer) => {
                let path = format!("/proc/{}/ns/{file}", peer.pid);
                Some(Namespace { kind: kind.into(), path })
            }
            Space::Named => {
                let path = path_of(&asked.network_mode).unwrap_or_default().to_owned();
                Some(Namespace { kind: kind.into(), path })
            }
        });
        listed.collect()
    }
}
