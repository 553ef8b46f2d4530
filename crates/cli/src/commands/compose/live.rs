//! `compose events`, `top`, `stats`, `cp` and `port`: what the plain words do
//! to one container, to those of a project.

use super::{
    super::{containers, files, live},
    stage::{Here, Stage},
};
use crate::{
    client::query,
    error::{Error, Outcome},
    progress,
    show::{self, plain},
    words::{ComposeCp, ComposeEvents, ComposePort, ComposeStats, Copy, Port, Stats},
};
use compose::label;
use hyper::Method;
use serde_json::{Map, Value, json};

/// `events`
pub async fn events(stage: &Stage<'_>, words: ComposeEvents) -> Outcome {
    for name in &words.services {
        stage.project.service(name)?;
    }
    let wanted = format!("label={}={}", label("project"), stage.project.name);
    let filters = super::super::filters(&[wanted, "type=container".into()])?;
    let asked = query(&[
        ("since", &live::moment(&words.since)?),
        ("until", &live::moment(&words.until)?),
        ("filters", &filters),
    ]);
    let answer = stage.client.open(Method::GET, &format!("/events{asked}"), "").await?;
    progress::each(answer.into_body(), |event| {
        let attributes = event["Actor"]["Attributes"].as_object().cloned().unwrap_or_default();
        let service = attributes.get(&label("service")).map(plain).unwrap_or_default();
        let once = attributes.get(&label("oneoff")).is_some_and(|word| word == "True");
        if once || !(words.services.is_empty() || words.services.contains(&service)) {
            return Ok(());
        }
        show::print(&line(&event, attributes, &service, words.json))
    })
    .await?;
    Ok(0)
}

/// One event, without the labels that say whose it is.
fn line(event: &Value, mut attributes: Map<String, Value>, service: &str, json: bool) -> String {
    attributes.retain(|key, _| !key.starts_with(&label("")));
    let nanoseconds = event["timeNano"].as_i64().unwrap_or(0);
    let at = jiff::Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default();
    let (id, action) = (plain(&event["Actor"]["ID"]), plain(&event["Action"]));
    if json {
        let event = json!({
            "time": at.to_string(), "type": "container", "service": service, "id": id,
            "action": action, "attributes": attributes,
        });
        return format!("{event}\n");
    }
    let pairs: Vec<String> =
        attributes.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
    let at = at.strftime("%Y-%m-%d %H:%M:%S%.6f");
    format!("{at} container {action} {id} ({})\n", pairs.join(", "))
}

/// `top`
pub async fn top(stage: &Stage<'_>, services: &[String]) -> Outcome {
    let all = stage.of_services(services).await?;
    for here in all.iter().filter(|here| here.is_running()) {
        let top: Value = stage.client.get(&format!("/containers/{}/top", here.id)).await?;
        let line =
            |row: &Value| row.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>();
        let mut lines = vec![line(&top["Titles"])];
        lines.extend(top["Processes"].as_array().into_iter().flatten().map(line));
        show::print(&format!("{}\n{}\n", here.name, show::columns(7, &lines)))?;
    }
    Ok(0)
}

/// `stats`
pub async fn stats(stage: &Stage<'_>, words: ComposeStats) -> Outcome {
    let all = stage.of_services(&words.services).await?;
    let names: Vec<String> =
        all.into_iter().filter(|here| words.all || here.is_running()).map(|here| here.id).collect();
    if names.is_empty() {
        return Err(Error::Unfit("no container of the project is running".into()));
    }
    let words = Stats {
        names,
        all: words.all,
        no_stream: words.no_stream,
        no_trunc: words.no_trunc,
        format: words.format,
    };
    live::stats(stage.client, words).await
}

/// `cp`
pub async fn copy(stage: &Stage<'_>, words: ComposeCp) -> Outcome {
    let mut ends = Vec::new();
    for end in [&words.source, &words.target] {
        ends.push(match files::split(end) {
            None => end.clone(),
            Some((service, path)) => {
                format!("{}:{path}", container(stage, service, words.index).await?.id)
            }
        });
    }
    let target = ends.pop().unwrap_or_default();
    let source = ends.pop().unwrap_or_default();
    let words = Copy {
        source,
        target,
        archive: words.archive,
        follow_link: words.follow_link,
        quiet: true,
    };
    files::copy(stage.client, words).await
}

/// A container of a service, whether it runs or not.
async fn container(stage: &Stage<'_>, service: &str, index: Option<i64>) -> Outcome<Here> {
    let all = stage.of_services(&[service.to_owned()]).await?;
    let mut wanted = all.into_iter().filter(|here| index.is_none_or(|index| here.number == index));
    let missing = || Error::Unfit(format!("no container found for service {service:?}"));
    wanted.next().ok_or_else(missing)
}

/// `port`
pub async fn port(stage: &Stage<'_>, words: ComposePort) -> Outcome {
    if !matches!(&*words.protocol, "tcp" | "udp" | "sctp") {
        return Err(Error::Words(format!("unknown protocol {:?}: tcp or udp", words.protocol)));
    }
    let here = container(stage, &words.service, words.index).await?;
    let port = format!("{}/{}", words.port, words.protocol);
    containers::port(stage.client, Port { name: here.name, port: Some(port) }).await
}
