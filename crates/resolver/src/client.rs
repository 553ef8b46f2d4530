//! The daemon's end: finds the resolver or starts it, and tells it of
//! containers.

use crate::{
    error::{Doing as _, Error},
    wire::{FromResolver, LANE, MAX_PACKET, Seat, Server, ToResolver, Upstream, VERSION},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        SocketAddrUnix, SocketFlags, SocketType, recv, sendmsg, socket_with, socketpair,
        sockopt::{Timeout, set_socket_send_buffer_size_force, set_socket_timeout},
    },
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use spec::Id;
use std::{
    collections::HashMap,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Name of the socket in the run root.
const SOCKET: &str = "resolver.sock";
/// Name of the file for what it has to say: nothing, on a good day.
const LOG: &str = "resolver.err";
/// How long it may take for an answer on a machine that is out of breath.
const PATIENCE: Duration = Duration::from_secs(10);

/// An engine's resolver, which may run or not.
#[derive(Debug)]
pub struct Resolver {
    program: PathBuf,
    dir: PathBuf,
    user: u32,
    /// Of whose tables a scribe is.
    realm: String,
    open: Mutex<Option<Open>>,
    /// One was ended that served somebody, and nobody has been told.
    lost: AtomicBool,
}

/// One that runs.
#[derive(Debug)]
struct Open {
    socket: OwnedFd,
    /// None if an earlier daemon started it.
    child: Option<Child>,
    since: Instant,
    held: HashMap<Id, Upstream>,
    /// It has a scribe.
    has_scribe: bool,
    /// None if an earlier daemon started it, or nobody did.
    scribe: Option<Child>,
}

/// Which sockets are to be made for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// A pidfd of its init, then its UDP and its listening TCP socket.
    pub door: bool,
    /// Then [`LANE`] for each of these: two for UDP and one for TCP.
    pub lanes: Vec<Server>,
}

/// What came of a connection that has something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs: the connection is to be watched on.
    Runs,
    /// It does not run, and has nobody to serve.
    Rests,
    /// It has ended, after so long, and is to be started again for all.
    Lost(Duration),
}

impl Resolver {
    /// Nothing is started or looked for yet. `dir` is the run root, `user` an
    /// id that nobody else has, `realm` the name of the tables in which is
    /// entered what names lead to.
    pub fn new(
        program: impl Into<PathBuf>,
        dir: impl Into<PathBuf>,
        user: u32,
        realm: impl Into<String>,
    ) -> Self {
        let (program, dir, realm) = (program.into(), dir.into(), realm.into());
        Self { program, dir, user, realm, open: Mutex::default(), lost: AtomicBool::new(false) }
    }

    /// Looks for one that an earlier daemon started: whom it serves.
    ///
    /// # Errors
    /// It does not answer, or the host refused something.
    pub fn find(&self) -> Result<Vec<Id>, Error> {
        let mut open = self.hold();
        if open.is_none() {
            *open = self.adopt()?;
        }
        Ok(open.iter().flat_map(|open| open.held.keys().cloned()).collect())
    }

