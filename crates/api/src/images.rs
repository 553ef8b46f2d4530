//! Images: lists, `inspect`, names, `history`, `commit`. Moving them in and
//! out is in `transfer`.

use crate::answer::{Answer, Outcome};
use crate::call::{Call, Version};
use crate::error::Error;
use crate::filter::Filters;
use crate::glob;
use crate::when;
use engine::{CommitWish, Deleted, ImageDetail, ImageSummary};
use serde::Serialize;
use spec::docker::{Config, Empty, Healthcheck, Words};
use spec::ports::PortSet;
use std::collections::BTreeMap;

/// Up to which clients name images in a parameter of their own, `filter`.
const HAD_FILTER: Version = Version(40);
/// Up to which clients expect `VirtualSize`.
const HAD_VIRTUAL_SIZE: Version = Version(43);
/// Up to which a nameless image is listed with words for "none".
const HAD_NONE: Version = Version(42);
/// Up to which an image has the configuration of the container it was made of.
const HAD_CONTAINER_CONFIG: Version = Version(44);
/// Up to which an image's `Config` has all fields of a container's.
const HAD_A_CONTAINERS: Version = Version(49);

const FILTERS: &[&str] = &["before", "dangling", "label", "label!", "reference", "since", "until"];

/// A row of the list; also in `system df`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed<'a> {
    containers: i64,
    created: u64,
    id: &'a str,
    labels: Option<&'a BTreeMap<String, String>>,
    parent_id: &'a str,
    repo_digests: Vec<&'a str>,
    repo_tags: Vec<&'a str>,
    shared_size: i64,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
}

impl<'a> Listed<'a> {
    /// Lays an image out; `shared` bytes if they were counted.
    pub fn of(image: &'a ImageSummary, shared: Option<u64>, version: Version) -> Self {
        let texts = |list: &'a [String]| list.iter().map(String::as_str).collect::<Vec<_>>();
        let (mut tags, mut digests) = (texts(&image.repo_tags), texts(&image.repo_digests));
        if version <= HAD_NONE && tags.is_empty() && digests.is_empty() {
            (tags, digests) = (vec!["<none>:<none>"], vec!["<none>@<none>"]);
        }
        Self {
            containers: i64::try_from(image.containers).unwrap_or(i64::MAX),
            created: when::seconds(image.created),
            id: &image.id,
            labels: (!image.labels.is_empty()).then_some(&image.labels),
            parent_id: &image.parent,
            repo_digests: digests,
            repo_tags: tags,
            shared_size: shared.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            size: image.size,
            virtual_size: (version <= HAD_VIRTUAL_SIZE).then_some(image.size),
        }
    }
}

/// `GET /images/json`.
pub fn list(call: &Call) -> Outcome {
    let query = &call.query;
    let mut filters = Filters::parse(query.text("filters"), FILTERS)?;
    if let Some(wanted) = query.get("filter").filter(|wanted| !wanted.is_empty())
        && call.version <= HAD_FILTER
    {
        filters = filters.with("reference", wanted);
    }
    let created = |key| -> Result<Option<u64>, Error> {
        let Some(name) = filters.one(key)? else { return Ok(None) };
        Ok(Some(call.engine.image(name)?.summary.created))
    };
    let (before, since) = (created("before")?, created("since")?);
    let until = match filters.one("until")? {
        Some(text) => Some(when::nanos(when::instant(text, jiff::Timestamp::now())?)),
        None => None,
    };
    let dangling = filters.boolean("dangling")?;
    let mut images = call.engine.images(query.flag("all"))?;
    images.retain(|image| {
        before.is_none_or(|before| image.created < before)
            && since.is_none_or(|since| image.created > since)
            && until.is_none_or(|until| image.created < until)
            && dangling.is_none_or(|dangling| image.repo_tags.is_empty() == dangling)
            && filters.labels(&image.labels)
    });
    if filters.has("reference") {
        for image in &mut images {
            let fits = |name: &String| filters.any("reference", |wanted| names(wanted, name));
            image.repo_tags.retain(fits);
            image.repo_digests.retain(fits);
        }
        images.retain(|image| !image.repo_tags.is_empty() || !image.repo_digests.is_empty());
    }
    let rows: Vec<_> = images.iter().map(|i| Listed::of(i, None, call.version)).collect();
    Ok(Answer::json(&rows))
}

