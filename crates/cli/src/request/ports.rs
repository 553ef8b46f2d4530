//! `--publish` and `--expose`.

use crate::{
    error::{Error, Outcome},
    words::RunFlags,
};
use spec::docker::{Config, HostConfig, PortBinding};
use std::{collections::BTreeMap, ops::RangeInclusive};

/// Puts published and exposed ports into a request.
pub fn publish(flags: &RunFlags, config: &mut Config, host: &mut HostConfig) -> Outcome<()> {
    for text in &flags.expose {
        let (range, protocol) = with_protocol(text)?;
        for port in ports(range, text)? {
            config.exposed_ports.insert(&format!("{port}/{protocol}"));
        }
    }
    for text in &flags.publish {
        for (port, binding) in bindings(text)? {
            config.exposed_ports.insert(&port);
            host.port_bindings.add(&port, [binding]);
        }
    }
    Ok(())
}

/// Bindings by the container's ports, as the API has them.
///
/// # Errors
/// [`Error::Words`] for what cannot be understood.
pub fn published(texts: &[String]) -> Outcome<BTreeMap<String, Vec<PortBinding>>> {
    let mut all = BTreeMap::<String, Vec<PortBinding>>::new();
    for text in texts {
        for (port, binding) in bindings(text)? {
            all.entry(port).or_default().push(binding);
        }
    }
    Ok(all)
}

fn wrong(text: &str, why: &str) -> Error {
    Error::Words(format!("invalid port {text:?}: {why}"))
}

fn with_protocol(text: &str) -> Outcome<(&str, String)> {
    let (ports, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        Ok((ports, protocol))
    } else {
        Err(wrong(text, "the protocol is tcp, udp or sctp"))
    }
}

fn ports(range: &str, whole: &str) -> Outcome<RangeInclusive<u16>> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let port = |word: &str| word.parse::<u16>().ok().filter(|port| *port > 0);
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(wrong(whole, "ports are 1 to 65535")),
    }
}

/// `[[IP:]HOST:]PORT[/PROTOCOL]`, each port alone or a range.
fn bindings(text: &str) -> Outcome<Vec<(String, PortBinding)>> {
    let (rest, protocol) = with_protocol(text)?;
    let (rest, inside) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (address, outside) = rest.rsplit_once(':').unwrap_or(("", rest));
    // A whole IPv6 address in brackets has no port after it only as "[::1]:".
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if !address.is_empty() && address.parse::<std::net::IpAddr>().is_err() {
        return Err(wrong(text, "its address is not one"));
    }
    let inside = ports(inside, text)?;
    let count = inside.len();
    let given =
        (!outside.is_empty() && outside != "0").then(|| ports(outside, text)).transpose()?;
    let hosts: Vec<String> = match given {
        None => vec![if outside == "0" { "0".into() } else { String::new() }; count],
        Some(range) if range.len() == count => range.map(|port| port.to_string()).collect(),
        Some(_) if count == 1 => vec![outside.to_owned()],
        Some(_) => return Err(wrong(text, "the ranges differ in length")),
    };
    let bind = |(port, host_port): (u16, String)| {
        (format!("{port}/{protocol}"), PortBinding { host_ip: address.to_owned(), host_port })
    };
    Ok(inside.zip(hosts).map(bind).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, PortBinding) {
        bindings(text).expect("valid").remove(0)
    }

    #[test]
    fn every_spelling_of_one_port() {
        let binding =
            |ip: &str, port: &str| PortBinding { host_ip: ip.into(), host_port: port.into() };
        assert_eq!(one("80"), ("80/tcp".into(), binding("", "")));
        assert_eq!(one("8080:80/udp"), ("80/udp".into(), binding("", "8080")));
        assert_eq!(one("127.0.0.1:8080:80"), ("80/tcp".into(), binding("127.0.0.1", "8080")));
        assert_eq!(one("127.0.0.1::80"), ("80/tcp".into(), binding("127.0.0.1", "")));
        assert_eq!(one("[::1]:8080:80"), ("80/tcp".into(), binding("::1", "8080")));
        assert_eq!(one("8000-8010:80"), ("80/tcp".into(), binding("", "8000-8010")));
    }

    #[test]
    fn ranges_must_be_of_one_length() {
        assert_eq!(bindings("8000-8002:80-82").expect("valid").len(), 3);
        assert!(bindings("8000-8002:80-81").is_err());
        assert!(
            bindings("80:0").is_err()
                && bindings("70000:80").is_err()
                && bindings("80/xyz").is_err()
        );
        assert!(bindings("localhost:80:80").is_err());
    }
}