    /// Tells of a container, new or changed, and starts the resolver if there
    /// is none. `sockets` makes what is wanted, in the order of [`Wanted`].
    /// True if the connection is new: it is to be [watched](Self::watch), and
    /// all other containers are to be told of again.
    ///
    /// # Errors
    /// What `sockets` said, or there is no resolver.
    pub fn seat<E: From<Error>>(
        &self,
        seat: &Seat,
        sockets: impl Fn(&Wanted) -> Result<Vec<OwnedFd>, E>,
    ) -> Result<bool, E> {
        let mut open = self.hold();
        let mut fresh = false;
        loop {
            let running = match &mut *open {
                Some(running) => running,
                none => {
                    fresh = true;
                    none.insert(self.begin()?)
                }
            };
            let scribe = match self.need_scribe(seat, running) {
                Ok(scribe) => scribe,
                // Whom it serves it goes on to serve.
                Err(error) if !fresh => return Err(error.into()),
                Err(error) => {
                    open.take().into_iter().for_each(Open::bury);
                    return Err(error.into());
                }
            };
            if let Some((child, ours)) = scribe
                && let Err(error) = running.take_scribe(child, ours)
            {
                self.lose(&mut open);
                return Err(error.into());
            }
            let held = running.held.get(&seat.container);
            let known = held.map_or(&[][..], |upstream| &upstream.servers);
            let lanes =
                if known == seat.upstream.servers { &[] } else { &seat.upstream.servers[..] };
            let wanted = Wanted { door: held.is_none(), lanes: lanes.to_vec() };
            // Servers that are gone for good leave no sockets, which is said too.
            let changed = known != seat.upstream.servers;
            let fds = sockets(&wanted)?;
            let message =
                ToResolver::Seat { seat: seat.clone(), door: wanted.door, lanes: changed };
            match running.say(&message, &fds) {
                Ok(()) => {
                    running.held.insert(seat.container.clone(), seat.upstream.clone());
                    return Ok(fresh);
                }
                Err(Error::Gone) if !fresh => open.take().into_iter().for_each(Open::bury),
                Err(Error::Late) if !fresh => {
                    open.take().map_or(Ok(()), |hung| self.put_down(hung))?;
                }
                Err(error) => {
                    // Half told is not to be: the next one is told everything.
                    if !matches!(error, Error::TooLong(_)) {
                        self.lose(&mut open);
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// Ends one that was told half of something. All whom it served are to be
    /// told of again, which whoever watches its connection hears.
    fn lose(&self, open: &mut Option<Open>) {
        let Some(running) = open.take() else { return };
        self.lost.store(!running.held.is_empty(), Ordering::Relaxed);
        running.bury();
    }

    /// Starts a scribe with the first container that has names in a policy, and
    /// gives the resolver's end of their pair.
    fn need_scribe(&self, seat: &Seat, running: &Open) -> Result<Option<(Child, OwnedFd)>, Error> {
        let names = seat.fences.iter().any(|fence| !fence.names.is_empty());
        if !names || running.has_scribe {
            return Ok(None);
        }
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (ours, its) = socketpair(family, kind, SocketFlags::CLOEXEC, None)
            .doing("make a pair of sockets for the scribe")?;
        let mut command = self.command("scribe")?;
        let child = command.arg(&self.realm).arg(&self.dir).stdin(Stdio::from(its)).spawn();
        let path = || self.program.clone();
        let child = child.map_err(|source| Error::File { doing: "start", path: path(), source })?;
        Ok(Some((child, ours)))
    }

    /// This program, to be started as another one: with the user that it is to
    /// become, and nothing else.
    fn command(&self, mode: &str) -> Result<Command, Error> {
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.dir.join(LOG))
            .map_err(self.file("open", LOG))?;
        let mut command = Command::new(&self.program);
        command.arg0("cofferdamd").args([mode, &self.user.to_string()]).env_clear();
        command.stdout(Stdio::null()).stderr(Stdio::from(log));
        Ok(command)
    }

    /// Tells that a container has gone. One that has ended is missed by the
    /// resolver itself.
    pub fn leave(&self, container: &Id) {
        let mut open = self.hold();
        let Some(running) = &mut *open else { return };
        if running.held.remove(container).is_some() {
            // If it cannot be told it is gone, or about to be, which its
            // connection says too.
            let _ = running.say(&ToResolver::Leave(container.clone()), &[]);
        }
    }

    /// Waits until what it was told has come into force, and nothing is under
    /// way by what it was told before.
    ///
    /// # Errors
    /// It does not answer in time. That it has gone is none: then nothing is
    /// under way.
    pub fn settle(&self) -> Result<(), Error> {
        let mut open = self.hold();
        let Some(running) = &mut *open else { return Ok(()) };
        let settled = running.say(&ToResolver::Settle, &[]).and_then(|()| {
            loop {
                match running.hear(RecvFlags::empty())? {
                    Some(FromResolver::Settled) => return Ok(()),
                    Some(_) => {}
                    None => return Err(Error::Late),
                }
            }
        });
        match settled {
            // Its connection says so too, to whoever watches it.
            Err(Error::Gone) => Ok(()),
            other => other,
        }
    }

    /// Has the connection watched.
    ///
    /// # Errors
    /// What `watch` said.
    pub fn watch<E>(&self, watch: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>) -> Result<(), E> {
        self.hold().as_ref().map_or(Ok(()), |running| watch(running.socket.as_fd()))
    }

    /// The connection has something to read: what became of the resolver.
    pub fn look(&self) -> State {
        let mut open = self.hold();
        let Some(running) = &mut *open else {
            let lost = self.lost.swap(false, Ordering::Relaxed);
            return if lost { State::Lost(Duration::ZERO) } else { State::Rests };
        };
        if running.drain() {
            return State::Runs;
        }
        let (age, rests) = (running.since.elapsed(), running.held.is_empty());
        open.take().into_iter().for_each(Open::bury);
        if rests { State::Rests } else { State::Lost(age) }
    }

    /// The process, if this daemon started it.
    pub fn process(&self) -> Option<u32> {
        self.hold().as_ref().and_then(|open| open.child.as_ref().map(Child::id))
    }

    /// For a daemon that ends: with nobody to serve, the resolver ends too.
    ///
    /// # Errors
    /// Its socket cannot be removed.
    pub fn close(&self) -> Result<(), Error> {
        match self.hold().take() {
            // It goes on without us.
            Some(running) if !running.held.is_empty() => return Ok(()),
            Some(running) => running.end(),
            None => {}
        }
        self.remove(SOCKET)
    }

    /// What is held is whole at every moment.
    fn hold(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that runs already, or a new one.
    fn begin(&self) -> Result<Open, Error> {
        match self.adopt()? {
            Some(open) => Ok(open),
            None => self.start(),
        }
    }

    /// The resolver of an earlier daemon; none if there is none, or it was
    /// ended because it does not answer.
    fn adopt(&self) -> Result<Option<Open>, Error> {
        match self.meet() {
            Err(Error::Late) => self.end_hung().map(|()| None),
            met => met,
        }
    }

    fn meet(&self) -> Result<Option<Open>, Error> {
        let Some(socket) = self.connect()? else { return Ok(None) };
        let mut open = Open::new(socket, None);
        match open.greeting() {
            Ok(true) => Ok(Some(open)),
            Ok(false) => {
                // It speaks as another version did: a new one takes over.
                open.end();
                Ok(None)
            }
            Err(Error::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn connect(&self) -> Result<Option<OwnedFd>, Error> {
        let socket = socket()?;
        // Before anything that may wait: connecting does, if many have before
        // us and were not let in.
        for way in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, way, Some(PATIENCE)).doing("bound the waiting")?;
        }
        match self.by_name(SOCKET, |name| rustix::net::connect(&socket, name)) {
            Ok(()) => Ok(Some(socket)),
            Err(error) => match rustix::io::Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
                Some(Errno::AGAIN) => Err(Error::Late),
                _ => Err(self.file("connect to", SOCKET)(error)),
            },
        }
    }

    /// Ends one that does not answer.
    fn put_down(&self, hung: Open) -> Result<(), Error> {
        if hung.child.is_none() {
            return self.end_hung();
        }
        hung.bury();
        Ok(())
    }

    /// Ends one that an earlier daemon started and that does not answer, lest
    /// it keep containers' sockets. It is known by its user and its words,
    /// which together nobody else has.
    fn end_hung(&self) -> Result<(), Error> {
        let processes = std::fs::read_dir("/proc").doing("list processes")?;
        let number = |entry: io::Result<std::fs::DirEntry>| {
            Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?)
        };
        let mut ended = false;
        for pid in processes.filter_map(number) {
            // Looked at while it is held: its number can be nobody else's.
            let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            if !self.is_resolver(pid) {
                continue;
            }
            match pidfd_send_signal(&process, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno).doing("kill the resolver"),
            }
            let patience = Timespec::try_from(PATIENCE).ok();
            let mut end = [PollFd::new(&process, PollFlags::IN)];
            let over = rustix::io::retry_on_intr(|| poll(&mut end, patience.as_ref()));
            if over.doing("wait for the resolver's end")? == 0 {
                return Err(Error::Late);
            }
            ended = true;
        }
        if !ended {
            eprintln!("a resolver that does not answer cannot be found: one is started beside it");
        }
        Ok(())
    }

    /// Is it this engine's?
    fn is_resolver(&self, pid: Pid) -> bool {
        let about = |file| std::fs::read(format!("/proc/{}/{file}", pid.as_raw_nonzero()));
        let (Ok(status), Ok(words)) = (about("status"), about("cmdline")) else { return false };
        let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
        let user = self.user.to_string();
        let ours = [b"resolver", user.as_bytes(), self.dir.as_os_str().as_bytes()];
        let of_user = format!("Uid:\t{user}\t");
        String::from_utf8_lossy(&status).lines().any(|line| line.starts_with(&of_user))
            && words.get(1..4) == Some(&ours[..])
    }

    fn start(&self) -> Result<Open, Error> {
        self.remove(SOCKET)?;
        let listener = socket()?;
        self.by_name(SOCKET, |name| rustix::net::bind(&listener, name))
            .map_err(self.file("make", SOCKET))?;
        rustix::net::listen(&listener, 4).doing("listen for the resolver")?;
        let mut command = self.command("resolver")?;
        // The run root is said for those who look at the list of processes:
        // whose it is.
        command.arg(&self.dir).stdin(Stdio::from(listener));
        let child = command.spawn().map_err(|source| Error::File {
            doing: "start",
            path: self.program.clone(),
            source,
        })?;
        let socket = self.connect()?.ok_or(Error::Gone)?;
        // It greets when it is up; until then what it is told waits for it.
        Ok(Open::new(socket, Some(child)))
    }

    /// Sockets have short names: this one goes by a descriptor.
    fn by_name(
        &self,
        name: &str,
        act: impl FnOnce(&SocketAddrUnix) -> rustix::io::Result<()>,
    ) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&self.dir, flags, Mode::empty())?;
        let path = format!("/proc/self/fd/{}/{name}", dir.as_raw_fd());
        Ok(act(&SocketAddrUnix::new(path)?)?)
    }

    fn remove(&self, name: &'static str) -> Result<(), Error> {
        match std::fs::remove_file(self.dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.file("remove", name)(error))
            }
            _ => Ok(()),
        }
    }

    fn file(&self, doing: &'static str, name: &str) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = Path::new(&self.dir).join(name);
        move |source| Error::File { doing, path, source }
    }
}

