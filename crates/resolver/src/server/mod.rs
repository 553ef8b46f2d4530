//! The resolver's process: one thread that waits for everything.
//!
//! It begins with nothing but the socket on which daemons connect, gives up
//! [all rights](crate::confine), and ends by itself when it has no container
//! and nobody to give it one.

mod client;
mod control;
mod lane;
mod poll;
mod room;
mod scribe;
mod taught;

use crate::{
    cache::Total,
    confine,
    dice::Dice,
    error::{Doing as _, Error},
    table::{Number, Table},
    wire::{FromResolver, LANE, Seat, ToResolver},
};
use control::Daemon;
use poll::{Poll, Source, Wake, Watched};
use room::Room;
use rustix::{
    io::Errno,
    net::{SocketFlags, accept_with, sockopt::socket_peercred},
};
use scribe::{Done, Scribe};
use spec::Id;
use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    process::ExitCode,
    time::{Duration, Instant},
};

/// How long it stays without a container.
const IDLE: Duration = Duration::from_secs(10);
/// How long a daemon waits that there is no room for.
const BREATH: Duration = Duration::from_secs(1);
/// Numbers of containers begin after it.
const NOBODY: Number = 0;
/// Longest datagram, in bytes.
const DATAGRAM: usize = 65_535;

/// What every part needs.
pub(crate) struct Core {
    poll: Poll,
    dice: Dice,
    /// Of all caches.
    total: Total,
    now: Instant,
    /// For what is read.
    buffer: Vec<u8>,
    /// None until somebody has names in its policy.
    scribe: Option<Scribe>,
}

struct Server {
    core: Core,
    table: Table,
    rooms: HashMap<Number, Room>,
    numbers: HashMap<Id, Number>,
    last: Number,
    listener: Watched,
    daemon: Option<Daemon>,
    /// Whose daemons are believed.
    user: u32,
    empty_since: Instant,
}

