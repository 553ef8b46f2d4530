//! The loop: one thread, one epoll, nothing that blocks but the disk.
//!
//! What is polled is named by a [`Token`]. Level-triggered throughout: what a
//! turn leaves undone comes back in the next.

use crate::{
    client::{Client, Part, SLACK},
    dir::Dir,
    group::Group,
    launch::Made,
    log::Log,
    pair::Pair,
    queue::Outcome,
    session::{INIT, Process, Session},
    streams::Got,
};
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    io::Errno,
};
use spec::wire::{Exit, FromMonitor, Kind, Reply, ToMonitor};
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::SystemTime,
};

/// Read at once while little flows, and while much does.
const SMALL: usize = 4 << 10;
const LARGE: usize = 64 << 10;

/// Read from one stream in one turn, so that none starves the others.
const TURN: usize = 256 << 10;

/// Quiet for so long: what a busy time took is given back. And how long the
/// end waits for a client that does not read.
const QUIET: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
const LINGER: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The launching pair.
    Pair,
    /// `monitor.sock`.
    Listener,
    /// A client.
    Client(u32),
    /// The end of a session's program.
    Exit(u32),
    /// Something to read from a session: standard output, standard error.
    Out(u32, usize),
    /// A session's standard input takes more.
    In(u32),
    /// A process of the log's.
    Log,
}

impl Token {
    fn data(self) -> EventData {
        let (kind, id) = match self {
            Self::Pair => (0, 0),
            Self::Listener => (1, 0),
            Self::Client(id) => (2, id),
            Self::Exit(id) => (3, id),
            Self::Out(id, 0) => (4, id),
            Self::Out(id, _) => (5, id),
            Self::In(id) => (6, id),
            Self::Log => (7, 0),
        };
        EventData::new_u64(kind << 32 | u64::from(id))
    }

    fn from_data(data: u64) -> Self {
        let id = u32::try_from(data & u64::from(u32::MAX)).unwrap_or(0);
        match data >> 32 {
            0 => Self::Pair,
            1 => Self::Listener,
            2 => Self::Client(id),
            3 => Self::Exit(id),
            4 => Self::Out(id, 0),
            5 => Self::Out(id, 1),
            6 => Self::In(id),
            _ => Self::Log,
        }
    }
}

/// Is there more to do?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is.
    On,
    /// The monitor's work is done.
    Over,
}

/// One container's monitor, from *Alive* on.
pub struct Monitor {
    pub id: String,
    pub dir: Dir,
    pub group: Group,
    pub log: Log,
    /// None once the daemon that launched it has gone.
    pub pair: Option<Pair>,
    /// None once the container has ended.
    pub listener: Option<OwnedFd>,
    /// Until *Go*.
    pub waiting: Option<runtime::Waiting>,
    pub sessions: BTreeMap<u32, Session>,
    pub clients: BTreeMap<u32, Client>,
    /// How it ended.
    pub exit: Option<Exit>,
    epoll: OwnedFd,
    /// For the next client or session.
    next: u32,
    buffer: Vec<u8>,
    /// Something has happened since it last rested: there may be memory to
    /// give back.
    warm: bool,
    /// No descriptor was left to accept with: the listener is not polled.
    deaf: bool,
}

impl Monitor {
    /// Ready to serve.
    ///
    /// # Errors
    /// What the host said.
    pub fn new(made: Made, pair: Pair) -> io::Result<Self> {
        let monitor = Self {
            id: made.id,
            dir: made.dir,
            group: made.group,
            log: made.log,
            pair: Some(pair),
            listener: Some(made.listener),
            waiting: Some(made.waiting),
            sessions: BTreeMap::from([(INIT, made.session)]),
            clients: BTreeMap::new(),
            exit: None,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            next: INIT + 1,
            buffer: vec![0; SMALL],
            warm: true,
            deaf: false,
        };
        if let (Some(pair), Some(listener)) = (&monitor.pair, &monitor.listener) {
            monitor.poll(pair.as_fd(), Token::Pair, EventFlags::IN)?;
            monitor.poll(listener.as_fd(), Token::Listener, EventFlags::IN)?;
        }
        if let Some(bell) = monitor.log.bell() {
            monitor.poll(bell, Token::Log, EventFlags::IN)?;
        }
        Ok(monitor)
    }

    /// Serves until the container has ended and all have heard of it.
    ///
    /// # Errors
    /// What the host said of the loop itself.
    pub fn serve(mut self) -> io::Result<()> {
        let served = self.turns();
        if served.is_err() && self.exit.is_none() {
            // A container that nobody watches must not run.
            self.waiting = None;
            self.kill_init();
            self.clean_up();
        }
        served
    }

