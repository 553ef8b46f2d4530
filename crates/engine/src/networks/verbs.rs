//! Making and removing networks.

use super::{Net, Network, NetworkWish, Networks, Plan, Record, wish};
use crate::{Engine, Error, Filters, Kind, Pruned, store::Write};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

impl Engine {
    /// Makes a network; returns its identifier.
    ///
    /// # Errors
    /// The wish makes no sense, clashes with what is there, or is not carried.
    pub fn create_network(&self, wish: NetworkWish) -> Result<String, Error> {
        let networks = &self.0.networks;
        if wish.name.is_empty() {
            return Err(Error::Invalid("invalid name: name is empty".into()));
        }
        if matches!(wish.name.as_str(), "bridge" | "host" | "none" | "default") {
            let name = &wish.name;
            let words = format!("operation is not permitted on predefined {name} network ");
            return Err(Error::Forbidden(words));
        }
        // The one would be read as a container's, the other as several lines.
        let mode = ["container:", "ns:"].iter().any(|start| wish.name.starts_with(start));
        if mode || wish.name.chars().any(char::is_control) {
            return Err(Error::Invalid(format!("invalid name: {:?}", wish.name)));
        }
        let _making = networks.making();
        if networks.named(&wish.name).is_some() {
            let name = &wish.name;
            return Err(Error::Conflict(format!("network with name {name} already exists")));
        }
        let id = crate::random::id().to_string();
        if wish.config_only {
            let network = wish::words_alone(wish, id, crate::clock::now())?;
            return self.enter_network(network, None);
        }
        let wish = match wish.config_from.as_str() {
            "" => wish,
            name => wish::worded(wish.clone(), &networks.words(name)?)?,
        };
        let others = networks.all();
        let plans = || others.iter().filter_map(|net| Some((net, net.plan()?)));
        let subnets: Vec<IpNet> = plans().flat_map(|(_, plan)| plan.subnets()).collect();
        let bridges: Vec<(String, String)> =
            plans().map(|(net, plan)| (plan.bridge.name.clone(), net.network.id.clone())).collect();
        let taken = wish::Taken {
            subnets: &subnets,
            bridges: &bridges,
            routes: &networks.realm.host_routes()?,
            ipv6: networks.realm.has_ipv6(),
        };
        let (network, plan) = wish::plan(wish, id, crate::clock::now(), &taken)?;
        self.enter_network(network, Some(plan))
    }

    /// Writes a new network down and makes it.
    fn enter_network(&self, network: Network, plan: Option<Plan>) -> Result<String, Error> {
        let networks = &self.0.networks;
        let id = network.id.clone();
        let record = Record { network, plan };
        let json = serde_json::to_string(&record).map_err(|e| Error::records(&e))?;
        let store = &self.0.store;
        store.write(Write::Network { id: id.clone(), json }).map_err(|e| Error::records(&e))?;
        let net = match record.plan {
            Some(plan) => Net::new(record.network, plan, Arc::clone(&networks.realm)),
            None => Net::without_bridge(record.network),
        };
        if net.plan().is_some()
            && let Err(error) = net.bridge()
        {
            store.leave(Write::NetworkGone { id });
            return Err(error);
        }
        let net = Arc::new(net);
        networks.write().insert(net.network.name.clone(), Arc::clone(&net));
        self.0.say_of_network(&net, "create", None);
        Ok(id)
    }

