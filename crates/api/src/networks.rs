//! Networks: `bridge`, `host` and `none`. Making others is refused.

use crate::answer::{Answer, Outcome};
use crate::call::Call;
use crate::error::Error;
use crate::filter::Filters;
use crate::when;
use engine::{Network, NetworkMember};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];
const PREDEFINED: &[&str] = &["bridge", "host", "none", "default"];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the API's own words")]
struct Listed<'a> {
    name: &'a str,
    id: &'a str,
    created: String,
    scope: &'static str,
    driver: &'a str,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam<'a>,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_from: ConfigFrom,
    config_only: bool,
    containers: BTreeMap<&'a str, Member<'a>>,
    options: &'a BTreeMap<String, String>,
    labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ipam<'a> {
    driver: &'static str,
    options: Option<BTreeMap<String, String>>,
    config: Option<Vec<Range<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Range<'a> {
    subnet: &'a str,
    gateway: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigFrom {
    network: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Member<'a> {
    name: &'a str,
    #[serde(rename = "EndpointID")]
    endpoint_id: &'a str,
    mac_address: &'a str,
    #[serde(rename = "IPv4Address")]
    ipv4_address: &'a str,
    #[serde(rename = "IPv6Address")]
    ipv6_address: &'a str,
}

impl<'a> Listed<'a> {
    fn of(network: &'a Network) -> Self {
        let range = |subnet: &'a str, gateway: &'a str| Range { subnet, gateway };
        let ranges =
            [range(&network.subnet, &network.gateway), range(&network.subnet6, &network.gateway6)];
        let ranges: Vec<Range<'a>> =
            ranges.into_iter().filter(|range| !range.subnet.is_empty()).collect();
        Self {
            name: &network.name,
            id: &network.id,
            created: when::rfc3339(network.created),
            scope: "local",
            driver: &network.driver,
            enable_ipv4: true,
            enable_ipv6: network.ipv6,
            ipam: Ipam {
                driver: "default",
                options: None,
                config: (!ranges.is_empty()).then_some(ranges),
            },
            internal: false,
            attachable: false,
            ingress: false,
            config_from: ConfigFrom { network: "" },
            config_only: false,
            containers: network.members.iter().map(|(id, m)| (&**id, Member::of(m))).collect(),
            options: &network.options,
            labels: &network.labels,
        }
    }
}

impl<'a> Member<'a> {
    fn of(member: &'a NetworkMember) -> Self {
        Self {
            name: &member.name,
            endpoint_id: &member.endpoint,
            mac_address: &member.mac,
            ipv4_address: &member.ipv4,
            ipv6_address: &member.ipv6,
        }
    }
}

/// `GET /networks`.
pub fn list(call: &Call) -> Outcome {
    let filters = Filters::parse(call.query.text("filters"), FILTERS)?;
    if filters.values("type").any(|kind| !matches!(kind, "builtin" | "custom")) {
        return Err(filters.invalid("type"));
    }
    let dangling = filters.boolean("dangling")?;
    let kind = |network: &Network| {
        if PREDEFINED.contains(&&*network.name) { "builtin" } else { "custom" }
    };
    let networks = call.engine.networks();
    let wanted = networks.iter().filter(|network| {
        filters.matches("name", &network.name)
            && filters.any("id", |wanted| network.id.starts_with(wanted))
            && filters.exactly("driver", &network.driver)
            && filters.exactly("scope", "local")
            && filters.exactly("type", kind(network))
            && filters.labels(&network.labels)
            && dangling.is_none_or(|dangling| {
                dangling == (kind(network) == "custom" && network.members.is_empty())
            })
    });
    let rows: Vec<_> = wanted
        .map(|network| {
            // Members are for `inspect` alone.
            Listed { containers: BTreeMap::new(), ..Listed::of(network) }
        })
        .collect();
    Ok(Answer::json(&rows))
}

/// `GET /networks/{id}`.
pub fn inspect(call: &Call) -> Outcome {
    Ok(Answer::json(&Listed::of(&call.engine.network(call.name())?)))
}

/// `POST /networks/create`.
pub fn create(call: &Call) -> Outcome {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Body {
        name: String,
    }
    let Body { name } = call.json()?.unwrap_or_default();
    if PREDEFINED.contains(&&*name) {
        return Err(Error::new(
            StatusCode::FORBIDDEN,
            format!("operation is not permitted on predefined {name} network "),
        ));
    }
    Err(Error::not_carried("making networks of your own"))
}

/// `DELETE /networks/{id}`.
pub fn remove(call: &Call) -> Outcome {
    let network = call.engine.network(call.name())?;
    Err(Error::new(
        StatusCode::FORBIDDEN,
        format!("{} is a pre-defined network and cannot be removed", network.name),
    ))
}

/// `POST /networks/{id}/connect`.
pub fn connect(call: &Call) -> Outcome {
    call.engine.network(call.name())?;
    Err(Error::not_carried("joining a network after the start"))
}

/// `POST /networks/{id}/disconnect`.
pub fn disconnect(call: &Call) -> Outcome {
    call.engine.network(call.name())?;
    Err(Error::not_carried("leaving a network"))
}

/// `POST /networks/prune`: those that there are stay.
pub fn prune(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        networks_deleted: Option<Vec<String>>,
    }
    Filters::parse(call.query.text("filters"), &["label", "label!", "until"])?;
    Ok(Answer::json(&Body { networks_deleted: None }))
}
