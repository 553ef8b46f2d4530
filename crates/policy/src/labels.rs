//! Mandatory access control: labels of SELinux, the profile of AppArmor,
//! rules of Landlock.

use crate::{Host, Refusal, Wish, security::Options};
use spec::sandbox::Landlock;

/// The profile that the engine loads on hosts with AppArmor.
pub const APPARMOR_PROFILE: &str = "cofferdam-default";

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
/// # Errors
/// [`Refusal::Invalid`] in Docker's words for an option that is none.
pub fn selinux(wish: &Wish<'_>, options: &Options, host: &Host) -> Result<Labels, Refusal> {
    let (mut user, mut role) = ("system_u", "system_r");
    let (mut kind, mut file_kind) = ("container_t", "container_file_t");
    let mut level = wish.selinux_level;
    let mut disabled = wish.host_config.privileged;
    for option in &options.labels {
        let parts = option.split_once(':').filter(|(_, value)| !value.is_empty());
        match parts {
            _ if option == "disable" => disabled = true,
            Some(("user", value)) => user = value,
            Some(("role", value)) => role = value,
            Some(("type", value)) => kind = value,
            Some(("level", value)) => level = Some(value),
            Some(("filetype", value)) => file_kind = value,
            _ => {
                return Err(Refusal::invalid(format!(
                    "bad label option {option:?}, valid options 'disable' or \n'user, role, \
                     level, type, filetype' followed by ':' and a value"
                )));
            }
        }
    }
    if !host.selinux || disabled {
        return Ok(Labels::default());
    }
    let level = level.ok_or_else(|| {
        Refusal::unsupported("this host has SELinux, and no level was chosen for the container")
    })?;
    Ok(Labels {
        process: format!("{user}:{role}:{kind}:{level}"),
        mount: format!("system_u:object_r:{file_kind}:{level}"),
    })
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
