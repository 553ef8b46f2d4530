//! Whom a container asks about names: its `/etc/resolv.conf`, and what the
//! resolver asks for it. Values in, values out.
//!
//! Source: `libnetwork/internal/resolvconf` of moby.

use crate::{Error, egress::Policies};
use resolver::wire::{MAX_SERVERS, Server, Upstream};
use spec::docker::HostConfig;
use std::{fs, net::IpAddr};

/// What Docker asks where the host says nothing.
const PUBLIC: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// What stands in a `resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolv {
    servers: Vec<String>,
    /// They are the user's, not the host's.
    asked: bool,
    search: String,
    options: String,
}

/// From where a container's questions can go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roads {
    /// One of its networks leads out.
    pub out: bool,
    /// It has an IPv6 address.
    pub v6: bool,
    /// What may go out of it.
    pub policies: Policies,
    /// Its own addresses.
    pub own: Vec<IpAddr>,
}

impl Resolv {
    /// Reads the host's, and puts what the user said in its place.
    pub fn read(of_host: &str, host: &HostConfig) -> Self {
        let words = |keyword: &str| {
            let line = |line: &'_ str| line.trim().strip_prefix(keyword).map(str::to_owned);
            let with_blank = |rest: &String| rest.starts_with([' ', '\t']);
            of_host.lines().filter_map(line).filter(with_blank).collect::<Vec<_>>()
        };
        let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
        let asked = given(&host.dns);
        let own = || words("nameserver").into_iter().map(|s| s.trim().to_owned()).collect();
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
        Self { asked: asked.is_some(), servers: asked.unwrap_or_else(own), search, options }
    }

    /// The file of a container that asks for itself. `reachable` tells whether
    /// it reaches what the host does: then even its loopback servers.
    pub fn file(mut self, reachable: bool) -> String {
        if !self.asked && !reachable {
            let bare = |server: &str| server.split('%').next().and_then(|s| s.parse().ok());
            self.servers.retain(|s| bare(s).is_some_and(|address: IpAddr| !address.is_loopback()));
            if self.servers.is_empty() {
                self.servers = PUBLIC.map(str::to_owned).into();
            }
        }
        self.text()
    }

    /// The file of a container for which the resolver asks.
    pub fn file_inside(mut self) -> String {
        self.servers = vec![network::RESOLVER.to_string()];
        if self.ndots().is_none() {
            // Names of containers have no dot, and are asked about as they are.
            let blank = if self.options.is_empty() { "" } else { " " };
            self.options.push_str(blank);
            self.options.push_str("ndots:0");
        }
        self.text()
    }

    /// Whom the resolver asks for a container, and how.
    ///
    /// # Errors
    /// A server of the user's that is no address.
    pub fn upstream(&self, roads: &Roads) -> Result<Upstream, Error> {
        let ndots = self.ndots().is_some_and(|ndots| ndots > 0);
        if !roads.out {
            return Ok(Upstream { servers: Vec::new(), ndots });
        }
        let mut servers = Vec::new();
        for text in &self.servers {
            let (bare, zone) =
                text.split_once('%').map_or((&**text, false), |(bare, _)| (bare, true));
            let address: IpAddr = match bare.parse() {
                Ok(address) if self.asked && zone => {
                    return Err(Error::Invalid(format!(
                        "bad DNS server {text}: {address} is of one link, use one that is routed"
                    )));
                }
                Ok(_) if zone => continue,
                Ok(address) => address,
                Err(_) if self.asked => {
                    return Err(Error::Invalid(format!(
                        "bad DNS server {text:?}: use an IP address"
                    )));
                }
                Err(_) => continue,
            };
            // What the host reaches and the container does not; a server that
            // the user named is where the container is.
            let beyond = address.is_loopback() || (address.is_ipv6() && !roads.v6);
            let own = address.is_loopback() || roads.own.contains(&address);
            let inside = self.asked && address.is_loopback();
            if self.asked && own && roads.policies.names {
                return Err(Error::Invalid(format!(
                    "bad DNS server {text}: the container would answer itself what its egress \
                     policy allows by name, use a server outside of it"
                )));
            }
            // From inside nothing is asked that its policy does not let out,
            // and what a container could forge must not open a way.
            let fenced = roads.policies.fenced && !inside;
            servers.push(Server { address, of_host: fenced || (!self.asked && beyond) });
        }
        if servers.is_empty() {
            let public = PUBLIC.iter().filter_map(|text| text.parse().ok());
            let of_host = roads.policies.fenced;
            servers = public.map(|address| Server { address, of_host }).collect();
        }
        servers.truncate(MAX_SERVERS);
        Ok(Upstream { servers, ndots })
    }

    fn ndots(&self) -> Option<u32> {
        let value = |word: &str| word.strip_prefix("ndots:").map(|n| n.parse().unwrap_or(0));
        self.options.split_whitespace().filter_map(value).next_back()
    }

    fn text(&self) -> String {
        let mut text: String =
            self.servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        for (keyword, value) in [("search", &self.search), ("options", &self.options)] {
            if !value.is_empty() {
                text.push_str(&format!("{keyword} {value}\n"));
            }
        }
        text
    }
}

