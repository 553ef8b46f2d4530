//! The options of a network's driver, as a client spells them.

use crate::Error;
use network::{Beside, BesideKind, Driver, GatewayMode, IpvlanFlag, MacvlanMode};
use std::{collections::BTreeMap, fmt::Display, str::FromStr};

/// Option keys of the bridge driver.
pub(super) mod key {
    pub(in super::super) const NAME: &str = "com.docker.network.bridge.name";
    pub(in super::super) const ICC: &str = "com.docker.network.bridge.enable_icc";
    pub(in super::super) const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
    pub(in super::super) const BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
    pub(in super::super) const MODE4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
    pub(in super::super) const MODE6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
    pub(in super::super) const INHIBIT: &str = "com.docker.network.bridge.inhibit_ipv4";
    pub(in super::super) const TRUSTED: &str = "com.docker.network.bridge.trusted_host_interfaces";
    pub(in super::super) const MTU: &str = "com.docker.network.driver.mtu";
    pub(in super::super) const PARENT: &str = "parent";
    pub(in super::super) const MACVLAN: &str = "macvlan_mode";
    pub(in super::super) const IPVLAN: &str = "ipvlan_mode";
    pub(in super::super) const IPVLAN_FLAG: &str = "ipvlan_flag";
    /// Which addresses of the host its containers reach: `gateway` or `all`.
    pub(in super::super) const HOST: &str = "cofferdam.host";
    pub(in super::super) const PREFIX: &str = "com.docker.network.container_iface_prefix";
}

/// The driver's options. Unknown ones are kept and shown, as Docker does.
pub(super) struct Options<'a>(pub(super) &'a BTreeMap<String, String>);

impl Options<'_> {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        let unreadable = |text: &str, words| {
            Error::Invalid(format!("failed to parse {key} value: {text} ({words})"))
        };
        self.text(key).map(|text| read(text).map_err(|words| unreadable(text, words))).transpose()
    }

    /// What Go's `strconv.ParseBool` takes.
    pub(super) fn yes(&self, key: &str) -> Result<Option<bool>, Error> {
        self.read(key, |text| match text {
            "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
            "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
            _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
        })
    }

    pub(super) fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>, Error> {
        let invalid = |text: &str| format!("strconv.Atoi: parsing {text:?}: invalid syntax");
        self.read(key, |text| text.parse().map_err(|_| invalid(text)))
    }

    pub(super) fn address<T: FromStr>(&self, key: &str) -> Result<Option<T>, Error>
    where
        T::Err: Display,
    {
        self.read(key, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// An interface's name has 15 bytes, and its number follows.
    pub(super) fn prefix(&self) -> Result<String, Error> {
        let prefix = self.text(key::PREFIX).unwrap_or("eth");
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if prefix.len() <= 11 && prefix.bytes().all(plain) && prefix != "lo" {
            return Ok(prefix.to_owned());
        }
        let rule = "up to 11 letters, digits, dashes and underscores";
        Err(Error::Invalid(format!("invalid interface prefix {prefix:?}: {rule}")))
    }

    /// Beside what containers stand; nothing leads out of an internal network.
    pub(super) fn beside(&self, kind: BesideKind, internal: bool) -> Result<Beside, Error> {
        let parent = self.text(key::PARENT).filter(|_| !internal).unwrap_or_default();
        if parent == "lo" {
            return Err(Error::Invalid(format!(
                "loopback interface is not a valid {} parent link",
                kind.word()
            )));
        }
        // What follows a colon the kernel overlooks.
        let odd = |c: char| matches!(c, '/' | ':') || c.is_whitespace();
        let fits = parent.len() <= 15 && !parent.contains(odd);
        if !fits {
            return Err(Error::Invalid(format!("{parent:?} is no name of an interface")));
        }
        Ok(Beside { parent: parent.to_owned(), kind })
    }

    pub(super) fn macvlan(&self) -> Result<MacvlanMode, Error> {
        match self.text(key::MACVLAN) {
            None | Some("bridge") => Ok(MacvlanMode::Bridge),
            Some("private") => Ok(MacvlanMode::Private),
            Some("vepa") => Ok(MacvlanMode::Vepa),
            Some("passthru") => Ok(MacvlanMode::Passthru),
            Some(mode) => Err(Error::Invalid(format!(
                "requested macvlan mode '{mode}' is not valid, 'bridge' mode is the macvlan \
                 driver default"
            ))),
        }
    }

    pub(super) fn ipvlan(&self) -> Result<BesideKind, Error> {
        let kind = match self.text(key::IPVLAN) {
            None | Some("l2") => BesideKind::Ipvlan,
            Some("l3") => BesideKind::IpvlanL3,
            Some("l3s") => BesideKind::IpvlanL3s,
            Some(mode) => {
                return Err(Error::Invalid(format!(
                    "requested ipvlan mode '{mode}' is not valid, 'l2' mode is the ipvlan driver \
                     default"
                )));
            }
        };
        match self.text(key::IPVLAN_FLAG) {
            None | Some("bridge") => Ok(kind(IpvlanFlag::Bridge)),
            Some("private") => Ok(kind(IpvlanFlag::Private)),
            Some("vepa") => Ok(kind(IpvlanFlag::Vepa)),
            Some(flag) => Err(Error::Invalid(format!(
                "requested ipvlan flag '{flag}' is not valid, 'bridge' is the ipvlan driver default"
            ))),
        }
    }

    /// Do containers reach every address of the host? There is a host between
    /// it and them where they have a gateway alone.
    pub(super) fn whole_host(&self, driver: Driver) -> Result<bool, Error> {
        let said = self.text(key::HOST);
        if said.is_some() && driver == Driver::Beside {
            return Err(Error::Invalid(format!(
                "{} is not for networks beside the host, whose containers do not pass it: leave \
                 it out",
                key::HOST
            )));
        }
        match said {
            None | Some("gateway") => Ok(false),
            Some("all") => Ok(true),
            Some(word) => Err(Error::Invalid(format!(
                "invalid {}: {word:?}: say gateway, or all for every address of the host",
                key::HOST
            ))),
        }
    }

    /// How far containers are hidden behind the host.
    pub(super) fn mode(&self, key: &str, internal: bool) -> Result<GatewayMode, Error> {
        // Nothing is no mode: Docker refuses it too.
        match self.0.get(key).map(String::as_str) {
            None | Some("nat") => Ok(GatewayMode::Nat),
            Some("nat-unprotected") => Ok(GatewayMode::NatUnprotected),
            Some("routed") => Ok(GatewayMode::Routed),
            Some("isolated") if internal => Ok(GatewayMode::Isolated),
            Some("isolated") => {
                let words = "gateway mode 'isolated' can only be used for an internal network";
                Err(Error::Invalid(words.into()))
            }
            Some(mode) => Err(Error::Invalid(format!(
                "failed to parse {key} value: {mode} (unknown gateway mode {mode})"
            ))),
        }
    }

    /// Names of interfaces with colons between them.
    pub(super) fn interfaces(&self, key: &str) -> Result<Vec<String>, Error> {
        let plain = |name: &str| {
            let fits = (1..=15).contains(&name.len()) && !matches!(name, "." | "..");
            fits && !name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
        };
        self.read(key, |text| {
            let names: Vec<String> = text.split(':').map(str::to_owned).collect();
            match names.iter().find(|name| !plain(name)) {
                None => Ok(names),
                Some(name) => Err(format!("{name:?} is no name of an interface")),
            }
        })
        .map(Option::unwrap_or_default)
    }
}
