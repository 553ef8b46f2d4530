//! Starting services in order, each once those that it depends on have come
//! to what it waits for.

use super::stage::{Here, Stage};
use crate::{
    error::{Error, Outcome},
    show::plain,
};
use compose::Condition;
use hyper::Method;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How long between two looks at a container that is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// Starts services' containers that do not run; `before` is called with each
/// of them first.
pub async fn start<F>(
    stage: &Stage<'_>,
    wanted: &BTreeSet<String>,
    mut before: impl FnMut(Here) -> F,
) -> Outcome<()>
where
    F: Future<Output = Outcome<()>>,
{
    for name in compose::order(&stage.project)? {
        if !wanted.contains(&name) {
            continue;
        }
        let own = stage.of_services(std::slice::from_ref(&name)).await?;
        if own.iter().any(|here| !here.is_running()) {
            dependencies(stage, &name).await?;
        }
        for here in own {
            let running = here.is_running();
            let (id, container) = (here.id.clone(), here.name.clone());
            before(here).await?;
            if running {
                continue;
            }
            stage.tell("Container", &container, "Starting");
            stage.client.order(Method::POST, &format!("/containers/{id}/start")).await?;
            stage.tell("Container", &container, "Started");
        }
    }
    Ok(())
}

/// Waits for what a service depends on.
pub async fn dependencies(stage: &Stage<'_>, name: &str) -> Outcome<()> {
    let service = stage.project.service(name)?;
    for (other, on) in &service.depends_on {
        if on.condition == Condition::ServiceStarted || !stage.project.services.contains_key(other)
        {
            continue;
        }
        for here in stage.of_services(std::slice::from_ref(other)).await? {
            stage.tell("Container", &here.name, "Waiting");
            match come_to(stage, &here, on.condition).await {
                Ok(word) => stage.tell("Container", &here.name, word),
                Err(Error::Unfit(what)) if on.required => {
                    stage.tell("Container", &here.name, "Error");
                    return Err(Error::Unfit(format!("dependency failed to start: {what}")));
                }
                Err(Error::Unfit(what)) => {
                    eprintln!("WARNING: optional dependency {other:?} failed to start: {what}");
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Waits until a container has come to a condition; what that is called.
async fn come_to(stage: &Stage<'_>, here: &Here, condition: Condition) -> Outcome<&'static str> {
    loop {
        let state = state(stage, here).await?;
        let status = plain(&state["Status"]);
        let code = state["ExitCode"].as_i64().unwrap_or(0);
        let ended = matches!(&*status, "exited" | "dead");
        match condition {
            Condition::ServiceStarted if status == "running" => return Ok("Running"),
            Condition::ServiceHealthy => match state["Health"]["Status"].as_str() {
                _ if ended => {
                    return Err(Error::Unfit(format!("container {} exited ({code})", here.name)));
                }
                Some("healthy") => return Ok("Healthy"),
                Some("unhealthy") => {
                    return Err(Error::Unfit(format!("container {} is unhealthy", here.name)));
                }
                None | Some("none") if status == "running" => {
                    return Err(Error::Unfit(format!(
                        "container {} has no healthcheck configured",
                        here.name
                    )));
                }
                _ => {}
            },
            Condition::ServiceCompletedSuccessfully if ended && code == 0 => return Ok("Exited"),
            Condition::ServiceCompletedSuccessfully if ended => {
                return Err(Error::Unfit(format!(
                    "service {:?} didn't complete successfully: exit {code}",
                    here.service
                )));
            }
            _ => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn state(stage: &Stage<'_>, here: &Here) -> Outcome<Value> {
    let container: Value = stage.client.get(&format!("/containers/{}/json", here.id)).await?;
    Ok(container["State"].clone())
}

/// `up --wait`: until every container runs, and is healthy if it can be.
pub async fn until_ready(
    stage: &Stage<'_>,
    wanted: &BTreeSet<String>,
    limit: Option<u64>,
) -> Outcome<()> {
    let begun = Instant::now();
    let names: Vec<String> = wanted.iter().cloned().collect();
    for here in stage.of_services(&names).await? {
        stage.tell("Container", &here.name, "Waiting");
        loop {
            let state = state(stage, &here).await?;
            let health = state["Health"]["Status"].as_str();
            match (plain(&state["Status"]).as_str(), health) {
                ("running", None | Some("none" | "healthy")) => break,
                ("running", Some("unhealthy")) => {
                    return Err(Error::Unfit(format!("container {} is unhealthy", here.name)));
                }
                ("exited" | "dead", _) => {
                    let code = plain(&state["ExitCode"]);
                    return Err(Error::Unfit(format!("container {} exited ({code})", here.name)));
                }
                _ => {}
            }
            if limit.is_some_and(|limit| begun.elapsed() >= Duration::from_secs(limit)) {
                return Err(Error::Unfit("application not healthy after the time to wait".into()));
            }
            tokio::time::sleep(LOOK).await;
        }
        stage.tell("Container", &here.name, "Healthy");
    }
    Ok(())
}