/// What the host asks, for containers that ask the same servers. Behind
/// systemd-resolved's stub stands a file with those that a container can reach.
pub(crate) fn of_host() -> String {
    let text = of_host_itself();
    if text.lines().any(|line| line.trim() == "nameserver 127.0.0.53")
        && let Ok(behind) = fs::read_to_string("/run/systemd/resolve/resolv.conf")
    {
        return behind;
    }
    text
}

/// What the host asks, for the resolver, which reaches all of it.
pub(crate) fn of_host_itself() -> String {
    fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Policies = Policies { fenced: false, names: false };
    const OUT: Roads = Roads { out: true, v6: false, policies: NONE, own: Vec::new() };

    fn plain(of_host: &str) -> Resolv {
        Resolv::read(of_host, &HostConfig::default())
    }

    fn asked(servers: &[&str], options: &[&str]) -> HostConfig {
        let list = |words: &[&str]| Some(words.iter().map(|w| (*w).to_owned()).collect());
        HostConfig { dns: list(servers), dns_options: list(options), ..HostConfig::default() }
    }

    fn servers(upstream: &Upstream) -> Vec<(String, bool)> {
        upstream.servers.iter().map(|s| (s.address.to_string(), s.of_host)).collect()
    }

    #[test]
    fn servers_on_the_hosts_loopback_are_left_out() {
        let of_host = "nameserver 127.0.0.1\nnameserver 10.0.0.53\nsearch lan\noptions ndots:2\n";
        let text = plain(of_host).file(false);
        assert_eq!(text, "nameserver 10.0.0.53\nsearch lan\noptions ndots:2\n");
        let shared = plain(of_host).file(true);
        assert!(shared.starts_with("nameserver 127.0.0.1\n"), "with the host's network: all");
    }

    #[test]
    fn without_a_server_that_can_be_reached_public_ones_are_asked() {
        let text = plain("nameserver ::1\n").file(false);
        assert_eq!(text, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    }

    #[test]
    fn what_the_user_says_outranks_the_host() {
        let host =
            HostConfig { dns_search: Some(vec![".".into()]), ..asked(&["1.1.1.1"], &["ndots:1"]) };
        let read = Resolv::read("nameserver 10.0.0.53\nsearch lan\n", &host);
        assert_eq!(read.file(false), "nameserver 1.1.1.1\noptions ndots:1\n");
    }

    #[test]
    fn inside_the_resolver_is_asked_and_names_need_no_dot() {
        let text = plain("nameserver 10.0.0.53\nsearch lan\n").file_inside();
        assert_eq!(text, "nameserver 127.0.0.11\nsearch lan\noptions ndots:0\n");
        let text = plain("nameserver ::1\noptions edns0 ndots:2\n").file_inside();
        assert_eq!(text, "nameserver 127.0.0.11\noptions edns0 ndots:2\n");
    }

    #[test]
    fn the_hosts_loopback_is_asked_from_the_host_and_what_the_user_named_from_inside() {
        let upstream = plain("nameserver 127.0.0.53\nnameserver 10.0.0.53\nnameserver fd00::53\n");
        let upstream = upstream.upstream(&OUT).expect("valid");
        let expected = [("127.0.0.53", true), ("10.0.0.53", false), ("fd00::53", true)];
        assert_eq!(servers(&upstream), expected.map(|(text, host)| (text.to_owned(), host)));
        let host = asked(&["127.0.0.1", "fd00::53"], &[]);
        let upstream = Resolv::read("nameserver 10.0.0.53\n", &host).upstream(&OUT).expect("valid");
        let expected = [("127.0.0.1", false), ("fd00::53", false)];
        assert_eq!(servers(&upstream), expected.map(|(text, host)| (text.to_owned(), host)));
    }

    #[test]
    fn nobody_is_asked_for_who_does_not_lead_out() {
        let read = Resolv::read("nameserver 10.0.0.53\n", &asked(&["1.1.1.1"], &[]));
        assert_eq!(read.upstream(&Roads::default()).expect("valid"), Upstream::default());
    }

    #[test]
    fn ndots_counts_if_it_is_above_zero() {
        let ndots = |options: &[&str]| {
            let read = Resolv::read("", &asked(&["1.1.1.1"], options));
            read.upstream(&OUT).expect("valid").ndots
        };
        assert!(ndots(&["ndots:2"]) && !ndots(&["ndots:0"]) && !ndots(&["edns0"]));
    }

    #[test]
    fn a_server_of_the_users_that_is_none_is_refused() {
        for text in ["resolver.example", "", "fe80::1%eth0"] {
            assert!(Resolv::read("", &asked(&[text], &[])).upstream(&OUT).is_err(), "{text:?}");
        }
        let upstream = plain("nameserver nonsense\nnameserver fe80::1%eth0\n").upstream(&OUT);
        assert_eq!(servers(&upstream.expect("valid"))[0].0, "8.8.8.8");
    }

    #[test]
    fn a_container_is_not_asked_what_names_lead_to_that_its_policy_allows() {
        let own = "10.5.0.7".parse().expect("an address");
        let roads = |names| Roads {
            policies: Policies { fenced: true, names },
            own: vec![own],
            ..OUT.clone()
        };
        let of = |text: &str, names| Resolv::read("", &asked(&[text], &[])).upstream(&roads(names));
        for text in ["127.0.0.1", "10.5.0.7"] {
            assert!(of(text, true).is_err(), "{text}");
            assert!(of(text, false).is_ok(), "{text}");
        }
        assert!(of("10.5.0.1", true).is_ok());
    }
}