    fn turns(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(16);
        loop {
            let patience = match (&self.exit, self.warm || self.deaf) {
                (Some(_), _) => Some(&LINGER),
                (None, true) => Some(&QUIET),
                (None, false) => None,
            };
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), patience) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            if events.is_empty() {
                self.rest()?;
            }
            self.warm |= !events.is_empty();
            for event in &events {
                let (flags, data) = (event.flags, event.data.u64());
                if self.handle(Token::from_data(data), flags)? == Flow::Over {
                    return Ok(());
                }
            }
            self.log.flush()?;
            // It may have caught up by that.
            self.resume(INIT)?;
            if self.exit.is_some() && self.clients.is_empty() {
                return Ok(());
            }
        }
    }

    fn handle(&mut self, token: Token, flags: EventFlags) -> io::Result<Flow> {
        match token {
            Token::Pair => return self.daemon(),
            Token::Listener => self.accept()?,
            Token::Client(id) => self.client(id, flags)?,
            Token::Exit(id) => self.reap(id)?,
            Token::Out(id, which) => {
                self.pump(id, which, TURN)?;
            }
            Token::In(id) => self.feed(id)?,
            Token::Log => {
                self.log.turn()?;
                self.resume(INIT)?;
            }
        }
        Ok(Flow::On)
    }

    /// Nothing has happened for a while.
    fn rest(&mut self) -> io::Result<()> {
        if self.exit.is_some() {
            // Who paces is waited for as a pipe's reader would be; others had their time.
            let idle = self
                .clients
                .iter()
                .filter(|(_, client)| !matches!(client.part, Part::Attached { pace: true, .. }));
            let idle: Vec<u32> = idle.map(|(id, _)| *id).collect();
            idle.into_iter().try_for_each(|id| self.dismiss(id))?;
        }
        if self.deaf
            && let Some(listener) = &self.listener
        {
            self.poll(listener.as_fd(), Token::Listener, EventFlags::IN)?;
            self.deaf = false;
        }
        if self.warm {
            self.buffer = vec![0; SMALL];
            self.log.rest();
            self.warm = false;
            sys::heap::trim();
            sys::heap::forget_stack();
            sys::heap::forget_code();
        }
        Ok(())
    }

    /// The daemon says something, or has gone.
    fn daemon(&mut self) -> io::Result<Flow> {
        let Some(pair) = &self.pair else { return Ok(Flow::On) };
        let said = pair.receive().unwrap_or_else(|error| {
            eprintln!("cannot understand the daemon: {error}");
            Some((ToMonitor::Abort, None))
        });
        match (said, self.waiting.take()) {
            (Some((ToMonitor::Go, _)), Some(waiting)) => return self.begin(waiting),
            (None | Some((ToMonitor::Abort, _)), Some(waiting)) => {
                waiting.abort();
                self.clean_up();
                return Ok(Flow::Over);
            }
            (None, None) => {
                self.unpoll(pair.as_fd());
                self.pair = None;
            }
            // Too late to leave nothing of it: end it, and let the end take its course.
            (Some((ToMonitor::Abort, _)), None) => self.kill_init(),
            (Some(_), waiting) => {
                eprintln!("the daemon spoke out of turn");
                self.waiting = waiting;
            }
        }
        Ok(Flow::On)
    }

    fn begin(&mut self, waiting: runtime::Waiting) -> io::Result<Flow> {
        let running = match waiting.go() {
            Ok(running) => running,
            Err(failure) => {
                self.clean_up();
                let ids: Vec<u32> = self.clients.keys().copied().collect();
                for id in ids {
                    self.answer(id, &Reply::Failed(failure.clone()), true)?;
                }
                self.say(&FromMonitor::Failed(failure));
                return Ok(Flow::Over);
            }
        };
        for warning in &running.warnings {
            eprintln!("warning: {warning}");
        }
        let process = Process { pid: running.pid, pidfd: running.pidfd };
        self.adopt(INIT, process, running.console)?;
        self.say(&FromMonitor::Running);
        Ok(Flow::On)
    }

    /// A session's program has begun: watch it and its streams.
    pub fn adopt(&mut self, id: u32, process: Process, console: Option<OwnedFd>) -> io::Result<()> {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        session.process = Some(process);
        if let Some(console) = console {
            session.streams.attach_terminal(console, session.open_stdin)?;
            if let Some(size) = session.size.take() {
                session.streams.resize(size)?;
            }
        }
        if let Some(process) = self.sessions.get(&id).and_then(|s| s.process.as_ref()) {
            self.poll(process.pidfd.as_fd(), Token::Exit(id), EventFlags::IN)?;
        }
        self.listen_to(id)
    }

    /// Polls what a session writes.
    fn listen_to(&self, id: u32) -> io::Result<()> {
        let Some(session) = self.sessions.get(&id) else { return Ok(()) };
        for (which, out) in session.streams.outs.iter().enumerate() {
            if let Some(out) = out {
                self.poll(out.fd.as_fd(), Token::Out(id, which), EventFlags::IN)?;
            }
        }
        Ok(())
    }

    /// Reads what a session wrote, about `budget` bytes of it, into the log and
    /// to who hears it. Says how much it was; none if there is nothing more at
    /// the moment.
    pub fn pump(&mut self, id: u32, which: usize, budget: usize) -> io::Result<Option<usize>> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut read = Some(0);
        while let Some(so_far) = read.filter(|so_far| *so_far < budget) {
            let session = self.sessions.get_mut(&id);
            let out = session.and_then(|session| session.streams.outs[which].as_mut());
            match out.map(|out| (out.read(&mut buffer), out)) {
                Some((Got::Bytes(len), out)) => {
                    if id == INIT {
                        self.log.write(&mut out.splitter, &buffer[..len], now());
                        self.pause_for_log();
                    }
                    self.deliver(id, which, &buffer[..len])?;
                    read = Some(so_far + len);
                    if len < buffer.len() {
                        // Whoever wrote less than was asked for has no more at once.
                        break;
                    }
                    if len < LARGE {
                        buffer = vec![0; LARGE];
                    }
                }
                Some((Got::End, _)) => {
                    self.close_out(id, which);
                    read = None;
                }
                Some((Got::Nothing, _)) | None => read = None,
            }
        }
        self.buffer = buffer;
        Ok(read)
    }

    /// Sends to every client that hears it; they are seen to afterwards.
    fn deliver(&mut self, id: u32, which: usize, bytes: &[u8]) -> io::Result<()> {
        let kind = if which == 0 { Kind::Stdout } else { Kind::Stderr };
        let mut lost = Vec::new();
        let mut behind = false;
        let mut slow = Vec::new();
        for (client_id, client) in &mut self.clients {
            if !client.hears(id, which) {
                continue;
            }
            match client.send(kind, bytes) {
                Outcome::Empty => {}
                Outcome::Broken => lost.push(*client_id),
                Outcome::Waits => {
                    slow.push(*client_id);
                    let paces = matches!(client.part, Part::Attached { pace: true, .. });
                    if !paces && client.queue.len() > SLACK {
                        lost.push(*client_id);
                    }
                    behind |= client.is_behind();
                }
            }
        }
        for client in slow {
            self.repoll(client)?;
        }
        for client in lost {
            self.dismiss(client)?;
        }
        if behind {
            self.pause(id);
        }
        Ok(())
    }

    pub fn close_out(&mut self, id: u32, which: usize) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(mut out) = session.streams.outs[which].take() else { return };
        if id == INIT {
            self.log.end(&mut out.splitter, now());
        }
        self.unpoll(out.fd.as_fd());
    }

    /// The program waits until who hears its log has caught up.
    fn pause_for_log(&mut self) {
        if self.log.is_behind() {
            self.pause(INIT);
        }
    }

    /// The program waits until those who pace it have caught up.
    fn pause(&mut self, id: u32) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // At the end all is read at once: there is no more to come.
        if session.paused || self.exit.is_some() {
            return;
        }
        session.paused = true;
        let Some(session) = self.sessions.get(&id) else { return };
        for out in session.streams.outs.iter().flatten() {
            self.unpoll(out.fd.as_fd());
        }
    }

    /// Reads on, if nobody who paces is behind any more.
    pub fn resume(&mut self, id: u32) -> io::Result<()> {
        if self.sessions.get(&id).is_none_or(|session| !session.paused) {
            return Ok(());
        }
        let of = |c: &Client| matches!(c.part, Part::Attached { session, .. } if session == id);
        let behind = self.clients.values().any(|client| of(client) && client.is_behind())
            || (id == INIT && self.log.is_behind());
        match self.sessions.get_mut(&id) {
            Some(session) if session.paused && !behind => session.paused = false,
            _ => return Ok(()),
        }
        self.listen_to(id)
    }

    /// Adds a client or a session.
    pub fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Tells the daemon that launched it.
    pub fn say(&self, message: &FromMonitor) {
        if let Some(pair) = &self.pair {
            pair.say(message, None);
        }
    }

    /// Ends the container's program by force.
    pub fn kill_init(&self) {
        let init = self.sessions.get(&INIT).and_then(|session| session.process.as_ref());
        if let Some(init) = init
            && let Err(error) = sys::signal::send_pidfd(init.pidfd.as_fd(), 9)
        {
            eprintln!("cannot kill the container's init: {error}");
        }
    }

    /// Nobody can be accepted for want of descriptors: try again later.
    pub fn go_deaf(&mut self) {
        if let Some(listener) = &self.listener {
            self.unpoll(listener.as_fd());
            self.deaf = true;
        }
    }

    /// Polls a descriptor.
    ///
    /// # Errors
    /// What the host said.
    pub fn poll(&self, fd: BorrowedFd<'_>, token: Token, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, token.data(), flags)?)
    }

    /// Changes what a client is polled for to what it wants now.
    ///
    /// # Errors
    /// What the host said.
    pub fn repoll(&mut self, id: u32) -> io::Result<()> {
        if let Some(client) = self.clients.get_mut(&id) {
            let wanted = client.wanted();
            if wanted != client.polled {
                epoll::modify(&self.epoll, &client.fd, Token::Client(id).data(), wanted)?;
                client.polled = wanted;
            }
        }
        Ok(())
    }

    /// Polls a descriptor no more; one that is not polled stays so.
    pub fn unpoll(&self, fd: BorrowedFd<'_>) {
        match epoll::delete(&self.epoll, fd) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => eprintln!("cannot stop polling: {errno}"),
        }
    }
}

/// Nanoseconds since the epoch.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