/// Does a pattern fit a reference, with or without its tag or digest?
fn names(pattern: &str, reference: &str) -> bool {
    let bare = match reference.split_once('@') {
        Some((name, _)) => name,
        None => match reference.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => reference,
        },
    };
    glob::fits(pattern, reference) || glob::fits(pattern, bare)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected<'a> {
    id: &'a str,
    repo_tags: &'a [String],
    repo_digests: &'a [String],
    parent: &'a str,
    comment: &'a str,
    created: String,
    docker_version: &'static str,
    author: &'a str,
    /// Always empty: nobody keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    container_config: Option<ImageConfig<'a>>,
    config: ImageConfig<'a>,
    architecture: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    variant: &'a str,
    os: &'a str,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
    graph_driver: GraphDriver,
    #[serde(rename = "RootFS")]
    root_fs: RootFs<'a>,
    metadata: Metadata,
}

/// What of a container's configuration an image has.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ImageConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    args_escaped: Option<bool>,
    cmd: Option<&'a Words>,
    entrypoint: Option<&'a Words>,
    env: Option<&'a [String]>,
    #[serde(skip_serializing_if = "PortSet::is_empty")]
    exposed_ports: &'a PortSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<&'a Healthcheck>,
    labels: Option<&'a BTreeMap<String, String>>,
    on_build: Option<&'a Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<&'a Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<&'a str>,
    user: &'a str,
    volumes: Option<&'a BTreeMap<String, Empty>>,
    working_dir: &'a str,
    #[serde(flatten)]
    of_a_container: Option<OfAContainer>,
}

/// What an image's configuration had of a container's, always empty.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct OfAContainer {
    hostname: &'static str,
    domainname: &'static str,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    image: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    data: Option<BTreeMap<String, String>>,
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    layers: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    last_tag_time: String,
}

/// `GET /images/{name}/json`.
pub fn inspect(call: &Call) -> Outcome {
    let ImageDetail { summary, comment, author, architecture, variant, os, config, layers, tagged } =
        call.engine.image(call.name())?;
    let nothing = Config::default();
    let of_its_container = || ImageConfig {
        env: None,
        of_a_container: Some(OfAContainer::default()),
        ..ImageConfig::of(&nothing, call.version)
    };
    Ok(Answer::json(&Inspected {
        id: &summary.id,
        repo_tags: &summary.repo_tags,
        repo_digests: &summary.repo_digests,
        parent: &summary.parent,
        comment: &comment,
        created: when::rfc3339(summary.created),
        docker_version: "",
        author: &author,
        container_config: (call.version <= HAD_CONTAINER_CONFIG).then(of_its_container),
        config: ImageConfig::of(&config, call.version),
        architecture: &architecture,
        variant: &variant,
        os: &os,
        size: summary.size,
        virtual_size: (call.version <= HAD_VIRTUAL_SIZE).then_some(summary.size),
        graph_driver: GraphDriver { data: None, name: "overlay2" },
        root_fs: RootFs { kind: "layers", layers: &layers },
        metadata: Metadata { last_tag_time: when::rfc3339(tagged) },
    }))
}

impl<'a> ImageConfig<'a> {
    fn of(config: &'a Config, version: Version) -> Self {
        Self {
            args_escaped: config.args_escaped,
            cmd: config.cmd.as_ref(),
            entrypoint: config.entrypoint.as_ref(),
            env: (!config.env.is_empty()).then_some(&*config.env),
            exposed_ports: &config.exposed_ports,
            healthcheck: config.healthcheck.as_ref(),
            labels: (!config.labels.is_empty()).then_some(&config.labels),
            on_build: config.on_build.as_ref(),
            shell: config.shell.as_ref(),
            stop_signal: config.stop_signal.as_deref(),
            user: &config.user,
            volumes: config.volumes.as_ref(),
            working_dir: &config.working_dir,
            of_a_container: (version <= HAD_A_CONTAINERS).then(OfAContainer::default),
        }
    }
}

/// `GET /images/{name}/history`.
pub fn history(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Item {
        id: String,
        created: u64,
        created_by: String,
        tags: Option<Vec<String>>,
        size: u64,
        comment: String,
    }
    let items = call.engine.history(call.name())?.into_iter().map(|item| Item {
        id: item.id,
        created: when::seconds(item.created),
        created_by: item.created_by,
        tags: (!item.tags.is_empty()).then_some(item.tags),
        size: item.size,
        comment: item.comment,
    });
    Ok(Answer::json(&items.collect::<Vec<_>>()))
}

