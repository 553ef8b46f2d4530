//! Words about containers that exist.

use super::{each, filters, pruned, sure, unless_missing};
use crate::{
    client::{Client, escape, query},
    error::{Error, Outcome},
    request,
    show::{self, plain},
    streams,
    words::{Kill, Logs, Names, Port, Prune, Rename, Rm, Stop, Top, Update},
};
use hyper::Method;
use serde_json::{Value, json};

fn path(name: &str, verb: &str) -> String {
    format!("/containers/{}/{verb}", escape(name))
}

/// A verb without arguments, to each; prints the names.
pub async fn order_each(client: &Client, names: &[String], verb: &str) -> Outcome {
    each(names, |name| async move {
        client.order(Method::POST, &path(&name, verb)).await?;
        Ok(Some(name))
    })
    .await
}

/// `stop` and `restart`
pub async fn stop(client: &Client, words: Stop, verb: &str) -> Outcome {
    let time = words.time.map(|seconds| seconds.to_string()).unwrap_or_default();
    let asked = query(&[("signal", &words.signal), ("t", &time)]);
    let asked = &asked;
    each(&words.names, |name| async move {
        client.order(Method::POST, &format!("{}{asked}", path(&name, verb))).await?;
        Ok(Some(name))
    })
    .await
}

/// `kill`
pub async fn kill(client: &Client, words: Kill) -> Outcome {
    let signal = &words.signal;
    each(&words.names, |name| async move {
        client
            .order(
                Method::POST,
                &format!("{}{}", path(&name, "kill"), query(&[("signal", signal)])),
            )
            .await?;
        Ok(Some(name))
    })
    .await
}

/// `rm`
pub async fn remove(client: &Client, words: Rm) -> Outcome {
    let on = |flag| if flag { "1" } else { "" };
    let asked =
        query(&[("force", on(words.force)), ("v", on(words.volumes)), ("link", on(words.link))]);
    let (asked, force) = (&asked, words.force);
    each(&words.names, |name| async move {
        let path = format!("/containers/{}{asked}", escape(&name));
        let gone = client.order(Method::DELETE, &path).await;
        Ok(unless_missing(gone, force)?.map(|()| name))
    })
    .await
}

/// `wait`
pub async fn wait(client: &Client, words: Names) -> Outcome {
    each(&words.names, |name| async move {
        let waited: Value = client.post(&path(&name, "wait"), &json!({})).await?;
        Ok(Some(plain(&waited["StatusCode"])))
    })
    .await
}

/// `rename`
pub async fn rename(client: &Client, words: Rename) -> Outcome {
    let asked = query(&[("name", &words.new_name)]);
    client.order(Method::POST, &format!("{}{asked}", path(&words.name, "rename"))).await?;
    Ok(0)
}

/// `logs`
pub async fn logs(client: &Client, words: Logs) -> Outcome {
    let container: Value = client.get(&path(&words.name, "json")).await?;
    let on = |flag| if flag { "1" } else { "" };
    let asked = query(&[
        ("stdout", "1"),
        ("stderr", "1"),
        ("follow", on(words.follow)),
        ("timestamps", on(words.timestamps)),
        ("details", on(words.details)),
        ("tail", &words.tail),
        ("since", &super::live::moment(&words.since)?),
        ("until", &super::live::moment(&words.until)?),
    ]);
    let answer =
        client.open(Method::GET, &format!("{}{asked}", path(&words.name, "logs")), "").await?;
    streams::body(answer.into_body(), container["Config"]["Tty"] == true).await?;
    Ok(0)
}

/// `top`
pub async fn top(client: &Client, words: Top) -> Outcome {
    let asked = query(&[("ps_args", &words.options.join(" "))]);
    let top: Value = client.get(&format!("{}{asked}", path(&words.name, "top"))).await?;
    let line = |row: &Value| row.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>();
    let mut lines = vec![line(&top["Titles"])];
    lines.extend(top["Processes"].as_array().into_iter().flatten().map(line));
    show::print(&show::columns(20, &lines))?;
    Ok(0)
}

/// `diff`
pub async fn diff(client: &Client, name: &str) -> Outcome {
    let changes: Option<Vec<Value>> = client.get(&path(name, "changes")).await?;
    let mut text = String::new();
    for change in changes.unwrap_or_default() {
        let kind = match change["Kind"].as_u64() {
            Some(0) => 'C',
            Some(1) => 'A',
            _ => 'D',
        };
        text.push_str(&format!("{kind} {}\n", plain(&change["Path"])));
    }
    show::print(&text)?;
    Ok(0)
}

