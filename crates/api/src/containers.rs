//! What is asked of containers in one call: lists, `inspect` and the verbs.
//! What streams is in `streams`, `stats` and `archive`.

use crate::answer::{Answer, Outcome};
use crate::call::{Call, Version};
use crate::error::Error;
use crate::filter::Filters;
use crate::fold::Fold;
use crate::inspected::Inspected;
use crate::lean::Lean;
use crate::listed::{self, Listed, Wanted};
use crate::when;
use engine::{
    ChangeKind, Container, Engine, LabelsWish, MountsWish, PortsWish, Pruned, UpdateWish,
};
use serde::{Deserialize, Serialize};
use spec::docker::{Config, CreateBody, HostConfig, NetworkingConfig, null_is_default};
use spec::ids::Kept;
use spec::ports::PortMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `GET /containers/json`.
pub fn list(call: &Call) -> Outcome {
    let query = &call.query;
    let limit: Option<i64> = query.number("limit")?;
    let wanted = Wanted {
        all: query.flag("all"),
        // Zero and less mean no limit.
        limit: limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0),
        filters: Filters::parse(query.text("filters"), listed::FILTERS)?,
    };
    let containers = wanted.of(&call.engine, call.scope())?;
    let mut names = Names::default();
    let now = when::now();
    let mut rows = Vec::with_capacity(containers.len());
    for container in &containers {
        let size = if query.flag("size") {
            Some(call.engine.container_size(container.id.as_str())?)
        } else {
            None
        };
        let image = names.today(&call.engine, container);
        rows.push(Listed::of(container, image, size, now).keep_to(call.version));
    }
    Ok(Answer::json(&rows))
}

/// What names of images mean today, each looked up once.
#[derive(Default)]
pub struct Names(BTreeMap<String, Option<String>>);

impl Names {
    /// The name a container was made with; its image's identifier if the
    /// name has since gone to another.
    pub fn today(&mut self, engine: &Engine, container: &Container) -> String {
        let name = &container.config.image;
        let means = self
            .0
            .entry(name.clone())
            .or_insert_with(|| engine.image(name).ok().map(|image| image.summary.id));
        if means.as_ref() == Some(&container.image) {
            name.clone()
        } else {
            container.image.clone()
        }
    }
}

/// `GET /containers/{id}/json`.
pub fn inspect(call: &Call) -> Outcome {
    let container = call.engine.container(call.name())?;
    let size = if call.query.flag("size") {
        Some(call.engine.container_size(container.id.as_str())?)
    } else {
        None
    };
    let mut container = call.engine.with_links_shown(container);
    if call.version <= HAD_SHORT_ALIASES {
        name_by_id(Arc::make_mut(&mut container));
    }
    let dropped = call.engine.log_dropped(&container);
    let whole = Inspected::of(&container, size, dropped);
    Ok(match call.scope() {
        None => Answer::json(&whole),
        Some(scope) => Answer::json(&scope.lets_see(&whole)?),
    })
}

/// Up to which a container's identifier and host name are among its aliases;
/// later versions have them in `DNSNames`.
const HAD_SHORT_ALIASES: Version = Version(44);
/// As many digits of an identifier as people are shown.
const SHORT: usize = 12;

