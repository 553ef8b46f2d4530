//! Decides the whole confinement of a container from the request, the image
//! and the host.
//!
//! A [`Wish`] and a [`Host`] go in, a [`spec::Sandbox`] or a [`Refusal`] comes
//! out. Pure: no file, clock or environment is read, so equal inputs give
//! equal sandboxes and every rule is tested without a kernel. Nothing lives
//! here: the engine asks for a trial at `create`, so that refusals come early,
//! and again at `start`, with that day's facts.
//!
//! The road of a request:
//!
//! 1. [`merge()`] folds the image's configuration into the request's.
//! 2. [`mounts::points`] lists what is to be mounted; the engine makes or
//!    finds the volumes among them and fills in their paths.
//! 3. [`devices::wanted`] lists the device files that the engine must look up.
//! 4. [`user::resolve`] reads the image's `passwd` and `group`.
//! 5. [`sandbox`] decides.

pub mod caps;
mod cpuset;
pub mod devices;
mod filter;
pub mod labels;
mod log;
mod merge;
pub mod mounts;
mod namespaces;
mod paths;
mod process;
mod refusal;
mod resources;
mod security;
mod sysctls;
pub mod user;
pub mod userns;
mod weakened;
mod wish;

#[cfg(test)]
mod tests;

pub use filter::default_rules;
pub use log::{DRIVERS as LOG_DRIVERS, LogPlace, check as check_log, merged as merged_log};
pub use merge::merge;
pub use namespaces::ids;
pub use process::exec_process;
pub use refusal::{Kind, Refusal};
pub use resources::update;
pub use wish::{Arch, Cgroups, ExecWish, Files, Host, Ids, Joined, Own, Peer, RANGE, Wish};

use namespaces::{Space, Spaces};
use process::Confinement;
use security::Options;
use spec::{Sandbox, oci};

/// Decides the whole confinement of one container.
///
/// # Errors
/// A [`Refusal`] where the request makes no sense or cannot be met on this
/// host. There is no weaker fallback.
pub fn sandbox(wish: &Wish<'_>, host: &Host) -> Result<Sandbox, Refusal> {
    let asked = wish.host_config;
    let options = security::read(asked)?;
    let spaces = namespaces::of(wish, host)?;
    agree(wish, &spaces)?;
    let caps = caps::choose(
        asked.cap_add.as_deref().unwrap_or_default(),
        asked.cap_drop.as_deref().unwrap_or_default(),
        asked.privileged,
        spaces.private_user(),
    )?;
    let labels = labels::selinux(asked, wish.selinux_level, host)?;
    let devices = devices::choose(wish)?;
    let landlock = labels::landlock(&caps, host);
    let mut linux = linux(wish, &spaces, &options, host, &caps)?;
    linux.devices.clone_from(&devices.nodes);
    if let Some(resources) = &mut linux.resources {
        resources.devices.clone_from(&devices.rules);
    }
    linux.mount_label = labels.mount;
    let confinement = Confinement {
        caps,
        no_new_privileges: options.no_new_privileges,
        apparmor: labels::apparmor(wish, &options, host)?,
        selinux: labels.process,
    };
    let process = process::default_process(wish, &spaces, confinement)?;
    let own_name = spaces.uts == Space::Own;
    let config = oci::Config {
        oci_version: "1.2.0".to_owned(),
        process: Some(process),
        root: Some(oci::Root { path: wish.root.to_owned(), readonly: asked.readonly_rootfs }),
        hostname: if own_name { process::hostname(wish).to_owned() } else { String::new() },
        domainname: if own_name { wish.config.domainname.clone() } else { String::new() },
        mounts: mounts::all(wish, &spaces, &options, host)?,
        annotations: asked.annotations.clone().unwrap_or_default(),
        linux: Some(linux),
        ..oci::Config::default()
    };
    let mut sandbox = Sandbox {
        id: wish.id.to_owned(),
        config,
        init: asked.init == Some(true),
        landlock,
        log: log::choose(wish)?,
        weakened: Vec::new(),
    };
    sandbox.weakened = weakened::list(&sandbox, wish, &spaces, &options, &devices, host);
    Ok(sandbox)
}

fn linux(
    wish: &Wish<'_>,
    spaces: &Spaces,
    options: &Options,
    host: &Host,
    caps: &[String],
) -> Result<oci::Linux, Refusal> {
    let asked = wish.host_config;
    let (masked_paths, readonly_paths) = paths::choose(asked, options, host);
    let resources = resources::choose(asked, wish.devices, host, resources::When::Made)?;
    let parent = wish.cgroup_parent.trim_end_matches('/');
    Ok(oci::Linux {
        uid_mappings: spaces.uids(),
        gid_mappings: spaces.gids(),
        sysctl: sysctls::choose(wish, spaces)?,
        resources: Some(resources),
        cgroups_path: format!("{parent}/{}", wish.id),
        namespaces: spaces.list(asked),
        seccomp: filter::choose(&options.filter, asked.privileged, caps, host)?,
        rootfs_propagation: mounts::root_propagation(wish.mounts).to_owned(),
        masked_paths,
        readonly_paths,
        ..oci::Linux::default()
    })
}

/// What cannot be had together with a namespace of somebody else.
fn agree(wish: &Wish<'_>, spaces: &Spaces) -> Result<(), Refusal> {
    let asked = wish.host_config;
    let named = !wish.config.hostname.is_empty();
    if named && spaces.uts == Space::Host {
        return Err(Refusal::conflict("hostname and the UTS mode"));
    }
    let joined = matches!(spaces.network, Space::Joined(_));
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    for (clash, words) in [
        (joined && named, "hostname and the network mode"),
        (
            joined && some(&asked.links),
            "container type network can't be used with links. This would result in undefined \
             behavior",
        ),
        (
            spaces.network == Space::Host && some(&asked.links),
            "host type networking can't be used with links. This would result in undefined \
             behavior",
        ),
        (joined && some(&asked.dns), "dns and the network mode"),
        (joined && some(&asked.extra_hosts), "custom host-to-IP mapping and the network mode"),
        (
            joined && (!asked.port_bindings.is_empty() || asked.publish_all_ports),
            "port publishing and the container type network mode",
        ),
        (
            spaces.network == Space::Named
                && (!asked.port_bindings.is_empty() || asked.publish_all_ports),
            "port publishing and a network namespace that others made",
        ),
        (
            spaces.network == Space::Named && some(&asked.links),
            "links and a network namespace that others made",
        ),
    ] {
        if clash {
            return Err(Refusal::conflict(words));
        }
    }
    Ok(())
}
