//! The expressions that rules are made of.
//!
//! A rule loads something into registers, compares or looks it up, and ends
//! in a verdict; an expression that does not hold ends the rule. Registers are
//! counted here in words of four bytes, 0 to 15, so that the parts of a key
//! can stand side by side.

use crate::netlink::Attributes;

/// One expression, encoded.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    name: &'static str,
    data: Attributes,
}

impl Expr {
    fn new(name: &'static str, fill: impl FnOnce(&mut Attributes)) -> Self {
        let mut data = Attributes::default();
        fill(&mut data);
        Self { name, data }
    }

    /// Writes it where an attribute's content goes.
    pub(crate) fn put(&self, a: &mut Attributes) {
        a.text(1, self.name);
        a.nest(2, |data| data.0.extend(&self.data.0));
    }
}

/// `NFT_REG32_00` and on.
fn register(word: u32) -> u32 {
    8 + word
}

/// What `meta` loads. Source: `enum nft_meta_keys`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meta {
    Protocol = 1,
    Iif = 4,
    Iifname = 6,
    Oifname = 7,
    Iiftype = 8,
    Nfproto = 15,
    L4proto = 16,
    Pkttype = 19,
    Iifgroup = 21,
    Oifgroup = 22,
}

/// Loads a property of the packet.
pub(crate) fn meta(key: Meta, to: u32) -> Expr {
    Expr::new("meta", |a| {
        a.be32(1, register(to));
        a.be32(2, key as u32);
    })
}

/// Where an offset into the packet counts from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Base {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// Loads bytes of the packet.
pub(crate) fn payload(base: Base, offset: u32, length: u32, to: u32) -> Expr {
    Expr::new("payload", |a| {
        a.be32(1, register(to));
        a.be32(2, base as u32);
        a.be32(3, offset);
        a.be32(4, length);
    })
}

/// Writes a register into the packet, and brings the checksum of the transport
/// header at `checksum` up to date.
pub(crate) fn put(from: u32, base: Base, offset: u32, length: u32, checksum: u32) -> Expr {
    const INET_CHECKSUM: u32 = 1;
    Expr::new("payload", |a| {
        a.be32(2, base as u32);
        a.be32(3, offset);
        a.be32(4, length);
        a.be32(5, register(from));
        a.be32(6, INET_CHECKSUM);
        a.be32(7, checksum);
    })
}

/// Loads what is given.
pub(crate) fn value(to: u32, value: &[u8]) -> Expr {
    Expr::new("immediate", |a| {
        a.be32(1, register(to));
        a.nest(2, |data| data.bytes(1, value));
    })
}

/// How `cmp` compares, byte by byte from the first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Is {
    Eq = 0,
    Ne = 1,
    AtMost = 3,
    AtLeast = 5,
}

/// Goes on if a register compares so.
pub(crate) fn cmp(from: u32, is: Is, value: &[u8]) -> Expr {
    Expr::new("cmp", |a| {
        a.be32(1, register(from));
        a.be32(2, is as u32);
        a.nest(3, |data| data.bytes(1, value));
    })
}

/// Keeps of a register what `mask` says.
pub(crate) fn mask(at: u32, mask: &[u8]) -> Expr {
    let length = u32::try_from(mask.len()).expect("at most 64");
    Expr::new("bitwise", |a| {
        a.be32(1, register(at));
        a.be32(2, register(at));
        a.be32(3, length);
        a.nest(4, |data| data.bytes(1, mask));
        a.nest(5, |data| data.bytes(1, &vec![0; mask.len()]));
    })
}

/// Options of an IPv4 header, and headers that follow one of IPv6.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extra {
    /// Loose source route. Source: RFC 791, section 3.1.
    Loose,
    /// Strict source route.
    Strict,
    /// Routing header. Source: RFC 8200, section 4.4.
    Routing,
}

/// Goes on if the packet has it.
pub(crate) fn has(extra: Extra) -> [Expr; 2] {
    const PRESENT: u32 = 1;
    const IPV6: u32 = 0;
    const IPV4: u32 = 2;
    let (kind, of) = match extra {
        Extra::Loose => (131, IPV4),
        Extra::Strict => (137, IPV4),
        Extra::Routing => (43, IPV6),
    };
    let load = Expr::new("exthdr", |a| {
        a.be32(1, register(0));
        a.u8(2, kind);
        a.be32(3, 0);
        a.be32(4, 1);
        a.be32(5, PRESENT);
        a.be32(6, of);
    });
    [load, cmp(0, Is::Eq, &[1])]
}

/// Goes on for a piece of an IPv6 packet that is not its first.
pub(crate) fn later_fragment() -> [Expr; 3] {
    const FRAGMENT: u8 = 44;
    let load = Expr::new("exthdr", |a| {
        a.be32(1, register(0));
        a.u8(2, FRAGMENT);
        a.be32(3, 2);
        a.be32(4, 2);
    });
    [load, mask(0, &[0xff, 0xf8]), cmp(0, Is::Ne, &[0, 0])]
}

/// Goes on if the key from register 0 on is in the set.
pub(crate) fn lookup(set: &str) -> Expr {
    Expr::new("lookup", |a| {
        a.text(1, set);
        a.be32(2, register(0));
    })
}

