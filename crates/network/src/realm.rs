//! Everything that one daemon owns in the host's network namespace.

use crate::{
    Bridge, BridgeConfig, Endpoint, Error, Known, Lookout, PortWish, Published,
    book::{Book, Owner},
    bridge,
    error::Doing,
    forwarding,
    netlink::{
        Socket,
        link::{self, Link},
    },
    ports, rules,
};
use ipnet::IpNet;
use std::{
    collections::BTreeSet,
    fs, io,
    sync::{Arc, Mutex, MutexGuard},
};

/// Where the host's programs get ports that they do not name.
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// One daemon's part of the host's network: see the crate's page.
#[derive(Debug)]
pub struct Realm {
    name: String,
    loopback6: bool,
    route: Mutex<Socket>,
    book: Mutex<Book>,
    /// Interfaces beside which networks stand, each with the network's own.
    parents: Mutex<BTreeSet<(String, String)>>,
    /// To the connections that the kernel tracks: a list of them is long, and
    /// nobody who comes or goes is to wait for it.
    tracked: Mutex<Socket>,
}

impl Realm {
    /// Takes possession of the tables called after `name` (the default
    /// bridge), making them or bringing their rules up to date. What is
    /// plugged in and published stays so, without a gap.
    ///
    /// # Errors
    /// The kernel lacks nftables or a part of it, or the daemon the rights.
    pub fn open(name: &str) -> Result<Arc<Self>, Error> {
        check_name(name)?;
        let loopback6 = forwarding::loopback6();
        let route = Socket::route().doing("open a socket to", "the kernel's interfaces")?;
        let book = Book::open(&table(name), loopback6)?;
        let tracked = Socket::netfilter().doing("open a socket to", "tracked connections")?;
        tracked.make_room().doing("enlarge the socket to", "tracked connections")?;
        let (route, book) = (Mutex::new(route), Mutex::new(book));
        let (parents, tracked) = (Mutex::default(), Mutex::new(tracked));
        Ok(Arc::new(Self { name: name.to_owned(), loopback6, route, book, parents, tracked }))
    }

    /// Makes a bridge, or adopts the one of that name that this realm made.
    ///
    /// # Errors
    /// A bad configuration, an interface of that name that is not of this
    /// realm, or what the kernel said.
    pub fn bridge(self: &Arc<Self>, config: &BridgeConfig) -> Result<Bridge, Error> {
        check_name(&config.name)?;
        Bridge::ensure(self, config.clone())
    }

    /// Finds and holds ports of the host for an endpoint (its `ports` are
    /// ignored); all or none. A wish without an address gives one entry for
    /// each family the endpoint has. Given back by [`Bridge::unplug`] or
    /// [`release`](Self::release).
    ///
    /// # Errors
    /// A port is taken by a container or by a program of the host.
    pub fn reserve(
        &self,
        endpoint: &Endpoint,
        wishes: &[PortWish],
    ) -> Result<Vec<Published>, Error> {
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        let any = ports::any_range(&fs::read_to_string(RANGE).doing("read", RANGE)?);
        self.book().ports.reserve(endpoint, wishes, &any).map_err(|error| error.of(endpoint))
    }

    /// Gives back the ports that were reserved for a container that is not to
    /// be plugged in after all.
    pub fn release(&self, container: &spec::Id) {
        self.book().ports.release(container.as_str());
    }

    /// Gives back some of the ports that a container holds, after they were
    /// [withdrawn](Bridge::change).
    pub fn give_back(&self, container: &spec::Id, ports: &[Published]) {
        self.book().ports.give_back(ports, container.as_str());
    }

    /// What the host routes or bears itself, the default routes left out: for
    /// [`addresses::free_subnet`](crate::addresses::free_subnet).
    ///
    /// # Errors
    /// What the kernel said.
    pub fn host_routes(&self) -> Result<Vec<IpNet>, Error> {
        let mut route = self.route();
        let routes = route.dump(link::list_routes()).doing("list", "routes")?;
        let addresses = route.dump(link::list_addresses()).doing("list", "addresses")?;
        let mut nets: Vec<_> = routes.iter().filter_map(link::read_route).collect();
        nets.extend(addresses.iter().filter_map(link::read_address).map(|(_, net)| net.trunc()));
        nets.sort();
        nets.dedup();
        Ok(nets)
    }

    /// Has the host IPv6 at all?
    pub fn has_ipv6(&self) -> bool {
        forwarding::has_ipv6()
    }

    /// Do published ports answer under `::1` on this host? Not where
    /// `br_netfilter` shows bridged packets to the IPv6 hooks.
    pub fn answers_on_loopback6(&self) -> bool {
        self.loopback6
    }

