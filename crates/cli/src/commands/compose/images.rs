//! Services' images: `compose build`, `pull`, `push`, and what `up` does of
//! the three.

use super::{
    super::{build as plain_build, registries},
    stage::Stage,
};
use crate::{
    client::escape,
    error::{Error, Outcome},
    show::plain,
    words::{Build, ComposeBuild, ComposePull, ComposePush, Push},
};
use compose::{Service, image, with_dependencies};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
};

/// What `up` and `run` want of images.
pub struct Wanted<'a> {
    pub build: bool,
    pub no_build: bool,
    /// In place of each service's own policy.
    pub pull: Option<&'a str>,
    pub quiet: bool,
}

/// Has all images there that services need; their identifiers by name.
pub async fn ensure(
    stage: &Stage<'_>,
    wanted: &BTreeSet<String>,
    options: &Wanted<'_>,
) -> Outcome<BTreeMap<String, String>> {
    let project = &stage.project;
    let mut images = BTreeMap::new();
    for service in wanted.iter().filter_map(|name| project.services.get(name)) {
        let name = image(project, service);
        if images.contains_key(&name) {
            continue;
        }
        let there = identifier(stage, &name).await?;
        let policy = options.pull.unwrap_or(&service.pull_policy);
        let there = match wish(service, policy, there.is_some(), options)? {
            Wish::Nothing => there,
            Wish::Build => {
                build_one(
                    stage,
                    service,
                    &ComposeBuild { quiet: options.quiet, ..ComposeBuild::default() },
                )
                .await?;
                identifier(stage, &name).await?
            }
            Wish::Pull => {
                stage.tell("Image", &name, "Pulling");
                registries::fetch(stage.client, &name, &service.platform, options.quiet).await?;
                stage.tell("Image", &name, "Pulled");
                identifier(stage, &name).await?
            }
        };
        let missing =
            || Error::Unfit(format!("no such image: {name}: it is neither here nor to be built"));
        images.insert(name.clone(), there.ok_or_else(missing)?);
    }
    Ok(images)
}

/// How an image is come by.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Build,
    Pull,
}

fn wish(service: &Service, policy: &str, there: bool, options: &Wanted<'_>) -> Outcome<Wish> {
    let builds = service.build.is_some() && !options.no_build;
    let build = options.build || policy == "build";
    Ok(match policy {
        _ if builds && build => Wish::Build,
        "always" if service.build.is_none() || !service.image.is_empty() => Wish::Pull,
        "never" | "build" if !builds => Wish::Nothing,
        "never" | "build" | "" | "missing" | "if_not_present" | "policy" | "always" if there => {
            Wish::Nothing
        }
        "never" => Wish::Nothing,
        "" | "missing" | "if_not_present" | "policy" | "build" | "always" if builds => Wish::Build,
        "" | "missing" | "if_not_present" | "policy" | "build" | "always" => Wish::Pull,
        other => {
            return Err(Error::Unfit(format!(
                "service {:?}: the pull policy {other:?} is not carried: always, missing, never or build",
                service.name
            )));
        }
    })
}

/// An image's identifier, if it is here.
async fn identifier(stage: &Stage<'_>, name: &str) -> Outcome<Option<String>> {
    match stage.client.get::<Value>(&format!("/images/{}/json", escape(name))).await {
        Err(Error::Engine { status: 404, .. }) => Ok(None),
        image => Ok(Some(plain(&image?["Id"]))),
    }
}

/// `build`
pub async fn build(stage: &Stage<'_>, words: ComposeBuild) -> Outcome {
    let project = &stage.project;
    let wanted = chosen(stage, &words.services, words.with_dependencies)?;
    // What is built may be the base of what is built after it.
    for name in compose::order(project)?.iter().filter(|name| wanted.contains(*name)) {
        let service = project.service(name)?;
        if service.build.is_some() {
            build_one(stage, service, &words).await?;
            if words.push {
                push_one(stage, service, words.quiet).await?;
            }
        }
    }
    Ok(0)
}

fn chosen(stage: &Stage<'_>, names: &[String], deep: bool) -> Outcome<BTreeSet<String>> {
    if deep || names.is_empty() {
        return Ok(with_dependencies(&stage.project, names)?);
    }
    let name = |name: &String| Ok(stage.project.service(name)?.name.clone());
    names.iter().map(name).collect()
}

