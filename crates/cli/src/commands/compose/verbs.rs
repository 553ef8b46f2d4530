//! `compose start`, `stop`, `restart`, `kill`, `pause`, `unpause` and `exec`:
//! a verb to containers that are there.

use super::{containers::stop as stop_one, down::levels, stage::Stage, waiting};
use crate::{
    client::query,
    commands::exec as plain_exec,
    error::{Error, Outcome},
    terminal,
    words::{ComposeExec, ComposeKill, ComposeRestart, ComposeStop, Exec, Services},
};
use hyper::Method;
use std::collections::BTreeSet;

/// `start`
pub async fn start(stage: &Stage<'_>, words: Services) -> Outcome {
    let all = stage.of_services(&words.services).await?;
    for service in stage.project.services.values() {
        let name = &service.name;
        let asked = words.services.is_empty() || words.services.contains(name);
        let none = !all.iter().any(|here| here.service == *name);
        if asked && none && service.replicas() > 0 {
            return Err(Error::Unfit(format!("service {name:?} has no container to start")));
        }
    }
    let wanted: BTreeSet<String> = all.iter().map(|here| here.service.clone()).collect();
    waiting::start(stage, &wanted, |_| async { Ok(()) }).await?;
    Ok(0)
}

/// `stop`
pub async fn stop(stage: &Stage<'_>, words: ComposeStop) -> Outcome {
    let all = stage.of_services(&words.services).await?;
    for level in levels(stage)? {
        for here in all.iter().filter(|here| level.contains(&here.service) && here.is_running()) {
            stage.tell("Container", &here.name, "Stopping");
            stop_one(stage, &here.id, words.timeout).await?;
            stage.tell("Container", &here.name, "Stopped");
        }
    }
    Ok(0)
}

/// `restart`: the services named, and those that want to be with them.
pub async fn restart(stage: &Stage<'_>, words: ComposeRestart) -> Outcome {
    for name in &words.services {
        stage.project.service(name)?;
    }
    let mut wanted: BTreeSet<String> = match &words.services[..] {
        [] => stage.project.services.keys().cloned().collect(),
        some => some.iter().cloned().collect(),
    };
    if !words.no_deps {
        for service in stage.project.services.values() {
            let restarts = |(name, on): (&String, &compose::Dependency)| {
                on.restart && words.services.contains(name)
            };
            if service.depends_on.iter().any(restarts) {
                wanted.insert(service.name.clone());
            }
        }
    }
    let names: Vec<String> = wanted.iter().cloned().collect();
    let all = stage.of_services(&names).await?;
    let time = words.timeout.map(|seconds| seconds.to_string()).unwrap_or_default();
    for name in compose::order(&stage.project)? {
        if wanted.contains(&name) {
            waiting::dependencies(stage, &name).await?;
        }
        for here in all.iter().filter(|here| here.service == name) {
            stage.tell("Container", &here.name, "Restarting");
            let path = format!("/containers/{}/restart{}", here.id, query(&[("t", &time)]));
            stage.client.order(Method::POST, &path).await?;
            stage.tell("Container", &here.name, "Started");
        }
    }
    Ok(0)
}

/// `kill`
pub async fn kill(stage: &Stage<'_>, words: ComposeKill) -> Outcome {
    let all = stage.of_services(&words.services).await?;
    for here in all.iter().filter(|here| here.is_running()) {
        let path = format!("/containers/{}/kill{}", here.id, query(&[("signal", &words.signal)]));
        stage.client.order(Method::POST, &path).await?;
        stage.tell("Container", &here.name, "Killed");
    }
    Ok(0)
}

/// `pause` and `unpause`
pub async fn freeze(stage: &Stage<'_>, services: &[String], verb: &str, done: &str) -> Outcome {
    let from = if verb == "pause" { "running" } else { "paused" };
    for here in stage.of_services(services).await?.iter().filter(|here| here.state == from) {
        stage.client.order(Method::POST, &format!("/containers/{}/{verb}", here.id)).await?;
        stage.tell("Container", &here.name, done);
    }
    Ok(0)
}

/// `exec`
pub async fn exec(stage: &Stage<'_>, words: ComposeExec) -> Outcome {
    let here = stage.one(&words.service, words.index).await?;
    let tty = !words.no_tty && !words.detach && terminal::is_input();
    let words = Exec {
        detach: words.detach,
        interactive: !words.detach,
        tty,
        env: words.env,
        env_file: Vec::new(),
        user: words.user,
        workdir: words.workdir,
        privileged: words.privileged,
        detach_keys: None,
        name: here.id,
        command: words.command,
    };
    plain_exec::exec(stage.client, words).await
}
