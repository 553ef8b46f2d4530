//! Words about containers that exist.

use super::{each, filters, pruned, sure};
use crate::{
    client::{Client, escape, query},
    error::{Error, Outcome},
    request,
    show::{self, Listing, ago, plain, short, since, size},
    streams,
    words::{Kill, Logs, Names, Port, Prune, Ps, Rename, Rm, Stop, Top, Update},
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
        match client.order(Method::DELETE, &format!("/containers/{}{asked}", escape(&name))).await {
            Err(Error::Engine { status: 404, .. }) if force => Ok(None),
            other => other.map(|()| Some(name)),
        }
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
    show::print(&show::columns(&lines))?;
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
            message: format!("no public port '{wanted}' published for {}", words.name),
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

fn is_limit(key: &str) -> bool {
    key.starts_with("Cpu")
        || key.starts_with("Memory")
        || matches!(key, "BlkioWeight" | "NanoCpus" | "PidsLimit")
}

/// `container prune`
pub async fn prune(client: &Client, words: Prune) -> Outcome {
    if sure(words.force, "all stopped containers")? {
        let asked = query(&[("filters", &filters(&words.filter)?)]);
        let done: Value = client.post(&format!("/containers/prune{asked}"), &json!({})).await?;
        pruned("Deleted Containers", &done["ContainersDeleted"], &done["SpaceReclaimed"])?;
    }
    Ok(0)
}

/// `ps`
pub async fn list(client: &Client, words: Ps) -> Outcome {
    let on = |flag| if flag { "1" } else { "" };
    let last = if words.latest { Some(1) } else { words.last };
    let limit = last.filter(|n| *n > 0).map(|n| n.to_string()).unwrap_or_default();
    let asked = query(&[
        ("all", on(words.all || last.is_some())),
        ("limit", &limit),
        ("size", on(words.size)),
        ("filters", &filters(&words.filter)?),
    ]);
    let containers: Vec<Value> = client.get(&format!("/containers/json{asked}")).await?;
    let rows: Vec<Value> = containers.iter().map(|c| row(c, words.no_trunc)).collect();
    if words.quiet {
        let ids: String = rows.iter().map(|row| plain(&row["ID"]) + "\n").collect();
        show::print(&ids)?;
        return Ok(0);
    }
    let mut columns = vec![
        ("CONTAINER ID", "ID"),
        ("IMAGE", "Image"),
        ("COMMAND", "Command"),
        ("CREATED", "RunningFor"),
        ("STATUS", "Status"),
        ("PORTS", "Ports"),
        ("NAMES", "Names"),
    ];
    if words.size {
        columns.push(("SIZE", "Size"));
    }
    let more = [
        ("SIZE", "Size"),
        ("LABELS", "Labels"),
        ("MOUNTS", "Mounts"),
        ("NETWORKS", "Networks"),
        ("CREATED AT", "CreatedAt"),
        ("STATE", "State"),
        ("LOCAL VOLUMES", "LocalVolumes"),
    ];
    let listing = Listing { columns: &columns, more: &more, rows };
    show::print(&listing.text(words.format.as_deref())?)?;
    Ok(0)
}

fn row(container: &Value, whole: bool) -> Value {
    let id = plain(&container["Id"]);
    let command = plain(&container["Command"]);
    let shown = if whole || command.chars().count() <= 20 {
        command
    } else {
        command.chars().take(19).chain(['…']).collect()
    };
    let names: Vec<String> =
        list_of(&container["Names"], |name| plain(name).trim_start_matches('/').to_owned());
    let labels = container["Labels"].as_object().into_iter().flatten();
    let labels: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", plain(value))).collect();
    let mounts = list_of(&container["Mounts"], |mount| {
        let named = plain(&mount["Name"]);
        if named.is_empty() { plain(&mount["Source"]) } else { named }
    });
    let networks = container["NetworkSettings"]["Networks"].as_object();
    let networks: Vec<&str> =
        networks.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let volumes = container["Mounts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|m| m["Type"] == "volume")
        .count();
    let created = container["Created"].as_i64().unwrap_or(0);
    let written = container["SizeRw"].as_u64().unwrap_or(0);
    let root = container["SizeRootFs"].as_u64().unwrap_or(0);
    json!({
        "ID": if whole { &id } else { short(&id) },
        "Image": plain(&container["Image"]),
        "Command": format!("\"{shown}\""),
        "CreatedAt": jiff::Timestamp::from_second(created).map(|t| t.to_string()).unwrap_or_default(),
        "RunningFor": ago(since(created)),
        "Status": plain(&container["Status"]),
        "State": plain(&container["State"]),
        "Ports": ports(&container["Ports"]),
        "Names": names.join(","),
        "Labels": labels.join(","),
        "Mounts": mounts.join(","),
        "Networks": networks.join(","),
        "LocalVolumes": volumes.to_string(),
        "Size": if root > 0 { format!("{} (virtual {})", size(written), size(root)) } else { size(written) },
    })
}

fn list_of(list: &Value, show: impl Fn(&Value) -> String) -> Vec<String> {
    list.as_array().into_iter().flatten().map(show).collect()
}

/// `0.0.0.0:8080->80/tcp, 443/tcp`.
fn ports(list: &Value) -> String {
    let mut shown: Vec<(u64, String)> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            let (inside, kind) = (port["PrivatePort"].as_u64().unwrap_or(0), plain(&port["Type"]));
            let text = match port["PublicPort"].as_u64().filter(|outside| *outside > 0) {
                Some(outside) => {
                    let ip = plain(&port["IP"]);
                    let ip = if ip.contains(':') { format!("[{ip}]") } else { ip };
                    format!("{ip}:{outside}->{inside}/{kind}")
                }
                None => format!("{inside}/{kind}"),
            };
            (inside, text)
        })
        .collect();
    shown.sort();
    shown.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports_are_dockers_text() {
        let list = json!([
            {"PrivatePort": 443, "Type": "tcp"},
            {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        ]);
        assert_eq!(ports(&list), "[::]:8080->80/tcp, 443/tcp");
    }

    #[test]
    fn a_long_command_is_cut() {
        let container =
            json!({"Id": "a".repeat(64), "Command": "sleep 1000000000000000000", "Names": ["/x"]});
        assert_eq!(row(&container, false)["Command"], "\"sleep 1000000000000…\"");
        assert_eq!(row(&container, false)["Names"], "x");
    }
}
