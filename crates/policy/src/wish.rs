//! What goes into a decision: the request with what the engine looked up for
//! it ([`Wish`]), and what this machine can do ([`Host`]).

use crate::{LogPlace, devices::Node, mounts::Point, user::Identity};
use spec::{docker, ids};
use std::collections::BTreeSet;

/// How many ids a container's private range holds, unless more or fewer are
/// asked for.
pub const RANGE: u32 = 65_536;

/// A container as asked for, with every fact that asking the machine gave.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// The container's identifier.
    pub id: &'a str,
    /// Already [merged](crate::merge) with the image's.
    pub config: &'a docker::Config,
    /// As the client sent it.
    pub host_config: &'a docker::HostConfig,
    /// Given even where they will not be used. Which ids the root file system
    /// must be made for, [`crate::ids`] says.
    pub own: Own,
    /// Whom [`docker::Config::user`] names; for a trial before there is a
    /// root file system, [`Identity::default`].
    pub user: &'a Identity,
    /// Host name in the container; empty for one made of the identifier. With
    /// `--network host` the host's, with `container:X` that container's.
    pub hostname: &'a str,
    /// What stands in `root.path`: where the monitor attaches the root.
    pub root: &'a str,
    /// From [`crate::mounts::points`], with the paths of volumes filled in,
    /// and those of `--volumes-from` added.
    pub mounts: &'a [Point],
    /// The three files that the engine keeps for the container.
    pub files: Files<'a>,
    /// Of `container:X` modes.
    pub joined: Joined,
    /// Of the cgroup file system's root: `/cofferdam` or what
    /// `--cgroup-parent` says. The container's own directory is made below.
    pub cgroup_parent: &'a str,
    /// What is at the paths of [`crate::devices::wanted`].
    pub devices: &'a [Node],
    /// Where the container's log is to be, should it have one, and what it may
    /// tell.
    pub log: LogPlace<'a>,
    /// `s0:cX,cY` for this container alone, for life. One that joins another
    /// is told of that one's by `label=level:`.
    pub selinux_level: Option<&'a str>,
}

/// Ids that a container may have for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// First host id of its private range, which it keeps for life: as many
    /// times [`RANGE`] ids as [`crate::userns::ranges`] says.
    pub first: u32,
    /// Who asked for it, where that is known.
    pub kept: Option<ids::Kept>,
}

/// Host paths of files to be mounted in `/etc`; empty for none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files<'a> {
    /// `/etc/hosts`.
    pub hosts: &'a str,
    /// `/etc/hostname`.
    pub hostname: &'a str,
    /// `/etc/resolv.conf`.
    pub resolv_conf: &'a str,
}

/// Containers whose namespaces are shared; `None` where none was asked for.
/// For a trial before they run, their ids are enough.
#[derive(Clone, Copy, Debug, Default)]
pub struct Joined {
    /// `--pid container:X`.
    pub pid: Option<Peer>,
    /// `--ipc container:X`.
    pub ipc: Option<Peer>,
    /// `--network container:X`.
    pub network: Option<Peer>,
    /// `--userns container:X`.
    pub user: Option<Peer>,
}

/// A running container to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its init, as the host sees it.
    pub pid: i32,
    /// Its ids.
    pub ids: Ids,
}

/// Which ids a container's processes have on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The same: it has no user namespace of its own.
    Host,
    /// Those of its user namespace.
    Range(ids::Range),
}

/// What this machine can do, probed once when the daemon starts.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Host {
    /// Of the kernel.
    pub arch: Arch,
    /// Major and minor of the kernel's version.
    pub kernel: (u32, u32),
    /// User namespaces with a usable id range.
    pub user_namespaces: bool,
    /// Mounts can be id-mapped (Linux 5.12).
    pub idmapped_mounts: bool,
    /// Time namespaces (Linux 5.6).
    pub time_namespaces: bool,
    /// How cgroups are laid out.
    pub cgroups: Cgroups,
    /// Controllers that are there, in either version: `memory`, `cpu`, ….
    pub controllers: BTreeSet<String>,
    /// The memory controller counts swap.
    pub swap_accounting: bool,
    /// Version of Landlock; 0 if the kernel has none.
    pub landlock: u32,
    /// The kernel filters system calls.
    pub seccomp: bool,
    /// AppArmor is enabled.
    pub apparmor: bool,
    /// And knows the engine's own profile.
    pub apparmor_profile: bool,
    /// SELinux is enabled.
    pub selinux: bool,
    /// And its policy knows containers by this type: one of
    /// [`SELINUX_TYPES`](crate::labels::SELINUX_TYPES), or empty.
    pub selinux_type: String,
    /// Processors that are on.
    pub cpus: u32,
    /// The same as a list, such as `0-3`; empty if not known.
    pub cpu_list: String,
    /// Memory nodes as a list, such as `0`; empty if not known.
    pub memory_nodes: String,
    /// Bytes.
    pub memory: u64,
    /// `/proc/sys/kernel/pid_max`.
    pub pid_max: u32,
    /// `/proc/sys/kernel/threads-max`.
    pub threads_max: u32,
    /// Paths of the engine's own sockets, and of its data and run roots: who
    /// can write to them rules the host.
    pub engine_paths: Vec<String>,
}

/// What a filter of system calls is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Arch {
    X86_64,
    Aarch64,
}

/// Layouts of the cgroup file systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// One hierarchy for each controller, with or without an empty v2 mount.
    V1,
    /// One for all.
    V2,
}

/// `docker exec`, with what the engine looked up.
#[derive(Clone, Debug)]
pub struct ExecWish<'a> {
    /// Whom `--user` names, or else the container's user, read from the
    /// running container's `passwd` and `group`.
    pub user: &'a Identity,
    /// Added to the container's environment.
    pub env: &'a [String],
    /// Empty for the container's.
    pub working_dir: &'a str,
    /// The command.
    pub cmd: &'a [String],
    /// Give it a terminal.
    pub tty: bool,
    /// Of that terminal: height, width; zeros if not known.
    pub console_size: [u32; 2],
    /// All capabilities.
    pub privileged: bool,
}
