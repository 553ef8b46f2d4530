//! Has somebody else changed the host's nftables?
//!
//! A reload of the host's firewall may begin with `nft flush ruleset`, which
//! takes our tables too, and with them the guard. The kernel tells of every
//! transaction; a filter on the socket lets nothing through but that one of
//! somebody else's has been carried out, so that a container that comes wakes
//! nobody.

use crate::{
    error::{Doing, Error},
    nft,
};
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use sys::confine::Instruction;

/// The group that hears of nftables: `NFNLGRP_NFTABLES`, the seventh.
const GROUP: u32 = 1 << 6;

/// An ear for changes of nftables in the network namespace of who made it.
#[derive(Debug)]
pub struct Lookout(OwnedFd);

impl Lookout {
    /// Begins to listen for everybody but the socket with this number.
    ///
    /// # Errors
    /// What the kernel said.
    pub(crate) fn new(own: u32) -> Result<Self, Error> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = AddressFamily::NETLINK;
        let open = || {
            let socket = socket_with(family, SocketType::RAW, flags, Some(netlink::NETFILTER))?;
            sys::packet::hear_only(socket.as_fd(), &generations_of_others(own))?;
            bind(&socket, &netlink::SocketAddrNetlink::new(0, GROUP))?;
            io::Result::Ok(socket)
        };
        open().doing("listen for changes of", "nftables").map(Self)
    }

    /// Reads what there is to hear: has anything changed since?
    ///
    /// # Errors
    /// What the kernel said.
    pub fn changed(&self) -> Result<bool, Error> {
        let mut changed = false;
        loop {
            match recv(&self.0, &mut [0_u8; 256][..], RecvFlags::DONTWAIT) {
                // More than there was room for is a change all the same.
                Ok(_) | Err(rustix::io::Errno::NOBUFS) => changed = true,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(changed),
                Err(errno) => {
                    return Err(io::Error::from(errno)).doing("listen for changes of", "nftables");
                }
            }
        }
    }
}

impl AsFd for Lookout {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Keeps messages of one type, the second word of four bytes, that do not
/// come from `own`, the fourth.
///
/// Source: `linux/filter.h`; loads are of numbers with their highest byte
/// first, which a header of netlink has not.
fn generations_of_others(own: u32) -> [Instruction; 6] {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let kind = u32::from(u16::from_be_bytes(nft::NEW_GENERATION.to_ne_bytes()));
    let own = u32::from_be_bytes(own.to_ne_bytes());
    let step = |code, jt, jf, k| Instruction { code, jt, jf, k };
    [
        step(LOAD_HALF, 0, 0, 4),
        step(JUMP_IF_EQUAL, 0, 3, kind),
        step(LOAD_WORD, 0, 0, 12),
        step(JUMP_IF_EQUAL, 1, 0, own),
        step(RETURN, 0, 0, u32::MAX),
        step(RETURN, 0, 0, 0),
    ]
}
