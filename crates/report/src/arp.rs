//! ARP spoofing, as far as its victim's answer can be seen from here.
//!
//! Whoever asks the gateway for its address is answered, and is entered in
//! its table under the address that the question claims to come from. So the
//! forgery is a question in another's name: an answer means that it arrived
//! and that the gateway believed it. An honest question goes first; if even
//! that has no answer, silence proves nothing.

use crate::row::Row;
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    net::{AddressFamily, RecvFlags, SendFlags, SocketType},
};
use std::{
    fs, io,
    net::{Ipv4Addr, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

/// Protocol number of ARP. Source: RFC 826; `if_ether.h`.
const ARP: u16 = 0x0806;

/// How long an answer may take: it comes from the same machine.
const PATIENCE: Duration = Duration::from_millis(300);

/// Where this container's frames come from and go to.
struct Port {
    socket: OwnedFd,
    mac: [u8; 6],
    own: Ipv4Addr,
    gateway: Ipv4Addr,
}

/// Tries it, if there is a network at all.
pub fn row() -> Row {
    let row = |answer: String, held| Row::seen("NET-3", "speak ARP as another", answer, held);
    let Some(gateway) = gateway() else {
        return row("no network to speak on".into(), true);
    };
    let heard = Port::open(gateway)
        .and_then(|port| Ok((port.answered(port.own)?, port.answered(port.another())?)));
    match heard {
        Err(error) => Row::refused::<()>("NET-3", "speak ARP as another", Err(error)),
        Ok((false, _)) => row("silent to honest questions too".into(), false),
        Ok((true, false)) => row("dropped; an honest question is answered".into(), true),
        Ok((true, true)) => row("the gateway believed it".into(), false),
    }
}

/// The default route's gateway. Source: `proc_pid_net(5)`, `/proc/net/route`.
fn gateway() -> Option<Ipv4Addr> {
    let table = fs::read_to_string("/proc/net/route").ok()?;
    let mut routes = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let default = routes.find(|words| words.len() > 2 && words[1] == "00000000")?;
    let number = u32::from_str_radix(default[2], 16).ok()?;
    Some(Ipv4Addr::from(number.to_ne_bytes()))
}

impl Port {
    fn open(gateway: Ipv4Addr) -> io::Result<Self> {
        let read = |file: &str| fs::read_to_string(format!("/sys/class/net/eth0/{file}"));
        let unusable = || io::Error::from(io::ErrorKind::InvalidData);
        let index = read("ifindex")?.trim().parse().map_err(|_| unusable())?;
        let mac = mac(read("address")?.trim()).ok_or_else(unusable)?;
        // Connecting a datagram socket sends nothing; it chooses an address.
        let chooser = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        chooser.connect((gateway, 9))?;
        let std::net::IpAddr::V4(own) = chooser.local_addr()?.ip() else {
            return Err(unusable());
        };
        // Protocol 0: deaf until it is tied to the interface.
        let socket = rustix::net::socket(AddressFamily::PACKET, SocketType::RAW, None)?;
        sys::packet::bind_packet(socket.as_fd(), index, ARP)?;
        Ok(Self { socket, mac, own, gateway })
    }

    /// An address of the same network that is not ours.
    fn another(&self) -> Ipv4Addr {
        let flipped = Ipv4Addr::from(u32::from(self.own) ^ 0x40);
        if flipped == self.gateway { Ipv4Addr::from(u32::from(self.own) ^ 0x80) } else { flipped }
    }

    /// Asks for the gateway in the name of `who`; whether it answered.
    fn answered(&self, who: Ipv4Addr) -> io::Result<bool> {
        rustix::net::send(&self.socket, &self.question(who), SendFlags::empty())?;
        let begun = Instant::now();
        while let Some(left) = PATIENCE.checked_sub(begun.elapsed()) {
            let timeout = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
            if rustix::event::poll(&mut ready, Some(&timeout))? == 0 {
                break;
            }
            let mut frame = [0; 64];
            let (_, length) = rustix::net::recv(&self.socket, &mut frame[..], RecvFlags::empty())?;
            if length >= 42 && answers(&frame, self.gateway, who) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A whole frame: Ethernet header and ARP packet.
    fn question(&self, who: Ipv4Addr) -> Vec<u8> {
        let mut frame = Vec::with_capacity(42);
        frame.extend([0xff; 6]);
        frame.extend(self.mac);
        frame.extend(ARP.to_be_bytes());
        // Ethernet and IPv4 addresses, their lengths, a request.
        frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend(self.mac);
        frame.extend(who.octets());
        frame.extend([0; 6]);
        frame.extend(self.gateway.octets());
        frame
    }
}

/// Is this frame an answer of `from` to `to`?
fn answers(frame: &[u8], from: Ipv4Addr, to: Ipv4Addr) -> bool {
    frame[20..22] == [0, 2] && frame[28..32] == from.octets() && frame[38..42] == to.octets()
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_read() {
        assert_eq!(mac("02:42:ac:11:00:fe"), Some([2, 0x42, 0xac, 0x11, 0, 0xfe]));
        assert_eq!(mac("02:42"), None);
        assert_eq!(mac("x"), None);
    }

    #[test]
    fn only_the_gateways_answer_to_that_name_counts() {
        let (gateway, who) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 7));
        let mut frame = [0; 64];
        frame[20..22].copy_from_slice(&[0, 2]);
        frame[28..32].copy_from_slice(&gateway.octets());
        frame[38..42].copy_from_slice(&who.octets());
        assert!(answers(&frame, gateway, who));
        assert!(!answers(&frame, gateway, Ipv4Addr::new(10, 0, 0, 8)));
        frame[21] = 1;
        assert!(!answers(&frame, gateway, who), "a question is no answer");
    }
}
