//! `--network`, which may come several times, and what belongs to it.

use super::pairs;
use crate::{
    error::{Error, Outcome},
    words::RunFlags,
};
use spec::docker::{EndpointIpam, EndpointSettings, NetworkingConfig};

/// The networks of a new container: the mode, which is the first one, and
/// what is said of each.
///
/// # Errors
/// [`Error::Words`] for what cannot be understood or contradicts itself.
pub fn networks(flags: &RunFlags) -> Outcome<(String, NetworkingConfig)> {
    let wrong = |words: &str| Err(Error::Words(words.to_owned()));
    let mut asked: Vec<(String, EndpointSettings)> = Vec::new();
    for text in &flags.network {
        let (name, settings) = network(text)?;
        if asked.iter().any(|(other, _)| *other == name) {
            return wrong(&format!("network {name:?} is specified multiple times"));
        }
        asked.push((name, settings));
    }
    let lone = |name: &str| matches!(name, "bridge" | "default" | "host" | "none");
    let joins = |name: &str| name.starts_with("container:") || name.starts_with("ns:");
    let lone = |name: &str| lone(name) || joins(name);
    if asked.len() > 1 && asked.iter().any(|(name, _)| lone(name) && name != "bridge") {
        return wrong(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        );
    }
    if asked.is_empty() {
        asked.push(("default".to_owned(), EndpointSettings::default()));
    }
    let (first, settings) = &mut asked[0];
    merge(settings, flags)?;
    if lone(first) && settings.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()) {
        return wrong("network-scoped aliases are only supported for user-defined networks");
    }
    let mode = first.clone();
    let said = asked.len() > 1 || asked[0].1 != EndpointSettings::default();
    if !said {
        return Ok((mode, NetworkingConfig::default()));
    }
    let endpoints_config = asked.into_iter().map(|(name, settings)| (name, Some(settings)));
    Ok((mode, NetworkingConfig { endpoints_config: endpoints_config.collect() }))
}

/// What the flags of the container as a whole say is of its first network.
fn merge(settings: &mut EndpointSettings, flags: &RunFlags) -> Outcome<()> {
    let twice = |flag: &str| {
        Err(Error::Words(format!(
            "conflicting options: cannot specify both --{flag} and per-network {flag}"
        )))
    };
    if !flags.network_alias.is_empty() {
        if settings.aliases.is_some() {
            return twice("network-alias");
        }
        settings.aliases = Some(flags.network_alias.clone());
    }
    if flags.ip.is_some() || flags.ip6.is_some() {
        let ipam = settings.ipam_config.get_or_insert_default();
        for (flag, own, given) in
            [("ip", &mut ipam.ipv4_address, &flags.ip), ("ip6", &mut ipam.ipv6_address, &flags.ip6)]
        {
            if let Some(given) = given {
                if !own.is_empty() {
                    return twice(flag);
                }
                own.clone_from(given);
            }
        }
    }
    if !flags.link_local_ip.is_empty() {
        let ipam = settings.ipam_config.get_or_insert_default();
        ipam.link_local_ips.clone_from(&flags.link_local_ip);
    }
    Ok(())
}

/// A name, or `name=NAME,alias=…,ip=…,ip6=…,mac-address=…,gw-priority=…`.
fn network(text: &str) -> Outcome<(String, EndpointSettings)> {
    let wrong = |words: String| Error::Words(format!("invalid --network {text:?}: {words}"));
    if !text.contains('=') || text.starts_with("container:") || text.starts_with("ns:") {
        return Ok((text.to_owned(), EndpointSettings::default()));
    }
    let mut name = None;
    let mut settings = EndpointSettings::default();
    for field in text.split(',') {
        let (key, value) =
            field.split_once('=').ok_or_else(|| wrong(format!("no value for {field:?}")))?;
        let ipam = || EndpointIpam::default();
        match key {
            "name" => name = Some(value.to_owned()),
            "alias" => settings.aliases.get_or_insert_default().push(value.to_owned()),
            "ip" => {
                value.clone_into(&mut settings.ipam_config.get_or_insert_with(ipam).ipv4_address);
            }
            "ip6" => {
                value.clone_into(&mut settings.ipam_config.get_or_insert_with(ipam).ipv6_address);
            }
            "link-local-ip" => {
                let ipam = settings.ipam_config.get_or_insert_with(ipam);
                ipam.link_local_ips.push(value.to_owned());
            }
            "mac-address" => value.clone_into(&mut settings.mac_address),
            "gw-priority" => {
                settings.gw_priority = value
                    .parse()
                    .map_err(|_| wrong(format!("invalid gw-priority ({value}): no number")))?;
            }
            "driver-opt" => {
                let option = pairs(&[value.to_owned()])?;
                settings.driver_opts.get_or_insert_default().extend(option);
            }
            _ => return Err(wrong(format!("invalid field {key:?}"))),
        }
    }
    let name = name.ok_or_else(|| wrong("network name/id is not specified".into()))?;
    Ok((name, settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(networks: &[&str]) -> RunFlags {
        let network = networks.iter().map(ToString::to_string).collect();
        RunFlags { image: "busybox".into(), network, ..RunFlags::default() }
    }

    fn asked(flags: &RunFlags) -> (String, NetworkingConfig) {
        networks(flags).expect("valid")
    }

    #[test]
    fn the_first_network_is_the_mode_and_takes_what_is_said_of_the_container() {
        let mut flags = flags(&["a", "name=b,alias=x,alias=y,gw-priority=-3"]);
        flags.ip = Some("10.0.0.7".into());
        let (mode, config) = asked(&flags);
        assert_eq!(mode, "a");
        let endpoint = |name: &str| config.endpoints_config[name].clone().expect("said");
        assert_eq!(endpoint("a").ipam_config.expect("said").ipv4_address, "10.0.0.7");
        let aliases = Some(vec!["x".to_owned(), "y".to_owned()]);
        assert_eq!((endpoint("b").aliases, endpoint("b").gw_priority), (aliases, -3));
    }

    #[test]
    fn one_network_with_nothing_said_is_a_mode_alone() {
        assert_eq!(asked(&flags(&[])), ("default".into(), NetworkingConfig::default()));
        assert_eq!(asked(&flags(&["a"])), ("a".into(), NetworkingConfig::default()));
        let joined = "container:x".to_owned();
        assert_eq!(asked(&flags(&["container:x"])), (joined, NetworkingConfig::default()));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for list in [&["a", "a"][..], &["host", "a"], &["a", "none"], &["alias=x"], &["name=a,x=y"]]
        {
            assert!(networks(&flags(list)).is_err(), "{list:?}");
        }
        let twice = RunFlags { ip: Some("10.0.0.1".into()), ..flags(&["name=a,ip=10.0.0.2"]) };
        assert!(networks(&twice).is_err());
        let alias = RunFlags { network_alias: vec!["x".into()], ..flags(&["host"]) };
        assert!(networks(&alias).is_err());
    }
}
