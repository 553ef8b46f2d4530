//! `compose up` and `create`: networks, volumes, images, and then containers,
//! each service behind those that it depends on.

use super::{
    containers::{Making, stop},
    follow, images,
    stage::{Here, Stage},
    waiting,
};
use crate::{
    client::{escape, query},
    error::{Error, Outcome},
    show::plain,
    words::ComposeUp,
};
use compose::{Found, Policy, Step, Wish, label, with_dependencies};
use hyper::Method;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// `up`
pub async fn up(stage: &Stage<'_>, words: ComposeUp) -> Outcome {
    check(&words)?;
    let wanted = converge(stage, &words).await?;
    if words.no_start {
        return Ok(0);
    }
    let attached = !(words.detach || words.wait);
    if attached {
        return follow::up(stage, &words, &wanted).await;
    }
    waiting::start(stage, &wanted, |_| async { Ok(()) }).await?;
    if words.wait {
        waiting::until_ready(stage, &wanted, words.wait_timeout).await?;
    }
    Ok(0)
}

/// `create`
pub async fn create(stage: &Stage<'_>, words: ComposeUp) -> Outcome {
    check(&words)?;
    converge(stage, &words).await?;
    Ok(0)
}

/// Words that contradict one another.
fn check(words: &ComposeUp) -> Outcome<()> {
    let aborts = words.abort_on_container_exit || words.exit_code_from.is_some();
    let background = words.detach || words.wait;
    for (one, other, names) in [
        (words.build, words.no_build, "--build and --no-build"),
        (words.force_recreate, words.no_recreate, "--force-recreate and --no-recreate"),
        (words.always_recreate_deps, words.no_recreate, "--always-recreate-deps and --no-recreate"),
        (words.detach, aborts, "--detach and --abort-on-container-exit or --exit-code-from"),
        (background, !words.attach.is_empty(), "--detach or --wait and --attach"),
        (background, words.attach_dependencies, "--detach or --wait and --attach-dependencies"),
    ] {
        if one && other {
            return Err(Error::Unfit(format!("{names} are incompatible")));
        }
    }
    Ok(())
}

/// Has everything there that the services need, and their containers, not
/// yet started. The services that are to run.
pub async fn converge(stage: &Stage<'_>, words: &ComposeUp) -> Outcome<BTreeSet<String>> {
    let project = &stage.project;
    let wanted = if words.no_deps {
        let names = words.services.iter();
        let named = names.map(|name| Ok(project.service(name)?.name.clone()));
        let named = named.collect::<Outcome<BTreeSet<_>>>()?;
        if named.is_empty() { project.services.keys().cloned().collect() } else { named }
    } else {
        with_dependencies(project, &words.services)?
    };
    let scale = scales(stage, &words.scale)?;
    if wanted.is_empty() {
        return Err(Error::Unfit("no service selected".into()));
    }
    let options = images::Wanted {
        build: words.build,
        no_build: words.no_build,
        pull: words.pull.as_deref(),
        quiet: words.quiet_pull || stage.is_quiet(),
    };
    let images = images::ensure(stage, &wanted, &options).await?;
    networks(stage, &wanted).await?;
    volumes(stage, &wanted).await?;
    orphans(stage, words.remove_orphans, words.timeout).await?;
    let all = stage.containers().await?;
    let mut there: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for here in all.iter().filter(|here| !here.once) {
        there.entry(here.service.clone()).or_default().push((here.id.clone(), here.name.clone()));
    }
    let mut making = Making { stage, there, images };
    let mut anew: BTreeSet<String> = BTreeSet::new();
    for name in compose::order(project)? {
        if wanted.contains(&name) {
            let count = scale.get(&name).copied();
            service(&mut making, &name, &all, words, count, &mut anew).await?;
        }
    }
    Ok(wanted)
}