fn socket() -> Result<OwnedFd, Error> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    socket_with(family, kind, SocketFlags::CLOEXEC, None).doing("make a socket")
}

impl Open {
    fn new(socket: OwnedFd, child: Option<Child>) -> Self {
        // Without the right to it long messages are refused when they come.
        let _ = set_socket_send_buffer_size_force(&socket, 2 * MAX_PACKET);
        let (since, held) = (Instant::now(), HashMap::new());
        Self { socket, child, since, held, has_scribe: false, scribe: None }
    }

    fn take_scribe(&mut self, child: Child, its_end: OwnedFd) -> Result<(), Error> {
        self.scribe = Some(child);
        // A resolver that is gone is missed by whoever speaks to it next.
        match self.say(&ToResolver::Scribe, &[its_end]) {
            Ok(()) => self.has_scribe = true,
            Err(Error::Gone) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads who it serves; false if it speaks otherwise.
    fn greeting(&mut self) -> Result<bool, Error> {
        loop {
            match self.hear(RecvFlags::empty()) {
                Ok(Some(FromResolver::Greeting { version, .. })) if version != VERSION => {
                    return Ok(false);
                }
                Ok(Some(FromResolver::Greeting { scribe, .. })) => self.has_scribe = scribe,
                Ok(Some(FromResolver::Holds(list))) => {
                    self.held.extend(list.into_iter().map(|held| (held.container, held.upstream)));
                }
                Ok(Some(FromResolver::Ready)) => return Ok(true),
                // For a daemon that is no more.
                Ok(Some(FromResolver::Settled)) => {}
                Ok(None) => return Err(Error::Late),
                Err(Error::OutOfTurn(_)) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what there is; false at the end.
    fn drain(&mut self) -> bool {
        loop {
            match self.hear(RecvFlags::DONTWAIT) {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    fn hear(&self, flags: RecvFlags) -> Result<Option<FromResolver>, Error> {
        let mut text = vec![0; MAX_PACKET / 4];
        let got = rustix::io::retry_on_intr(|| recv(&self.socket, &mut text[..], flags));
        match got {
            Ok((_, 0)) | Err(Errno::CONNRESET) => Err(Error::Gone),
            Ok((_, length)) => serde_json::from_slice(&text[..length])
                .map(Some)
                .map_err(|error| Error::OutOfTurn(error.to_string())),
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno).doing("listen to the resolver"),
        }
    }

    fn say(&self, message: &ToResolver, fds: &[OwnedFd]) -> Result<(), Error> {
        const MOST: usize = 3 + LANE * crate::wire::MAX_SERVERS;
        let text = serde_json::to_vec(message).map_err(io::Error::from).doing("spell a message")?;
        if text.len() > MAX_PACKET {
            return Err(Error::TooLong(text.len()));
        }
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(OwnedFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Error::OutOfTurn(format!("{} descriptors beside one message", fds.len())));
        }
        let sent = rustix::io::retry_on_intr(|| {
            sendmsg(&self.socket, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)
        });
        match sent {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Err(Error::Gone),
            Err(Errno::AGAIN) => Err(Error::Late),
            Err(errno) => Err(errno).doing("speak to the resolver"),
        }
    }

    /// Ends it, and waits until it has.
    fn end(self) {
        if self.say(&ToResolver::End, &[]).is_ok() {
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until {
                match self.hear(RecvFlags::empty()) {
                    Err(Error::OutOfTurn(_)) | Ok(Some(_)) => {}
                    _ => break,
                }
            }
        }
        self.bury();
    }

    /// Makes sure that nothing is left of what has ended, or does not answer.
    fn bury(self) {
        // The scribe ends with the resolver, whose end of their pair it sees.
        for mut child in self.child.into_iter().chain(self.scribe) {
            // It fails for one that has ended.
            let _ = child.kill();
            if let Err(error) = child.wait() {
                eprintln!("cannot wait for the resolver: {error}");
            }
        }
    }
}
