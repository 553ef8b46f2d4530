//! Everything that one daemon owns in the host's network namespace.

use crate::{Bridge, BridgeConfig, Endpoint, Error, PortWish, Published};
use ipnet::IpNet;
use std::sync::Arc;

/// One daemon's part of the host's network: see the crate's page.
#[derive(Debug)]
pub struct Realm {}

impl Realm {
    /// Takes possession of the tables called after `name` (the default
    /// bridge), making them or bringing their rules up to date.
    ///
    /// # Errors
    /// The kernel lacks nftables or a part of it, or the daemon the rights.
    pub fn open(name: &str) -> Result<Arc<Self>, Error> {
        let _ = name;
        unimplemented!("follows in the next commits")
    }

    /// Makes a bridge, or adopts the one of that name that is there.
    ///
    /// # Errors
    /// A bad configuration, an interface of that name that is no bridge, or
    /// what the kernel said.
    pub fn bridge(self: &Arc<Self>, config: &BridgeConfig) -> Result<Bridge, Error> {
        let _ = config;
        unimplemented!("follows in the next commits")
    }

    /// Finds and holds ports of the host for an endpoint (its `ports` are
    /// ignored); all or none. A wish without an address gives one entry for
    /// each family the endpoint has.
    ///
    /// # Errors
    /// A port is taken by a container or by a program of the host.
    pub fn reserve(
        &self,
        endpoint: &Endpoint,
        wishes: &[PortWish],
    ) -> Result<Vec<Published>, Error> {
        let _ = (endpoint, wishes);
        unimplemented!("follows in the next commits")
    }

    /// What the host routes or bears itself, the default routes left out: for
    /// [`addresses::free_subnet`](crate::addresses::free_subnet).
    ///
    /// # Errors
    /// What the kernel said.
    pub fn host_routes(&self) -> Result<Vec<IpNet>, Error> {
        unimplemented!("follows in the next commits")
    }

    /// Has the host IPv6 at all?
    pub fn has_ipv6(&self) -> bool {
        std::path::Path::new("/proc/sys/net/ipv6").exists()
    }
}
