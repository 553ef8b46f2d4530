//! `network …`

use super::{each, filters, pruned, sure, system, unless_missing};
use crate::{
    client::{Client, escape, query},
    error::Outcome,
    request, show,
    show::{Listing, plain, short},
    template,
    words::{List, Network, NetworkConnect, NetworkCreate},
};
use hyper::Method;
use serde_json::{Value, json};

/// Any word about networks.
pub async fn run(client: &Client, words: Network) -> Outcome {
    match words {
        Network::Create(words) => create(client, words).await,
        Network::Ls(words) => list(client, words).await,
        Network::Inspect(words) => system::inspect_kind(client, words, "network").await,
        Network::Rm(words) => {
            let force = words.force;
            each(&words.names, |name| async move {
                let path = format!("/networks/{}", escape(&name));
                let gone = client.order(Method::DELETE, &path).await;
                Ok(unless_missing(gone, force)?.map(|()| name))
            })
            .await
        }
        Network::Connect(words) => connect(client, words, "connect").await,
        Network::Disconnect(words) => connect(client, words, "disconnect").await,
        Network::Prune(words) => {
            if sure(words.force, "all custom networks not used by at least one container")? {
                let asked = query(&[("filters", &filters(&words.filter)?)]);
                let done: Value =
                    client.post(&format!("/networks/prune{asked}"), &json!({})).await?;
                pruned("Deleted Networks", &done["NetworksDeleted"], &Value::Null)?;
            }
            Ok(0)
        }
    }
}

async fn create(client: &Client, words: NetworkCreate) -> Outcome {
    let at = |list: &[String], n: usize| list.get(n).cloned().unwrap_or_default();
    let auxiliary = request::pairs(&words.aux_address)?;
    let pools = words.subnet.len().max(words.gateway.len()).max(words.ip_range.len());
    let pools: Vec<Value> = (0..pools)
        .map(|n| {
            let mut pool = json!({"Subnet": at(&words.subnet, n), "Gateway": at(&words.gateway, n), "IPRange": at(&words.ip_range, n)});
            if n == 0 && !auxiliary.is_empty() {
                pool["AuxiliaryAddresses"] = json!(auxiliary);
            }
            pool
        })
        .collect();
    let body = json!({
        "Name": words.name,
        "Driver": words.driver,
        "Internal": words.internal,
        "Attachable": words.attachable,
        "EnableIPv6": words.ipv6,
        "IPAM": {"Driver": "default", "Config": pools},
        "Options": request::pairs(&words.opt)?,
        "Labels": request::pairs(&words.label)?,
    });
    let made: Value = client.post("/networks/create", &body).await?;
    show::print(&format!("{}\n", plain(&made["Id"])))?;
    Ok(0)
}

async fn connect(client: &Client, words: NetworkConnect, verb: &str) -> Outcome {
    let body = json!({
        "Container": words.container,
        "Force": words.force,
        "EndpointConfig": {
            "Aliases": words.alias,
            "IPAMConfig": {"IPv4Address": words.ip.unwrap_or_default(), "IPv6Address": words.ip6.unwrap_or_default()},
        },
    });
    let path = format!("/networks/{}/{verb}", escape(&words.network));
    client.open(Method::POST, &path, body.to_string()).await?;
    Ok(0)
}

async fn list(client: &Client, words: List) -> Outcome {
    let asked = query(&[("filters", &filters(&words.filter)?)]);
    let networks: Vec<Value> = client.get(&format!("/networks{asked}")).await?;
    let rows: Vec<Value> = networks
        .iter()
        .map(|network| {
            let id = plain(&network["Id"]);
            let labels = network["Labels"].as_object().into_iter().flatten();
            let labels: Vec<String> =
                labels.map(|(key, value)| format!("{key}={}", plain(value))).collect();
            json!({
                "ID": if words.no_trunc { &id } else { short(&id) },
                "Name": network["Name"],
                "Driver": network["Driver"],
                "Scope": network["Scope"],
                "IPv4": network["EnableIPv4"].to_string(),
                "IPv6": network["EnableIPv6"].to_string(),
                "Internal": network["Internal"].to_string(),
                "CreatedAt": show::stamp(&plain(&network["Created"])),
                "Labels": labels.join(","),
                (template::LABELS): network["Labels"],
            })
        })
        .collect();
    if words.quiet {
        let ids: String = rows.iter().map(|row| plain(&row["ID"]) + "\n").collect();
        show::print(&ids)?;
        return Ok(0);
    }
    let columns =
        [("NETWORK ID", "ID"), ("NAME", "Name"), ("DRIVER", "Driver"), ("SCOPE", "Scope")];
    let more = [
        ("IPV4", "IPv4"),
        ("IPV6", "IPv6"),
        ("INTERNAL", "Internal"),
        ("CREATED AT", "CreatedAt"),
        ("LABELS", "Labels"),
    ];
    let listing = Listing { columns: &columns, more: &more, rows };
    show::print(&listing.text(words.format.as_deref())?)?;
    Ok(0)
}