    /// Removes a network that nobody is on.
    ///
    /// # Errors
    /// None such, one that is always there, or in use.
    pub fn remove_network(&self, reference: &str) -> Result<(), Error> {
        let net = self.0.networks.find(reference)?;
        if net.network.is_predefined() {
            let words =
                format!("{} is a pre-defined network and cannot be removed", net.network.name);
            return Err(Error::Forbidden(words));
        }
        let _making = self.0.networks.making();
        if !self.0.networks.named(&net.network.name).is_some_and(|now| Arc::ptr_eq(&now, &net)) {
            return Err(Error::NoNetwork(reference.to_owned()));
        }
        let made_of = |other: &Arc<Net>| other.network.config_from == net.network.name;
        if net.network.config_only && self.0.networks.all().iter().any(made_of) {
            let words = format!("configuration network {:?} is in use", net.network.name);
            return Err(Error::Forbidden(words));
        }
        if let Err(holders) = self.shut(&net) {
            let named = holders.iter().map(|id| self.describe_member(&net, id));
            let named: Vec<String> = named.collect();
            return Err(Error::Forbidden(format!(
                "error while removing network: network {} has active endpoints ({})",
                net.network.name,
                named.join(", ")
            )));
        }
        let removed = net.remove_bridge().and_then(|()| {
            let gone = Write::NetworkGone { id: net.network.id.clone() };
            self.0.store.write(gone).map_err(|e| Error::records(&e))
        });
        if let Err(error) = removed {
            net.reopen();
            return Err(error);
        }
        self.0.networks.write().remove(&net.network.name);
        self.0.say_of_network(&net, "destroy", None);
        Ok(())
    }

    /// Lets nobody in any more, if nobody is in. Those that have ended are
    /// waited for until they are out.
    fn shut(&self, net: &Net) -> Result<(), BTreeSet<spec::Id>> {
        let Err(holders) = net.close() else { return Ok(()) };
        let cells = holders.iter().filter_map(|id| self.0.roster.get(id));
        for cell in cells.filter(|cell| cell.now().plugs.is_empty()) {
            drop(cell.own());
        }
        net.close()
    }

    fn describe_member(&self, net: &Net, id: &spec::Id) -> String {
        let cell = self.0.roster.get(id);
        let container = cell.map(|cell| cell.now());
        let name = container.as_ref().map(|c| c.name.clone()).unwrap_or_default();
        let plug = container.as_ref().and_then(|c| c.plugs.get(&net.network.name));
        let endpoint = plug.map(|plug| plug.id.short().to_owned()).unwrap_or_default();
        format!("name:{name:?} id:{endpoint:?}")
    }

    /// Removes the networks that nobody is on, as far as the filters
    /// (`until`, `label`, `label!`) let; returns their names.
    ///
    /// # Errors
    /// A filter that is not known.
    pub fn prune_networks(&self, filters: &Filters) -> Result<Pruned, Error> {
        filters.only(&["until", "label", "label!"])?;
        let until = filters.until(crate::clock::now())?;
        let mut pruned = Pruned::default();
        for net in self.0.networks.all() {
            let network = &net.network;
            let wanted = !network.is_predefined()
                && !network.config_only
                && !net.is_used()
                && until.is_none_or(|until| network.created < until)
                && filters.labels(&network.labels);
            if !wanted {
                continue;
            }
            match self.remove_network(&network.id) {
                Ok(()) => pruned.removed.push(network.name.clone()),
                // Somebody has joined it, or removed it, meanwhile.
                Err(Error::Forbidden(_) | Error::NoNetwork(_)) => {}
                // What has gone is told all the same, as Docker does.
                Err(error) => {
                    tracing::warn!(network = network.name, %error, "cannot remove a network");
                }
            }
        }
        let reclaimed = BTreeMap::from([("reclaimed".to_owned(), "0".to_owned())]);
        self.0.journal.say("network", "prune", "", reclaimed);
        Ok(pruned)
    }
}

impl Networks {
    /// Words for networks, by their name.
    fn words(&self, name: &str) -> Result<Network, Error> {
        let found = self.named(name).filter(|net| net.network.config_only);
        let found = found.map(|net| net.network.clone());
        found.ok_or_else(|| Error::Below {
            kind: Kind::NotFound,
            message: format!("configuration network {name:?} not found"),
        })
    }
}

impl crate::house::House {
    /// Tells everybody of something that happened to a network.
    pub(crate) fn say_of_network(&self, net: &Net, action: &str, container: Option<&spec::Id>) {
        let network = &net.network;
        let mut attributes = BTreeMap::from([
            ("name".to_owned(), network.name.clone()),
            ("type".to_owned(), network.driver.clone()),
        ]);
        if let Some(container) = container {
            attributes.insert("container".into(), container.to_string());
        }
        self.journal.say("network", action, &network.id, attributes);
    }
}
