//! Frames, as an attacker makes them by hand.

use network::Mac;
use std::net::{Ipv4Addr, Ipv6Addr};

pub const BROADCAST: Mac = Mac([0xff; 6]);

pub fn ethernet(to: Mac, from: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to.0[..], &from.0, &ethertype.to_be_bytes(), payload].concat()
}

/// What one says of oneself in ARP, and of whom it is told.
pub fn arp(operation: u16, mac: Mac, address: Ipv4Addr, to: Mac, target: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4];
    let [high, low] = operation.to_be_bytes();
    [&head[..], &[high, low], &mac.0, &address.octets(), &to.0, &target.octets()].concat()
}

pub fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).expect("short").to_be_bytes();
    let mut head = vec![0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    head.extend(from.octets());
    head.extend(to.octets());
    let sum = checksum(&head);
    head[10..12].copy_from_slice(&sum);
    [&head[..], payload].concat()
}

/// With options, which fill words of four bytes.
pub fn ipv4_with(
    options: &[u8],
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let head = 20 + options.len();
    let length = u16::try_from(head + payload.len()).expect("short").to_be_bytes();
    let words = u8::try_from(head / 4).expect("at most 15");
    let mut packet = vec![0x40 | words, 0, length[0], length[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(options);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    [&packet[..], payload].concat()
}

/// A segment that ends a connection whose other end expects this number.
pub fn tcp_reset(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), number: u32) -> Vec<u8> {
    let mut segment = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    segment.extend(number.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, 0x04, 0, 0, 0, 0, 0, 0]);
    let pseudo = [&from.0.octets()[..], &to.0.octets(), &[0, 6, 0, 20], &segment].concat();
    let sum = checksum(&pseudo);
    segment[16..18].copy_from_slice(&sum);
    segment
}

pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("short").to_be_bytes();
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length, &[0, 0], payload].concat()
}

pub fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], rest].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    message
}

pub fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [0x60, 0, 0, 0, high, low, next, 255];
    [&head[..], &from.octets(), &to.octets(), payload].concat()
}

/// An ICMPv6 message with its checksum, ready to follow any header.
pub fn icmp6(from: Ipv6Addr, to: Ipv6Addr, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0], rest].concat();
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    let pseudo = [&from.octets()[..], &to.octets(), &length, &[0, 0, 0, 58], &message].concat();
    let sum = checksum(&pseudo);
    message[2..4].copy_from_slice(&sum);
    message
}

/// A neighbour advertisement: solicited or not, overriding, with options.
pub fn advertisement(target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    [&[0x20, 0, 0, 0][..], &target.octets(), options].concat()
}

/// The option that names a MAC address: 1 of the source, 2 of the target.
pub fn mac_option(kind: u8, mac: Mac) -> Vec<u8> {
    [&[kind, 1][..], &mac.0].concat()
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = !u16::try_from(sum).expect("folded");
    sum.to_be_bytes()
}

/// A piece of a packet, from a place in it on, in bytes.
pub fn ipv4_fragment(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: u8,
    at: u16,
    more: bool,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = ipv4(from, to, protocol, payload);
    let place = ((at / 8) | if more { 0x2000 } else { 0 }).to_be_bytes();
    packet[6..8].copy_from_slice(&place);
    packet[10..12].copy_from_slice(&[0, 0]);
    let sum = checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum);
    packet
}