    /// Removes the tables, when nothing is plugged in any more and the bridges
    /// are gone. A host that forwarded only for us forwards no more, unless
    /// for another daemon, which then does the same when it goes.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn remove(&self) -> Result<(), Error> {
        let others = self.others()?;
        for v6 in [false, true] {
            let alone = self.book().has(&Owner::Realm, &rules::of_closed(v6));
            if alone && !others.iter().any(|alias| bears(alias, v6)) {
                forwarding::turn_off(v6)?;
            }
        }
        self.book().burn()
    }

    /// What the bridges of other daemons say of themselves.
    fn others(&self) -> Result<Vec<String>, Error> {
        let answers = self.route().dump(link::list()).doing("list", "interfaces")?;
        let aliases = answers.iter().filter_map(Link::read).map(|link| link.alias);
        let ours = |alias: &String| alias.starts_with("cofferdam ") && !self.is_mine(alias);
        Ok(aliases.filter(ours).collect())
    }

    /// Removes this realm's bridges that are not `known`, and everything of
    /// containers that are not known to be on those that are; says which
    /// bridges, and whose. What is to be known is asked after what is there
    /// was listed, so that what comes meanwhile is not taken for rubbish.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn sweep(&self, known: impl FnOnce() -> Known) -> Result<Vec<String>, Error> {
        bridge::sweep(self, known)
    }

    /// Lets go of what had to outlive its container for a moment: the guard
    /// of an interface that was still on its way out.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn tidy(&self) -> Result<(), Error> {
        self.book().strike_condemned()
    }

    /// Are the tables in the kernel those that this realm made? Not after
    /// somebody flushed the host's rules.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn stands(&self) -> Result<bool, Error> {
        self.book().stands()
    }

    /// An ear for what others change of the host's nftables.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn lookout(&self) -> Result<Lookout, Error> {
        Lookout::new(self.book().number().doing("ask the number of a socket to", "nftables")?)
    }

    /// Did the tables stand, with all their rules, when this daemon came? If
    /// not, nothing held containers to their policies for a while.
    pub fn was_whole(&self) -> bool {
        self.book().was_whole()
    }

    /// Puts the tables back as they were, after somebody else emptied the
    /// host's nftables while this daemon ran.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn restore(&self) -> Result<(), Error> {
        self.book().reinstall(self.loopback6)
    }

    /// The realm's name, which its bridges bear as their alias, and whether
    /// the host forwards for us alone: that must outlive the tables.
    pub(crate) fn mark(&self) -> String {
        let book = self.book();
        let alone = |v6| book.has(&Owner::Realm, &rules::of_closed(v6));
        let families = [false, true].into_iter().filter(|v6| alone(*v6));
        families.fold(format!("cofferdam {}", self.name), |all, v6| all + " " + mark_of(v6))
    }

    /// Is a bridge's alias one of this realm's? If so, what it says of
    /// forwarding is entered again.
    pub(crate) fn recognise(&self, alias: &str) -> Result<bool, Error> {
        if !self.is_mine(alias) {
            return Ok(false);
        }
        for word in alias.split(' ').skip(2) {
            self.book().add(&Owner::Realm, rules::of_closed(word == mark_of(true)))?;
        }
        Ok(true)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Does the alias say that an interface is this realm's?
    pub(crate) fn is_mine(&self, alias: &str) -> bool {
        let mut words = alias.split(' ');
        words.next() == Some("cofferdam") && words.next() == Some(&self.name)
    }

    pub(crate) fn parents(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.parents.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn route(&self) -> MutexGuard<'_, Socket> {
        self.route.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn tracked(&self) -> MutexGuard<'_, Socket> {
        self.tracked.lock().expect("no holder of this lock panics")
    }

    /// Lets the host forward packets of a family, for us alone if it did not:
    /// us are all daemons here.
    pub(crate) fn forward(&self, v6: bool) -> Result<(), Error> {
        let others = || Ok(self.others()?.iter().any(|alias| bears(alias, v6)));
        if forwarding::is_on(v6)? && !others()? {
            return Ok(());
        }
        self.book().add(&Owner::Realm, rules::of_closed(v6))?;
        forwarding::turn_on(v6)
    }
}

/// How a bridge's alias says that the host forwards a family for us alone.
fn mark_of(v6: bool) -> &'static str {
    if v6 { "+ipv6" } else { "+ipv4" }
}

fn bears(alias: &str, v6: bool) -> bool {
    alias.split(' ').skip(2).any(|word| word == mark_of(v6))
}

/// What the tables of a realm are called.
pub(crate) fn table(realm: &str) -> String {
    format!("cofferdam-{realm}")
}

/// Is it a name that an interface may have, and a path and a table hold?
fn check_name(name: &str) -> Result<(), Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if starts && name.len() <= 15 && name.bytes().all(plain) {
        Ok(())
    } else {
        let rule =
            "up to 15 letters, digits, dots, dashes and underscores, the first a letter or digit";
        Err(Error::Invalid(format!("invalid bridge name {name:?}: {rule}")))
    }
}

/// Was it only that there was nothing to remove?
pub(crate) fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    const NO_DEVICE: i32 = 19;
    match result {
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(NO_DEVICE) =>
        {
            Ok(())
        }
        other => other,
    }
}
