//! Containers as `docker ps` lists them: the rows, and which are wanted.

use crate::call::Version;
use crate::error::Error;
use crate::filter::Filters;
use crate::inspected::Mount;
use crate::scope::Scope;
use crate::status;
use crate::when;
use engine::{Container, Engine, Nanos, Size, State};
use serde::Serialize;
use spec::docker::EndpointSettings;
use spec::ports::Bindings;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The filters of `GET /containers/json`.
pub const FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

/// Since when a row has annotations.
const TELLS_ANNOTATIONS: Version = Version(46);

const STATES: &[&str] =
    &["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTHS: &[&str] = &["none", "starting", "healthy", "unhealthy"];

/// Which containers are wanted.
pub struct Wanted {
    /// Those that do not run, too.
    pub all: bool,
    /// At most so many, newest first, of all states.
    pub limit: Option<usize>,
    /// Which of them.
    pub filters: Filters,
}

/// A row of the list.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed<'a> {
    id: &'a str,
    names: [String; 1],
    image: String,
    #[serde(rename = "ImageID")]
    image_id: &'a str,
    command: String,
    created: u64,
    ports: Vec<Port>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_quota: Option<SizeQuota>,
    labels: &'a BTreeMap<String, String>,
    state: &'static str,
    status: String,
    host_config: ListedHost<'a>,
    network_settings: ListedNetworks<'a>,
    mounts: Vec<Mount<'a>>,
}

/// Not Docker's: what of a container's limit is taken, in bytes.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SizeQuota {
    used: u64,
    limit: u64,
}

impl From<engine::Quota> for SizeQuota {
    fn from(quota: engine::Quota) -> Self {
        Self { used: quota.used, limit: quota.limit }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListedHost<'a> {
    network_mode: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListedNetworks<'a> {
    networks: &'a BTreeMap<String, EndpointSettings>,
}

/// A port, published or only exposed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    #[serde(rename = "IP", skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    private_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_port: Option<u16>,
    #[serde(rename = "Type")]
    protocol: String,
}

impl<'a> Listed<'a> {
    /// Lays a container out. `image` is the name it goes by today.
    pub fn of(container: &'a Container, image: String, size: Option<Size>, now: Nanos) -> Self {
        Self {
            id: container.id.as_str(),
            names: [format!("/{}", container.name)],
            image,
            image_id: &container.image,
            command: command(&container.path, &container.args),
            created: when::seconds(container.created),
            ports: ports(container),
            size_rw: size.map(|size| size.rw),
            size_root_fs: size.map(|size| size.root),
            size_quota: size.and_then(|size| size.quota).map(SizeQuota::from),
            labels: &container.config.labels,
            state: container.state.word(),
            status: status::text(container, now),
            host_config: ListedHost {
                network_mode: &container.host.network_mode,
                annotations: container.host.annotations.as_ref(),
            },
            network_settings: ListedNetworks { networks: &container.endpoints },
            mounts: container.mounts.iter().map(Mount::of).collect(),
        }
    }
}

impl Listed<'_> {
    /// What a version has, and no more.
    pub fn keep_to(mut self, version: Version) -> Self {
        if version < TELLS_ANNOTATIONS {
            self.host_config.annotations = None;
        }
        self
    }
}

fn command(path: &str, args: &[String]) -> String {
    let mut text = path.to_owned();
    for arg in args {
        text.push(' ');
        if arg.contains(' ') {
            text.push_str(&format!("'{arg}'"));
        } else {
            text.push_str(arg);
        }
    }
    text
}

/// `80/tcp` as its two halves.
fn port_and_protocol(key: &str) -> Option<(u16, &str)> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    Some((port.parse().ok()?, protocol))
}

fn ports(container: &Container) -> Vec<Port> {
    let mut ports = Vec::new();
    for (key, bindings) in container.ports.iter() {
        let Some((private_port, protocol)) = port_and_protocol(&key) else { continue };
        let port = |ip: Option<String>, public_port| Port {
            ip,
            private_port,
            public_port,
            protocol: protocol.to_owned(),
        };
        match bindings {
            None => ports.push(port(None, None)),
            Some(bindings) => ports.extend(
                bindings.iter().map(|b| port(Some(b.host_ip.clone()), b.host_port.parse().ok())),
            ),
        }
    }
    ports.sort_by(|a, b| {
        (a.private_port, &a.protocol, &a.ip).cmp(&(b.private_port, &b.protocol, &b.ip))
    });
    ports
}

impl Wanted {
    /// Those of the engine's containers that are wanted, newest first; for
    /// whom there is a scope there are no others.
    ///
    /// # Errors
    /// 400 for a filter's value that makes no sense, 404 for a container or
    /// image named in one that is not there.
    pub fn of(&self, engine: &Engine, scope: Option<&Scope>) -> Result<Vec<Arc<Container>>, Error> {
        let filters = &self.filters;
        self.check()?;
        let mut all = engine.containers();
        all.retain(|container| scope.is_none_or(|scope| scope.sees(container)));
        let find = |reference: &str| match scope {
            None => engine.container(reference).map_err(Error::from),
            Some(scope) => scope.find(engine, reference),
        };
        if let Some(reference) = filters.one("before")? {
            let named = find(reference)?;
            all = all.into_iter().skip_while(|c| c.id != named.id).skip(1).collect();
        }
        if let Some(reference) = filters.one("since")? {
            let named = find(reference)?;
            all = all.into_iter().take_while(|c| c.id != named.id).collect();
        }
        let images = if filters.has("ancestor") { Some(ancestors(engine, filters)?) } else { None };
        let everything = self.all || self.limit.is_some() || filters.has("status");
        let running =
            |state: &State| state.is_running() || matches!(state, State::Restarting { .. });
        all.retain(|c| {
            (everything || running(&c.state))
                && images.as_ref().is_none_or(|images| images.contains(&c.image))
                && fits(c, filters)
        });
        all.truncate(self.limit.unwrap_or(usize::MAX));
        Ok(all)
    }

