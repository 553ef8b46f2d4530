//! `POST /build`: Docker's classic builder, and the build cache.

use crate::answer::{Answer, Outcome};
use crate::build_words::{Client, Told};
use crate::call::Call;
use crate::error::Error;
use crate::filter::Filters;
use crate::pipe::{Inlet, Late, Outlet, produce};
use crate::query::Query;
use crate::when;
use base64::Engine as _;
use engine::{
    BuildClient, BuildError, BuildManner, BuildRoom, BuildWish, CacheEntry, Cancel, Credentials,
};
use serde::{Serialize, de::DeserializeOwned};
use spec::docker::{HostConfig, Ulimit};
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

const JSON: &str = "application/json";
/// Lines that may wait for the client.
const AHEAD: usize = 256;
/// What `filters` of a prune may name.
const FILTERS: &[&str] =
    &["until", "unused-for", "id", "parent", "type", "description", "inuse", "shared", "private"];

/// `POST /build`.
pub async fn build(mut call: Call) -> Outcome {
    let wish = wish(&call.query)?;
    let known = credentials(&call)?;
    let secrets = secrets(&call)?;
    let mut input = Inlet::of(call.upload()?);
    produce(JSON, Late::Json, move |out| {
        let cancel = Cancel::default();
        let named = call.engine.name_build(call.query.text("buildid"), &cancel);
        let leaving = {
            let cancel = cancel.clone();
            out.on_leaving(move || cancel.cancel())
        };
        let done = build_in(&call, wish, (known, secrets), &mut input, out, &cancel);
        input.finish();
        drop((leaving, named));
        done
    })
    .await
}

fn build_in(
    call: &Call,
    mut wish: BuildWish,
    (known, secrets): (BTreeMap<String, Credentials>, BTreeMap<String, Vec<u8>>),
    input: &mut Inlet,
    out: &mut Outlet,
    cancel: &Cancel,
) -> Result<(), Error> {
    let query = &call.query;
    let room = call.engine.build_room()?;
    let remote = query.text("remote");
    let stop = || cancel.is_cancelled();
    let given = match remote {
        "" | "client-session" if query.text("session").is_empty() => {
            room.unpack(input).map_err(|e| Error::bad(Error::from(e).to_string()))?;
            None
        }
        "client-session" => return Err(Error::not_carried("a context by session on this door")),
        remote => {
            let secret = |id: &str| Ok(secrets.get(id).cloned());
            room.fetch(remote, &secret, &stop).map_err(failed)?
        }
    };
    let name = match query.text("dockerfile") {
        "" => "Dockerfile",
        name => name,
    };
    wish.dockerfile = match given {
        Some(text) => text,
        None => dockerfile(&room, name)?,
    };
    room.ignore(name).map_err(failed)?;
    wish.context = Some(room.context());
    let quiet = query.flag("q");
    let (sender, receiver) = mpsc::sync_channel(AHEAD);
    let client: Arc<dyn BuildClient> = Arc::new(Client::new(sender, known, secrets));
    let mut told = if quiet { Told::quiet() } else { Told::default() };
    let engine = &call.engine;
    let built = std::thread::scope(|scope| {
        let building = scope.spawn(move || {
            let built = engine.build(&wish, &room, &client, cancel);
            drop(client);
            built
        });
        for said in receiver {
            for line in told.take(said) {
                if out.say(&line).is_err() {
                    cancel.cancel();
                }
            }
        }
        building.join().unwrap_or_else(|_| {
            Err(BuildError::ours("this request met a fault in the engine: see its log"))
        })
    });
    let say = |out: &mut Outlet, line| {
        // One that has left needs no telling.
        let _ = out.say(&line);
    };
    let rest = told.rest();
    match built {
        Ok(built) if quiet => say(out, told.stream(format!("{}\n", built.id))),
        Ok(built) => {
            for line in rest.into_iter().chain(told.done(&built)) {
                say(out, line);
            }
        }
        Err(error) => {
            for line in rest {
                say(out, line);
            }
            if error.line.is_none() && error.code.is_none() {
                return Err(failed(error));
            }
            if told.has_begun() {
                say(out, told.failure(&error, name));
                return Ok(());
            }
            return Err(failed(error));
        }
    }
    Ok(())
}

