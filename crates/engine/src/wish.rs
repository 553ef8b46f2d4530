//! Everything that a decision about a container needs, gathered.
//!
//! `policy` is pure: here its questions are answered from the records, the
//! host's devices and the containers that are to be joined.

use crate::{Container, Error, MountPoint, devices, house::House, roster};
use policy::{
    Files, Ids, Joined, LogPlace, Own, Peer, Wish,
    mounts::{Below, Point, Relabel, Source},
    user::Identity,
};
use spec::{
    Sandbox,
    docker::{Config, HostConfig},
};
use std::{borrow::Cow, collections::BTreeSet, path::Path};

impl House {
    /// Decides a container's confinement: in earnest, with its user and
    /// mounts, or on trial.
    ///
    /// # Errors
    /// A refusal; or a container to be joined does not run.
    pub fn decide(
        &self,
        container: &Container,
        slot: u32,
        user: &Identity,
        points: &[Point],
        trial: bool,
    ) -> Result<Sandbox, Error> {
        let nodes = devices::look_up(&policy::devices::wanted(&container.host))?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (hosts, hostname) = (text(&container.hosts_path), text(&container.hostname_path));
        let resolv_conf = text(&container.resolv_conf_path);
        let root = text(&self.paths.root());
        let places = LogPlaces::of(
            &self.paths.container(&container.id),
            &self.options.runtime_binary,
            container,
        );
        let parent = self.group_path(container);
        let parent = parent.strip_suffix(&format!("/{}", container.id)).unwrap_or(&parent);
        let name = match container.config.hostname.as_str() {
            "" => self.hostname(container)?,
            _ => String::new(),
        };
        let config = if trial { Cow::Borrowed(&container.config) } else { self.told(container)? };
        let host = with_default(&container.host, self.options.no_new_privileges);
        let wish = Wish {
            id: container.id.as_str(),
            config: &config,
            host_config: &host,
            own: Own { first: roster::base(slot), kept: container.kept },
            user,
            hostname: &name,
            root: &root,
            mounts: points,
            files: Files { hosts: &hosts, hostname: &hostname, resolv_conf: &resolv_conf },
            joined: self.joined(container, trial)?,
            cgroup_parent: parent,
            devices: &nodes,
            log: LogPlace {
                json: &places.json,
                local: &places.local,
                cache: &places.cache,
                name: &container.name,
                image: &container.image,
                helper: &places.helper,
                user: crate::open::couriers_user(&self.paths.data),
            },
            selinux_level: Some(&*container.level).filter(|level| !level.is_empty()),
        };
        let mut sandbox = policy::sandbox(&wish, &self.policy)?;
        sandbox.weakened.extend(self.weaker_networks(container)?);
        Ok(sandbox)
    }

