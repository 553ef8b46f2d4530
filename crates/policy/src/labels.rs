//! Mandatory access control: labels of SELinux, the profile of AppArmor,
//! rules of Landlock.

use crate::{
    Host, Refusal, Wish,
    security::{self, Options},
};
use spec::{docker::HostConfig, sandbox::Landlock};

/// The profile that the engine loads on hosts with AppArmor.
pub const APPARMOR_PROFILE: &str = "cofferdam-default";

/// Types of a container's processes and of its files, by today's names and by
/// older ones, which policies keep as other names of the same.
pub const SELINUX_TYPES: [(&str, &str); 2] =
    [("container_t", "container_file_t"), ("svirt_lxc_net_t", "svirt_sandbox_file_t")];

/// Categories that a level is made of: `c0` to `c1023`.
pub const CATEGORIES: u16 = 1024;

/// A level of two categories, lower one first: a container's own.
pub fn level(one: u16, other: u16) -> String {
    format!("s0:c{},c{}", one.min(other), one.max(other))
}

/// Whether a level is [one of two categories](level): one that gives nothing
/// of a container to others, and nothing of others to it.
fn is_pair(level: &str) -> bool {
    let number = |word: &str| word.strip_prefix('c')?.parse::<u16>().ok();
    let pair = level.strip_prefix("s0:").and_then(|pair| pair.split_once(','));
    match pair.map(|(one, other)| (number(one), number(other))) {
        Some((Some(one), Some(other))) => one != other && one.max(other) < CATEGORIES,
        _ => false,
    }
}

/// SELinux labels: of the process and of its files; both empty without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Of the process.
    pub process: String,
    /// Of what is mounted for it.
    pub mount: String,
}

/// Chooses the SELinux labels.
///
/// Who shares the host's processes or IPC, and who may do anything, has none,
/// unless its request speaks of labels: as Docker has it.
///
/// # Errors
/// [`Refusal::Invalid`] in Docker's words for an option that is none;
/// [`Refusal::Unsupported`] where the host's policy does not know containers.
/// On a host without SELinux nobody looks at the options, as with Docker.
pub fn selinux(asked: &HostConfig, level: Option<&str>, host: &Host) -> Result<Labels, Refusal> {
    let options = security::read(asked)?;
    let open = asked.privileged || asked.pid_mode == "host" || asked.ipc_mode == "host";
    if !host.selinux || (open && options.labels.is_empty()) {
        return Ok(Labels::default());
    }
    let (kind, file_kind) = types(host);
    let (mut user, mut role, mut kind) = ("system_u", "system_r", kind);
    let (mut file_user, mut file_kind) = ("system_u", file_kind);
    let mut level = level;
    for option in &options.labels {
        if option == "disable" {
            return Ok(Labels::default());
        }
        if option == "nested" {
            continue;
        }
        // They become a mount's option, which ends where this is not so.
        let sane =
            |value: &str| value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:,".contains(&b));
        match option.split_once(':').filter(|(_, value)| sane(value)) {
            Some(("user", value)) => (user, file_user) = (value, value),
            Some(("role", value)) => role = value,
            Some(("type", value)) => kind = value,
            Some(("level", value)) => level = Some(value),
            Some(("filetype", value)) => file_kind = value,
            Some((key, _)) => {
                return Err(Refusal::invalid(format!(
                    "bad label option {key:?}, valid options 'disable, user, role, level, type, \
                     filetype'"
                )));
            }
            None => {
                return Err(Refusal::invalid(format!(
                    "bad label option {option:?}, valid options 'disable' or \n'user, role, \
                     level, type, filetype' followed by ':' and a value"
                )));
            }
        }
    }
    if kind.is_empty() || file_kind.is_empty() {
        return Err(Refusal::unsupported(
            "the SELinux policy of this host knows no container_t: load one that does \
             (packaging/selinux of Cofferdam's source), or say --security-opt label=disable",
        ));
    }
    let level = level.ok_or_else(|| {
        Refusal::unsupported("this host has SELinux, and no level was chosen for the container")
    })?;
    Ok(Labels {
        process: format!("{user}:{role}:{kind}:{level}"),
        mount: format!("{file_user}:object_r:{file_kind}:{level}"),
    })
}

/// Whether a container that has a label is shown SELinux itself
/// (`label=nested`, a word of Podman's): its file system is mounted, by which
/// programs see that there is a policy and ask it.
pub(crate) fn is_nested(options: &Options, host: &Host) -> bool {
    let has = |word: &str| options.labels.iter().any(|option| option == word);
    host.selinux && has("nested") && !has("disable")
}

/// Those that the host's policy knows; empty if none.
fn types(host: &Host) -> (&'static str, &'static str) {
    let known = SELINUX_TYPES.into_iter().find(|(kind, _)| *kind == host.selinux_type);
    known.unwrap_or_default()
}

/// Whether an option of `label=` that sets one leaves a container as confined
/// as it is without.
pub(crate) fn is_harmless(option: &str) -> bool {
    match option.split_once(':') {
        Some(("user", value)) => value == "system_u",
        Some(("role", value)) => value == "system_r",
        Some(("type", value)) => SELINUX_TYPES.iter().any(|(kind, _)| *kind == value),
        Some(("filetype", value)) => {
            value == "svirt_lxc_file_t" || SELINUX_TYPES.iter().any(|(_, kind)| *kind == value)
        }
        Some(("level", value)) => is_pair(value),
        _ => false,
    }
}

/// Chooses the AppArmor profile; empty on a host without.
///
/// # Errors
/// [`Refusal::Unsupported`] for a profile on a host without AppArmor.
pub fn apparmor(wish: &Wish<'_>, options: &Options, host: &Host) -> Result<String, Refusal> {
    let asked = options.apparmor.as_str();
    match (host.apparmor, asked) {
        (false, "" | "unconfined") => Ok(String::new()),
        (false, profile) => Err(Refusal::unsupported(format!(
            "apparmor profile {profile:?} cannot be applied: this host has no AppArmor"
        ))),
        (true, "") if wish.host_config.privileged => Ok("unconfined".to_owned()),
        (true, "") if host.apparmor_profile => Ok(APPARMOR_PROFILE.to_owned()),
        // As weak as without; `weakened` says so.
        (true, "") => Ok(String::new()),
        (true, profile) => Ok(profile.to_owned()),
    }
}

/// Rules of Landlock, where the kernel has it.
///
/// Every place may be used as the other layers allow; what a program under
/// Landlock can never do again is change what is mounted where, whatever
/// capabilities or user namespaces it comes by. One that was given
/// `CAP_SYS_ADMIN` was given just that, so it is spared. Signals and abstract
/// sockets are not scoped: a program of `exec` is in a domain of its own, and
/// must reach the container's.
pub fn landlock(caps: &[String], host: &Host) -> Option<Landlock> {
    // Version 1 (Linux 5.13) forbids every rename between directories.
    let mounts = caps.iter().any(|cap| cap == "CAP_SYS_ADMIN");
    if host.landlock < 2 || mounts {
        return None;
    }
    Some(Landlock { writable: vec!["/".to_owned()], readable: Vec::new(), scoped: false })
}
