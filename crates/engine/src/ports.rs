//! Which ports a container exposes and wants published.

use crate::Error;
use network::{PortWish, Proto, Published};
use spec::{
    docker::{Config, HostConfig},
    ports::{PortMap, Side, Span},
};
use std::{collections::BTreeSet, net::IpAddr, ops::RangeInclusive};

/// Reads `80`, `80/tcp` and, where a range may stand, `8000-8010/udp`.
fn port(text: &str) -> Result<(RangeInclusive<u16>, Proto), Error> {
    let (numbers, proto) = text.split_once('/').unwrap_or((text, "tcp"));
    let proto = proto.to_ascii_lowercase().parse::<Proto>();
    let proto = proto.map_err(|e| Error::Invalid(e.to_string()))?;
    let range = range(numbers).filter(|range| *range.start() > 0);
    range
        .map(|range| (range, proto))
        .ok_or_else(|| Error::Invalid(format!("invalid containerPort: {numbers}")))
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(first..=last)
}

/// What is to be published, in the order of the container's ports.
///
/// # Errors
/// A port or address that is none.
pub(crate) fn wishes(config: &Config, host: &HostConfig) -> Result<Vec<PortWish>, Error> {
    let mut wishes = Vec::new();
    for span in host.port_bindings.spans() {
        for side in span.to.into_iter().flatten() {
            wishes.extend(of_span(&span, side)?);
        }
    }
    for (exposed, bindings) in host.port_bindings.odd() {
        let (range, proto) = port(exposed)?;
        for binding in bindings.iter().flatten() {
            let offsets = host_ports(&binding.host_port, &range)?;
            let host_ip = address(&binding.host_ip)?;
            let each = range.clone().zip(offsets).map(|(container_port, host_ports)| PortWish {
                proto,
                host_ip,
                host_ports,
                container_port,
                count: 1,
            });
            wishes.extend(PortWish::joined(each));
        }
    }
    if host.publish_all_ports {
        let bound: BTreeSet<_> =
            wishes.iter().flat_map(PortWish::each).map(|w| (w.proto, w.container_port)).collect();
        for (container_port, proto) in exposed(config)? {
            if !bound.contains(&(proto, container_port)) {
                let host_ports = 0..=0;
                wishes.push(PortWish {
                    proto,
                    host_ip: None,
                    host_ports,
                    container_port,
                    count: 1,
                });
            }
        }
    }
    Ok(wishes)
}

/// What a run of ports is to be bound to by one of its bindings: one wish, or
/// one for each where any port of the host will do.
fn of_span(span: &Span<'_>, side: &Side) -> Result<Vec<PortWish>, Error> {
    let (proto, host_ip) = (span.proto, address(&side.ip)?);
    let wish = |host_ports, container_port, count| PortWish {
        proto,
        host_ip,
        host_ports,
        container_port,
        count,
    };
    let (first, last) = span.ports.clone().into_inner();
    Ok(match side.port {
        Some(port) => vec![wish(port..=port + (last - first), first, last - first + 1)],
        None => span.ports.clone().map(|port| wish(0..=0, port, 1)).collect(),
    })
}

/// The host's ports for each of a range of container ports: any free one, one
/// each, or any of a range for a single one.
fn host_ports(
    text: &str,
    container: &RangeInclusive<u16>,
) -> Result<Vec<RangeInclusive<u16>>, Error> {
    if text.is_empty() || text == "0" {
        return Ok(container.clone().map(|_| 0..=0).collect());
    }
    let host = range(text).filter(|range| *range.start() > 0);
    let host = host.ok_or_else(|| Error::Invalid(format!("invalid hostPort: {text}")))?;
    if container.len() == 1 {
        Ok(vec![host])
    } else if container.len() == host.len() {
        Ok(host.map(|port| port..=port).collect())
    } else {
        let words = "invalid ranges specified for container and host Ports";
        Err(Error::Invalid(format!(
            "{words}: {}-{} and {text}",
            container.start(),
            container.end()
        )))
    }
}

fn address(text: &str) -> Result<Option<IpAddr>, Error> {
    match text {
        "" => Ok(None),
        text => text
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .map(Some)
            .map_err(|_| Error::Invalid(format!("invalid host address: {text}"))),
    }
}

