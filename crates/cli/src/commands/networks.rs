//! `network …`

use super::{each, filters, pruned, sure, system, unless_missing};
use crate::{
    client::{Client, escape, query},
    error::{Error, Outcome},
    request, show,
    show::{Listing, plain, short},
    words::{List, Network, NetworkConnect, NetworkCreate, NetworkDisconnect},
};
use hyper::Method;
use serde_json::{Value, json};
use std::net::IpAddr;

/// Any word about networks.
pub async fn run(client: &Client, words: Network) -> Outcome {
    match words {
        Network::Create(words) => create(client, *words.0).await,
        Network::Ls(words) => list(client, *words.0).await,
        Network::Inspect(words) => system::inspect_kind(client, *words.0, "network").await,
        Network::Rm(words) => {
            let force = words.force;
            each(&words.names, |name| async move {
                let path = format!("/networks/{}", escape(&name));
                let gone = client.order(Method::DELETE, &path).await;
                Ok(unless_missing(gone, force)?.map(|()| name))
            })
            .await
        }
        Network::Update(words) => {
            let body = &json!({ "Egress": words.egress });
            each(&words.names, |name| async move {
                let path = format!("/networks/{}/update", escape(&name));
                client.open(Method::POST, &path, body.to_string()).await?;
                Ok(Some(name))
            })
            .await
        }
        Network::Connect(words) => connect(client, *words.0).await,
        Network::Disconnect(words) => disconnect(client, *words.0).await,
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
    let pools = pools(&words)?;
    let mut body = json!({
        "Name": words.name,
        "Driver": words.driver,
        "Internal": words.internal,
        "Attachable": words.attachable,
        "IPAM": {
            "Driver": words.ipam_driver,
            "Options": request::pairs(&words.ipam_opt)?,
            "Config": pools,
        },
        "Options": request::pairs(&words.opt)?,
        "Labels": request::pairs(&words.label)?,
        "Scope": words.scope.unwrap_or_default(),
        "ConfigOnly": words.config_only,
    });
    if let Some(name) = words.config_from {
        body["ConfigFrom"] = json!({"Network": name});
    }
    if !words.egress.is_empty() {
        if !body["Options"]["cofferdam.egress"].is_null() {
            let words = "the egress policy is said twice: leave the option out";
            return Err(Error::Words(words.into()));
        }
        body["Options"]["cofferdam.egress"] = json!(words.egress.join(","));
    }
    for (key, said) in [("EnableIPv4", words.ipv4), ("EnableIPv6", words.ipv6)] {
        if let Some(said) = said {
            body[key] = json!(said);
        }
    }
    let made: Value = client.post("/networks/create", &body).await?;
    show::print(&format!("{}\n", plain(&made["Id"])))?;
    Ok(0)
}

/// The subnets, each with the range, gateway and addresses that lie in it.
fn pools(words: &NetworkCreate) -> Outcome<Vec<Value>> {
    let wrong = |words: String| Error::Words(words);
    let net = |text: &str| {
        let (address, length) = text.split_once('/')?;
        Some((address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?))
    };
    let within = |subnet: &str, address: IpAddr| {
        // What is no subnet is the engine's to refuse.
        net(subnet).is_some_and(|(base, length)| same_start(base, address, length))
    };
    let mut pools: Vec<(String, Value)> = Vec::new();
    for subnet in &words.subnet {
        pools.push((subnet.clone(), json!({"Subnet": subnet})));
    }
    if pools.is_empty() && !(words.gateway.is_empty() && words.ip_range.is_empty()) {
        let words = "every ip-range or gateway must have a corresponding subnet";
        return Err(wrong(words.into()));
    }
    let mut put = |kind: &str, key: &str, text: &str, address: &str| {
        let parsed: IpAddr =
            address.parse().map_err(|_| wrong(format!("invalid {kind}: {text:?}")))?;
        let pool = pools.iter_mut().find(|(subnet, _)| within(subnet, parsed));
        let (_, pool) =
            pool.ok_or_else(|| wrong(format!("no matching subnet for {kind} {text}")))?;
        if let Some(name) = key.strip_prefix("AuxiliaryAddresses/") {
            pool["AuxiliaryAddresses"][name] = json!(text);
            return Ok(());
        }
        if !pool[key].is_null() {
            return Err(wrong(format!("cannot configure multiple {kind}s on one subnet")));
        }
        pool[key] = json!(text);
        Ok(())
    };
    for range in &words.ip_range {
        let address = range.split('/').next().unwrap_or_default();
        put("range", "IPRange", range, address)?;
    }
    for gateway in &words.gateway {
        put("gateway", "Gateway", gateway, gateway)?;
    }
    for (name, address) in request::pairs(&words.aux_address)? {
        put("aux-address", &format!("AuxiliaryAddresses/{name}"), &address, &address)?;
    }
    Ok(pools.into_iter().map(|(_, pool)| pool).collect())
}

/// Do two addresses of one family begin with the same bits?
fn same_start(a: IpAddr, b: IpAddr, bits: u8) -> bool {
    let of = |address| match address {
        IpAddr::V4(a) => (u128::from(u32::from(a)), 32),
        IpAddr::V6(a) => (u128::from(a), 128),
    };
    let ((a, width), (b, other)) = (of(a), of(b));
    let rest = u32::from(width).saturating_sub(u32::from(bits));
    width == other && bits <= width && (a ^ b).checked_shr(rest).unwrap_or(0) == 0
}

async fn connect(client: &Client, words: NetworkConnect) -> Outcome {
    let many = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let mut ipam = json!({});
    for (key, address) in [("IPv4Address", words.ip), ("IPv6Address", words.ip6)] {
        if let Some(address) = address {
            ipam[key] = json!(address);
        }
    }
    if let Some(addresses) = many(words.link_local_ip) {
        ipam["LinkLocalIPs"] = json!(addresses);
    }
    let body = json!({
        "Container": words.container,
        "EndpointConfig": {
            "Aliases": many(words.alias),
            "Links": many(words.link),
            "DriverOpts": request::pairs(&words.driver_opt)?,
            "GwPriority": words.gw_priority,
            "IPAMConfig": ipam,
        },
    });
    let path = format!("/networks/{}/connect", escape(&words.network));
    client.open(Method::POST, &path, body.to_string()).await?;
    Ok(0)
}

async fn disconnect(client: &Client, words: NetworkDisconnect) -> Outcome {
    let body = json!({"Container": words.container, "Force": words.force});
    let path = format!("/networks/{}/disconnect", escape(&words.network));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(subnets: &[&str]) -> NetworkCreate {
        NetworkCreate {
            name: "n".into(),
            driver: "bridge".into(),
            subnet: subnets.iter().map(ToString::to_string).collect(),
            gateway: Vec::new(),
            ip_range: Vec::new(),
            aux_address: Vec::new(),
            internal: false,
            attachable: false,
            ipv4: None,
            ipv6: None,
            ipam_driver: "default".into(),
            ipam_opt: Vec::new(),
            scope: None,
            config_only: false,
            config_from: None,
            label: Vec::new(),
            opt: Vec::new(),
            egress: Vec::new(),
        }
    }

    #[test]
    fn what_belongs_to_a_subnet_is_found_by_its_address() {
        let pools = pools(&NetworkCreate {
            gateway: vec!["fd00::1".into(), "10.0.0.1".into()],
            ip_range: vec!["10.0.0.128/25".into()],
            aux_address: vec!["r=10.0.0.9".into()],
            ..words(&["10.0.0.0/24", "fd00::/64"])
        });
        let expected = json!([
            {"Subnet": "10.0.0.0/24", "IPRange": "10.0.0.128/25", "Gateway": "10.0.0.1",
             "AuxiliaryAddresses": {"r": "10.0.0.9"}},
            {"Subnet": "fd00::/64", "Gateway": "fd00::1"},
        ]);
        assert_eq!(json!(pools.expect("valid")), expected);
    }

    #[test]
    fn what_belongs_to_no_subnet_is_refused_in_dockers_words() {
        let told = |words: NetworkCreate| pools(&words).expect_err("refused").to_string();
        let gateway = vec!["10.9.0.1".to_owned()];
        let lost = NetworkCreate { gateway: gateway.clone(), ..words(&["10.0.0.0/24"]) };
        assert_eq!(told(lost), "no matching subnet for gateway 10.9.0.1");
        let alone = NetworkCreate { gateway, ..words(&[]) };
        assert_eq!(told(alone), "every ip-range or gateway must have a corresponding subnet");
        let range = NetworkCreate { ip_range: vec!["x".into()], ..words(&["10.0.0.0/24"]) };
        assert_eq!(told(range), "invalid range: \"x\"");
    }

    #[test]
    fn bits_are_compared_within_one_family() {
        let ip = |text: &str| text.parse().expect("an address");
        assert!(same_start(ip("10.0.0.0"), ip("10.0.0.255"), 24));
        assert!(!same_start(ip("10.0.0.0"), ip("10.0.1.0"), 24));
        assert!(!same_start(ip("10.0.0.0"), ip("::ffff:10.0.0.0"), 0));
        assert!(same_start(ip("0.0.0.0"), ip("255.0.0.0"), 0));
    }
}
