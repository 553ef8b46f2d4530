//! What is asked of one place on a network beside its addresses: the driver's
//! options of an endpoint.

use spec::docker::EndpointSettings;

/// Option keys of an endpoint. Source: Docker's documentation, "Bridge network
/// driver" and `docker network connect`.
mod key {
    pub(super) const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
    pub(super) const IFNAME: &str = "com.docker.network.endpoint.ifname";
    /// What all options of Docker's own drivers begin with.
    pub(super) const DOCKERS: &str = "com.docker.network.";
}

/// An endpoint's options, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EndpointOptions {
    /// What the interface is to be called inside.
    pub ifname: Option<String>,
    /// Settings of the interface: path below `/proc/sys` with `IFNAME` in the
    /// interface's place, and value.
    pub sysctls: Vec<(String, String)>,
}

/// Reads them.
///
/// # Errors
/// Every one that makes no sense or is not known, in words.
pub(super) fn read(settings: &EndpointSettings) -> Result<EndpointOptions, Vec<String>> {
    let mut read = EndpointOptions::default();
    let mut wrong = Vec::new();
    for (key, value) in settings.driver_opts.iter().flatten() {
        match key.as_str() {
            key::IFNAME if is_interface(value) => read.ifname = Some(value.clone()),
            key::IFNAME => wrong.push(format!(
                "invalid interface name {value:?}: up to 15 letters, digits, dots, dashes and \
                 underscores, and not lo"
            )),
            key::SYSCTLS => {
                for setting in value.split(',') {
                    match sysctl(setting.trim()) {
                        Ok(setting) => read.sysctls.push(setting),
                        Err(words) => wrong.push(words),
                    }
                }
            }
            key if key.starts_with(key::DOCKERS) => {
                wrong.push(format!("the endpoint option {key:?} is not carried: leave it out"));
            }
            // Somebody's note on the endpoint, for no driver that is here:
            // kept and shown, as Docker does.
            _ => {}
        }
    }
    if wrong.is_empty() { Ok(read) } else { Err(wrong) }
}

fn is_interface(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let reserved = matches!(name, "" | "." | ".." | "lo" | "all" | "default");
    !reserved && name.len() <= 15 && name.bytes().all(plain)
}

/// `net.ipv4.conf.IFNAME.log_martians=1`: only what is the interface's own.
fn sysctl(text: &str) -> Result<(String, String), String> {
    let wrong = |why: &str| format!("invalid sysctl {text:?} of an endpoint: {why}");
    let (name, value) = text.split_once('=').ok_or_else(|| wrong("no value"))?;
    let form = "it should be net.X.Y.IFNAME.Z=VALUE";
    let [first, family, kind, ifname, setting] =
        <[&str; 5]>::try_from(name.split('.').collect::<Vec<_>>()).map_err(|_| wrong(form))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let known = matches!((family, kind), ("ipv4" | "ipv6", "conf" | "neigh") | ("mpls", "conf"));
    // Docker's CLI writes all that is said of a network small.
    if first != "net" || !ifname.eq_ignore_ascii_case("IFNAME") || !known {
        return Err(wrong(form));
    }
    if setting.is_empty() || !setting.bytes().all(plain) || value.contains(['\0', '\n']) {
        return Err(wrong(form));
    }
    Ok((format!("net/{family}/{kind}/IFNAME/{setting}"), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn options(key: &str, value: &str) -> Result<EndpointOptions, Vec<String>> {
        let driver_opts = Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
        read(&EndpointSettings { driver_opts, ..EndpointSettings::default() })
    }

    #[test]
    fn settings_and_a_name_of_the_interface_are_read() {
        let two = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.IFNAME.gc_stale_time=9";
        let read = options(key::SYSCTLS, two).expect("valid");
        let pair = |path: &str, value: &str| (path.to_owned(), value.to_owned());
        let expected = [
            pair("net/ipv4/conf/IFNAME/log_martians", "1"),
            pair("net/ipv6/neigh/IFNAME/gc_stale_time", "9"),
        ];
        assert_eq!(read.sysctls, expected);
        let named = options(key::IFNAME, "foo0").expect("valid");
        assert_eq!(named.ifname.as_deref(), Some("foo0"));
    }

    #[test]
    fn what_is_not_the_interfaces_own_is_refused() {
        for text in [
            "net.ipv4.conf.all.forwarding=1",
            "net.ipv4.ip_forward=1",
            "kernel.conf.x.IFNAME.y=1",
            "net.ipv4.conf.IFNAME./../../../x=1",
            "net.ipv4.conf.IFNAME.forwarding",
            "net.netfilter.conf.IFNAME.x=1",
            "",
        ] {
            assert!(options(key::SYSCTLS, text).is_err(), "{text}");
        }
        for name in ["", "lo", "a/b", "..", "sixteencharacter", "a b"] {
            assert!(options(key::IFNAME, name).is_err(), "{name}");
        }
        assert!(options("com.docker.network.endpoint.foo", "bar").is_err());
    }

    #[test]
    fn a_note_that_is_for_no_driver_is_no_fault() {
        for key in ["key", "com.example.setting", "com.docker.networks"] {
            assert_eq!(options(key, "bar"), Ok(EndpointOptions::default()), "{key}");
        }
    }
}
