//! Interfaces beside one of the host's, and what may stand in for that one.

use super::{FAMILY_ANY, NEW_LINK, UP, ifinfo, ifla};
use crate::{
    BesideKind, IpvlanFlag, Mac,
    netlink::{ACK, Attributes, CREATE, EXCL, Message},
};
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Makes an interface that leads nowhere and is always up.
pub(crate) fn new_dummy(name: &str, mac: Mac) -> Message {
    Message::new(NEW_LINK, ACK | CREATE | EXCL, &ifinfo(FAMILY_ANY, 0, UP, UP)).with(|a| {
        a.text(ifla::IFNAME, name);
        a.bytes(ifla::ADDRESS, &mac.0);
        a.nest(ifla::LINKINFO, |info| info.text(ifla::INFO_KIND, "dummy"));
    })
}

/// An interface beside another, to be made in `netns`.
pub(crate) struct NewBeside<'a> {
    pub(crate) name: &'a str,
    /// The other's number.
    pub(crate) parent: u32,
    pub(crate) kind: BesideKind,
    /// One of the kernel's choice, or the parent's, if none.
    pub(crate) mac: Option<Mac>,
    /// The parent's if none.
    pub(crate) mtu: Option<u32>,
    pub(crate) netns: BorrowedFd<'a>,
}

/// Makes one, down. Source: `IFLA_MACVLAN_MODE`, `IFLA_IPVLAN_MODE` and
/// `IFLA_IPVLAN_FLAGS` of `linux/if_link.h`.
pub(crate) fn new_beside(new: &NewBeside<'_>) -> Message {
    Message::new(NEW_LINK, ACK | CREATE | EXCL, &ifinfo(FAMILY_ANY, 0, 0, 0)).with(|a| {
        a.text(ifla::IFNAME, new.name);
        a.u32(ifla::LINK, new.parent);
        if let Some(mtu) = new.mtu {
            a.u32(ifla::MTU, mtu);
        }
        a.bytes(ifla::NET_NS_FD, &new.netns.as_raw_fd().to_ne_bytes());
        match new.kind {
            BesideKind::Macvlan(mode) => {
                if let Some(mac) = new.mac {
                    a.bytes(ifla::ADDRESS, &mac.0);
                }
                a.nest(ifla::LINKINFO, |info| {
                    info.text(ifla::INFO_KIND, "macvlan");
                    info.nest(ifla::INFO_DATA, |data| data.u32(1, mode.number()));
                });
            }
            BesideKind::Ipvlan(flag) => ipvlan(a, 0, flag),
            BesideKind::IpvlanL3(flag) => ipvlan(a, 1, flag),
            BesideKind::IpvlanL3s(flag) => ipvlan(a, 2, flag),
        }
    })
}

/// `mode`: `IPVLAN_MODE_L2`, `_L3`, `_L3S`.
fn ipvlan(a: &mut Attributes, mode: u16, flag: IpvlanFlag) {
    a.nest(ifla::LINKINFO, |info| {
        info.text(ifla::INFO_KIND, "ipvlan");
        info.nest(ifla::INFO_DATA, |data| {
            data.bytes(1, &mode.to_ne_bytes());
            data.bytes(2, &flag.number().to_ne_bytes());
        });
    });
}

/// Makes an interface for one VLAN of another one, up. Source: `IFLA_VLAN_ID`
/// of `linux/if_link.h`.
pub(crate) fn new_vlan(name: &str, parent: u32, id: u16) -> Message {
    Message::new(NEW_LINK, ACK | CREATE | EXCL, &ifinfo(FAMILY_ANY, 0, UP, UP)).with(|a| {
        a.text(ifla::IFNAME, name);
        a.u32(ifla::LINK, parent);
        a.nest(ifla::LINKINFO, |info| {
            info.text(ifla::INFO_KIND, "vlan");
            info.nest(ifla::INFO_DATA, |data| data.bytes(1, &id.to_ne_bytes()));
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attributes;
    use std::{fs::File, os::fd::AsFd as _};

    /// What is nested in a request's `IFLA_LINKINFO`: the kind, and its data.
    fn info(message: &Message) -> (Vec<u8>, Vec<(u16, Vec<u8>)>) {
        let mut bytes = Vec::new();
        message.put(1, &mut bytes).expect("short");
        // Behind the header and `struct ifinfomsg`.
        let find = |bytes: &[u8], wanted| {
            let found = attributes(bytes).find(|(kind, _)| *kind == wanted);
            found.expect("it is there").1.to_vec()
        };
        let info = find(&bytes[32..], ifla::LINKINFO);
        let data = find(&info, ifla::INFO_DATA);
        let data = attributes(&data).map(|(kind, value)| (kind, value.to_vec())).collect();
        (find(&info, ifla::INFO_KIND), data)
    }

    #[test]
    fn an_ipvlan_interface_is_asked_for_in_its_mode() {
        let here = File::open("/proc/self/ns/net").expect("procfs");
        let ask = |kind| {
            let netns = here.as_fd();
            info(&new_beside(&NewBeside {
                name: "x",
                parent: 7,
                kind,
                mac: None,
                mtu: None,
                netns,
            }))
        };
        let expected = |mode: u16, flag: u16| {
            let data = vec![(1, mode.to_ne_bytes().to_vec()), (2, flag.to_ne_bytes().to_vec())];
            (b"ipvlan\0".to_vec(), data)
        };
        assert_eq!(ask(BesideKind::Ipvlan(IpvlanFlag::Bridge)), expected(0, 0));
        assert_eq!(ask(BesideKind::IpvlanL3(IpvlanFlag::Private)), expected(1, 1));
        assert_eq!(ask(BesideKind::IpvlanL3s(IpvlanFlag::Vepa)), expected(2, 2));
    }

    #[test]
    fn a_vlan_is_asked_for_by_its_number() {
        let data = vec![(1, 50_u16.to_ne_bytes().to_vec())];
        assert_eq!(info(&new_vlan("eth0.50", 7, 50)), (b"vlan\0".to_vec(), data));
    }
}