    /// A container's configuration with the variables of its links, which its
    /// own ones outrank.
    fn told<'a>(&self, container: &'a Container) -> Result<Cow<'a, Config>, Error> {
        let own = &container.config;
        let mut env = self.link_variables(container)?;
        if env.is_empty() {
            return Ok(Cow::Borrowed(own));
        }
        let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        let said: BTreeSet<String> = own.env.iter().map(|pair| name(pair)).collect();
        env.retain(|pair| !said.contains(&name(pair)));
        env.extend(own.env.iter().cloned());
        Ok(Cow::Owned(Config { env, ..own.clone() }))
    }

    /// The name that a container has, or shares.
    pub fn hostname(&self, container: &Container) -> Result<String, Error> {
        let own = &container.config.hostname;
        if !own.is_empty() {
            return Ok(own.clone());
        }
        match container.host.network_mode.strip_prefix("container:") {
            Some(peer) if container.host.uts_mode != "host" => {
                let peer = self.find(peer)?.now();
                // One that joins another in its turn shares that one's.
                Ok(if peer.config.hostname.is_empty() {
                    crate::host::name()
                } else {
                    peer.config.hostname.clone()
                })
            }
            _ => Ok(crate::host::name()),
        }
    }

    fn joined(&self, container: &Container, trial: bool) -> Result<Joined, Error> {
        let peer = |mode: &str, what: &str| {
            let Some(name) = mode.strip_prefix("container:") else { return Ok(None) };
            let peer = self.find(name)?.now();
            let ids = peer.range().map_or(Ids::Host, Ids::Range);
            match peer.state.pid() {
                Some(pid) => Ok(Some(Peer { pid, ids })),
                // It has until the start to run.
                None if trial => Ok(Some(Peer { pid: 0, ids })),
                None => Err(Error::Conflict(format!(
                    "cannot join {what} namespace of a non running container: container {} is {}",
                    peer.id,
                    peer.state.word()
                ))),
            }
        };
        self.may_join_ipc(&container.host.ipc_mode)?;
        Ok(Joined {
            pid: peer(&container.host.pid_mode, "PID")?,
            ipc: peer(&container.host.ipc_mode, "IPC")?,
            network: peer(&container.host.network_mode, "network")?,
            user: peer(&container.host.userns_mode, "user")?,
        })
    }

    /// Only a container that was made shareable shares its IPC namespace.
    fn may_join_ipc(&self, mode: &str) -> Result<(), Error> {
        let Some(name) = mode.strip_prefix("container:") else { return Ok(()) };
        let peer = self.find(name)?.now();
        if matches!(peer.host.ipc_mode.as_str(), "" | "private" | "none") {
            return Err(Error::Invalid(format!(
                "cannot join IPC of a container {}: non-shareable IPC; start it with --ipc=shareable",
                peer.id
            )));
        }
        Ok(())
    }

    /// What is mounted into a container, from its words and its record.
    ///
    /// # Errors
    /// Words that make no sense; a volume that is gone.
    pub fn points(&self, container: &Container) -> Result<Vec<Point>, Error> {
        let mut points = policy::mounts::points(&container.config, &container.host)?;
        for point in &mut points {
            if let Source::Volume(volume) = &mut point.source {
                let known = container.mounts.iter().find(|m| m.destination == point.destination);
                let name = known.map_or(volume.name.as_str(), |mount| &mount.name);
                point.path = self.volume_path(name, &volume.subpath)?;
                volume.options = self.volumes.get(name).unwrap_or_default().options;
            }
        }
        let others = container
            .mounts
            .iter()
            .filter(|mount| !points.iter().any(|point| point.destination == mount.destination))
            .map(|mount| self.inherited(mount))
            .collect::<Vec<_>>();
        points.extend(others);
        points.sort_by_key(|point| point.destination.matches('/').count());
        Ok(points)
    }

    fn volume_path(&self, name: &str, subpath: &str) -> Result<String, Error> {
        let volume = self.volumes.get(name).ok_or_else(|| Error::NoVolume(name.to_owned()))?;
        if subpath.is_empty() {
            return Ok(volume.mountpoint);
        }
        let sane = Path::new(subpath)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        let path = Path::new(&volume.mountpoint).join(subpath);
        // A link in a volume is its containers' word, not ours to follow. This
        // is to say so early: they may put one there later, and what is bound
        // is opened below the volume when it is.
        let real = path.canonicalize();
        match real {
            Ok(real) if sane && real == path => Ok(path.to_string_lossy().into_owned()),
            _ => Err(Error::Invalid(format!(
                "cannot access path {subpath} of volume {name}: it is not there, or a link"
            ))),
        }
    }
}

/// The daemon's own switch for `no_new_privs`; a container that says yes or no
/// itself is heard.
fn with_default(host: &HostConfig, no_new_privileges: bool) -> Cow<'_, HostConfig> {
    let said = |word: &String| word.starts_with("no-new-privileges");
    if !no_new_privileges || host.security_opt.iter().flatten().any(said) {
        return Cow::Borrowed(host);
    }
    let mut host = host.clone();
    host.security_opt.get_or_insert_default().push("no-new-privileges".into());
    Cow::Owned(host)
}

impl House {
    /// What `--volumes-from` took over at creation.
    fn inherited(&self, mount: &MountPoint) -> Point {
        let source = match mount.kind.as_str() {
            "volume" => Source::Volume(policy::mounts::Volume {
                name: mount.name.clone(),
                subpath: mount.subpath.clone(),
                options: self.volumes.get(&mount.name).unwrap_or_default().options,
                no_copy: true,
                ..policy::mounts::Volume::default()
            }),
            _ => Source::Bind { create: false },
        };
        Point {
            destination: mount.destination.clone(),
            source,
            path: match mount.subpath.as_str() {
                "" => mount.source.clone(),
                part => format!("{}/{part}", mount.source),
            },
            read_only: !mount.rw,
            below: Below::default(),
            propagation: mount.propagation.clone(),
            relabel: Relabel::default(),
        }
    }
}

/// Where the log of a container is, should it keep one.
struct LogPlaces {
    json: String,
    local: String,
    cache: String,
    helper: String,
}

impl LogPlaces {
    /// In the container's directory; our programs stand beside one another.
    fn of(dir: &Path, beside: &Path, container: &Container) -> Self {
        let file = |name: &str| dir.join(name).to_string_lossy().into_owned();
        Self {
            json: file(&format!("{}-json.log", container.id)),
            local: file("container.log"),
            cache: file("container-cached.log"),
            helper: beside.with_file_name("cofferdamd").to_string_lossy().into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_switch_holds_where_a_container_says_nothing() {
        let options = |host: &HostConfig, on| with_default(host, on).security_opt.clone();
        let silent = HostConfig::default();
        assert_eq!(options(&silent, false), None);
        assert_eq!(options(&silent, true), Some(vec!["no-new-privileges".into()]));
        let security_opt = Some(vec!["no-new-privileges=false".to_owned()]);
        let against = HostConfig { security_opt: security_opt.clone(), ..HostConfig::default() };
        assert_eq!(options(&against, true), security_opt);
    }
}
