//! `compose down` and `rm`: what `up` made, taken away again, those services
//! first that no other depends on.

use super::{
    containers::stop,
    stage::{Here, Stage},
};
use crate::{
    client::{Client, escape, query},
    error::{Error, Outcome},
    words::{ComposeDown, ComposeRm},
};
use compose::image;
use hyper::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::task::JoinSet;

/// `down`
pub async fn down(stage: &Stage<'_>, words: ComposeDown) -> Outcome {
    if let Some(which) = words.rmi.as_deref().filter(|which| !matches!(*which, "all" | "local")) {
        return Err(Error::Words(format!("invalid value for --rmi: {which:?}: all or local")));
    }
    let all = stage.containers().await?;
    for name in &words.services {
        stage.project.service(name)?;
    }
    let chosen = |here: &Here| match &words.services[..] {
        [] => stage.project.services.contains_key(&here.service),
        some => some.contains(&here.service),
    };
    let known = |here: &Here| {
        stage.project.services.contains_key(&here.service)
            || stage.project.disabled.contains(&here.service)
    };
    for level in levels(stage)? {
        let level = all.iter().filter(|here| level.contains(&here.service) && chosen(here));
        remove_all(stage, level, words.timeout, words.volumes).await?;
    }
    if words.services.is_empty() && words.remove_orphans {
        let orphans = all.iter().filter(|here| !known(here));
        remove_all(stage, orphans, words.timeout, words.volumes).await?;
    }
    if let Some(which) = &words.rmi {
        images(stage, which, &words.services).await?;
    }
    if words.volumes && words.services.is_empty() {
        volumes(stage).await?;
    }
    if words.services.is_empty() {
        networks(stage).await?;
    }
    Ok(0)
}

/// Services by how many stand between them and those that nobody depends on:
/// the first level can go at once.
pub fn levels(stage: &Stage<'_>) -> Outcome<Vec<BTreeSet<String>>> {
    let mut order = compose::order(&stage.project)?;
    order.reverse();
    let dependents = compose::dependents(&stage.project);
    let mut levels: Vec<BTreeSet<String>> = Vec::new();
    for name in order {
        let above = dependents.get(&*name).into_iter().flatten();
        let behind =
            above.filter_map(|other| levels.iter().position(|level| level.contains(*other)));
        let level = behind.max().map_or(0, |level| level + 1);
        if levels.len() == level {
            levels.push(BTreeSet::new());
        }
        levels[level].insert(name);
    }
    Ok(levels)
}

/// Stops and removes containers side by side.
async fn remove_all(
    stage: &Stage<'_>,
    all: impl Iterator<Item = &Here>,
    timeout: Option<i64>,
    volumes: bool,
) -> Outcome<()> {
    let mut going = JoinSet::new();
    for here in all {
        stage.tell("Container", &here.name, "Stopping");
        let (client, here) = (stage.client.clone(), here.clone());
        going.spawn(async move {
            let gone = gone(&client, &here.id, timeout, volumes).await;
            (here, gone)
        });
    }
    while let Some(done) = going.join_next().await {
        let (here, gone) = done.map_err(|error| Error::Unfit(error.to_string()))?;
        gone?;
        stage.tell("Container", &here.name, "Removed");
    }
    Ok(())
}