    fn check(&self) -> Result<(), Error> {
        let among = |key: &str, noun: &str, known: &[&str]| {
            let bad = self.filters.values(key).find(|value| !known.contains(value));
            bad.map_or(Ok(()), |value| {
                Err(Error::bad(format!(
                    "invalid filter '{key}={value}': invalid value for {noun} ({value}): must be \
                     one of {}",
                    known.join(", ")
                )))
            })
        };
        among("status", "state", STATES)?;
        among("health", "health", HEALTHS)?;
        if self.filters.values("exited").any(|code| code.parse::<i64>().is_err()) {
            return Err(self.filters.invalid("exited"));
        }
        for key in ["expose", "publish"] {
            if self.filters.values(key).any(|value| range(value).is_none()) {
                return Err(self.filters.invalid(key));
            }
        }
        self.filters.boolean("is-task").map(drop)
    }
}

/// The images named, and those made from them.
fn ancestors(engine: &Engine, filters: &Filters) -> Result<BTreeSet<String>, Error> {
    let mut wanted = BTreeSet::new();
    for name in filters.values("ancestor") {
        match engine.image(name) {
            Ok(image) => wanted.insert(image.summary.id),
            Err(error) if error.kind() == engine::Kind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
    }
    let images = engine.images(true)?;
    loop {
        let before = wanted.len();
        for image in &images {
            if wanted.contains(&image.parent) {
                wanted.insert(image.id.clone());
            }
        }
        if wanted.len() == before {
            return Ok(wanted);
        }
    }
}

/// `80`, `80/udp` or `80-90/tcp`.
fn range(text: &str) -> Option<(u16, u16, &str)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    Some((first.parse().ok()?, last.parse().ok()?, protocol))
}

fn in_range(key: &str, wanted: &str) -> bool {
    let (Some((port, protocol)), Some((first, last, of))) = (port_and_protocol(key), range(wanted))
    else {
        return false;
    };
    protocol == of && (first..=last).contains(&port)
}

fn fits(c: &Container, filters: &Filters) -> bool {
    let exposed = |wanted: &str| {
        c.config.exposed_ports.keys().chain(c.ports.keys()).any(|key| in_range(&key, wanted))
    };
    let published = |wanted: &str| {
        let bound = |(key, bindings): (String, Bindings)| {
            bindings.is_some_and(|b| !b.is_empty()) && in_range(&key, wanted)
        };
        c.ports.iter().any(bound) || c.host.port_bindings.iter().any(bound)
    };
    let on_network = |wanted: &str| {
        c.endpoints.iter().any(|(name, e)| {
            name == wanted || (!e.network_id.is_empty() && e.network_id.starts_with(wanted))
        })
    };
    let has_volume = |wanted: &str| {
        c.mounts.iter().any(|m| m.name == wanted || m.destination == wanted || m.source == wanted)
    };
    let exited = |code: &str| {
        c.last.started != 0 && !c.state.is_running() && code.parse() == Ok(i64::from(c.last.code))
    };
    filters.any("name", |wanted| name_fits(wanted, &c.name))
        && filters.any("id", |wanted| c.id.as_str().starts_with(wanted))
        && filters.labels(&c.config.labels)
        && filters.exactly("status", c.state.word())
        && filters.any("exited", exited)
        && filters.exactly("health", c.health.as_ref().map_or("none", |h| h.status.word()))
        && filters.exactly("isolation", "default")
        && filters.any("is-task", |value| matches!(value, "0" | "false"))
        && filters.any("expose", exposed)
        && filters.any("publish", published)
        && filters.any("network", on_network)
        && filters.any("volume", has_volume)
}

/// Clients anchor names with and without the slash that Docker shows.
fn name_fits(wanted: &str, name: &str) -> bool {
    let with_slash = format!("/{name}");
    crate::filter::matches(wanted, name) || crate::filter::matches(wanted, &with_slash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_shows_its_words_apart() {
        let args = ["-c".to_owned(), "echo hi".to_owned()];
        assert_eq!(command("sh", &args), "sh -c 'echo hi'");
    }

    #[test]
    fn a_name_matches_with_and_without_its_slash() {
        for wanted in ["web", "^/web$", "^web$", "/web", "w.b"] {
            assert!(name_fits(wanted, "web"), "{wanted}");
        }
        assert!(!name_fits("^/eb$", "web"));
    }

    #[test]
    fn a_range_of_ports_has_a_protocol() {
        assert!(in_range("80/tcp", "80") && in_range("81/tcp", "80-90/tcp"));
        assert!(!in_range("80/udp", "80") && !in_range("91/tcp", "80-90"));
        assert_eq!(range("x"), None);
    }
}
