//! SELinux on this host, and which labels a container gets of it.
//!
//! Every container has a level of two categories for life, drawn at its
//! creation and held as long as its name is: no two containers of an engine
//! have the same, whether they run or not. What else its labels are made of
//! `policy` decides.

use crate::{Container, Error, house::House};
use policy::labels::{CATEGORIES, Labels, SELINUX_TYPES, level};
use spec::docker::HostConfig;
use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
};

/// Source: selinuxfs, `security/selinux/selinuxfs.c` of the kernel.
const ENFORCE: &str = "/sys/fs/selinux/enforce";
const CONTEXT: &str = "/sys/fs/selinux/context";

/// Whether this machine has a policy loaded.
pub(crate) fn is_enabled() -> bool {
    // Until then every process has this label.
    let own = fs::read("/proc/self/attr/current").unwrap_or_default();
    Path::new(ENFORCE).exists() && !own.starts_with(b"kernel")
}

/// Whether what the policy forbids is denied, too.
pub(crate) fn is_enforcing() -> bool {
    fs::read_to_string(ENFORCE).is_ok_and(|text| text.trim() == "1")
}

/// A label as the kernel spells it: of several names of a type it knows one.
/// None for a label that its policy has not.
pub(crate) fn spelt(label: &str) -> Option<String> {
    let mut file = fs::File::options().read(true).write(true).open(CONTEXT).ok()?;
    file.write_all(label.as_bytes()).ok()?;
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Some(text.trim_end_matches('\0').to_owned())
}

/// The type of containers' processes that the policy knows; empty for none.
pub(crate) fn known_type() -> String {
    let knows = |(kind, file_kind): &&(&str, &str)| {
        spelt(&format!("system_u:system_r:{kind}:{}", level(0, 1))).is_some()
            && spelt(&format!("system_u:object_r:{file_kind}:{}", level(0, 1))).is_some()
    };
    SELINUX_TYPES.iter().find(knows).map(|(kind, _)| (*kind).to_owned()).unwrap_or_default()
}

/// A level that `is_taken` by nobody, of two categories that are drawn.
pub(crate) fn draw(is_taken: impl Fn(&str) -> bool) -> String {
    loop {
        let [a, b, c, d] = crate::random::bytes();
        let one = u16::from_le_bytes([a, b]) % CATEGORIES;
        let other = u16::from_le_bytes([c, d]) % CATEGORIES;
        // There are half a million, and fewer containers than a thirtieth.
        let drawn = level(one, other);
        if one != other && !is_taken(&drawn) {
            return drawn;
        }
    }
}

/// The level that a request names.
pub(crate) fn asked_level(host: &HostConfig) -> Option<&str> {
    let options = host.security_opt.iter().flatten();
    options.filter_map(|option| option.strip_prefix("label=level:")).next_back()
}

impl House {
    /// What Docker adds to a request that says nothing of labels: none for who
    /// may do anything or shares the host's processes or IPC, and the same for
    /// who shares those of a container.
    ///
    /// # Errors
    /// The two containers to be joined have different labels.
    pub(crate) fn label_options(&self, host: &HostConfig) -> Result<Vec<String>, Error> {
        if host.security_opt.iter().flatten().any(|option| option.starts_with("label=")) {
            return Ok(Vec::new());
        }
        if host.privileged || host.pid_mode == "host" || host.ipc_mode == "host" {
            return Ok(vec!["label=disable".into()]);
        }
        let mut found: Option<Vec<String>> = None;
        for mode in [&host.ipc_mode, &host.pid_mode] {
            let Some(peer) = mode.strip_prefix("container:") else { continue };
            let label = options_of(&self.find(peer)?.now().process_label);
            if found.get_or_insert_with(|| label.clone()) != &label {
                let words = "--ipc and --pid containers SELinux labels aren't the same";
                return Err(Error::Invalid(words.into()));
            }
        }
        Ok(found.unwrap_or_default())
    }
}

impl House {
    /// A container's labels, by what the kernel is today.
    ///
    /// # Errors
    /// A refusal.
    pub(crate) fn labels(&self, container: &Container) -> Result<Labels, Error> {
        let level = Some(&*container.level).filter(|level| !level.is_empty());
        Ok(policy::labels::selinux(&container.host, level, &self.policy)?)
    }

    /// Gives a level to those whose records are of an earlier version: the one
    /// that they run with, if they do.
    pub(crate) fn give_levels(&self) {
        for cell in self.roster.all().iter().filter(|cell| cell.now().level.is_empty()) {
            let label = cell.now().process_label.clone();
            let level = self.roster.hold_level(&cell.id, label.splitn(4, ':').nth(3));
            let container = cell.change(|container| container.level = level);
            if let Err(error) = self.record(&container, cell.slot) {
                tracing::error!(id = %cell.id, %error, "cannot record an SELinux level");
            }
        }
    }
}

/// A label as options that ask for it; none of none.
fn options_of(label: &str) -> Vec<String> {
    let mut parts = label.splitn(4, ':');
    let mut option = |name: &str| parts.next().map(|part| format!("label={name}:{part}"));
    let options: Option<Vec<String>> =
        ["user", "role", "type", "level"].iter().map(|name| option(name)).collect();
    options.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_asked_for_part_by_part() {
        let options = options_of("system_u:system_r:container_t:s0:c1,c2");
        let parts = ["user:system_u", "role:system_r", "type:container_t", "level:s0:c1,c2"];
        assert_eq!(options, parts.map(|part| format!("label={part}")));
        assert_eq!(options_of(""), [""; 0]);
        assert_eq!(options_of("unconfined"), [""; 0]);
        let host = HostConfig { security_opt: Some(options), ..HostConfig::default() };
        assert_eq!(asked_level(&host), Some("s0:c1,c2"));
    }

    #[test]
    fn what_is_taken_is_not_drawn() {
        let drawn = draw(|level| !level.starts_with("s0:c7,"));
        assert!(drawn.starts_with("s0:c7,") && drawn != "s0:c7,c7", "{drawn}");
    }
}