/// The Dockerfile of a context; by either spelling, if none was asked for.
fn dockerfile(room: &BuildRoom, name: &str) -> Result<String, Error> {
    let mut found = room.text(name).map_err(failed)?;
    if found.is_none() && name == "Dockerfile" {
        found = room.text("dockerfile").map_err(failed)?;
    }
    let text =
        found.ok_or_else(|| Error::bad(format!("Cannot locate specified Dockerfile: {name}")))?;
    if text.is_empty() {
        return Err(Error::bad(format!("the Dockerfile ({name}) cannot be empty")));
    }
    Ok(text)
}

/// A failure that has no place in the stream.
fn failed(error: BuildError) -> Error {
    let code = match error.kind {
        engine::Kind::NotFound => 404,
        engine::Kind::Invalid => 400,
        engine::Kind::Conflict => 409,
        engine::Kind::Unsupported => 501,
        _ => 500,
    };
    let status = hyper::StatusCode::from_u16(code).unwrap_or(hyper::StatusCode::BAD_REQUEST);
    Error::new(status, error.message)
}

/// A parameter that holds JSON.
fn json<T: DeserializeOwned + Default>(query: &Query, name: &str) -> Result<T, Error> {
    match query.text(name) {
        "" => Ok(T::default()),
        text => serde_json::from_str::<Option<T>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|e| Error::bad(format!("error reading {name}: {e}"))),
    }
}

fn wish(query: &Query) -> Result<BuildWish, Error> {
    match query.text("version") {
        "" | "1" => {}
        "2" => {
            return Err(Error::not_carried(
                "BuildKit on this door (say version=1, or come by /grpc as buildx does): it",
            ));
        }
        other => return Err(Error::bad(format!("invalid builder version {other:?}"))),
    }
    if !query.all("securityopt").is_empty() {
        let words = "The daemon on linux does not support setting security options on build";
        return Err(Error::bad(words));
    }
    if !matches!(query.text("isolation"), "" | "default") {
        let asked = query.text("isolation");
        return Err(Error::bad(format!(
            "invalid isolation ({asked}): linux only supports 'default'"
        )));
    }
    if !matches!(query.text("outputs"), "" | "null" | "[]") {
        return Err(Error::not_carried("outputs on this door"));
    }
    let number = |name| Ok::<i64, Error>(query.number(name)?.unwrap_or(0));
    let hosts: Vec<String> = query
        .all("extrahosts")
        .iter()
        .flat_map(|hosts| hosts.split(','))
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
        .collect();
    let shm_size = number("shmsize")?;
    if shm_size < 0 {
        return Err(Error::bad("SHM size can not be less than 0"));
    }
    let limits = HostConfig {
        memory: number("memory")?,
        memory_swap: number("memswap")?,
        cpu_shares: number("cpushares")?,
        cpu_period: number("cpuperiod")?,
        cpu_quota: number("cpuquota")?,
        cpuset_cpus: query.text("cpusetcpus").to_owned(),
        cpuset_mems: query.text("cpusetmems").to_owned(),
        cgroup_parent: query.text("cgroupparent").to_owned(),
        shm_size,
        ulimits: json::<Option<Vec<Ulimit>>>(query, "ulimits")?,
        network_mode: query.text("networkmode").to_owned(),
        extra_hosts: (!hosts.is_empty()).then_some(hosts),
        ..HostConfig::default()
    };
    let args: BTreeMap<String, Option<String>> = json(query, "buildargs")?;
    let labels: BTreeMap<String, String> = json(query, "labels")?;
    Ok(BuildWish {
        target: query.text("target").to_owned(),
        args: args.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        labels,
        tags: query.all("t").iter().filter(|tag| !tag.is_empty()).cloned().collect(),
        no_cache: query.flag("nocache"),
        pull: query.flag("pull"),
        cache_from: json(query, "cachefrom")?,
        platform: query.text("platform").to_ascii_lowercase(),
        squash: query.flag("squash"),
        limits: Box::new(limits),
        // A Dockerfile alone does not decide that.
        allow_host_network: query.text("networkmode") == "host",
        keep_containers: !query.flag_or("rm", true),
        force_rm: query.flag("forcerm"),
        manner: BuildManner::Classic,
        ..BuildWish::default()
    })
}

