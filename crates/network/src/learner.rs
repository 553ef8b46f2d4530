//! What names lead to, written into the kernel's sets.
//!
//! A policy that allows a name allows what the resolver was told for it, for
//! as long as the answer holds. Whoever enters that needs the right to change
//! nftables, and no daemon: see the room `scribe`.

use crate::{
    error::{Doing, Error},
    netlink::{Message, Socket},
    nft::{self, Element, Set},
    rules::egress::{self, NET4, NET6, OWN4, OWN6, Sets},
};
use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
};

/// Whose policy allowed the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The container's that has this address.
    Address(IpAddr),
    /// The network's with this bridge.
    Bridge(String),
}

/// An address that a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// For whom.
    pub who: Who,
    /// What may be reached.
    pub address: IpAddr,
    /// At this port; none for everything.
    pub port: Option<u16>,
    /// The policy's own spelling, for who lists it, and for who changes it.
    pub name: String,
    /// For so long.
    pub seconds: u32,
}

/// The hand that writes.
#[derive(Debug)]
pub struct Learner {
    socket: Socket,
    table: String,
}

impl Learner {
    /// Opens the way to the tables of the realm of that name. Every call after
    /// this one needs `CAP_NET_ADMIN` too.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open(realm: &str) -> Result<Self, Error> {
        let socket = Socket::netfilter().doing("open a socket to", "nftables")?;
        Ok(Self { socket, table: crate::realm::table(realm) })
    }

    /// Enters addresses; those that are there already hold from now on.
    /// Nothing that no policy fits: the kernel asks for such elements only for
    /// who has names in its policy.
    ///
    /// # Errors
    /// What the kernel said: some of them may be entered then.
    pub fn learn(&mut self, all: &[Learnt]) -> Result<(), Error> {
        let entries: Vec<(Element, &Learnt)> =
            all.iter().filter_map(|learnt| Some((element(learnt)?, learnt))).collect();
        let adding = |(element, learnt): &(Element, &Learnt)| self.adding(element, learnt);
        let messages: Vec<Message> = entries.iter().map(adding).collect();
        if messages.is_empty() {
            return Ok(());
        }
        match self.socket.transact(&nft::transaction(messages)) {
            // One of them is there, or two are the same: go one by one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => entries
                .iter()
                .try_for_each(|(element, learnt)| self.renew(element, learnt))
                .doing("enter what names lead to in", &self.table),
            other => other.doing("enter what names lead to in", &self.table),
        }
    }

    fn adding(&self, element: &Element, learnt: &Learnt) -> Message {
        let milliseconds = u64::from(learnt.seconds) * 1000;
        nft::add_fleeting(&self.table, element, milliseconds, &learnt.name)
    }

    /// An element's time can be changed since Linux 6.12 only: it is replaced,
    /// in one transaction, so that it is missing at no time.
    fn renew(&mut self, element: &Element, learnt: &Learnt) -> io::Result<()> {
        let mut outcome = Ok(());
        // It may go by itself between two tries.
        for _ in 0..3 {
            let fresh = vec![self.adding(element, learnt)];
            outcome = self.socket.transact(&nft::transaction(fresh));
            if !is(&outcome, io::ErrorKind::AlreadyExists) {
                return outcome;
            }
            let mut again = nft::remove_elements(&self.table, std::slice::from_ref(element));
            again.push(self.adding(element, learnt));
            outcome = self.socket.transact(&nft::transaction(again));
            if !is(&outcome, io::ErrorKind::NotFound) {
                return outcome;
            }
        }
        outcome
    }
}

impl AsFd for Learner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is(outcome: &io::Result<()>, kind: io::ErrorKind) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == kind)
}

/// None if the addresses are of different families.
fn element(learnt: &Learnt) -> Option<Element> {
    let v4 = learnt.address.is_ipv4();
    let (sets, who) = match &learnt.who {
        Who::Address(own) if own.is_ipv4() == v4 => {
            (if v4 { &OWN4 } else { &OWN6 }, egress::octets(*own))
        }
        Who::Address(_) => return None,
        Who::Bridge(name) => (if v4 { &NET4 } else { &NET6 }, crate::rules::ifname(name)),
    };
    Some(entry(sets, who, learnt.address, learnt.port))
}

fn entry(sets: &Sets, who: Vec<u8>, address: IpAddr, port: Option<u16>) -> Element {
    let mut key = who;
    key.extend(egress::octets(address));
    let set: &Set = if let Some(port) = port {
        let [high, low] = port.to_be_bytes();
        key.extend([high, low, 0, 0]);
        &sets.named_port
    } else {
        &sets.named
    };
    Element::of(set, key)
}

/// What was entered in one set for one address or bridge, with the name that
/// allowed it.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) element: Element,
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) port: Option<u16>,
}

/// Reads what is entered for an address of a container, or a bridge.
pub(crate) fn entered(socket: &mut Socket, table: &str, who: &Who) -> io::Result<Vec<Entered>> {
    let (kinds, key): (&[(&Sets, bool)], Vec<u8>) = match who {
        Who::Address(own) if own.is_ipv4() => (&[(&OWN4, true)], egress::octets(*own)),
        Who::Address(own) => (&[(&OWN6, false)], egress::octets(*own)),
        Who::Bridge(name) => (&[(&NET4, true), (&NET6, false)], crate::rules::ifname(name)),
    };
    let mut all = Vec::new();
    for (sets, v4) in kinds {
        for (set, with_port) in [(&sets.named, false), (&sets.named_port, true)] {
            for answer in socket.dump(nft::get_elements(table, set))? {
                let elements = nft::read_elements(set, &answer).into_iter();
                all.extend(elements.filter_map(|(element, name)| {
                    let rest = element.key.strip_prefix(&key[..])?;
                    let (address, rest) = rest.split_at_checked(if *v4 { 4 } else { 16 })?;
                    let address = match <[u8; 4]>::try_from(address) {
                        Ok(four) => IpAddr::from(four),
                        Err(_) => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
                    };
                    let port = rest.first_chunk().map(|port| u16::from_be_bytes(*port));
                    Some(Entered { name, address, port: port.filter(|_| with_port), element })
                }));
            }
        }
    }
    Ok(all)
}
