//! `compose ps`: the project's containers as rows.

use super::{
    super::ps as plain_ps,
    stage::{Here, Stage},
};
use crate::{
    error::{Error, Outcome},
    show::{self, Listing, plain, short},
    words::ComposePs,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// States that one may ask for.
const STATES: [&str; 7] =
    ["paused", "restarting", "removing", "running", "dead", "created", "exited"];

/// `ps`
pub async fn list(stage: &Stage<'_>, words: ComposePs) -> Outcome {
    for name in &words.names {
        stage.project.service(name)?;
    }
    let mut states: Vec<String> = words.status.iter().map(|state| state.to_lowercase()).collect();
    for filter in &words.filter {
        match filter.split_once('=') {
            Some(("status", state)) => states.push(state.to_lowercase()),
            _ => {
                return Err(Error::Words(format!(
                    "invalid filter {filter:?}: status=STATUS is wanted"
                )));
            }
        }
    }
    if let Some(bad) = states.iter().find(|state| !STATES.contains(&&***state)) {
        return Err(Error::Words(format!("unknown status {bad:?}: one of {}", STATES.join(", "))));
    }
    let known = |here: &Here| stage.project.services.contains_key(&here.service);
    let wanted = |here: &Here| {
        let named = words.names.is_empty() || words.names.contains(&here.service);
        let orphan = words.orphans && words.names.is_empty();
        let state = match &states[..] {
            [] => words.all || here.is_running(),
            states => states.contains(&here.state),
        };
        named && state && (known(here) || orphan) && (!here.once || words.all || here.is_running())
    };
    let all: Vec<Here> = stage.containers().await?.into_iter().filter(wanted).collect();
    if words.quiet {
        return show::print(&lines(all.iter().map(|here| here.id.clone()))).map(|()| 0);
    }
    if words.services {
        let services: BTreeSet<String> = all.iter().map(|here| here.service.clone()).collect();
        return show::print(&lines(services.into_iter())).map(|()| 0);
    }
    let mut rows = Vec::new();
    for here in &all {
        rows.push(row(stage, here, words.no_trunc).await?);
    }
    rows.sort_by_key(|row| plain(&row["Name"]));
    let columns = [
        ("NAME", "Name"),
        ("IMAGE", "Image"),
        ("COMMAND", "Command"),
        ("SERVICE", "Service"),
        ("CREATED", "RunningFor"),
        ("STATUS", "Status"),
        ("PORTS", "Ports"),
    ];
    let more = [
        ("CONTAINER ID", "ID"),
        ("STATE", "State"),
        ("HEALTH", "Health"),
        ("EXIT CODE", "ExitCode"),
        ("PROJECT", "Project"),
        ("LABELS", "Labels"),
        ("CREATED AT", "CreatedAt"),
    ];
    let listing = Listing { columns: &columns, more: &more, rows };
    show::print(&listing.text(words.format.as_deref())?)?;
    Ok(0)
}

fn lines(all: impl Iterator<Item = String>) -> String {
    all.map(|line| line + "\n").collect()
}

/// The row of `ps`, and what only a project has.
async fn row(stage: &Stage<'_>, here: &Here, whole: bool) -> Outcome<Value> {
    let mut row = plain_ps::row(&here.row, whole);
    let container: Value = stage.client.get(&format!("/containers/{}/json", here.id)).await?;
    let state = &container["State"];
    row["Name"] = json!(here.name);
    row["Service"] = json!(here.service);
    row["Project"] = json!(stage.project.name);
    row["Health"] = json!(plain(&state["Health"]["Status"]));
    row["ExitCode"] = json!(state["ExitCode"].as_i64().unwrap_or(0));
    row["ID"] = json!(if whole { &here.id } else { short(&here.id) });
    row["Publishers"] = publishers(&here.row["Ports"]);
    Ok(row)
}

/// Ports as Compose's JSON has them.
fn publishers(ports: &Value) -> Value {
    let port = |port: &Value| {
        json!({
            "URL": plain(&port["IP"]),
            "TargetPort": port["PrivatePort"].as_u64().unwrap_or(0),
            "PublishedPort": port["PublicPort"].as_u64().unwrap_or(0),
            "Protocol": plain(&port["Type"]),
        })
    };
    ports.as_array().into_iter().flatten().map(port).collect()
}
