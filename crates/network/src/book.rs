//! Who has which elements in the kernel's sets, and which ports of the host.
//!
//! The kernel keeps it: every element bears its owner's name as its comment,
//! so a daemon that starts reads the book back and forgets nothing. An owner
//! is a network, or a container on a network.

use crate::{
    error::{Doing, Error},
    netlink::{Message, Socket},
    nft::{self, Element, Family, Table},
    ports::Ports,
    rules,
};
use spec::Id;
use std::{
    collections::{BTreeMap, HashSet},
    fmt, io,
    net::IpAddr,
};

/// Whose an element is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The daemon as a whole.
    Realm,
    /// A network, by its bridge.
    Network(String),
    /// A container on a network.
    Endpoint {
        /// The network's bridge.
        bridge: String,
        /// The container's identifier.
        container: String,
    },
}

impl Owner {
    pub(crate) fn endpoint(bridge: &str, container: &Id) -> Self {
        Self::Endpoint { bridge: bridge.to_owned(), container: container.as_str().to_owned() }
    }

    fn read(comment: &str) -> Self {
        match comment.split_once(' ') {
            Some((bridge, container)) => {
                Self::Endpoint { bridge: bridge.to_owned(), container: container.to_owned() }
            }
            None if comment.is_empty() => Self::Realm,
            None => Self::Network(comment.to_owned()),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Realm => Ok(()),
            Self::Network(bridge) => f.write_str(bridge),
            Self::Endpoint { bridge, container } => write!(f, "{bridge} {container}"),
        }
    }
}

/// A table in the kernel: what tells it from another of its name, made later or
/// emptied.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    number: u64,
    /// Sets and chains.
    things: u32,
    /// The numbers of its rules.
    rules: Vec<u64>,
}

/// The book, and the socket by which it is kept.
#[derive(Debug)]
pub(crate) struct Book {
    socket: Socket,
    table: String,
    entries: BTreeMap<Owner, Vec<Element>>,
    /// Ports whose container has ended and whose interface was still there
    /// when last looked at: they stay under guard, with no right to anything.
    condemned: Vec<Element>,
    /// Ports of the host.
    pub(crate) ports: Ports,
    /// What the kernel said of both tables when they were made.
    made: Vec<Seen>,
    /// Both were there before, with as many rules as they are to have.
    was_whole: bool,
}

impl Book {
    /// Installs the rules and reads what elements there are.
    pub(crate) fn open(table: &str, loopback6: bool) -> Result<Self, Error> {
        let socket = Socket::netfilter().doing("open a socket to", "nftables")?;
        socket.make_room().doing("enlarge the socket to", "nftables")?;
        let mut book = Self {
            socket,
            table: table.to_owned(),
            entries: BTreeMap::new(),
            condemned: Vec::new(),
            ports: Ports::default(),
            made: Vec::new(),
            was_whole: false,
        };
        let before = book.look()?.unwrap_or_default();
        book.install(loopback6)?;
        let rules = |all: &[Seen]| all.iter().map(|seen| seen.rules.len()).collect::<Vec<_>>();
        book.was_whole = rules(&before) == rules(&book.made);
        book.read().doing("read nftables table", table)?;
        Ok(book)
    }

    fn install(&mut self, loopback6: bool) -> Result<(), Error> {
        self.transact(rules::install(&self.table, loopback6))
            .doing("install nftables table", &self.table.clone())?;
        self.made = self.look()?.unwrap_or_default();
        Ok(())
    }

    /// Makes the kernel's tables what this book says, after somebody else
    /// emptied or removed them; what is still there stays. One transaction:
    /// no packet meets half of it.
    pub(crate) fn reinstall(&mut self, loopback6: bool) -> Result<(), Error> {
        let mut messages = rules::install(&self.table, loopback6);
        for (owner, elements) in &self.entries {
            messages.extend(nft::add_elements(&self.table, &kept(elements), &owner.to_string()));
        }
        self.transact(messages).doing("restore nftables table", &self.table.clone())?;
        self.made = self.look()?.unwrap_or_default();
        Ok(())
    }

    /// Are both tables those that were made here, with all that was made in
    /// them?
    pub(crate) fn stands(&mut self) -> Result<bool, Error> {
        Ok(self.look()?.is_some_and(|seen| seen == self.made))
    }

