//! The three files that a container finds in `/etc`: `hostname`, `hosts` and
//! `resolv.conf`. Values in, texts out; [`write`] puts them down.

use crate::{Error, error::Doing};
use spec::docker::HostConfig;
use std::{fmt::Write as _, fs, net::IpAddr, path::Path};

/// What Docker asks where the host's own servers cannot be reached.
const PUBLIC: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// `/etc/hosts`: the usual names, what the user added, and the container.
pub(crate) fn hosts(
    names: &str,
    extra: &[String],
    addresses: &[IpAddr],
    gateway: Option<IpAddr>,
) -> Result<String, Error> {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    for entry in extra {
        let bad = || Error::Invalid(format!("bad format for add-host: {entry:?}"));
        let (name, address) = entry.split_once([':', '=']).ok_or_else(bad)?;
        let address = match (address, gateway) {
            ("host-gateway", Some(gateway)) => gateway,
            ("host-gateway", None) => {
                let words = "unable to derive the IP value for host-gateway";
                return Err(Error::Invalid(words.into()));
            }
            (text, _) => {
                let bare = text.trim_start_matches('[').trim_end_matches(']');
                let words = format!("invalid IP address in add-host: {text:?}");
                bare.parse().map_err(|_| Error::Invalid(words))?
            }
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(bad());
        }
        let _ = writeln!(text, "{address}\t{name}");
    }
    for address in addresses {
        let _ = writeln!(text, "{address}\t{names}");
    }
    Ok(text)
}

/// `/etc/hosts` of a container that has come to one more network.
pub(crate) fn with_place(text: &str, names: &str, addresses: &[IpAddr]) -> String {
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for address in addresses {
        let _ = writeln!(text, "{address}\t{names}");
    }
    text
}

/// `/etc/hosts` of a container that has left a network: without the lines of
/// its addresses there. All else that may have been written to it stays.
pub(crate) fn without_place(text: &str, addresses: &[IpAddr]) -> String {
    let of_place = |line: &&str| {
        let first = line.split_whitespace().next().unwrap_or_default();
        first.parse::<IpAddr>().is_ok_and(|address| addresses.contains(&address))
    };
    text.lines().filter(|line| !of_place(line)).map(|line| format!("{line}\n")).collect()
}

/// `/etc/resolv.conf`, from the host's and what the user said instead.
/// `reachable` tells whether the container reaches what the host does:
/// then even its loopback servers.
pub(crate) fn resolv_conf(of_host: &str, host: &HostConfig, reachable: bool) -> String {
    let words = |keyword: &str| {
        let line = |line: &'_ str| line.trim().strip_prefix(keyword).map(str::to_owned);
        let with_blank = |rest: &String| rest.starts_with([' ', '\t']);
        of_host.lines().filter_map(line).filter(with_blank).collect::<Vec<_>>()
    };
    let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let servers = given(&host.dns).unwrap_or_else(|| {
        let usable = |server: &String| {
            let bare = server.split('%').next().unwrap_or_default();
            reachable || bare.parse::<IpAddr>().is_ok_and(|address| !address.is_loopback())
        };
        let own = words("nameserver").into_iter().map(|s| s.trim().to_owned());
        let own: Vec<String> = own.filter(usable).collect();
        if own.is_empty() && !reachable { PUBLIC.map(str::to_owned).into() } else { own }
    });
    let last = |keyword| words(keyword).pop().unwrap_or_default();
    let search = match given(&host.dns_search) {
        // A single dot is Docker's word for "none".
        Some(search) if search == ["."] => String::new(),
        Some(search) => search.join(" "),
        None => last("search").trim().to_owned(),
    };
    let options = match given(&host.dns_options) {
        Some(options) => options.join(" "),
        None => last("options").trim().to_owned(),
    };
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    for (keyword, value) in [("search", search), ("options", options)] {
        if !value.is_empty() {
            let _ = writeln!(text, "{keyword} {value}");
        }
    }
    text
}

/// What the host asks. Behind systemd-resolved's stub stands a file with the
/// servers that a container can reach.
pub(crate) fn hosts_resolv_conf() -> String {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if text.lines().any(|line| line.trim() == "nameserver 127.0.0.53")
        && let Ok(behind) = fs::read_to_string("/run/systemd/resolve/resolv.conf")
    {
        return behind;
    }
    text
}

/// The name, and the long form before it if there is a domain.
pub(crate) fn own_names(host: &str, domain: &str) -> String {
    if domain.is_empty() { host.to_owned() } else { format!("{host}.{domain} {host}") }
}

/// Puts a file down, readable for everybody in the container.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    // In place: the file may be mounted in a container that is being restarted.
    fs::write(path, text).doing("write", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_finds_itself_and_what_the_user_added() {
        let address = [IpAddr::from([172, 30, 0, 2])];
        let extra = ["db:10.0.0.7".to_owned(), "gw=host-gateway".into(), "v6:[fd00::7]".into()];
        let gateway = Some(IpAddr::from([172, 30, 0, 1]));
        let text = hosts("web", &extra, &address, gateway).expect("valid");
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"), "{text}");
        let tail = "10.0.0.7\tdb\n172.30.0.1\tgw\nfd00::7\tv6\n172.30.0.2\tweb\n";
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn a_line_break_smuggled_into_hosts_is_refused() {
        for entry in ["a b:10.0.0.7", "x\n10.0.0.9\ty:10.0.0.7", "x:nowhere", "x", ":10.0.0.7"] {
            assert!(hosts("web", &[entry.to_owned()], &[], None).is_err(), "{entry:?}");
        }
    }

    #[test]
    fn a_place_comes_and_goes_and_leaves_the_rest_alone() {
        let before = "127.0.0.1\tlocalhost\n10.0.0.7\tdb";
        let address = [IpAddr::from([10, 1, 0, 2])];
        let with = with_place(before, "web", &address);
        assert_eq!(with, "127.0.0.1\tlocalhost\n10.0.0.7\tdb\n10.1.0.2\tweb\n");
        assert_eq!(without_place(&with, &address), format!("{before}\n"));
    }

    #[test]
    fn servers_on_the_hosts_loopback_are_left_out() {
        let of_host = "nameserver 127.0.0.1\nnameserver 10.0.0.53\nsearch lan\noptions ndots:2\n";
        let text = resolv_conf(of_host, &HostConfig::default(), false);
        assert_eq!(text, "nameserver 10.0.0.53\nsearch lan\noptions ndots:2\n");
        let shared = resolv_conf(of_host, &HostConfig::default(), true);
        assert!(shared.starts_with("nameserver 127.0.0.1\n"), "with the host's network: all");
    }

    #[test]
    fn without_a_server_that_can_be_reached_public_ones_are_asked() {
        let text = resolv_conf("nameserver ::1\n", &HostConfig::default(), false);
        assert_eq!(text, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }

    #[test]
    fn what_the_user_says_outranks_the_host() {
        let host = HostConfig {
            dns: Some(vec!["1.1.1.1".into()]),
            dns_search: Some(vec![".".into()]),
            dns_options: Some(vec!["ndots:1".into()]),
            ..HostConfig::default()
        };
        let text = resolv_conf("nameserver 10.0.0.53\nsearch lan\n", &host, false);
        assert_eq!(text, "nameserver 1.1.1.1\noptions ndots:1\n");
    }
}