/// `SERVICE=NUMBER`.
fn scales(stage: &Stage<'_>, words: &[String]) -> Outcome<BTreeMap<String, usize>> {
    let one = |word: &String| {
        let (name, count) = word.split_once('=').ok_or_else(|| {
            Error::Words(format!("invalid --scale {word:?}: SERVICE=NUMBER is wanted"))
        })?;
        let service = stage.project.service(name)?;
        let count: usize = count
            .parse()
            .map_err(|_| Error::Words(format!("invalid --scale {word:?}: no number")))?;
        if count > 1 && service.container_name.is_some() {
            return Err(Error::Unfit(format!(
                "service {name:?} has a container_name, which only one container can have"
            )));
        }
        Ok((name.to_owned(), count))
    };
    words.iter().map(one).collect()
}

/// Brings one service to what it is to be.
async fn service(
    making: &mut Making<'_>,
    name: &str,
    all: &[Here],
    words: &ComposeUp,
    count: Option<usize>,
    anew: &mut BTreeSet<String>,
) -> Outcome<()> {
    let stage = making.stage;
    let project = &stage.project;
    let service = project.service(name)?;
    let own: Vec<&Here> = all.iter().filter(|here| here.service == name && !here.once).collect();
    let found: Vec<Found> = own.iter().map(|here| found(here)).collect();
    let hash = project.hash(name);
    let replicas = usize::try_from(service.replicas()).unwrap_or(0);
    let named = words.services.is_empty() || words.services.iter().any(|s| s == name);
    let policy = match () {
        () if words.no_recreate => Policy::Never,
        () if words.force_recreate && named => Policy::Always,
        () if words.always_recreate_deps && !named => Policy::Always,
        // Who lives in another's namespace goes with it.
        () if joins(service).iter().any(|other| anew.contains(*other)) => Policy::Always,
        () => Policy::Changed,
    };
    let image = making.images.get(&compose::image(project, service)).cloned();
    let wish =
        Wish { count: count.unwrap_or(replicas), hash: &hash, image: image.as_deref(), policy };
    for step in compose::plan(&found, &wish) {
        let here = |found: &Found| own.iter().find(|here| here.id == found.id).copied();
        match step {
            Step::Create(number) => making.create(service, number).await?,
            Step::Keep(container) => {
                if here(&container).is_some_and(Here::is_running) {
                    if follows(service, anew) {
                        // It is started again behind the new one.
                        stop(stage, &container.id, words.timeout).await?;
                        stage.tell("Container", &container.name, "Stopped");
                    } else {
                        stage.tell("Container", &container.name, "Running");
                    }
                }
            }
            Step::Recreate(container) => {
                if let Some(here) = here(&container) {
                    let renew = words.renew_anon_volumes;
                    making.recreate(service, here, words.timeout, renew).await?;
                    anew.insert(name.to_owned());
                }
            }
            Step::Remove(container) => {
                remove(stage, &container.id, &container.name, words.timeout, false).await?;
                if let Some(there) = making.there.get_mut(name) {
                    there.retain(|(id, _)| *id != container.id);
                }
            }
        }
    }
    Ok(())
}

/// Whether a service is to start again because one that it depends on was
/// made anew (`restart: true`).
fn follows(service: &compose::Service, anew: &BTreeSet<String>) -> bool {
    service.depends_on.iter().any(|(name, on)| on.restart && anew.contains(name))
}

/// Services whose namespaces or volumes a service has.
fn joins(service: &compose::Service) -> Vec<&str> {
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    let joined = modes.into_iter().filter_map(|mode| mode.strip_prefix("service:"));
    let from = service.volumes_from.iter().map(|from| from.split(':').next().unwrap_or_default());
    joined.chain(from).collect()
}

fn found(here: &Here) -> Found {
    let word = |kind: &str| here.labels.get(&label(kind)).cloned().unwrap_or_default();
    Found {
        id: here.id.clone(),
        name: here.name.clone(),
        number: here.number,
        hash: word("config-hash"),
        image: word("image"),
    }
}

/// Stops a container and removes it, with its anonymous volumes if wanted.
pub async fn remove(
    stage: &Stage<'_>,
    id: &str,
    name: &str,
    timeout: Option<i64>,
    volumes: bool,
) -> Outcome<()> {
    stage.tell("Container", name, "Stopping");
    stop(stage, id, timeout).await?;
    stage.tell("Container", name, "Stopped");
    stage.tell("Container", name, "Removing");
    let asked = query(&[("force", "1"), ("v", if volumes { "1" } else { "" })]);
    stage.client.order(Method::DELETE, &format!("/containers/{id}{asked}")).await?;
    stage.tell("Container", name, "Removed");
    Ok(())
}

