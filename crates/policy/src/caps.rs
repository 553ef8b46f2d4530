//! Capabilities: which a container has.

use crate::Refusal;
use spec::{capability::NAMES, oci::Capabilities};

/// What a container has unless asked otherwise: all that package managers,
/// `su`, `sshd` and servers that start as root need.
///
/// Each acts within the container's user, network and mount namespaces alone.
/// `CAP_NET_RAW` stays, because Debian's `ping` carries it as a file
/// capability and the kernel does not run such a file for one who may not
/// have it; what it could do to neighbours, the guarded bridge prevents.
pub const DEFAULT: [&str; 12] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_SETFCAP",
];

/// Docker's set has these two besides. In a private user namespace neither
/// has power (devices cannot be made there whatever the capability; the audit
/// socket says "nobody listens", which `su` and `sshd` take for an answer).
/// Without one, `su` fails where auditing refuses it.
pub const HOST_USER: [&str; 2] = ["CAP_MKNOD", "CAP_AUDIT_WRITE"];

/// Those that the kernel asks of the whole machine's user namespace only: in
/// a private one they would be a name without power.
const POWERLESS: [&str; 14] = [
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_PACCT",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_PERFMON",
    "CAP_LINUX_IMMUTABLE",
];

/// Whether a capability is [one of these](POWERLESS): it takes the host's user
/// namespace to have power.
pub fn is_powerless(capability: &str) -> bool {
    POWERLESS.contains(&capability)
}

/// The bounding set, in the order of numbers.
///
/// `private`: the container has a user namespace that is not the host's.
///
/// # Errors
/// [`Refusal::Invalid`] in Docker's words for a name that is none, and
/// [`Refusal::Unsupported`] for one that would have no power.
pub fn choose(
    add: &[String],
    drop: &[String],
    privileged: bool,
    private: bool,
) -> Result<Vec<String>, Refusal> {
    let add = names("CapAdd", add)?;
    let drop = names("CapDrop", drop)?;
    let basic = |cap: &str| DEFAULT.contains(&cap) || (!private && HOST_USER.contains(&cap));
    let has = |cap: &&str| -> bool {
        if privileged {
            true
        } else if add.iter().any(|a| a == "ALL") {
            !drop.iter().any(|d| d == cap)
        } else if drop.iter().any(|d| d == "ALL") {
            add.iter().any(|a| a == cap)
        } else {
            add.iter().any(|a| a == cap) || (basic(cap) && !drop.iter().any(|d| d == cap))
        }
    };
    if private
        && !privileged
        && let Some(cap) = add.iter().find(|cap| POWERLESS.contains(&cap.as_str()))
    {
        return Err(Refusal::Unsupported(format!(
            "{cap} acts on the whole machine and has no power in the container's own user \
             namespace: add --userns=host to give it, or leave it out"
        )));
    }
    Ok(NAMES.iter().filter(|cap| has(cap)).map(|cap| (*cap).to_owned()).collect())
}

/// Spells names as the kernel does.
fn names(field: &str, words: &[String]) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::with_capacity(words.len());
    for word in words {
        let upper = word.to_ascii_uppercase();
        if upper == "ALL" {
            names.push(upper);
            continue;
        }
        let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        if !NAMES.contains(&name.as_str()) {
            return Err(Refusal::Invalid(format!("invalid {field}: unknown capability: {name:?}")));
        }
        names.push(name);
    }
    Ok(names)
}

/// The five sets of a program that runs as `uid`. What execve(2) would take
/// from one who is not root is not given to begin with; nothing is inherited,
/// so that a file's inheritable capabilities grant nothing.
pub fn sets(bounding: &[String], uid: u32) -> Capabilities {
    let active = if uid == 0 { bounding.to_vec() } else { Vec::new() };
    Capabilities {
        bounding: bounding.to_vec(),
        effective: active.clone(),
        permitted: active,
        inheritable: Vec::new(),
        ambient: Vec::new(),
    }
}
