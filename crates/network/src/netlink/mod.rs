//! Netlink, as far as this room needs it: messages, and a blocking socket.
//!
//! A [`Message`] is a header, a family's fixed part and attributes, which may
//! nest. A [`Socket`] belongs to the network namespace that its thread was in
//! when it was opened, whatever becomes of the thread. It sends many messages
//! at once and reads one answer for each; the kernel has dealt with a message
//! before the call that sent it returns, so nothing here waits long.
//!
//! Source: `netlink(7)`, `linux/netlink.h`.

mod attributes;
pub(crate) mod link;
pub(crate) mod sockets;

pub(crate) use attributes::{Attributes, attributes};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, getsockname, netlink,
    recv, send, socket_with, sockopt,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// Header flags. Source: `linux/netlink.h`.
pub(crate) const REQUEST: u16 = 0x1;
pub(crate) const ACK: u16 = 0x4;
pub(crate) const EXCL: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;
pub(crate) const REPLACE: u16 = 0x100;
const DUMP: u16 = 0x300;
/// Of an answer: the list has changed since it was begun. Source:
/// `NLM_F_DUMP_INTR`, `linux/netlink.h`.
const DUMP_INTERRUPTED: u16 = 0x10;

/// Message types that end an exchange.
const ERROR: u16 = 2;
const DONE: u16 = 3;

const HEADER: usize = 16;

/// How long an answer may take before the kernel is declared stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// The kernel's receive and send buffers, in bytes: a set of ten thousand
/// elements in one transaction fits.
const ROOM: usize = 8 << 20;

/// One request. The header's length and sequence number are filled in when it
/// is sent.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    bytes: Attributes,
}

impl Message {
    /// A request of a type, with flags beyond [`REQUEST`] and the fixed part
    /// that its family prescribes.
    pub(crate) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend([0; 4]);
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | REQUEST).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(fixed);
        Self { bytes: Attributes(bytes) }
    }

    /// Adds attributes.
    #[must_use]
    pub(crate) fn with(mut self, fill: impl FnOnce(&mut Attributes)) -> Self {
        fill(&mut self.bytes);
        self
    }

    /// Adds header flags.
    pub(crate) fn add_flags(&mut self, more: u16) {
        let flags = self.flags() | more;
        self.bytes.0[6..8].copy_from_slice(&flags.to_ne_bytes());
    }

    fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.bytes.0[6], self.bytes.0[7]])
    }

    /// Writes the message as it goes over the socket.
    fn put(&self, sequence: u32, out: &mut Vec<u8>) -> io::Result<()> {
        let bytes = &self.bytes.0;
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        out.extend(length.to_ne_bytes());
        out.extend(&bytes[4..8]);
        out.extend(sequence.to_ne_bytes());
        out.extend(&bytes[12..]);
        Ok(())
    }
}

/// One answer: its type and flags, and what follows the header.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) kind: u16,
    flags: u16,
    pub(crate) body: Vec<u8>,
}