    /// Did the tables stand before this daemon came?
    pub(crate) fn was_whole(&self) -> bool {
        self.was_whole
    }

    fn look(&mut self) -> Result<Option<Vec<Seen>>, Error> {
        let mut all = Vec::new();
        for family in [Family::Bridge, Family::Inet] {
            match self.look_at(family) {
                Ok(seen) => all.push(seen),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error).doing("look at nftables table", &self.table),
            }
        }
        Ok(Some(all))
    }

    fn look_at(&mut self, family: Family) -> io::Result<Seen> {
        let table = Table { family, name: &self.table };
        let answer = self.socket.ask(&nft::get_table(table))?;
        let (number, things) =
            nft::read_table(&answer).ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
        let rules = self.socket.dump(nft::get_rules(table))?;
        let rules = rules.iter().filter_map(nft::read_rule).collect();
        Ok(Seen { number, things, rules })
    }

    /// Does an owner have this element?
    pub(crate) fn has(&self, owner: &Owner, element: &Element) -> bool {
        self.entries.get(owner).is_some_and(|elements| elements.contains(element))
    }

    fn read(&mut self) -> io::Result<()> {
        for set in rules::owned_sets() {
            for answer in self.socket.dump(nft::get_elements(&self.table, set))? {
                for (element, comment) in nft::read_elements(set, &answer) {
                    let owner = Owner::read(&comment);
                    if let Owner::Endpoint { container, .. } = &owner
                        && let Some(published) = rules::published_of(&element)
                    {
                        self.ports.recall(&published, container);
                    }
                    self.entries.entry(owner).or_default().push(element);
                }
            }
        }
        Ok(())
    }

    /// The table's name, in both families.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The addresses of everybody on a bridge, those of the link too.
    pub(crate) fn addresses_on(&self, bridge: &str) -> Vec<IpAddr> {
        let here =
            |owner: &Owner| matches!(owner, Owner::Endpoint { bridge: b, .. } if b == bridge);
        let entries = self.entries.iter().filter(|(owner, _)| here(owner));
        entries.flat_map(|(_, all)| all.iter().filter_map(rules::any_address_of)).collect()
    }

    /// Has the kernel these elements?
    pub(crate) fn are_there(&mut self, elements: &[Element]) -> Result<bool, Error> {
        let table = self.table.clone();
        for set in rules::owned_sets() {
            let mut wanted: Vec<_> = elements.iter().filter(|e| e.set == set.name).collect();
            if wanted.is_empty() {
                continue;
            }
            let answers = self.socket.dump(nft::get_elements(&table, set));
            for answer in answers.doing("read nftables table", &table)? {
                for (found, _) in nft::read_elements(set, &answer) {
                    wanted.retain(|wanted| wanted.key != found.key || wanted.end != found.end);
                }
            }
            if !wanted.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn transact(&mut self, messages: Vec<Message>) -> io::Result<()> {
        // An empty transaction is one that nothing answers.
        if messages.is_empty() {
            return Ok(());
        }
        self.socket.transact(&nft::transaction(messages))
    }

    /// Gives an owner exactly these elements, in one transaction.
    pub(crate) fn enter(&mut self, owner: &Owner, elements: Vec<Element>) -> Result<(), Error> {
        let old = self.entries.get(owner).cloned().unwrap_or_default();
        let mut messages = nft::remove_elements(&self.table, &old);
        messages.extend(nft::add_elements(&self.table, &elements, &owner.to_string()));
        self.transact(messages).doing("enter in nftables", &owner.to_string())?;
        self.entries.insert(owner.clone(), elements);
        Ok(())
    }

    /// Gives an owner one more element.
    pub(crate) fn add(&mut self, owner: &Owner, element: Element) -> Result<(), Error> {
        let mut elements = self.entries.get(owner).cloned().unwrap_or_default();
        if !elements.contains(&element) {
            elements.push(element);
        }
        self.enter(owner, elements)
    }

    /// Gives an owner exactly these elements, whatever the kernel was found to
    /// have: somebody else may have emptied the tables, or a daemon that died
    /// have entered more than it could write down. Did it differ?
    pub(crate) fn restore(&mut self, owner: &Owner, elements: Vec<Element>) -> Result<bool, Error> {
        let had: HashSet<Element> =
            self.entries.get(owner).into_iter().flatten().cloned().collect();
        let wanted: HashSet<&Element> = elements.iter().collect();
        let more: Vec<Element> = had.iter().filter(|one| !wanted.contains(one)).cloned().collect();
        let missing: Vec<Element> =
            elements.iter().filter(|one| !had.contains(*one)).cloned().collect();
        if more.is_empty() && missing.is_empty() {
            return Ok(false);
        }
        let mut more = more;
        more.sort_by_key(|element| element.set);
        let mut messages = nft::remove_elements(&self.table, &more);
        messages.extend(nft::add_elements(&self.table, &kept(&missing), &owner.to_string()));
        self.transact(messages).doing("restore in nftables", &owner.to_string())?;
        if let Owner::Endpoint { container, .. } = owner {
            let published: Vec<_> = more.iter().filter_map(rules::published_of).collect();
            self.ports.give_back(&published, container);
        }
        self.entries.insert(owner.clone(), elements);
        Ok(true)
    }

    /// Strikes an owner out, and says what it had. A port whose interface is
    /// still there stays under guard until a later call finds it gone.
    pub(crate) fn strike(&mut self, owner: &Owner) -> Result<Vec<Element>, Error> {
        let had = self.entries.get(owner).cloned().unwrap_or_default();
        self.condemn(&had).doing("strike from nftables", &owner.to_string())?;
        self.entries.remove(owner);
        if let Owner::Endpoint { container, .. } = owner {
            self.give_back_ports(container, &had);
        }
        Ok(had)
    }

    /// Removes those of the condemned whose interface has gone meanwhile.
    pub(crate) fn strike_condemned(&mut self) -> Result<(), Error> {
        self.condemn(&[]).doing("strike from nftables", "what had gone")
    }

    /// Removes elements, but ports whose interface is still there, which join
    /// the condemned; and the condemned likewise. All of it, or nothing.
    fn condemn(&mut self, elements: &[Element]) -> io::Result<()> {
        let all = self.condemned.iter().chain(elements).cloned();
        let (stay, go): (Vec<_>, Vec<_>) = all.partition(|element| self.is_there(element));
        self.remove(&go)?;
        self.condemned = stay;
        Ok(())
    }

    /// Gives back the ports of the host that an endpoint had; with the
    /// container's last endpoint, also what was held for one to come.
    fn give_back_ports(&mut self, container: &str, had: &[Element]) {
        let of_it =
            |owner: &Owner| matches!(owner, Owner::Endpoint { container: c, .. } if c == container);
        if self.entries.keys().any(of_it) {
            let published: Vec<_> = had.iter().filter_map(rules::published_of).collect();
            self.ports.give_back(&published, container);
        } else {
            self.ports.release(container);
        }
    }

    /// Is it a guarded port whose interface exists?
    fn is_there(&self, element: &Element) -> bool {
        rules::port_of(element).is_some_and(|port| self.socket.index(&port).is_ok())
    }

    pub(crate) fn remove(&mut self, elements: &[Element]) -> io::Result<()> {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        match self.transact(nft::remove_elements(&self.table, elements)) {
            // Somebody else emptied a set or two: go one by one.
            Err(error) if gone(&error) => elements.iter().try_for_each(|element| {
                let one = nft::remove_elements(&self.table, std::slice::from_ref(element));
                match self.transact(one) {
                    Err(error) if gone(&error) => Ok(()),
                    other => other,
                }
            }),
            other => other,
        }
    }

    /// The number of the socket by which it is kept.
    pub(crate) fn number(&self) -> io::Result<u32> {
        self.socket.number()
    }

    /// Everyone in the book.
    pub(crate) fn owners(&self) -> Vec<Owner> {
        self.entries.keys().cloned().collect()
    }

    /// Removes the tables.
    pub(crate) fn burn(&mut self) -> Result<(), Error> {
        let tables = [Family::Bridge, Family::Inet]
            .map(|family| nft::delete_table(Table { family, name: &self.table }))
            .to_vec();
        self.transact(tables).doing("remove nftables table", &self.table)
    }
}

/// The same, not minding that they are there.
fn kept(elements: &[Element]) -> Vec<Element> {
    elements.iter().map(|element| Element { exclusive: false, ..element.clone() }).collect()
}

/// The addresses that an owner's elements let it use.
pub(crate) fn addresses_of(elements: &[Element]) -> Vec<IpAddr> {
    elements.iter().filter_map(rules::address_of).collect()
}