/// Adds to its aliases, on networks of users, what it is called there besides.
fn name_by_id(container: &mut Container) {
    let short = container.id.as_str().chars().take(SHORT).collect();
    let names = [short, container.config.hostname.clone()];
    let of_users =
        |name: &str| !matches!(name, "bridge" | "default" | "host" | "none") && !name.contains(':');
    for (network, endpoint) in &mut container.endpoints {
        if !of_users(network) {
            continue;
        }
        let aliases = endpoint.aliases.get_or_insert_default();
        for name in &names {
            if !name.is_empty() && !aliases.contains(name) {
                aliases.push(name.clone());
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreatedBody {
    id: String,
    warnings: Vec<String>,
}

/// `POST /containers/create`.
pub fn create(call: &Call) -> Outcome {
    let empty = || Error::bad("config cannot be empty in order to create a container");
    let nothing = |body: &Lean| {
        body.rest.is_null() || body.rest.as_object().is_some_and(serde_json::Map::is_empty)
    };
    let body = call.lean()?.filter(|body| !nothing(body));
    let body = create_body(body.ok_or_else(empty)?)
        .map_err(|error| Error::bad(format!("invalid JSON: {error}")))?;
    let name = call.query.get("name").map(|name| name.strip_prefix('/').unwrap_or(name));
    let platform = call.query.text("platform");
    let client = Kept { uid: call.who.uid, gid: call.who.gid };
    let created = call.engine.create(name, body, platform, Some(client)).map_err(told)?;
    let body = CreatedBody { id: created.id.to_string(), warnings: created.warnings };
    Ok(Answer::created(&body))
}

/// Three structures in one: each finds its own.
fn create_body(body: Lean) -> Result<CreateBody, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Beside {
        host_config: Option<HostConfig>,
        networking_config: Option<NetworkingConfig>,
    }
    let config = Config::deserialize(Fold(body.rest.clone()))?;
    let config = Config { exposed_ports: body.exposed, ..config };
    let Beside { host_config, networking_config } = Beside::deserialize(Fold(body.rest))?;
    let host_config = HostConfig { port_bindings: body.bound, ..host_config.unwrap_or_default() };
    let networking_config = networking_config.unwrap_or_default();
    Ok(CreateBody { config, host_config, networking_config })
}

/// To a client, 404 means that the image is missing, and it goes to fetch it:
/// other things that are not there are its mistake.
fn told(error: engine::Error) -> Error {
    let image = matches!(&error, engine::Error::NoImage(_) | engine::Error::OtherPlatform { .. });
    let error = Error::from(error);
    if error.status() == 404 && !image { Error::bad(error.to_string()) } else { error }
}

/// `POST /containers/{id}/start`.
pub fn start(call: &Call) -> Outcome {
    if call.query.get("checkpoint").is_some() {
        return Err(Error::not_carried("starting from a checkpoint"));
    }
    // Two bytes are an empty object, which old clients send.
    if call.body.len() > 2 {
        return Err(Error::bad(
            "starting container with non-empty request body was deprecated since API v1.22 and \
             removed in v1.24",
        ));
    }
    call.engine.start(call.name())?;
    Ok(Answer::done())
}

/// `POST /containers/{id}/stop`.
pub fn stop(call: &Call) -> Outcome {
    call.engine.stop(call.name(), call.query.get("signal"), call.query.number("t")?)?;
    Ok(Answer::done())
}

/// `POST /containers/{id}/restart`.
pub fn restart(call: &Call) -> Outcome {
    call.engine.restart(call.name(), call.query.get("signal"), call.query.number("t")?)?;
    Ok(Answer::done())
}

/// `POST /containers/{id}/kill`.
pub fn kill(call: &Call) -> Outcome {
    call.engine.kill(call.name(), call.query.get("signal"))?;
    Ok(Answer::done())
}

/// `POST /containers/{id}/pause`.
pub fn pause(call: &Call) -> Outcome {
    call.engine.pause(call.name())?;
    Ok(Answer::done())
}

/// `POST /containers/{id}/unpause`.
pub fn unpause(call: &Call) -> Outcome {
    call.engine.unpause(call.name())?;
    Ok(Answer::done())
}

/// `POST /containers/{id}/rename`.
pub fn rename(call: &Call) -> Outcome {
    let name = call.query.text("name");
    let name = name.strip_prefix('/').unwrap_or(name);
    if name.is_empty() {
        return Err(Error::bad("Neither old nor new names may be empty"));
    }
    call.engine.rename(call.name(), name)?;
    Ok(Answer::done())
}

/// `POST /containers/{id}/resize`.
pub fn resize(call: &Call) -> Outcome {
    let (height, width) = size_of_terminal(call)?;
    call.engine.resize(call.name(), height, width)?;
    Ok(Answer::status(hyper::StatusCode::OK))
}

/// Height and width of a query.
///
/// # Errors
/// 400 for what is no number.
pub fn size_of_terminal(call: &Call) -> Result<(u16, u16), Error> {
    let side = |name, what| {
        let text = call.query.text(name);
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let why = if is_number { "value out of range" } else { "invalid syntax" };
        text.parse().map_err(|_| Error::bad(format!("invalid resize {what} {text:?}: {why}")))
    };
    Ok((side("h", "height")?, side("w", "width")?))
}

/// `DELETE /containers/{id}`.
pub fn remove(call: &Call) -> Outcome {
    let query = &call.query;
    if query.flag("link") {
        call.engine.remove_link(call.name())?;
        return Ok(Answer::done());
    }
    call.engine.remove(call.name(), query.flag("force"), query.flag("v"))?;
    Ok(Answer::done())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Warnings {
    /// Docker has no list where there is nothing to list.
    warnings: Option<Vec<String>>,
}

/// `POST /containers/{id}/update`.
pub fn update(call: &Call) -> Outcome {
    /// What Docker's clients do not say.
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Ours {
        #[serde(deserialize_with = "null_is_default")]
        publish: PortMap,
        #[serde(deserialize_with = "null_is_default")]
        unpublish: Vec<String>,
        #[serde(deserialize_with = "null_is_default")]
        mount: Points,
        #[serde(deserialize_with = "null_is_default")]
        unmount: Vec<String>,
        #[serde(deserialize_with = "null_is_default")]
        label: BTreeMap<String, String>,
        #[serde(deserialize_with = "null_is_default")]
        unlabel: Vec<String>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Points {
        #[serde(deserialize_with = "null_is_default")]
        binds: Vec<String>,
        #[serde(deserialize_with = "null_is_default")]
        mounts: Vec<spec::docker::Mount>,
        #[serde(deserialize_with = "null_is_default")]
        tmpfs: BTreeMap<String, String>,
    }
    let limits: HostConfig = call.json()?.unwrap_or_default();
    let ours: Ours = call.json()?.unwrap_or_default();
    let ports = PortsWish { publish: ours.publish, withdraw: ours.unpublish };
    let Points { binds, mounts, tmpfs } = ours.mount;
    let mounts = MountsWish { binds, mounts, tmpfs, unmount: ours.unmount };
    let labels = LabelsWish { set: ours.label, unset: ours.unlabel };
    let restart_policy =
        (!limits.restart_policy.name.is_empty()).then(|| limits.restart_policy.clone());
    let wish = UpdateWish { limits, restart_policy, ports, mounts, labels };
    let warnings = call.engine.update(call.name(), wish)?;
    let warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
    Ok(Answer::json(&Warnings { warnings }))
}

/// `GET /containers/{id}/top`.
pub fn top(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        processes: Vec<Vec<String>>,
        titles: Vec<String>,
    }
    let top = call.engine.top(call.name(), call.query.get("ps_args").unwrap_or("-ef"))?;
    Ok(Answer::json(&Body { processes: top.processes, titles: top.titles }))
}

/// `GET /containers/{id}/changes`.
pub fn changes(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Change {
        path: String,
        kind: u8,
    }
    let changes = call.engine.changes(call.name())?.into_iter().map(|change| Change {
        path: change.path,
        kind: match change.kind {
            ChangeKind::Modified => 0,
            ChangeKind::Added => 1,
            ChangeKind::Deleted => 2,
        },
    });
    // Docker has no list where there is nothing to list.
    let changes = Some(changes.collect::<Vec<_>>()).filter(|changes| !changes.is_empty());
    Ok(Answer::json(&changes))
}

/// `POST /containers/prune`.
pub fn prune(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        containers_deleted: Option<Vec<String>>,
        space_reclaimed: u64,
    }
    let filters = Filters::parse(call.query.text("filters"), &["label", "label!", "until"])?;
    let Pruned { removed, reclaimed, .. } = call.engine.prune_containers(&filters.for_engine())?;
    Ok(Answer::json(&Body {
        containers_deleted: (!removed.is_empty()).then_some(removed),
        space_reclaimed: reclaimed,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_in_any_case_in_all_its_parts() {
        let body = serde_json::json!({
            "image": "a", "Env": null, "labels": {"K": "v"}, "hostconfig": {"binds": ["/a:/b"]},
            "NetworkingConfig": {"endpointsConfig": {"Net": {"aliases": ["x"]}}},
        });
        let read = |body| create_body(serde_json::from_value(body).expect("fits")).expect("fits");
        let body = read(body);
        assert_eq!((&*body.config.image, &*body.config.labels["K"]), ("a", "v"));
        assert_eq!(body.host_config.binds.as_deref(), Some(&["/a:/b".to_owned()][..]));
        let net = body.networking_config.endpoints_config["Net"].as_ref().expect("given");
        assert_eq!(net.aliases.as_deref(), Some(&["x".to_owned()][..]));
        let empty = serde_json::json!({"Image": "a", "HostConfig": null, "NetworkingConfig": null});
        assert_eq!(read(empty).host_config, HostConfig::default());
    }
}
