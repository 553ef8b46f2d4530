//! `ps`: containers as rows.

use super::{filters, ports};
use crate::{
    client::{Client, query},
    error::Outcome,
    show::{self, Listing, ago, plain, short, since, size},
    words::Ps,
};
use serde_json::{Value, json};

/// `ps`
pub async fn list(client: &Client, words: Ps) -> Outcome {
    let on = |flag| if flag { "1" } else { "" };
    // -1 is what is meant when nothing is said.
    let last = if words.latest { Some(1) } else { words.last.filter(|n| *n != -1) };
    let asks_size = words.format.as_deref().is_some_and(|format| format.contains(".Size"));
    let limit = last.filter(|n| *n > 0).map(|n| n.to_string()).unwrap_or_default();
    let asked = query(&[
        ("all", on(words.all || last.is_some())),
        ("limit", &limit),
        ("size", on(words.size || asks_size)),
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

pub fn row(container: &Value, whole: bool) -> Value {
    let id = plain(&container["Id"]);
    let (image, command) = (plain(&container["Image"]), plain(&container["Command"]));
    let shown = if whole { command } else { cut(&command, 20) };
    let names: Vec<String> =
        list_of(&container["Names"], |name| plain(name).trim_start_matches('/').to_owned());
    let labels = container["Labels"].as_object().into_iter().flatten();
    let labels: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", plain(value))).collect();
    let mounts = list_of(&container["Mounts"], |mount| {
        let named = plain(&mount["Name"]);
        let named = if named.is_empty() { plain(&mount["Source"]) } else { named };
        if whole { named } else { cut(&named, 15) }
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
        "Image": if whole { image.as_str() } else { named(&image) },
        "Command": format!("\"{shown}\""),
        "CreatedAt": show::day(created),
        "RunningFor": ago(since(created)),
        "Status": plain(&container["Status"]),
        "State": plain(&container["State"]),
        "Ports": ports::text(&container["Ports"]),
        "Names": names.join(","),
        "Labels": labels.join(","),
        "Mounts": mounts.join(","),
        "Networks": networks.join(","),
        "LocalVolumes": volumes.to_string(),
        "Platform": template::NOTHING,
        (template::LABELS): container["Labels"],
        "Size": if root > 0 { format!("{} (virtual {})", size(written), size(root)) } else { size(written) },
    })
}

/// An image as the list names it: without digests, unless it is nothing else.
fn named(image: &str) -> &str {
    match image.split_once('@') {
        Some((name, _)) => name,
        None if image.starts_with("sha256:") => short(image),
        None => image,
    }
}

/// The first characters, an ellipsis being the last of them.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn list_of(list: &Value, show: impl Fn(&Value) -> String) -> Vec<String> {
    list.as_array().into_iter().flatten().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_is_cut() {
        let container =
            json!({"Id": "a".repeat(64), "Command": "sleep 1000000000000000000", "Names": ["/x"]});
        assert_eq!(row(&container, false)["Command"], "\"sleep 1000000000000…\"");
        assert_eq!(row(&container, false)["Names"], "x");
        assert_eq!(named(&format!("sha256:{}", "a".repeat(64))), "aaaaaaaaaaaa");
        assert_eq!(named("busybox@sha256:00"), "busybox");
    }
}