/// `POST /images/{name}/tag`.
pub fn tag(call: &Call) -> Outcome {
    call.engine.tag(call.name(), call.query.text("repo"), call.query.text("tag"))?;
    Ok(Answer::status(hyper::StatusCode::CREATED))
}

/// What happened to a name or an image.
#[derive(Serialize)]
pub enum Removal {
    /// A name went.
    Untagged(String),
    /// An image or layer went.
    Deleted(String),
}

impl From<Deleted> for Removal {
    fn from(deleted: Deleted) -> Self {
        match deleted {
            Deleted::Untagged(name) => Self::Untagged(name),
            Deleted::Deleted(id) => Self::Deleted(id),
        }
    }
}

/// `DELETE /images/{name}`.
pub fn remove(call: &Call) -> Outcome {
    let (force, prune) = (call.query.flag("force"), !call.query.flag("noprune"));
    let removed = call.engine.remove_image(call.name(), force, prune)?;
    Ok(Answer::json(&removed.into_iter().map(Removal::from).collect::<Vec<_>>()))
}

/// `POST /images/prune`.
pub fn prune(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        images_deleted: Option<Vec<Removal>>,
        space_reclaimed: u64,
    }
    let filters =
        Filters::parse(call.query.text("filters"), &["dangling", "label", "label!", "until"])?;
    filters.boolean("dangling")?;
    let pruned = call.engine.prune_images(&filters.for_engine())?;
    let images: Vec<_> = pruned.images.into_iter().map(Removal::from).collect();
    Ok(Answer::json(&Body {
        images_deleted: (!images.is_empty()).then_some(images),
        space_reclaimed: pruned.reclaimed,
    }))
}

/// `repository` and `tag` of a query as one reference.
pub fn reference(repository: &str, tag: &str) -> Option<String> {
    match (repository, tag) {
        ("", _) => None,
        (repository, "") => Some(repository.to_owned()),
        (repository, digest) if digest.contains(':') => Some(format!("{repository}@{digest}")),
        (repository, tag) => Some(format!("{repository}:{tag}")),
    }
}

/// `POST /commit`.
pub fn commit(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        id: String,
    }
    let query = &call.query;
    let wish = CommitWish {
        reference: reference(query.text("repo"), query.text("tag")),
        comment: query.text("comment").to_owned(),
        author: query.text("author").to_owned(),
        pause: query.flag_or("pause", true),
        changes: changes(call),
        config: call.json::<Option<Config>>()?.flatten(),
    };
    let container = query.text("container");
    if container.is_empty() {
        return Err(Error::bad("invalid name or ID supplied: \"\""));
    }
    let id = call.engine.commit(container, &wish)?;
    Ok(Answer::created(&Body { id }))
}

/// The instructions of a query, one a line.
pub fn changes(call: &Call) -> Vec<String> {
    let lines = call.query.all("changes").iter().flat_map(|text| text.lines());
    lines.filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_clients_find_what_an_image_never_has() {
        let fields = |version| {
            let config = Config::default();
            let value = serde_json::to_value(ImageConfig::of(&config, Version(version)));
            let value = value.expect("plain data");
            ["Hostname", "Tty", "StdinOnce", "Image"].map(|field| value.get(field).cloned())
        };
        let empty = [Some("".into()), Some(false.into()), Some(false.into()), Some("".into())];
        assert_eq!(fields(49), empty);
        assert_eq!(fields(50), [None, None, None, None]);
    }

    #[test]
    fn a_pattern_fits_a_name_with_or_without_its_tag() {
        for pattern in ["alpine", "alpine:3.10", "alp*", "alpine:3*", "*:3.10"] {
            assert!(names(pattern, "alpine:3.10"), "{pattern}");
        }
        assert!(names("localhost:5000/a", "localhost:5000/a"));
        assert!(names("quay.io/*/b", "quay.io/a/b:1"));
        assert!(!names("*", "quay.io/a:1"), "a star ends at a slash");
        assert!(names("a", "a@sha256:00"));
    }

    #[test]
    fn a_digest_is_joined_by_its_own_sign() {
        assert_eq!(reference("a/b", "1").as_deref(), Some("a/b:1"));
        assert_eq!(reference("a/b", "sha256:0").as_deref(), Some("a/b@sha256:0"));
        assert_eq!(reference("a/b", "").as_deref(), Some("a/b"));
        assert_eq!(reference("", "1"), None);
    }
}
