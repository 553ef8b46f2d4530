//! Netlink, laid out by hand: what the kernel is told is made of bytes and
//! nothing is remembered. For the requests of [`attach`](crate::attach).

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};
use std::{io, os::fd::OwnedFd};

/// Header flags. Source: `linux/netlink.h`.
pub const ACK: u16 = 0x4;
pub const EXCL: u16 = 0x200;
pub const CREATE: u16 = 0x400;
pub const REPLACE: u16 = 0x100;
const REQUEST: u16 = 0x1;
const ERROR: u16 = 2;
const HEADER: usize = 16;

/// Attributes, or a whole message.
#[derive(Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// A request with its family's fixed part; length and number come later.
    pub fn message(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | REQUEST).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(fixed);
        Self(bytes)
    }

    /// Adds attributes.
    pub fn with(mut self, fill: impl FnOnce(&mut Self)) -> Self {
        fill(&mut self);
        self
    }

    /// One attribute.
    pub fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).expect("a few bytes");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// A string with its final zero.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.put(kind, &[value.as_bytes(), &[0]].concat());
    }

    /// Attributes within one.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        const NESTED: u16 = 0x8000;
        let mut inner = Self::default();
        fill(&mut inner);
        self.put(kind | NESTED, &inner.0);
    }
}

/// A socket to one of the kernel's families.
pub struct Socket(OwnedFd);

impl Socket {
    /// To interfaces, addresses and neighbours.
    pub fn route() -> io::Result<Self> {
        Self::open(None)
    }

    /// To nftables.
    pub fn netfilter() -> io::Result<Self> {
        Self::open(Some(netlink::NETFILTER))
    }

    fn open(protocol: Option<rustix::net::Protocol>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        Ok(Self(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?))
    }

    /// An interface's number.
    pub fn index(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(&self.0, name)?)
    }

    /// Sends all at once and waits for `answers` of them.
    pub fn tell(&self, messages: &[Bytes], answers: usize) -> io::Result<()> {
        let mut out = Vec::new();
        for (number, message) in (1_u32..).zip(messages) {
            let length = u32::try_from(message.0.len()).map_err(io::Error::other)?;
            out.extend(length.to_ne_bytes());
            out.extend(&message.0[4..8]);
            out.extend(number.to_ne_bytes());
            out.extend(&message.0[12..]);
        }
        send(&self.0, &out, SendFlags::empty())?;
        let (mut waiting, mut buffer) = (answers, vec![0; 32 << 10]);
        while waiting > 0 {
            let (_, length) = recv(&self.0, &mut buffer[..], RecvFlags::empty())?;
            let mut rest = &buffer[..length];
            while let Some(header) = rest.get(..HEADER) {
                let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
                if u16::from_ne_bytes([header[4], header[5]]) == ERROR {
                    let code = rest.get(HEADER..HEADER + 4).ok_or(io::ErrorKind::InvalidData)?;
                    match i32::from_ne_bytes([code[0], code[1], code[2], code[3]]) {
                        0 => {}
                        code => return Err(io::Error::from_raw_os_error(-code)),
                    }
                }
                waiting = waiting.saturating_sub(1);
                let next = (length as usize).next_multiple_of(4).max(HEADER);
                rest = rest.get(next..).unwrap_or_default();
            }
        }
        Ok(())
    }
}