/// The header `X-Registry-Config`: who the client is to which registry.
fn credentials(call: &Call) -> Result<BTreeMap<String, Credentials>, Error> {
    let Some(header) = call.headers.get("X-Registry-Config") else { return Ok(BTreeMap::new()) };
    let bad = || Error::bad("invalid X-Registry-Config header: JSON in base64 is wanted");
    let text = header.to_str().map_err(|_| bad())?.trim().trim_end_matches('=');
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let standard = base64::engine::general_purpose::STANDARD_NO_PAD;
    let bytes = engine.decode(text).or_else(|_| standard.decode(text)).map_err(|_| bad())?;
    let read: Option<BTreeMap<String, Credentials>> =
        serde_json::from_slice(&bytes).map_err(|_| bad())?;
    let complete = |(name, known): (String, Credentials)| {
        known.complete().map(|known| (name, known)).map_err(|_| bad())
    };
    read.unwrap_or_default().into_iter().map(complete).collect()
}

/// The header `X-Cofferdam-Secrets`, which our own CLI sends: for
/// `RUN --mount=type=secret`, by name, in base64.
fn secrets(call: &Call) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let Some(header) = call.headers.get("X-Cofferdam-Secrets") else { return Ok(BTreeMap::new()) };
    let bad = || Error::bad("invalid X-Cofferdam-Secrets header: JSON in base64 is wanted");
    let engine = base64::engine::general_purpose::URL_SAFE;
    let bytes = engine.decode(header.as_bytes()).map_err(|_| bad())?;
    let read: BTreeMap<String, String> = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    let decode =
        |(name, text): (String, String)| Ok((name, engine.decode(text).map_err(|_| bad())?));
    read.into_iter().map(decode).collect()
}

/// `POST /build/cancel`.
pub fn cancel(call: &Call) -> Outcome {
    let name = call.query.text("id");
    if name.is_empty() {
        return Err(Error::bad("build ID not provided"));
    }
    // One that has ended needs no calling off, as Docker has it.
    call.engine.cancel_build(name);
    Ok(Answer::status(hyper::StatusCode::OK))
}

/// `POST /build/prune`.
pub fn prune(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Pruned {
        caches_deleted: Option<Vec<String>>,
        space_reclaimed: u64,
    }
    let query = &call.query;
    let filters = Filters::parse(query.text("filters"), FILTERS)?;
    let reserved = match query.number::<u64>("reserved-space")? {
        None => query.number("keep-storage")?,
        reserved => reserved,
    };
    let keep = engine::CacheKeep {
        reserved: reserved.unwrap_or(0),
        most: query.number("max-used-space")?.unwrap_or(0),
        free: query.number("min-free-space")?.unwrap_or(0),
    };
    let chosen = engine::choose_cache(filters.for_engine())?;
    let pruned = call.engine.prune_build_cache(&chosen, query.flag("all"), keep)?;
    Ok(Answer::json(&Pruned {
        caches_deleted: (!pruned.removed.is_empty()).then_some(pruned.removed),
        space_reclaimed: pruned.reclaimed,
    }))
}

/// An entry of the build cache in `system df`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    #[serde(rename = "ID")]
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parents: Option<[String; 1]>,
    #[serde(rename = "Type")]
    kind: &'static str,
    description: String,
    in_use: bool,
    shared: bool,
    size: u64,
    created_at: String,
    last_used_at: Option<String>,
    usage_count: u64,
}

impl From<CacheEntry> for Listed {
    fn from(entry: CacheEntry) -> Self {
        Self {
            parents: (!entry.parent.is_empty()).then_some([entry.parent]),
            id: entry.id,
            kind: entry.kind,
            description: entry.description,
            in_use: entry.in_use,
            shared: entry.shared,
            size: entry.size,
            created_at: when::rfc3339(entry.created),
            last_used_at: (entry.used > 0).then(|| when::rfc3339(entry.used)),
            usage_count: entry.uses,
        }
    }
}

/// The build cache, laid out.
pub fn listed(call: &Call) -> Result<Vec<Listed>, Error> {
    Ok(call.engine.build_cache()?.into_iter().map(Listed::from).collect())
}
