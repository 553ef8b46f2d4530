//! Networks: those that are always there and those that users make.

use crate::answer::{Answer, Outcome};
use crate::call::Call;
use crate::error::Error;
use crate::filter::Filters;
use crate::when;
use engine::{Network, NetworkMember, NetworkPool, NetworkWish};
use serde::{Deserialize, Serialize};
use spec::docker::{EndpointSettings, null_is_default};
use std::collections::BTreeMap;

const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

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
    config_from: ConfigFrom<'a>,
    config_only: bool,
    containers: BTreeMap<&'a str, Member<'a>>,
    options: &'a BTreeMap<String, String>,
    labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ipam<'a> {
    driver: &'static str,
    options: Option<&'a BTreeMap<String, String>>,
    config: Option<Vec<Range<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Range<'a> {
    subnet: &'a str,
    #[serde(rename = "IPRange", skip_serializing_if = "str::is_empty")]
    range: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    gateway: &'a str,
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
    auxiliary: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigFrom<'a> {
    network: &'a str,
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
        let range = |pool: &'a NetworkPool| Range {
            subnet: &pool.subnet,
            range: &pool.range,
            gateway: &pool.gateway,
            auxiliary: &pool.auxiliary,
        };
        let ranges: Vec<Range<'a>> = network.pools.iter().map(range).collect();
        Self {
            name: &network.name,
            id: &network.id,
            created: when::rfc3339(network.created),
            scope: "local",
            driver: &network.driver,
            enable_ipv4: network.ipv4,
            enable_ipv6: network.ipv6,
            ipam: Ipam {
                driver: "default",
                options: network.ipam_options.as_ref(),
                config: (!ranges.is_empty()).then_some(ranges),
            },
            internal: network.internal,
            attachable: network.attachable,
            ingress: false,
            config_from: ConfigFrom { network: &network.config_from },
            config_only: network.config_only,
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
    let kind = |network: &Network| if network.is_predefined() { "builtin" } else { "custom" };
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
    // All networks here are this machine's; who looks among others finds none.
    if !matches!(call.query.text("scope"), "" | "local") {
        return Err(Error::missing(format!("network {} not found", call.name())));
    }
    Ok(Answer::json(&Listed::of(&call.engine.network(call.name())?)))
}

/// The body of `POST /networks/create`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the API's own words")]
struct Create {
    #[serde(deserialize_with = "null_is_default")]
    name: String,
    #[serde(deserialize_with = "null_is_default")]
    driver: String,
    #[serde(deserialize_with = "null_is_default")]
    scope: String,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: Option<bool>,
    #[serde(rename = "IPAM", deserialize_with = "null_is_default")]
    ipam: AskedIpam,
    #[serde(deserialize_with = "null_is_default")]
    internal: bool,
    #[serde(deserialize_with = "null_is_default")]
    attachable: bool,
    #[serde(deserialize_with = "null_is_default")]
    ingress: bool,
    #[serde(deserialize_with = "null_is_default")]
    config_only: bool,
    #[serde(deserialize_with = "null_is_default")]
    config_from: AskedFrom,
    #[serde(deserialize_with = "null_is_default")]
    options: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AskedIpam {
    #[serde(deserialize_with = "null_is_default")]
    driver: String,
    options: Option<BTreeMap<String, String>>,
    #[serde(deserialize_with = "null_is_default")]
    config: Vec<AskedRange>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AskedRange {
    #[serde(deserialize_with = "null_is_default")]
    subnet: String,
    #[serde(rename = "IPRange", deserialize_with = "null_is_default")]
    range: String,
    #[serde(deserialize_with = "null_is_default")]
    gateway: String,
    #[serde(rename = "AuxiliaryAddresses", deserialize_with = "null_is_default")]
    auxiliary: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AskedFrom {
    #[serde(deserialize_with = "null_is_default")]
    network: String,
}

/// `POST /networks/create`.
pub fn create(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Made {
        id: String,
        warning: &'static str,
    }
    let body: Create = call.json()?.unwrap_or_default();
    let pool = |range: AskedRange| NetworkPool {
        subnet: range.subnet,
        range: range.range,
        gateway: range.gateway,
        auxiliary: range.auxiliary,
    };
    let id = call.engine.create_network(NetworkWish {
        name: body.name,
        driver: body.driver,
        scope: body.scope,
        ipv4: body.enable_ipv4,
        ipv6: body.enable_ipv6,
        internal: body.internal,
        attachable: body.attachable,
        ingress: body.ingress,
        config_only: body.config_only,
        config_from: body.config_from.network,
        ipam_driver: body.ipam.driver,
        ipam_options: body.ipam.options,
        pools: body.ipam.config.into_iter().map(pool).collect(),
        options: body.options,
        labels: body.labels,
    })?;
    Ok(Answer::created(&Made { id, warning: "" }))
}

/// `POST /networks/{id}/update`: not Docker's, which changes no network.
pub fn update(call: &Call) -> Outcome {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Body {
        egress: Option<Vec<String>>,
    }
    let body: Body = call.json()?.unwrap_or_default();
    let Some(egress) = body.egress else {
        return Err(Error::bad("nothing to change: Egress is all that can be"));
    };
    call.engine.update_network(call.name(), &egress)?;
    Ok(Answer::status(hyper::StatusCode::OK))
}

/// `DELETE /networks/{id}`.
pub fn remove(call: &Call) -> Outcome {
    call.engine.remove_network(call.name())?;
    Ok(Answer::done())
}

/// The body of `connect` and `disconnect`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Joint {
    #[serde(deserialize_with = "null_is_default")]
    container: String,
    #[serde(deserialize_with = "null_is_default")]
    endpoint_config: EndpointSettings,
    #[serde(deserialize_with = "null_is_default")]
    force: bool,
}

fn joint(call: &Call) -> Result<Joint, Error> {
    let joint: Joint = call.json()?.unwrap_or_default();
    if joint.container.is_empty() {
        return Err(Error::bad("invalid name or ID supplied: \"\""));
    }
    Ok(joint)
}

/// `POST /networks/{id}/connect`.
pub fn connect(call: &Call) -> Outcome {
    let joint = joint(call)?;
    call.engine.connect(call.name(), &joint.container, joint.endpoint_config)?;
    Ok(Answer::status(hyper::StatusCode::OK))
}

/// `POST /networks/{id}/disconnect`.
pub fn disconnect(call: &Call) -> Outcome {
    let joint = joint(call)?;
    call.engine.disconnect(call.name(), &joint.container, joint.force)?;
    Ok(Answer::status(hyper::StatusCode::OK))
}

/// `POST /networks/prune`.
pub fn prune(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        networks_deleted: Option<Vec<String>>,
    }
    let filters = Filters::parse(call.query.text("filters"), &["label", "label!", "until"])?;
    let removed = call.engine.prune_networks(&filters.for_engine())?.removed;
    Ok(Answer::json(&Body { networks_deleted: (!removed.is_empty()).then_some(removed) }))
}