/// Goes on if it is not.
pub(crate) fn lookup_not(set: &str) -> Expr {
    Expr::new("lookup", |a| {
        a.text(1, set);
        a.be32(2, register(0));
        a.be32(5, 1);
    })
}

/// Goes on if the key from register 0 on is in the map, and loads what it
/// leads to into registers from 0 on.
pub(crate) fn find(map: &str) -> Expr {
    Expr::new("lookup", |a| {
        a.text(1, map);
        a.be32(2, register(0));
        a.be32(3, register(0));
    })
}

/// What becomes of the packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    Drop,
    Accept,
    /// Back to where the chain was jumped to from.
    Return,
    /// On to another chain, for good.
    Goto(&'static str),
    /// To another chain, and perhaps back.
    Jump(&'static str),
}

/// Ends the rule.
pub(crate) fn verdict(verdict: Verdict) -> Expr {
    let code: i32 = match verdict {
        Verdict::Drop => 0,
        Verdict::Accept => 1,
        Verdict::Jump(_) => -3,
        Verdict::Goto(_) => -4,
        Verdict::Return => -5,
    };
    Expr::new("immediate", |a| {
        // NFT_REG_VERDICT
        a.be32(1, 0);
        a.nest(2, |data| {
            data.nest(2, |verdict_data| {
                verdict_data.be32(1, code.cast_unsigned());
                if let Verdict::Goto(chain) | Verdict::Jump(chain) = verdict {
                    verdict_data.text(2, chain);
                }
            });
        });
    })
}

/// What connection tracking knows. Source: `enum nft_ct_keys`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ct {
    State = 0,
    Status = 2,
}

/// What a connection was begun to, before any translation. Source: `enum
/// nft_ct_keys`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Port = 12,
    Ipv4 = 20,
    Ipv6 = 22,
}

/// Loads it.
pub(crate) fn asked(key: Asked, to: u32) -> Expr {
    const ORIGINAL: u8 = 0;
    Expr::new("ct", |a| {
        a.be32(1, register(to));
        a.be32(2, key as u32);
        a.u8(3, ORIGINAL);
    })
}

/// Loads it into register 0.
pub(crate) fn ct(key: Ct) -> Expr {
    Expr::new("ct", |a| {
        a.be32(1, register(0));
        a.be32(2, key as u32);
    })
}

/// Goes on if the destination is an address of this host.
pub(crate) fn to_this_host() -> [Expr; 2] {
    of_this_host(End::Destination, Is::Eq)
}

/// Goes on if it is not, but everybody's or a group's.
pub(crate) fn not_to_this_host() -> [Expr; 2] {
    of_this_host(End::Destination, Is::Ne)
}

/// Goes on if the source is no address of this host.
pub(crate) fn not_from_this_host() -> [Expr; 2] {
    of_this_host(End::Source, Is::Ne)
}

/// Which address. Source: `NFTA_FIB_F_SADDR`, `NFTA_FIB_F_DADDR`.
#[derive(Clone, Copy, Debug)]
enum End {
    Source = 1,
    Destination = 2,
}

fn of_this_host(end: End, is: Is) -> [Expr; 2] {
    const RESULT_TYPE: u32 = 3;
    const LOCAL: u32 = 2;
    let load = Expr::new("fib", |a| {
        a.be32(1, register(0));
        a.be32(2, RESULT_TYPE);
        a.be32(3, end as u32);
    });
    [load, cmp(0, is, &LOCAL.to_ne_bytes())]
}

/// The families of addresses. Source: `NFPROTO_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ip {
    V4 = 2,
    V6 = 10,
}

/// Sends the packet to the address in register 0 and on, and the port after.
pub(crate) fn dnat(family: Ip) -> Expr {
    const DESTINATION: u32 = 1;
    let port = match family {
        Ip::V4 => 1,
        Ip::V6 => 4,
    };
    Expr::new("nat", |a| {
        a.be32(1, DESTINATION);
        a.be32(2, family as u32);
        a.be32(3, register(0));
        a.be32(5, register(port));
    })
}

/// Sends the packet to the address in register 0 and on, to the port that it
/// asked for.
pub(crate) fn dnat_straight(family: Ip) -> Expr {
    const DESTINATION: u32 = 1;
    Expr::new("nat", |a| {
        a.be32(1, DESTINATION);
        a.be32(2, family as u32);
        a.be32(3, register(0));
    })
}

/// Sends the packet under the address in register 0 and on.
pub(crate) fn snat(family: Ip) -> Expr {
    const SOURCE: u32 = 0;
    Expr::new("nat", |a| {
        a.be32(1, SOURCE);
        a.be32(2, family as u32);
        a.be32(3, register(0));
    })
}

/// Sends the packet under an address of the interface it leaves by.
pub(crate) fn masquerade() -> Expr {
    Expr::new("masq", |_| {})
}

/// Keeps connection tracking off the packet.
pub(crate) fn untracked() -> Expr {
    Expr::new("notrack", |_| {})
}

/// Goes on for at most `rate` packets a second, after `burst` at once.
pub(crate) fn limit(rate: u64, burst: u32) -> Expr {
    Expr::new("limit", |a| {
        a.be64(1, rate);
        a.be64(2, 1);
        a.be32(3, burst);
        a.be32(4, 0);
        a.be32(5, 0);
    })
}
