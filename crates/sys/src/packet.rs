//! Packet sockets: whole Ethernet frames, in and out; and what of that, or of
//! anything else, a socket is to hear.
//!
//! Source: `packet(7)`, `socket(7)`.

use crate::confine::Instruction;
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

/// Has the kernel drop what comes to a socket, unless the program, which sees
/// the message from its first byte on, returns how much of it is to be kept.
///
/// # Errors
/// `EINVAL` for a program that the kernel does not believe.
pub fn hear_only(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    #[repr(C)]
    struct Filter {
        len: u16,
        program: *const Instruction,
    }
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = Filter { len, program: program.as_ptr() };
    let size = libc::socklen_t::try_from(mem::size_of_val(&filter))
        .map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `filter` is a `struct sock_fprog` whose pointer and length are
    // those of a live slice of `struct sock_filter`, which the kernel copies.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
