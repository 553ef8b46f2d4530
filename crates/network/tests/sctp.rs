//! NET-2: SCTP through a published port. Most kernels have no sockets of it, so
//! both ends speak it by hand, chunk by chunk.
//!
//! Source: RFC 9260.

mod host;

use host::{
    Guest, Wire, config,
    frames::{ethernet, ipv4},
    network, on_a_host, outside, port, sh,
};
use network::{Mac, Proto, Published};
use std::{cell::RefCell, net::Ipv4Addr};

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);

/// Types of chunks.
const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;

/// One packet with one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packet {
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    tag: u32,
    chunk: u8,
    content: Vec<u8>,
}

impl Packet {
    fn spell(&self) -> Vec<u8> {
        let length = u16::try_from(4 + self.content.len()).expect("short");
        let mut bytes = [self.from.1.to_be_bytes(), self.to.1.to_be_bytes()].concat();
        bytes.extend(self.tag.to_be_bytes());
        bytes.extend([0; 4]);
        // Of data: all of it, in one piece.
        bytes.extend([self.chunk, if self.chunk == DATA { 3 } else { 0 }]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(&self.content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let sum = crc32c(&bytes);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        ipv4(self.from.0, self.to.0, 132, &bytes)
    }

    /// Reads a frame; what has not the right sum is none.
    fn read(frame: &[u8]) -> Option<Self> {
        let ip = frame.get(14..).filter(|ip| ip.get(9) == Some(&132))?;
        let end = usize::from(u16::from_be_bytes(*ip.get(2..)?.first_chunk()?));
        let mut bytes = ip.get(20..end)?.to_vec();
        let sum = u32::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
        bytes.get_mut(8..12)?.fill(0);
        let half = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let address = |at: usize| Some(Ipv4Addr::from(*ip.get(at..)?.first_chunk::<4>()?));
        let length = usize::from(half(14)?);
        (crc32c(&bytes) == sum).then_some(())?;
        Some(Self {
            from: (address(12)?, half(0)?),
            to: (address(16)?, half(2)?),
            tag: u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?),
            chunk: *bytes.get(12)?,
            content: bytes.get(16..12 + length)?.to_vec(),
        })
    }
}

/// Source: RFC 9260, appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 }
        })
    })
}

/// `INIT` and `INIT ACK`: the tag that the other is to use, and how much may
/// come, in how many streams, from which number on.
fn greeting(tag: u32, cookie: &[u8]) -> Vec<u8> {
    let mut content = tag.to_be_bytes().to_vec();
    content.extend([0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    if !cookie.is_empty() {
        let length = u16::try_from(4 + cookie.len()).expect("short");
        content.extend([0, 7]);
        content.extend(length.to_be_bytes());
        content.extend(cookie);
    }
    content
}

/// Of an interface of the calling thread's namespace.
fn mac_of(listed: &str) -> Mac {
    let mac = listed.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
    mac.and_then(|mac| mac.parse().ok()).expect("it has one")
}

/// One end: where it is, and by whom it reaches the other.
struct End {
    wire: Wire,
    own: Mac,
    next: Mac,
}

impl End {
    fn send(&self, packet: &Packet) {
        self.wire.send(&ethernet(self.next, self.own, 0x0800, &packet.spell()));
    }
}

/// Sends from one end until it is at the other; as what it comes there.
fn pass(from: &End, to: &End, packet: &Packet) -> Packet {
    let found = RefCell::new(None);
    let fits = |frame: &[u8]| {
        let read = Packet::read(frame);
        let ours = read.filter(|read| (read.chunk, read.tag) == (packet.chunk, packet.tag));
        let fits = ours.is_some();
        found.replace(ours);
        fits
    };
    to.wire.until(fits, || from.send(packet));
    found.into_inner().expect("it fits")
}

/// An association from the outside by a published port, with a message in it.
fn associate(client: &End, server: &End, published: u16, inside: u16, client_port: u16) {
    let (near, far) = ((CLIENT, client_port), (HOST, published));
    let out = |tag, chunk, content: &[u8]| Packet {
        from: near,
        to: far,
        tag,
        chunk,
        content: content.to_vec(),
    };
    let back = |tag, chunk, content: &[u8]| Packet {
        from: (SERVER, inside),
        to: near,
        tag,
        chunk,
        content: content.to_vec(),
    };
    let data = [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], b"hello!!!"].concat();
    let sack = [0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0];
    let (ours, theirs) = (0x0a0b_0c00 | u32::from(client_port), 0x0102_0300 | u32::from(inside));
    for (outward, packet) in [
        (true, out(0, INIT, &greeting(ours, b""))),
        (false, back(ours, INIT_ACK, &greeting(theirs, b"cookie00"))),
        (true, out(theirs, COOKIE_ECHO, b"cookie00")),
        (false, back(ours, COOKIE_ACK, b"")),
        (true, out(theirs, DATA, &data)),
        (false, back(ours, SACK, &sack)),
    ] {
        let (from, to) = if outward { (client, server) } else { (server, client) };
        let came = pass(from, to, &packet);
        let expected = if outward {
            Packet { to: (SERVER, inside), ..packet }
        } else {
            Packet { from: far, ..packet }
        };
        assert_eq!(came, expected, "whole, and from the client's own address");
    }
}

#[test]
fn net2_sctp_is_published_too() {
    on_a_host("net2_sctp_is_published_too", || {
        let outside = outside();
        let (_realm, bridge) = network(&config("coffer0"));
        let one = Published { proto: Proto::Sctp, ..port("0.0.0.0", 9000, 5000) };
        let run = Published { proto: Proto::Sctp, count: 100, ..port("0.0.0.0", 6000, 6000) };
        let guest = Guest::publish(&bridge, 2, &[one, run]);
        let client = End {
            wire: outside.within(|| Wire::on("eth0")),
            own: mac_of(&outside.sh("ip -o link show eth0")),
            next: mac_of(&sh("ip -o link show wan0")),
        };
        let server = End {
            wire: guest.netns.within(|| Wire::on("eth0")),
            own: guest.endpoint.mac,
            next: mac_of(&sh("ip -o link show coffer0")),
        };
        associate(&client, &server, 9000, 5000, 40_001);
        associate(&client, &server, 6042, 6042, 40_002);
        // What is not published does not come, nor another protocol's port.
        let stray = |port| Packet {
            from: (CLIENT, 40_003),
            to: (HOST, port),
            tag: 0,
            chunk: INIT,
            content: greeting(1, b""),
        };
        let [unpublished, beside] = [stray(9001), stray(6100)];
        let last = Packet { to: (HOST, 6099), from: (CLIENT, 40_004), ..stray(0) };
        let is_last =
            |frame: &[u8]| Packet::read(frame).is_some_and(|read| read.to == (SERVER, 6099));
        let before = server.wire.until(is_last, || {
            client.send(&unpublished);
            client.send(&beside);
            client.send(&last);
        });
        let strays = before.iter().filter_map(|frame| Packet::read(frame));
        let strays: Vec<Packet> = strays.filter(|read| read.from.1 == 40_003).collect();
        assert_eq!(strays, []);
    });
}
