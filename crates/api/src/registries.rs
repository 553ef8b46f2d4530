//! What needs a registry: `pull`, `push`, `login`, `search`, and the looking
//! up of a manifest.

use crate::answer::{Answer, Content, Outcome};
use crate::call::Call;
use crate::error::Error;
use crate::filter::Filters;
use crate::pipe::{Late, produce};
use engine::{Credentials, PullWish, Said};
use hyper::StatusCode;
use serde::Serialize;
use spec::image::Platform;

const JSON: &str = "application/json";
/// Results of a search, unless it says otherwise, and at most; Docker's.
const HITS: u32 = 25;
const MOST_HITS: u32 = 100;

/// How far something is, as Docker's clients draw it.
#[derive(Serialize)]
pub struct Progress<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    status: &'a str,
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    detail: Option<Detail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aux: Option<Aux<'a>>,
}

#[derive(Serialize)]
struct Detail {
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Aux<'a> {
    tag: &'a str,
    digest: &'a str,
    size: u64,
}

impl<'a> Progress<'a> {
    /// Lays it out.
    pub fn of(said: &'a Said) -> Self {
        let (current, total) = said.bytes.unzip();
        let aux = said.aux.as_ref();
        Self {
            status: &said.status,
            detail: said.of_blob.then_some(Detail { current, total }),
            id: said.id.as_deref(),
            aux: aux.map(|(tag, digest, size)| Aux { tag, digest: digest.as_str(), size: *size }),
        }
    }
}

/// What the client knows for the registry. A header that cannot be read is as
/// none: some clients send words of their own, which Docker passes over, and
/// a registry that wants somebody still says no.
fn credentials(call: &Call) -> Credentials {
    let header = call.headers.get("X-Registry-Auth").map_or(&b""[..], |value| value.as_bytes());
    Credentials::from_header(&String::from_utf8_lossy(header)).unwrap_or_else(|why| {
        tracing::warn!(why, "asking the registry as nobody");
        Credentials::default()
    })
}

/// 401 would make the Docker CLI ask for a name and a password, and wait; its
/// own engine answers 500 here.
fn unasked(error: engine::Error) -> Error {
    match error.kind() {
        engine::Kind::Unauthorized => Error::ours(error.to_string()),
        _ => error.into(),
    }
}

/// `POST /images/create?fromImage=…`.
pub async fn pull(call: Call) -> Outcome {
    let query = &call.query;
    let wish = PullWish {
        image: query.text("fromImage").to_owned(),
        tag: query.text("tag").to_owned(),
        platform: query.text("platform").to_owned(),
        credentials: credentials(&call),
    };
    produce(JSON, Late::Json, move |out| {
        // A client that leaves ends it.
        let pulled = call.engine.pull(&wish, &mut |said| out.say(&Progress::of(&said)));
        pulled.map_err(unasked)
    })
    .await
}

/// `POST /images/{name}/push`.
pub async fn push(call: Call) -> Outcome {
    let known = credentials(&call);
    produce(JSON, Late::Json, move |out| {
        let tag = call.query.text("tag");
        let mut listen = |said: Said| out.say(&Progress::of(&said));
        call.engine.push(call.name(), tag, &known, &mut listen).map_err(unasked)
    })
    .await
}

/// `POST /auth`.
pub fn login(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        status: &'static str,
        identity_token: &'static str,
    }
    let known = call.json::<Credentials>()?.unwrap_or_default().complete().map_err(Error::bad)?;
    call.engine.login(&known)?;
    Ok(Answer::json(&Body { status: "Login Succeeded", identity_token: "" }))
}

/// `GET /distribution/{name}/json`.
pub fn look_up(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        descriptor: Descriptor<'a>,
        platforms: &'a [Platform],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Descriptor<'a> {
        media_type: &'a str,
        digest: &'a str,
        size: u64,
    }
    let found = call.engine.look_up(call.name(), &credentials(call))?;
    Ok(Answer::json(&Body {
        descriptor: Descriptor {
            media_type: &found.media_type,
            digest: found.digest.as_str(),
            size: found.bytes.len() as u64,
        },
        platforms: &found.platforms,
    }))
}

/// `GET /cofferdam/manifest/{name}`: the document itself. Ours alone: the
/// Docker CLI asks registries itself.
pub fn manifest(call: &Call) -> Outcome {
    let found = call.engine.look_up(call.name(), &credentials(call))?;
    Ok(Answer::of(StatusCode::OK, JSON, Content::Whole(found.bytes.into())))
}

/// `GET /cofferdam/referrers/{name}?artifactType=…`: what refers to an image,
/// as an OCI index. Ours alone: Docker's API has nothing of the kind.
pub fn referrers(call: &Call) -> Outcome {
    let kind = call.query.text("artifactType");
    Ok(Answer::json(&call.engine.referrers(call.name(), kind, &credentials(call))?))
}

/// `GET /images/search`.
pub fn search(call: &Call) -> Outcome {
    #[derive(Serialize)]
    struct Row<'a> {
        star_count: i64,
        is_official: bool,
        name: &'a str,
        is_automated: bool,
        description: &'a str,
    }
    let query = &call.query;
    let limit = query.number::<u32>("limit")?.unwrap_or(HITS);
    if !(1..=MOST_HITS).contains(&limit) {
        return Err(Error::bad(format!("limit {limit} is outside the range of [1, {MOST_HITS}]")));
    }
    let filters = Filters::parse(query.text("filters"), &["is-official", "is-automated", "stars"])?;
    let stars = filters.one("stars")?.map(str::parse::<i64>).transpose();
    let stars = stars.map_err(|_| Error::bad("invalid filter 'stars'"))?;
    let official = filters.boolean("is-official")?;
    let automated = filters.boolean("is-automated")?;
    let hits = call.engine.search(query.text("term"), limit, &credentials(call))?;
    let rows = hits.iter().filter(|hit| {
        stars.is_none_or(|stars| hit.star_count >= stars)
            && official.is_none_or(|official| hit.is_official == official)
            && automated.is_none_or(|automated| hit.is_automated == automated)
    });
    let rows = rows.map(|hit| Row {
        star_count: hit.star_count,
        is_official: hit.is_official,
        name: &hit.name,
        is_automated: hit.is_automated,
        description: hit.description.as_deref().unwrap_or_default(),
    });
    Ok(Answer::json(&rows.collect::<Vec<_>>()))
}