async fn gone(client: &Client, id: &str, timeout: Option<i64>, volumes: bool) -> Outcome<()> {
    let time = timeout.map(|seconds| seconds.to_string()).unwrap_or_default();
    let path = format!("/containers/{id}/stop{}", query(&[("t", &time)]));
    let asked = query(&[("force", "1"), ("v", if volumes { "1" } else { "" })]);
    for (method, path) in
        [(Method::POST, path), (Method::DELETE, format!("/containers/{id}{asked}"))]
    {
        match client.order(method, &path).await {
            // One that removes itself at its end (`run --rm`) may be faster.
            Err(Error::Engine { status: 404, .. }) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

/// Images of services, all or those that got their names from the project.
async fn images(stage: &Stage<'_>, which: &str, services: &[String]) -> Outcome<()> {
    let project = &stage.project;
    let wanted = project.services.values().filter(|service| {
        (services.is_empty() || services.contains(&service.name))
            && (which == "all" || service.image.is_empty())
    });
    for name in wanted.map(|service| image(project, service)).collect::<BTreeSet<_>>() {
        let path = format!("/images/{}", escape(&name));
        match stage.client.json::<Value>(Method::DELETE, &path, bytes::Bytes::new()).await {
            Ok(_) => stage.tell("Image", &name, "Removed"),
            Err(Error::Engine { status: 404, .. }) => {
                stage.tell("Image", &name, "Warning: No resource found to remove");
            }
            Err(Error::Engine { status: 409, .. }) => {
                stage.tell("Image", &name, "Resource is still in use");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Volumes of the project's own.
async fn volumes(stage: &Stage<'_>) -> Outcome<()> {
    let mut names: BTreeSet<String> =
        stage.project.volumes.values().filter(|v| !v.external).map(|v| v.name.clone()).collect();
    if stage.project.files.is_empty() {
        names.extend(labelled(stage, "/volumes", "Volumes").await?);
    }
    for name in names {
        forget(stage, "Volume", &name, &format!("/volumes/{}", escape(&name))).await?;
    }
    Ok(())
}

/// Networks of the project's own.
async fn networks(stage: &Stage<'_>) -> Outcome<()> {
    let mut names: BTreeSet<String> =
        stage.project.networks.values().filter(|n| !n.external).map(|n| n.name.clone()).collect();
    if stage.project.files.is_empty() {
        names.extend(labelled(stage, "/networks", "").await?);
    }
    for name in names {
        forget(stage, "Network", &name, &format!("/networks/{}", escape(&name))).await?;
    }
    Ok(())
}

/// Names of things with the project's label.
async fn labelled(stage: &Stage<'_>, path: &str, field: &str) -> Outcome<Vec<String>> {
    let wanted = format!("label={}={}", compose::label("project"), stage.project.name);
    let asked = query(&[("filters", &super::super::filters(&[wanted])?)]);
    let answer: Value = stage.client.get(&format!("{path}{asked}")).await?;
    let list = if field.is_empty() { &answer } else { &answer[field] };
    let names = list.as_array().into_iter().flatten().map(|one| crate::show::plain(&one["Name"]));
    Ok(names.collect())
}

/// Removes one thing; that it is not there is as good, that others use it is
/// told and no failure.
async fn forget(stage: &Stage<'_>, kind: &str, name: &str, path: &str) -> Outcome<()> {
    match stage.client.order(Method::DELETE, path).await {
        Ok(()) => stage.tell(kind, name, "Removed"),
        Err(Error::Engine { status: 404, .. }) => {}
        Err(Error::Engine { status: 403 | 409, .. }) => {
            stage.tell(kind, name, "Resource is still in use");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// `rm`
pub async fn remove(stage: &Stage<'_>, words: ComposeRm) -> Outcome {
    let mut all = stage.of_services(&words.services).await?;
    if words.stop {
        for here in all.iter().filter(|here| here.is_running()) {
            stop(stage, &here.id, None).await?;
            stage.tell("Container", &here.name, "Stopped");
        }
    } else {
        all.retain(|here| !here.is_running());
    }
    if all.is_empty() {
        eprintln!("No stopped containers");
        return Ok(0);
    }
    let names: Vec<&str> = all.iter().map(|here| here.name.as_str()).collect();
    if !super::super::sure(words.force, &names.join(", "))? {
        return Ok(0);
    }
    for here in &all {
        gone(stage.client, &here.id, None, words.volumes).await?;
        stage.tell("Container", &here.name, "Removed");
    }
    Ok(0)
}