/// A socket to one of the kernel's netlink families.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// To links, addresses, routes and neighbours: protocol 0, the default.
    pub(crate) fn route() -> io::Result<Self> {
        Self::open(None)
    }

    /// To nftables.
    pub(crate) fn netfilter() -> io::Result<Self> {
        Self::open(Some(netlink::NETFILTER))
    }

    /// To the list of the host's sockets.
    fn sockets() -> io::Result<Self> {
        Self::open(Some(netlink::SOCK_DIAG))
    }

    fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let fd =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { fd, sequence: 0, buffer: vec![0; 64 << 10] })
    }

    /// Lets the socket carry a transaction of some megabytes.
    pub(crate) fn make_room(&self) -> io::Result<()> {
        sockopt::set_socket_send_buffer_size_force(&self.fd, ROOM)?;
        sockopt::set_socket_recv_buffer_size_force(&self.fd, ROOM)?;
        Ok(())
    }

    /// The socket's own number, which what it sends bears; known once it has
    /// sent anything.
    pub(crate) fn number(&self) -> io::Result<u32> {
        Ok(netlink::SocketAddrNetlink::try_from(getsockname(&self.fd)?)?.pid())
    }

    /// The number of an interface in this socket's network namespace.
    pub(crate) fn index(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(&self.fd, name)?)
    }

    /// Sends all messages at once; each bears [`ACK`]. The kernel deals with
    /// every one, whatever became of those before it; the first that it
    /// refused is the error.
    pub(crate) fn talk(&mut self, messages: &[Message]) -> io::Result<()> {
        self.talk_and(messages, |_| true)
    }

    /// The same, but that a refusal of this kind is none.
    pub(crate) fn talk_unless(
        &mut self,
        messages: &[Message],
        forgiven: io::ErrorKind,
    ) -> io::Result<()> {
        self.talk_and(messages, |error| error.kind() != forgiven)
    }

    fn talk_and(
        &mut self,
        messages: &[Message],
        counts: impl Fn(&io::Error) -> bool,
    ) -> io::Result<()> {
        debug_assert!(messages.iter().all(|m| m.flags() & ACK != 0));
        if messages.is_empty() {
            // The kernel refuses an empty packet.
            return Ok(());
        }
        let first = self.post(messages)?;
        self.await_acks(first, messages.len(), counts)
    }

    /// Sends messages of which only the last bears [`ACK`]: an nftables
    /// transaction, which is carried out whole or not at all.
    pub(crate) fn transact(&mut self, messages: &[Message]) -> io::Result<()> {
        let first = self.post(messages)?;
        let last = messages.iter().rposition(|m| m.flags() & ACK != 0).unwrap_or_default();
        let mut refusal = None;
        loop {
            for (sequence, answer) in self.receive()? {
                let Some(index) = place(sequence, first, messages.len()) else { continue };
                if let Err(error) = outcome(&answer) {
                    refusal.get_or_insert(error);
                }
                if answer.kind == ERROR && index == last {
                    return refusal.map_or(Ok(()), Err);
                }
                // A transaction that cannot even begin is answered at its
                // first message and goes no further.
                if index == 0
                    && let Some(refusal) = refusal.take()
                {
                    return Err(refusal);
                }
            }
        }
    }

    /// Asks for one thing.
    pub(crate) fn ask(&mut self, message: &Message) -> io::Result<Answer> {
        let first = self.post(std::slice::from_ref(message))?;
        loop {
            for (sequence, answer) in self.receive()? {
                if sequence == first {
                    return outcome(&answer).map(|()| answer);
                }
            }
        }
    }

    /// Asks for a list, whole: again where it changed while it was told.
    pub(crate) fn dump(&mut self, mut message: Message) -> io::Result<Vec<Answer>> {
        /// Lists change by what containers come and go: not for ever.
        const TRIES: usize = 16;
        message.add_flags(DUMP);
        for _ in 0..TRIES {
            if let Some(answers) = self.dump_once(&message)? {
                return Ok(answers);
            }
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "netlink: a list that changes all the time"))
    }

    /// None if the list changed meanwhile, so that something of it may lack.
    fn dump_once(&mut self, message: &Message) -> io::Result<Option<Vec<Answer>>> {
        let first = self.post(std::slice::from_ref(message))?;
        let (mut answers, mut whole) = (Vec::new(), true);
        loop {
            for (sequence, answer) in self.receive()? {
                if sequence != first {
                    continue;
                }
                whole &= answer.flags & DUMP_INTERRUPTED == 0;
                match answer.kind {
                    // What stopped a list half way is told at its end.
                    DONE | ERROR => {
                        return outcome(&answer).map(|()| whole.then_some(answers));
                    }
                    _ => answers.push(answer),
                }
            }
        }
    }

    fn post(&mut self, messages: &[Message]) -> io::Result<u32> {
        let first = self.sequence.wrapping_add(1);
        let mut out = Vec::with_capacity(messages.iter().map(|m| m.bytes.0.len()).sum());
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            message.put(self.sequence, &mut out)?;
        }
        send(&self.fd, &out, SendFlags::empty())?;
        Ok(first)
    }

    fn await_acks(
        &mut self,
        first: u32,
        count: usize,
        counts: impl Fn(&io::Error) -> bool,
    ) -> io::Result<()> {
        let mut waiting = count;
        let mut refusal = None;
        while waiting > 0 {
            for (sequence, answer) in self.receive()? {
                if place(sequence, first, count).is_none() || answer.kind != ERROR {
                    continue;
                }
                waiting -= 1;
                if let Err(error) = outcome(&answer)
                    && counts(&error)
                {
                    refusal.get_or_insert(error);
                }
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// One read: some answers with their sequence numbers.
    fn receive(&mut self) -> io::Result<Vec<(u32, Answer)>> {
        let (_, length) = loop {
            match recv(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                other => break other?,
            }
        };
        let bytes = self.buffer.get(..length).ok_or_else(|| malformed("an answer too long"))?;
        split(bytes)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Cuts what was read into messages.
fn split(mut bytes: &[u8]) -> io::Result<Vec<(u32, Answer)>> {
    let mut answers = Vec::new();
    while let Some(header) = bytes.get(..HEADER) {
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let length = word(0) as usize;
        let body = bytes.get(HEADER..length).ok_or_else(|| malformed("a cut answer"))?.to_vec();
        let flags = u16::from_ne_bytes([header[6], header[7]]);
        answers.push((word(8), Answer { kind, flags, body }));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(answers)
}

/// Which of `count` messages, numbered from `first`, an answer belongs to.
fn place(sequence: u32, first: u32, count: usize) -> Option<usize> {
    let index = sequence.wrapping_sub(first) as usize;
    (index < count).then_some(index)
}

/// What an [`ERROR`] answer says, or a [`DONE`] one that says anything; others
/// say nothing bad.
fn outcome(answer: &Answer) -> io::Result<()> {
    match answer.kind {
        ERROR => {}
        DONE if !answer.body.is_empty() => {}
        _ => return Ok(()),
    }
    let code: [u8; 4] = answer
        .body
        .get(..4)
        .and_then(|b| b.try_into().ok())
        .ok_or_else(|| malformed("a cut error"))?;
    match i32::from_ne_bytes(code) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("netlink: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_laid_out_as_the_kernel_reads_it() {
        let message = Message::new(18, ACK, &[7; 4]).with(|a| a.text(3, "lo"));
        let mut out = Vec::new();
        message.put(9, &mut out).expect("short");
        let mut expected = Vec::new();
        expected.extend(28_u32.to_ne_bytes());
        expected.extend(18_u16.to_ne_bytes());
        expected.extend(5_u16.to_ne_bytes());
        expected.extend(9_u32.to_ne_bytes());
        expected.extend([0, 0, 0, 0, 7, 7, 7, 7]);
        expected.extend(7_u16.to_ne_bytes());
        expected.extend(3_u16.to_ne_bytes());
        expected.extend(*b"lo\0\0");
        assert_eq!(out, expected);
    }

    #[test]
    fn a_cut_answer_is_an_error_not_a_panic() {
        let mut bytes = Vec::new();
        Message::new(18, ACK, &[]).put(1, &mut bytes).expect("short");
        bytes[0] = 200;
        assert!(split(&bytes).is_err());
        bytes[0] = 3;
        assert!(split(&bytes).is_err(), "shorter than its own header");
        assert!(outcome(&Answer { kind: ERROR, flags: 0, body: vec![1] }).is_err());
    }

    /// A socket at whose other end the answers to a list lie already: of each
    /// question by number, the types, flags and bodies. That end stays open.
    fn told(questions: &[&[(u16, u16, &[u8])]]) -> (Socket, OwnedFd) {
        use rustix::net::socketpair;
        let flags = SocketFlags::CLOEXEC;
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let (fd, kernel) = pair.expect("a pair");
        for (sequence, answers) in (1..).zip(questions) {
            for (kind, flags, body) in *answers {
                let mut out = Vec::new();
                Message::new(*kind, *flags, body).put(sequence, &mut out).expect("short");
                send(&kernel, &out, SendFlags::empty()).expect("room");
            }
        }
        (Socket { fd, sequence: 0, buffer: vec![0; 1024] }, kernel)
    }

    #[test]
    fn a_refusal_that_is_forgiven_hides_none_that_is_not() {
        let (gone, denied) = ((-2_i32).to_ne_bytes(), (-1_i32).to_ne_bytes());
        let messages = || [Message::new(18, ACK, &[]), Message::new(18, ACK, &[])];
        let answers: &[&[(u16, u16, &[u8])]] = &[&[(ERROR, 0, &gone)], &[(ERROR, 0, &denied)]];
        let (mut socket, _kernel) = told(answers);
        let error = socket.talk_unless(&messages(), io::ErrorKind::NotFound).expect_err("denied");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let (mut socket, _kernel) = told(&[&[(ERROR, 0, &gone)], &[(ERROR, 0, &[0; 4])]]);
        socket.talk_unless(&messages(), io::ErrorKind::NotFound).expect("it was only gone");
    }

    #[test]
    fn a_list_that_was_stopped_half_way_is_an_error() {
        let one: &[u8] = &[7; 4];
        let (mut socket, _kernel) = told(&[&[(18, 0, one), (DONE, 0, &(-12_i32).to_ne_bytes())]]);
        let error = socket.dump(Message::new(18, ACK, &[])).expect_err("half of it");
        assert_eq!(error.raw_os_error(), Some(12));
        let (mut socket, _kernel) = told(&[&[(18, 0, one), (DONE, 0, &[0; 4])]]);
        assert_eq!(socket.dump(Message::new(18, ACK, &[])).expect("all of it").len(), 1);
    }

    #[test]
    fn a_list_that_changed_meanwhile_is_asked_for_again() {
        let one: &[u8] = &[7; 4];
        let changed: &[_] = &[(18, 0, one), (18, DUMP_INTERRUPTED, one), (DONE, 0, &[0; 4])];
        let (mut socket, _kernel) = told(&[changed, &[(18, 0, one), (DONE, 0, &[0; 4])]]);
        assert_eq!(socket.dump(Message::new(18, ACK, &[])).expect("the second").len(), 1);
        let (mut socket, _kernel) = told(&[changed; 16]);
        let error = socket.dump(Message::new(18, ACK, &[])).expect_err("never whole");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
