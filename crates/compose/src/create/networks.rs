//! The networks of a container, and the project's own networks and volumes.

use super::{Kind, Named, label};
use crate::{
    error::Outcome,
    model::{Endpoint, Network, Service, Volume},
    project::Project,
};
use serde_json::{Value, json};
use spec::docker::{EndpointIpam, EndpointSettings, HostConfig, NetworkingConfig};

/// The mode, and what is said of each network.
pub fn networks(
    project: &Project,
    service: &Service,
    named: &Named<'_>,
    host: &mut HostConfig,
) -> Outcome<NetworkingConfig> {
    host.links = (!service.external_links.is_empty()).then(|| service.external_links.clone());
    if !service.network_mode.is_empty() {
        host.network_mode = super::joined(&service.network_mode, service, named)?;
        return Ok(NetworkingConfig::default());
    }
    host.links = None;
    let mut config = NetworkingConfig::default();
    let mut names: Vec<(&String, i64)> = service
        .networks
        .iter()
        .map(|(name, said)| (name, said.as_ref().map_or(0, |said| said.priority)))
        .collect();
    // The most important one is the container's main one.
    names.sort_by_key(|(_, priority)| -priority);
    for (place, (key, _)) in names.into_iter().enumerate() {
        let Some(network) = project.networks.get(key) else { continue };
        let said = service.networks[key].clone().unwrap_or_default();
        let mut settings = endpoint(service, named, &said);
        if place == 0 {
            host.network_mode.clone_from(&network.name);
            if settings.mac_address.is_empty() {
                settings.mac_address.clone_from(&service.mac_address);
            }
        }
        config.endpoints_config.insert(network.name.clone(), Some(settings));
    }
    Ok(config)
}

fn endpoint(service: &Service, named: &Named<'_>, said: &Endpoint) -> EndpointSettings {
    let mut aliases = vec![named.name.to_owned()];
    if named.aliases {
        aliases.push(service.name.clone());
        aliases.extend(said.aliases.iter().cloned());
    }
    let links = links(service, named);
    let ipam = EndpointIpam {
        ipv4_address: said.ipv4_address.clone(),
        ipv6_address: said.ipv6_address.clone(),
        link_local_ips: said.link_local_ips.clone(),
    };
    EndpointSettings {
        ipam_config: (ipam != EndpointIpam::default()).then_some(ipam),
        links: (!links.is_empty()).then_some(links),
        aliases: Some(aliases),
        mac_address: said.mac_address.clone(),
        driver_opts: (!said.driver_opts.is_empty()).then(|| said.driver_opts.clone()),
        gw_priority: said.gw_priority,
        ..EndpointSettings::default()
    }
}

/// `links` and `external_links` as the engine has them: a container and how
/// it is called.
fn links(service: &Service, named: &Named<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for link in &service.links {
        let (other, alias) = link.split_once(':').unwrap_or((link, link));
        for (_, name) in (named.containers)(other) {
            all.push(format!("{name}:{alias}"));
        }
    }
    if named.kind == Kind::Service {
        all.extend(service.external_links.iter().cloned());
    }
    all
}

/// The body of `POST /networks/create`.
pub fn network_body(project: &Project, key: &str, network: &Network) -> Value {
    let mut labels = network.labels.clone();
    labels.insert(label("project"), project.name.clone());
    labels.insert(label("network"), key.to_owned());
    labels.insert(label("version"), env!("CARGO_PKG_VERSION").to_owned());
    let pools: Vec<Value> = network
        .ipam
        .config
        .iter()
        .map(|pool| {
            let mut said = json!({"AuxiliaryAddresses": pool.aux_addresses});
            for (name, value) in
                [("Subnet", &pool.subnet), ("Gateway", &pool.gateway), ("IPRange", &pool.ip_range)]
            {
                if !value.is_empty() {
                    said[name] = json!(value);
                }
            }
            said
        })
        .collect();
    let mut body = json!({
        "Name": network.name,
        "Driver": if network.driver.is_empty() { "bridge" } else { &network.driver },
        "Options": network.driver_opts,
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Labels": labels,
        "IPAM": {"Driver": network.ipam.driver, "Options": network.ipam.options, "Config": pools},
    });
    if let Some(on) = network.enable_ipv6 {
        body["EnableIPv6"] = json!(on);
    }
    body
}

/// The body of `POST /volumes/create`.
pub fn volume_body(project: &Project, key: &str, volume: &Volume) -> Value {
    let mut labels = volume.labels.clone();
    labels.insert(label("project"), project.name.clone());
    labels.insert(label("volume"), key.to_owned());
    labels.insert(label("version"), env!("CARGO_PKG_VERSION").to_owned());
    json!({
        "Name": volume.name,
        "Driver": volume.driver,
        "DriverOpts": volume.driver_opts,
        "Labels": labels,
    })
}