/// Builds a service's image by the words of `build`.
async fn build_one(stage: &Stage<'_>, service: &Service, words: &ComposeBuild) -> Outcome<()> {
    let Some(build) = &service.build else { return Ok(()) };
    let refused = |what: &str| {
        Error::Unfit(format!(
            "service {:?}: build.{what} is not carried here: `docker compose build` has it on this engine",
            service.name
        ))
    };
    for (said, what) in [
        (!build.ssh.is_empty(), "ssh"),
        (!build.additional_contexts.is_empty(), "additional_contexts"),
        (!build.cache_to.is_empty(), "cache_to"),
        (!build.entitlements.is_empty(), "entitlements"),
        (build.privileged, "privileged"),
        (build.platforms.len() > 1, "platforms (more than one)"),
        (!matches!(&*build.isolation, "" | "default"), "isolation"),
    ] {
        if said {
            return Err(refused(what));
        }
    }
    let name = image(&stage.project, service);
    let inline = match &build.dockerfile_inline {
        None => None,
        Some(text) => Some(written(text).map_err(|source| Error::Host {
            doing: "write",
            what: "the inline Dockerfile".into(),
            source,
        })?),
    };
    let file = match (&inline, &build.dockerfile) {
        (Some(file), _) => Some(file.path().display().to_string()),
        (None, Some(file)) if !file.starts_with('/') && !build.context.contains("://") => {
            Some(format!("{}/{file}", build.context))
        }
        (None, file) => file.clone(),
    };
    let pairs = |map: &BTreeMap<String, String>| {
        map.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    let mut args = pairs(&build.args);
    args.extend(words.build_arg.iter().cloned());
    let platform = build.platforms.first().unwrap_or(&service.platform).clone();
    let limits = compose::ulimits(&build.ulimits).unwrap_or_default();
    let asked = Build {
        context: build.context.clone(),
        file,
        tag: std::iter::once(name.clone()).chain(build.tags.iter().cloned()).collect(),
        build_arg: args,
        label: pairs(&build.labels),
        target: build.target.clone(),
        no_cache: build.no_cache || words.no_cache,
        pull: build.pull || words.pull,
        cache_from: build.cache_from.clone(),
        network: build.network.clone(),
        add_host: build.extra_hosts.clone(),
        platform,
        quiet: words.quiet,
        progress: "plain".into(),
        secret: secrets(stage, build)?,
        rm: true,
        memory: words.memory.clone(),
        shm_size: (build.shm_size.0 > 0).then(|| build.shm_size.0.to_string()),
        ulimit: limits.iter().map(|l| format!("{}={}:{}", l.name, l.soft, l.hard)).collect(),
        ..Build::default()
    };
    stage.tell("Image", &name, "Building");
    plain_build::build(stage.client, asked).await?;
    stage.tell("Image", &name, "Built");
    Ok(())
}

fn written(text: &str) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Secrets of a build, in the words of `build`.
fn secrets(stage: &Stage<'_>, build: &compose::Build) -> Outcome<Vec<String>> {
    let one = |grant: &compose::Grant| {
        let missing =
            || Error::Unfit(format!("build.secrets: {} is no secret of the project", grant.source));
        let secret = stage.project.secrets.get(&grant.source).ok_or_else(missing)?;
        let id = grant.target.as_ref().unwrap_or(&grant.source);
        match (&secret.file, &secret.environment) {
            (Some(file), _) => Ok(format!("id={id},src={file}")),
            (None, Some(variable)) => Ok(format!("id={id},env={variable}")),
            (None, None) => Err(Error::Unfit(format!(
                "build.secrets: {} is neither a file nor a variable",
                grant.source
            ))),
        }
    };
    build.secrets.iter().map(one).collect()
}

/// `pull`
pub async fn pull(stage: &Stage<'_>, words: ComposePull) -> Outcome {
    if let Some(policy) = words.policy.as_deref().filter(|p| !matches!(*p, "missing" | "always")) {
        return Err(Error::Words(format!("invalid --policy {policy:?}: missing or always")));
    }
    let project = &stage.project;
    let wanted = chosen(stage, &words.services, words.include_deps)?;
    let mut seen = BTreeSet::new();
    for service in wanted.iter().filter_map(|name| project.services.get(name)) {
        let name = &service.image;
        if name.is_empty() || !seen.insert(name.clone()) {
            continue;
        }
        if words.ignore_buildable && service.build.is_some() {
            stage.tell("Image", name, "Skipped - Image can be built");
            continue;
        }
        let kept = words.policy.as_deref() == Some("missing") || service.pull_policy == "missing";
        if kept && identifier(stage, name).await?.is_some() {
            stage.tell("Image", name, "Skipped - Image is already present locally");
            continue;
        }
        stage.tell("Image", name, "Pulling");
        let quiet = words.quiet || stage.is_quiet();
        match registries::fetch(stage.client, name, &service.platform, quiet).await {
            Err(error) if words.ignore_pull_failures || service.build.is_some() => {
                eprintln!("WARNING: {name}: {error}");
            }
            other => {
                other?;
                stage.tell("Image", name, "Pulled");
            }
        }
    }
    Ok(0)
}

/// `push`
pub async fn push(stage: &Stage<'_>, words: ComposePush) -> Outcome {
    let project = &stage.project;
    let wanted = chosen(stage, &words.services, words.include_deps)?;
    for service in wanted.iter().filter_map(|name| project.services.get(name)) {
        if service.build.is_none() || service.image.is_empty() {
            stage.tell("Image", &image(project, service), "Skipped - nothing of its own to push");
            continue;
        }
        match push_one(stage, service, words.quiet || stage.is_quiet()).await {
            Err(error) if words.ignore_push_failures => {
                eprintln!("WARNING: {}: {error}", service.image);
            }
            other => other?,
        }
    }
    Ok(0)
}

async fn push_one(stage: &Stage<'_>, service: &Service, quiet: bool) -> Outcome<()> {
    let name = image(&stage.project, service);
    stage.tell("Image", &name, "Pushing");
    let words = Push { image: name.clone(), quiet, ..Push::default() };
    registries::push(stage.client, words).await?;
    stage.tell("Image", &name, "Pushed");
    Ok(())
}
