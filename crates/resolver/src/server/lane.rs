//! The sockets with which one server is asked.
//!
//! They were made by the daemon, in the container's network namespace or the
//! host's; here none can be made. A socket for UDP is connected to the server,
//! so that the kernel takes answers from nobody else, and its port is the
//! kernel's random choice. It keeps it as long as questions are under way, and
//! for [`USES`] questions at most: then the other one takes over, and this one
//! gets a new port when its last answer is in. Whoever forges answers has to
//! guess that port and the question's number.
//!
//! TCP is asked one question a connection, one after the other.

use super::{
    Core,
    poll::{Source, Wake, Watched},
};
use crate::table::Number;
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, connect, connect_unspec, recv, send},
};
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
};

/// Questions by one port.
const USES: u32 = 64;
/// Place of the socket for TCP among a server's.
pub(crate) const TCP: usize = 2;
/// Questions that wait for a connection to end.
const QUEUE: usize = 32;

/// One server's sockets.
#[derive(Debug)]
pub(crate) struct Lane {
    server: SocketAddr,
    udp: [Udp; 2],
    now: usize,
    tcp: Tcp,
}

#[derive(Debug)]
struct Udp {
    socket: Watched,
    connected: bool,
    uses: u32,
    /// Questions without an answer yet.
    under_way: u32,
}

#[derive(Debug)]
struct Tcp {
    source: Source,
    state: State,
    queue: VecDeque<(u16, Vec<u8>)>,
    /// Those out of the queue that could not even begin.
    lost: Vec<u16>,
}

#[derive(Debug)]
enum State {
    /// Lost to an error of the host.
    Gone,
    Idle(OwnedFd),
    Busy {
        socket: Watched,
        id: u16,
        out: Vec<u8>,
        sent: usize,
        read: Vec<u8>,
    },
}

impl Lane {
    pub fn new(
        core: &mut Core,
        number: Number,
        place: usize,
        server: SocketAddr,
        sockets: [OwnedFd; 3],
    ) -> io::Result<Self> {
        let [one, other, tcp] = sockets;
        let one = core.poll.watch(one, Source::Server(number, place, 0), Wake::IN)?;
        let other = match core.poll.watch(other, Source::Server(number, place, 1), Wake::IN) {
            Ok(other) => other,
            Err(error) => {
                core.poll.leave(one);
                return Err(error);
            }
        };
        let udp = |socket| Udp { socket, connected: false, uses: 0, under_way: 0 };
        let udp = [udp(one), udp(other)];
        let source = Source::Server(number, place, TCP);
        let state = State::Idle(tcp);
        let tcp = Tcp { source, state, queue: VecDeque::new(), lost: Vec::new() };
        Ok(Self { server, udp, now: 0, tcp })
    }

    /// Lets go of the sockets.
    pub fn close(self, core: &mut Core) {
        for udp in self.udp {
            core.poll.leave(udp.socket);
        }
        if let State::Busy { socket, .. } = self.tcp.state {
            core.poll.leave(socket);
        }
    }