/// Containers of services that the files do not have any more.
pub async fn orphans(stage: &Stage<'_>, removes: bool, timeout: Option<i64>) -> Outcome<()> {
    let project = &stage.project;
    let known = |here: &Here| {
        project.services.contains_key(&here.service) || project.disabled.contains(&here.service)
    };
    let all = stage.containers().await?;
    let orphans: Vec<Here> = all.into_iter().filter(|here| !here.once && !known(here)).collect();
    if removes {
        for orphan in &orphans {
            remove(stage, &orphan.id, &orphan.name, timeout, false).await?;
        }
    } else if !orphans.is_empty() {
        let names: Vec<&str> = orphans.iter().map(|here| here.name.as_str()).collect();
        eprintln!(
            "WARNING: Found orphan containers ([{}]) for this project. If you removed or renamed \
             this service in your compose file, you can run this command with the \
             --remove-orphans flag to clean it up.",
            names.join(" ")
        );
    }
    Ok(())
}

/// One of the project's networks or volumes, none if there is none.
async fn inspect(stage: &Stage<'_>, path: &str) -> Outcome<Option<Value>> {
    match stage.client.get(path).await {
        Err(Error::Engine { status: 404, .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// Makes the networks that services are on.
pub async fn networks(stage: &Stage<'_>, wanted: &BTreeSet<String>) -> Outcome<()> {
    let project = &stage.project;
    let services = wanted.iter().filter_map(|name| project.services.get(name));
    let used: BTreeSet<&String> = services.flat_map(|service| service.networks.keys()).collect();
    for key in used {
        let Some(network) = project.networks.get(key) else { continue };
        let there = inspect(stage, &format!("/networks/{}", escape(&network.name))).await?;
        match there {
            Some(there) => {
                let owner = plain(&there["Labels"][label("project")]);
                if !network.external && owner != project.name {
                    eprintln!(
                        "WARNING: a network with name {} exists but was not created for project {:?}. Set `external: true` to use an existing network",
                        network.name, project.name
                    );
                }
            }
            None if network.external => {
                return Err(Error::Unfit(format!(
                    "network {} declared as external, but could not be found",
                    network.name
                )));
            }
            None => {
                stage.tell("Network", &network.name, "Creating");
                let body = compose::network_body(project, key, network);
                let _: Value = stage.client.post("/networks/create", &body).await?;
                stage.tell("Network", &network.name, "Created");
            }
        }
    }
    Ok(())
}

/// Makes the volumes that services mount.
pub async fn volumes(stage: &Stage<'_>, wanted: &BTreeSet<String>) -> Outcome<()> {
    let project = &stage.project;
    let services = wanted.iter().filter_map(|name| project.services.get(name));
    let mounts = services.flat_map(|service| &service.volumes);
    let used: BTreeSet<&String> =
        mounts.filter(|mount| mount.kind == "volume").map(|mount| &mount.source).collect();
    for key in used {
        let Some(volume) = project.volumes.get(key) else { continue };
        let there = inspect(stage, &format!("/volumes/{}", escape(&volume.name))).await?;
        match there {
            Some(there) => {
                let owner = plain(&there["Labels"][label("project")]);
                if !volume.external && owner != project.name {
                    let whose = match &*owner {
                        "" => "but was not created by Compose".to_owned(),
                        owner => format!(
                            "but was created for project {owner:?} (expected {:?})",
                            project.name
                        ),
                    };
                    eprintln!(
                        "WARNING: volume {:?} already exists {whose}. Use `external: true` to use an existing volume",
                        volume.name
                    );
                }
            }
            None if volume.external => {
                return Err(Error::Unfit(format!("external volume {:?} not found", volume.name)));
            }
            None => {
                let shown = format!("{:?}", volume.name);
                stage.tell("Volume", &shown, "Creating");
                let body = compose::volume_body(project, key, volume);
                let _: Value = stage.client.post("/volumes/create", &body).await?;
                stage.tell("Volume", &shown, "Created");
            }
        }
    }
    Ok(())
}