/// `port`
pub async fn port(client: &Client, words: Port) -> Outcome {
    let container: Value = client.get(&path(&words.name, "json")).await?;
    let wanted = words
        .port
        .as_ref()
        .map(|port| if port.contains('/') { port.clone() } else { format!("{port}/tcp") });
    let mut lines = Vec::new();
    for (port, bindings) in container["NetworkSettings"]["Ports"].as_object().into_iter().flatten()
    {
        for binding in bindings.as_array().into_iter().flatten() {
            let (ip, host) = (plain(&binding["HostIp"]), plain(&binding["HostPort"]));
            let address =
                if ip.contains(':') { format!("[{ip}]:{host}") } else { format!("{ip}:{host}") };
            match &wanted {
                None => lines.push(format!("{port} -> {address}\n")),
                Some(wanted) if wanted == port => lines.push(format!("{address}\n")),
                Some(_) => {}
            }
        }
    }
    if let (Some(wanted), true) = (wanted, lines.is_empty()) {
        return Err(Error::Engine {
            status: 404,
            message: format!(
                "No public port '{}' published for {}",
                words.port.unwrap_or(wanted),
                words.name
            ),
        });
    }
    show::print(&lines.concat())?;
    Ok(0)
}

/// `update`
pub async fn update(client: &Client, words: Update) -> Outcome {
    let mut host = spec::docker::HostConfig::default();
    request::limits(&words.limits, &mut host)?;
    let all = serde_json::to_value(&host).map_err(|e| Error::Answer("update".into(), e))?;
    // Only what was given is sent: a zero means "as it is" to the engine.
    let mut body: serde_json::Map<_, _> = all
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| {
            is_limit(key) && !value.is_null() && **value != json!(0) && **value != json!("")
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if words.restart.is_some() {
        let policy = request::restart(words.restart.as_deref())?;
        body.insert("RestartPolicy".into(), json!(policy));
    }
    if !words.publish.is_empty() {
        body.insert("Publish".into(), json!(request::published(&words.publish)?));
    }
    if !words.unpublish.is_empty() {
        body.insert("Unpublish".into(), json!(words.unpublish));
    }
    ours(&words, &mut body)?;
    if !words.egress.is_empty() {
        body.insert("Egress".into(), json!(words.egress));
    }
    if body.is_empty() {
        let words = "you must provide one or more flags when using this command";
        return Err(Error::Unfit(words.into()));
    }
    let body = &body;
    each(&words.names, |name| async move {
        let updated: Value = client.post(&path(&name, "update"), body).await?;
        for warning in updated["Warnings"].as_array().into_iter().flatten() {
            eprintln!("WARNING: {}", plain(warning));
        }
        Ok(Some(name))
    })
    .await
}

/// Mounts and labels, which Docker's `update` has not.
fn ours(words: &Update, body: &mut serde_json::Map<String, Value>) -> Outcome<()> {
    let points = request::later_mounts(&words.volume, &words.mount, &words.tmpfs)?;
    if let Some(points) = points {
        body.insert("Mount".into(), points);
    }
    for (key, list) in [("Unmount", &words.unmount), ("Unlabel", &words.unlabel)] {
        if !list.is_empty() {
            body.insert(key.into(), json!(list));
        }
    }
    if !words.label.is_empty() {
        body.insert("Label".into(), json!(request::pairs(&words.label)?));
    }
    Ok(())
}

fn is_limit(key: &str) -> bool {
    key.starts_with("Cpu")
        || key.starts_with("Memory")
        || matches!(key, "BlkioWeight" | "NanoCpus" | "PidsLimit")
}

/// `container prune`: the bytes it freed, if it was wanted.
pub async fn prune(client: &Client, words: Prune) -> Outcome<Option<u64>> {
    if !sure(words.force, "all stopped containers")? {
        return Ok(None);
    }
    let asked = query(&[("filters", &filters(&words.filter)?)]);
    let done: Value = client.post(&format!("/containers/prune{asked}"), &json!({})).await?;
    pruned("Deleted Containers", &done["ContainersDeleted"], &done["SpaceReclaimed"]).map(Some)
}
