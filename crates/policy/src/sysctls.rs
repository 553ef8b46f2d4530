//! Kernel settings of a container: only those that belong to a namespace of
//! its own, for any other would be the host's.

use crate::{
    Ids, Refusal, Wish,
    namespaces::{Space, Spaces},
};
use std::collections::BTreeMap;

const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// The settings of a container.
///
/// # Errors
/// [`Refusal::Invalid`], in the words of Docker and runc, for a setting that
/// the container has not to itself.
pub fn choose(wish: &Wish<'_>, spaces: &Spaces) -> Result<BTreeMap<String, String>, Refusal> {
    let mut settings = BTreeMap::new();
    if spaces.network == Space::Own {
        // Any user may open any port and send a ping: the ports and the
        // network are the container's own.
        let last = match spaces.ids {
            Ids::Host => i32::MAX.unsigned_abs(),
            Ids::Range(range) => range.size - 1,
        };
        settings.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        settings.insert("net.ipv4.ping_group_range".to_owned(), format!("0 {last}"));
    }
    for (key, value) in wish.host_config.sysctls.iter().flatten() {
        allowed(key, spaces)?;
        if value.contains(['\0', '\n']) {
            return Err(Refusal::invalid(format!("invalid value for sysctl {key:?}")));
        }
        settings.insert(key.clone(), value.clone());
    }
    Ok(settings)
}

fn allowed(key: &str, spaces: &Spaces) -> Result<(), Refusal> {
    // The runtime turns dots into directories.
    let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte));
    if !plain || key.split(['.', '/']).any(str::is_empty) {
        return Err(Refusal::invalid(format!("sysctl '{key}' is not allowed")));
    }
    let in_ipc = IPC.contains(&key) || key.starts_with("fs.mqueue.");
    let owner = match key {
        _ if in_ipc => spaces.ipc,
        key if key.starts_with("net.") => spaces.network,
        "kernel.domainname" => spaces.uts,
        "kernel.hostname" => {
            return Err(Refusal::invalid(
                "sysctl \"kernel.hostname\" is not allowed: use --hostname",
            ));
        }
        _ => {
            return Err(Refusal::invalid(format!(
                "sysctl {key:?} is not in a separate kernel namespace"
            )));
        }
    };
    match owner {
        Space::Own => Ok(()),
        Space::Host | Space::Joined(_) | Space::Named => {
            let whose = if owner == Space::Host { "host" } else { "joined container's" };
            let space = if in_ipc {
                "ipc"
            } else if key.starts_with("net.") {
                "network"
            } else {
                "uts"
            };
            Err(Refusal::invalid(format!(
                "sysctl {key:?} not allowed in {whose} {space} namespace"
            )))
        }
    }
}