    /// Asks by UDP, and tells by which of the two sockets.
    ///
    /// # Errors
    /// There is no way to the server.
    pub fn ask_udp(&mut self, query: &[u8]) -> io::Result<usize> {
        let other = 1 - self.now;
        if self.udp[self.now].uses >= USES && self.udp[other].under_way == 0 {
            self.now = other;
            self.udp[other].renew()?;
        }
        let udp = &mut self.udp[self.now];
        if udp.under_way == 0 {
            udp.renew()?;
        }
        if !udp.connected {
            connect(&udp.socket, &self.server)?;
            udp.connected = true;
        }
        send(&udp.socket, query, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        udp.uses += 1;
        udp.under_way += 1;
        Ok(self.now)
    }

    /// The next answer by UDP, into `into`; none if there is none.
    ///
    /// # Errors
    /// The server, or somebody on the way, says that it cannot be reached.
    pub fn hear_udp(&self, slot: usize, into: &mut [u8]) -> io::Result<Option<usize>> {
        match recv(&self.udp[slot].socket, into, RecvFlags::DONTWAIT) {
            Ok((_, length)) => Ok(Some(length)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A question by this socket has its answer, or gets none.
    pub fn done_udp(&mut self, slot: usize) {
        self.udp[slot].under_way = self.udp[slot].under_way.saturating_sub(1);
    }

    /// Asks by TCP, when those before have been.
    ///
    /// # Errors
    /// There is no way to the server, or too many wait.
    pub fn ask_tcp(&mut self, core: &mut Core, id: u16, query: &[u8]) -> io::Result<()> {
        if self.tcp.queue.len() >= QUEUE {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut out = length.to_be_bytes().to_vec();
        out.extend(query);
        self.tcp.queue.push_back((id, out));
        self.next_tcp(core);
        // If any is lost, it was alone in the queue.
        let lost = self.take_lost();
        if lost.is_empty() { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    }

    /// Begins with the next in the queue that can, if none is under way.
    fn next_tcp(&mut self, core: &mut Core) {
        while !matches!(self.tcp.state, State::Busy { .. }) {
            let Some((id, out)) = self.tcp.queue.pop_front() else { return };
            let State::Idle(socket) = std::mem::replace(&mut self.tcp.state, State::Gone) else {
                self.tcp.lost.push(id);
                continue;
            };
            match connect(&socket, &self.server) {
                Ok(()) | Err(Errno::INPROGRESS) => {
                    match core.poll.watch(socket, self.tcp.source, Wake::OUT) {
                        Ok(socket) => {
                            let read = Vec::new();
                            self.tcp.state = State::Busy { socket, id, out, sent: 0, read };
                        }
                        Err(_) => self.tcp.lost.push(id),
                    }
                }
                Err(_) => {
                    self.tcp.state = State::Idle(socket);
                    self.tcp.lost.push(id);
                }
            }
        }
    }

    /// Questions by TCP for which there is no way to the server: to be asked
    /// for whenever one has ended.
    pub fn take_lost(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.tcp.lost)
    }

    /// Something happened on the connection: the answer, if it is whole now.
    ///
    /// # Errors
    /// It has ended without one: the number of the question.
    pub fn go_on_tcp(&mut self, core: &mut Core) -> Result<Option<(u16, Vec<u8>)>, u16> {
        let State::Busy { id, .. } = self.tcp.state else { return Ok(None) };
        match self.tcp.advance(core) {
            Ok(None) => Ok(None),
            Ok(Some(answer)) => {
                self.end_tcp(core, id);
                Ok(Some((id, answer)))
            }
            Err(_) => {
                self.end_tcp(core, id);
                Err(id)
            }
        }
    }

    /// Breaks off a question by TCP, wherever it is, and goes on to the next.
    pub fn end_tcp(&mut self, core: &mut Core, wanted: u16) {
        self.tcp.queue.retain(|(id, _)| *id != wanted);
        if let State::Busy { id, .. } = self.tcp.state
            && id == wanted
            && let State::Busy { socket, .. } = std::mem::replace(&mut self.tcp.state, State::Gone)
        {
            let socket = core.poll.leave(socket);
            // A closed connection's socket serves again.
            if connect_unspec(&socket).is_ok() {
                self.tcp.state = State::Idle(socket);
            }
        }
        self.next_tcp(core);
    }
}

impl Udp {
    /// Gives its port back: the next connection gets another.
    fn renew(&mut self) -> io::Result<()> {
        if self.connected {
            connect_unspec(&self.socket)?;
            self.connected = false;
        }
        // What came too late was of the old port.
        while recv(self.socket.as_fd(), &mut [0; 1][..], RecvFlags::DONTWAIT).is_ok() {}
        self.uses = 0;
        Ok(())
    }
}

impl Tcp {
    fn advance(&mut self, core: &mut Core) -> io::Result<Option<Vec<u8>>> {
        let State::Busy { socket, out, sent, read, .. } = &mut self.state else { return Ok(None) };
        if *sent < out.len() {
            match send(&*socket, &out[*sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => *sent += count,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
            if *sent == out.len() {
                core.poll.change(socket, Wake::IN)?;
            }
            return Ok(None);
        }
        match recv(&*socket, &mut core.buffer[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((_, length)) => read.extend(&core.buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let Some(length) = read.first_chunk().map(|head| u16::from_be_bytes(*head)) else {
            return Ok(None);
        };
        Ok(read.get(2..2 + usize::from(length)).map(<[u8]>::to_vec))
    }
}
