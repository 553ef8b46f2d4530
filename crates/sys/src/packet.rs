//! Packet sockets: whole Ethernet frames, in and out.
//!
//! Source: `packet(7)`.

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd},
};

/// `AF_PACKET`, in the width of an address's first field.
const AF_PACKET: libc::sa_family_t = 17;

/// Ties a packet socket to one interface and one kind of frame (`0x0003` for
/// every kind).
///
/// # Errors
/// What the kernel said: `ENODEV` for an interface that is not there.
pub fn bind_packet(socket: BorrowedFd<'_>, interface: u32, ethertype: u16) -> io::Result<()> {
    let number = i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?;
    let address = libc::sockaddr_ll {
        sll_family: AF_PACKET,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: number,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(mem::size_of_val(&address))
        .map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer is to a live sockaddr_ll on this stack, whose size
    // is passed with it; the kernel only reads it.
    let rc = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