/// `cofferdamd resolver USER RUN-ROOT`: standard input is a listening unix socket.
/// From here on it is user `USER`, and can do what [`crate::RIGHTS`] says.
#[must_use]
pub fn main(user: &str) -> ExitCode {
    match begin(user).and_then(Server::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let because = std::error::Error::source(&error).map(|source| format!(": {source}"));
            eprintln!("resolver: {error}{}", because.unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn begin(user: &str) -> Result<Server, Error> {
    let user = user.parse().map_err(|_| Error::OutOfTurn(format!("user {user:?}")))?;
    let of_daemons = rustix::process::getuid().as_raw();
    let listener = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3);
    let listener = listener.doing("take over the socket")?;
    confine::detach(&listener)?;
    rustix::thread::set_name(c"resolver").doing("name itself")?;
    let mut poll = Poll::new().doing("make an epoll set")?;
    let dice = Dice::new().doing("draw random numbers")?;
    let listener = poll.watch(listener, Source::Listener, Wake::IN).doing("wait for daemons")?;
    confine::confine(user)?;
    sys::heap::forget_code();
    let now = Instant::now();
    let (total, buffer) = (Total::default(), vec![0; DATAGRAM]);
    let core = Core { poll, dice, total, now, buffer, scribe: None };
    Ok(Server {
        core,
        table: Table::default(),
        rooms: HashMap::new(),
        numbers: HashMap::new(),
        last: 0,
        listener,
        daemon: None,
        user: of_daemons,
        empty_since: now,
    })
}

impl Server {
    fn run(mut self) -> Result<(), Error> {
        loop {
            let idle = self.rooms.is_empty().then(|| self.empty_since + IDLE);
            let sources = self.core.poll.wait(idle).doing("wait")?;
            self.core.now = Instant::now();
            for source in sources {
                if self.happened(source) {
                    return Ok(());
                }
            }
            while let Some(number) = self.core.poll.due(self.core.now) {
                if number == NOBODY {
                    self.core.poll.change(&self.listener, Wake::IN).doing("wait for daemons")?;
                } else if let Some(room) = self.rooms.get_mut(&number) {
                    room.wake(&mut self.core);
                }
            }
            if idle.is_some_and(|idle| self.core.now >= idle && self.rooms.is_empty()) {
                return Ok(());
            }
        }
    }

    /// Does what is to be done; true at the end of all.
    fn happened(&mut self, source: Source) -> bool {
        let core = &mut self.core;
        match source {
            Source::Listener => self.meet(),
            Source::Daemon => return self.listen(),
            Source::Scribe => return self.written(),
            Source::Init(number) => {
                self.leave(number);
                return self.rooms.is_empty() && self.daemon.is_none();
            }
            Source::Udp(number) => {
                if let Some(room) = self.rooms.get_mut(&number) {
                    room.hear(&self.table, core);
                }
            }
            Source::Tcp(number) => {
                if let Some(room) = self.rooms.get_mut(&number) {
                    room.connected(core);
                }
            }
            Source::Client(number, client) => {
                if let Some(room) = self.rooms.get_mut(&number) {
                    room.client(&self.table, core, client);
                }
            }
            Source::Server(number, server, slot) => {
                if let Some(room) = self.rooms.get_mut(&number) {
                    room.answered(core, server, slot);
                }
            }
        }
        false
    }

    /// The scribe has written; true if it has ended, and so has all of this.
    fn written(&mut self) -> bool {
        loop {
            let Some(scribe) = &mut self.core.scribe else { return false };
            match scribe.hear() {
                Ok(None) => return false,
                Ok(Some(Done::Answers(batch, done))) => {
                    if let Some(room) = self.rooms.get_mut(&batch.container) {
                        room.let_go(&mut self.core, batch, done);
                    }
                }
                Ok(Some(Done::Daemon)) => self.settled(),
                Err(error) => {
                    eprintln!("resolver: {error}");
                    return true;
                }
            }
        }
    }

    fn settled(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        if let Err(error) = daemon.say(&mut self.core, &FromResolver::Settled) {
            eprintln!("resolver: {error}");
        }
    }

    fn take_scribe(&mut self, mut fds: Vec<OwnedFd>) -> Result<(), Error> {
        let (Some(socket), true) = (fds.pop(), fds.is_empty()) else {
            return Err(Error::OutOfTurn("no scribe".into()));
        };
        if let Some(before) = self.core.scribe.take() {
            before.close(&mut self.core);
        }
        let watched = self.core.poll.watch(socket, Source::Scribe, Wake::IN);
        self.core.scribe = Some(Scribe::new(watched.doing("wait for the scribe")?));
        Ok(())
    }

    /// A daemon connects: the last one counts.
    fn meet(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = match accept_with(&self.listener, flags) {
            Ok(socket) => socket,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                // It waits until there is room again.
                if self.core.poll.change(&self.listener, Wake::empty()).is_ok() {
                    self.core.poll.wake_at(self.core.now + BREATH, NOBODY);
                }
                return;
            }
            Err(_) => return,
        };
        if !socket_peercred(&socket).is_ok_and(|peer| peer.uid.as_raw() == self.user) {
            eprintln!("resolver: a stranger knocked");
            return;
        }
        if let Some(daemon) = self.daemon.take() {
            daemon.close(&mut self.core);
        }
        let held: Vec<_> = self.rooms.values().map(Room::held).collect();
        let met = self.core.poll.watch(socket, Source::Daemon, Wake::IN).doing("wait for a daemon");
        let scribe = self.core.scribe.is_some();
        match met.and_then(|socket| Daemon::greet(&mut self.core, socket, &held, scribe)) {
            Ok(daemon) => self.daemon = Some(daemon),
            Err(error) => eprintln!("resolver: {error}"),
        }
    }

    /// The daemon speaks; true if it says to end, or has gone and there is
    /// nobody to serve.
    fn listen(&mut self) -> bool {
        loop {
            let Some(daemon) = &mut self.daemon else { return false };
            let heard = daemon.go_on(&mut self.core).and_then(|()| daemon.hear());
            let outcome = match heard {
                Ok(None) => return false,
                Ok(Some((ToResolver::End, _))) => return true,
                Ok(Some((ToResolver::Scribe, fds))) => self.take_scribe(fds),
                Ok(Some((ToResolver::Settle, _))) => {
                    if self.core.scribe.as_mut().is_none_or(Scribe::settle) {
                        self.settled();
                    }
                    Ok(())
                }
                Ok(Some((ToResolver::Leave(id), _))) => {
                    if let Some(number) = self.numbers.get(&id) {
                        self.leave(*number);
                    }
                    Ok(())
                }
                Ok(Some((ToResolver::Seat { seat, door, lanes }, fds))) => {
                    self.seat(&seat, door, lanes, fds)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                if !matches!(error, Error::Gone) {
                    eprintln!("resolver: {error}");
                }
                if let Some(daemon) = self.daemon.take() {
                    daemon.close(&mut self.core);
                }
                return self.rooms.is_empty();
            }
        }
    }

    fn seat(
        &mut self,
        seat: &Seat,
        door: bool,
        lanes: bool,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Error> {
        let wanted =
            if door { 3 } else { 0 } + if lanes { LANE * seat.upstream.servers.len() } else { 0 };
        if fds.len() != wanted {
            return Err(Error::OutOfTurn(format!("{} descriptors of {wanted}", fds.len())));
        }
        let mut fds = fds.into_iter();
        let known = self.numbers.get(&seat.container).copied();
        let number = if door {
            if let Some(number) = known {
                self.leave(number);
            }
            let mut next = || fds.next().ok_or_else(|| Error::OutOfTurn("no door".into()));
            let door = [next()?, next()?, next()?];
            self.last = self.last.wrapping_add(1);
            let id = seat.container.clone();
            let room = Room::open(&mut self.core, self.last, id.clone(), door);
            self.rooms.insert(self.last, room.doing("wait for a container")?);
            self.numbers.insert(id, self.last);
            self.last
        } else {
            known.ok_or_else(|| Error::OutOfTurn(format!("no door to {}", seat.container)))?
        };
        let Some(room) = self.rooms.get_mut(&number) else { return Ok(()) };
        if lanes {
            room.set_upstream(&mut self.core, seat.upstream.clone(), fds.collect());
        } else if room.has_servers_of(&seat.upstream) {
            room.set_ndots(seat.upstream.ndots);
        } else {
            return Err(Error::OutOfTurn(format!("no sockets to ask with for {}", seat.container)));
        }
        room.set_fences(seat.fences.clone());
        self.table.seat(number, seat);
        Ok(())
    }

    fn leave(&mut self, number: Number) {
        self.table.leave(number);
        if let Some(room) = self.rooms.remove(&number) {
            self.numbers.remove(room.id());
            room.close(&mut self.core);
        }
        if self.rooms.is_empty() {
            self.empty_since = Instant::now();
        }
    }
}
