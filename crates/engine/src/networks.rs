//! Networks: `bridge`, `host` and `none`.

use crate::{Engine, Error, Nanos};
use std::collections::BTreeMap;

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// `bridge`, `host`, `none`.
    pub name: String,
    /// `bridge`, `host`, `null`.
    pub driver: String,
    /// When it was made.
    pub created: Nanos,
    /// `172.30.0.0/16`; empty if it has none.
    pub subnet: String,
    /// Empty if it has none.
    pub gateway: String,
    /// Carries IPv6?
    pub ipv6: bool,
    /// IPv6 subnet; empty if it has none.
    pub subnet6: String,
    /// IPv6 gateway; empty if it has none.
    pub gateway6: String,
    /// `com.docker.network.bridge.name` and the like.
    pub options: BTreeMap<String, String>,
    /// Given by the user.
    pub labels: BTreeMap<String, String>,
    /// Running containers on it, by identifier.
    pub members: BTreeMap<String, NetworkMember>,
}

/// A container on a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkMember {
    /// Of the container.
    pub name: String,
    /// Of its place on the network.
    pub endpoint: String,
    /// As the container has it.
    pub mac: String,
    /// `172.30.0.2/16`.
    pub ipv4: String,
    /// Empty if it has none.
    pub ipv6: String,
}

impl Engine {
    /// All networks.
    pub fn networks(&self) -> Vec<Network> {
        todo!()
    }

    /// By name, identifier or unique prefix.
    ///
    /// # Errors
    /// None or several.
    pub fn network(&self, reference: &str) -> Result<Network, Error> {
        todo!()
    }
}