pub(crate) fn exposed(config: &Config) -> Result<BTreeSet<(u16, Proto)>, Error> {
    let mut all = BTreeSet::new();
    for span in config.exposed_ports.as_map().spans() {
        all.extend(span.ports.map(|port| (port, span.proto)));
    }
    for (text, _) in config.exposed_ports.as_map().odd() {
        let (range, proto) = port(text)?;
        all.extend(range.map(|port| (port, proto)));
    }
    Ok(all)
}

/// What `inspect` shows of a container that runs.
///
/// # Errors
/// An exposed port that is none.
pub(crate) fn shown(config: &Config, published: &[Published]) -> Result<PortMap, Error> {
    let mut ports = PortMap::new();
    for span in config.exposed_ports.as_map().spans() {
        ports.expose(span.proto, span.ports);
    }
    for (text, _) in config.exposed_ports.as_map().odd() {
        let (range, proto) = port(text)?;
        ports.expose(proto, range);
    }
    for run in published {
        // One that is reached straight has none of the host's.
        let port = Some(run.host_port).filter(|port| *port != 0);
        let side = Side { ip: run.host_ip.to_string(), port };
        ports.add_run(run.proto, run.container_ports(), &side);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::{docker::PortBinding, ports::PortSet};

    fn bound(container: &str, ip: &str, host: &str) -> Result<Vec<PortWish>, Error> {
        let binding = PortBinding { host_ip: ip.into(), host_port: host.into() };
        let port_bindings = PortMap::from([(container, Some(vec![binding]))]);
        wishes(&Config::default(), &HostConfig { port_bindings, ..HostConfig::default() })
    }

    #[test]
    fn a_binding_without_a_port_takes_any() {
        let wishes = bound("80/tcp", "", "").expect("valid");
        let (host_ports, container_port) = (0..=0, 80);
        let proto = Proto::Tcp;
        let any = PortWish { proto, host_ip: None, host_ports, container_port, count: 1 };
        assert_eq!(wishes, [any]);
    }

    #[test]
    fn a_range_of_host_ports_is_a_choice_for_one_and_a_match_for_many() {
        let one = bound("80", "127.0.0.1", "8000-8002").expect("valid");
        assert_eq!(one[0].host_ports, 8000..=8002);
        let many = bound("80-82/udp", "", "8000-8002").expect("valid");
        let pairs: Vec<_> =
            many.iter().map(|w| (w.container_port, w.host_ports.clone(), w.count)).collect();
        assert_eq!(pairs, [(80, 8000..=8002, 3)]);
        let each: Vec<_> =
            many[0].each().map(|w| (w.container_port, w.host_ports, w.count)).collect();
        assert_eq!(each, [(80, 8000..=8000, 1), (81, 8001..=8001, 1), (82, 8002..=8002, 1)]);
        let any = bound("80-82/udp", "", "").expect("valid");
        assert!(any.len() == 3 && any.iter().all(|w| (&w.host_ports, w.count) == (&(0..=0), 1)));
        assert!(bound("80-82", "", "8000-8001").is_err());
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for (container, ip, host) in [
            ("x", "", ""),
            ("0", "", ""),
            ("80/quic", "", ""),
            ("80", "", "x"),
            ("80", "", "9-8"),
            ("80", "localhost", ""),
            ("70000", "", ""),
        ] {
            assert!(bound(container, ip, host).is_err(), "{container} {ip} {host}");
        }
    }

    #[test]
    fn publish_all_takes_what_is_exposed_and_not_bound() {
        let exposed_ports = ["80/tcp", "53/udp"].into_iter().collect();
        let config = Config { exposed_ports, ..Config::default() };
        let host = HostConfig { publish_all_ports: true, ..HostConfig::default() };
        assert_eq!(wishes(&config, &host).expect("valid").len(), 2);
    }

    #[test]
    fn exposed_ports_are_shown_without_and_published_ones_with_bindings() {
        let exposed_ports = PortSet::from_iter(["53/udp"]);
        let config = Config { exposed_ports, ..Config::default() };
        let published = Published {
            proto: Proto::Tcp,
            host_ip: "0.0.0.0".parse().expect("an address"),
            host_port: 8080,
            container_port: 80,
            count: 2,
        };
        let ports = shown(&config, &[published]).expect("valid");
        let host_port = |key| ports.get(key)?.map(|bindings| bindings[0].host_port.clone());
        assert_eq!(ports.get("53/udp"), Some(None));
        assert_eq!(host_port("80/tcp").as_deref(), Some("8080"));
        assert_eq!(host_port("81/tcp").as_deref(), Some("8081"));
    }
}
