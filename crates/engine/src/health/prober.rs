//! Makes probes that start no program: one thread for all containers.
//!
//! ```text
//!   give ──▶ queue ──▶ the thread: enters the container's network, opens a
//!                      socket there, goes home, connects
//!                        │ TCP: it is connected ─────────────────▶ done
//!                        │ HTTP: asks, hears the head of an answer ▶ done
//!                        │ unix: finds the socket below the root,
//!                        │       connects ──────────────────────▶ done
//!                        ▼ whatever has not come by its deadline ─▶ done
//! ```
//!
//! Nothing here waits for a container: every socket is non-blocking, and a path
//! is followed only as far as the kernel knows it by heart (`RESOLVE_CACHED`).
//! The rest may be on a file system that never answers: a thread of its own
//! looks for that, one for each container at a time.
//!
//! What a probe reaches is the container's: a socket is in its network
//! namespace, where all that holds for its own programs holds, and goes to the
//! loopback or to an address that the kernel says is one of its own; a path
//! never leads out of its root.

use super::{
    http::{self, Answer},
    target::Target,
};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll},
    fs::{FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt},
    thread::{
        LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space,
        move_into_thread_name_spaces,
    },
};
use spec::Id;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::File,
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Of the thread, and of those that look for sockets.
const STACK: usize = 256 << 10;
/// Number of the event that wakes the thread up.
const WAKE: u64 = 0;
/// How much is heard before others have their turn, in bytes.
const PIECE: usize = 4096;
/// Between two attempts to come home.
const BREATH: Duration = Duration::from_millis(50);

/// One probe to be made.
pub(crate) struct Job {
    /// Whose.
    pub container: Id,
    /// Of what.
    pub target: Target,
    /// The first process of the container, by which its namespaces are found.
    pub init: Arc<OwnedFd>,
    /// Its number, as the host sees it.
    pub pid: i32,
    /// When it is too late.
    pub deadline: Instant,
    /// Told what it came to, on a thread that must not be held up.
    pub done: Box<dyn FnOnce(Found) + Send>,
}

/// What a probe came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// As it should be.
    Well(String),
    /// Not so.
    Ill(String),
    /// Nothing, in time.
    Late,
}

/// The thread's other end. It ends when this is dropped.
pub(crate) struct Prober(Arc<Shared>);

struct Shared {
    wake: OwnedFd,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    jobs: Vec<Job>,
    /// What threads that looked for a socket came to, by flight.
    found: Vec<(u64, Found)>,
    /// Containers for which one looks.
    looking: HashSet<Id>,
    begun: bool,
    closed: bool,
}

impl Prober {
    /// Starts nothing yet.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Shared { wake, inbox: Mutex::default() })))
    }

    /// Has a probe made.
    ///
    /// # Errors
    /// The thread cannot be started; nothing is told then.
    pub fn give(&self, job: Job) -> io::Result<()> {
        let mut inbox = self.0.inbox();
        if !inbox.begun {
            let (thread, shared) = (Thread::new(&self.0)?, Arc::clone(&self.0));
            std::thread::Builder::new()
                .name("prober".into())
                .stack_size(STACK)
                .spawn(move || thread.run(&shared))?;
            inbox.begun = true;
        }
        inbox.jobs.push(job);
        drop(inbox);
        self.0.wake();
        Ok(())
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.inbox().closed = true;
        self.0.wake();
    }
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // It fails only if the thread is to wake up already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// A probe under way.
struct Flight {
    job: Job,
    /// None while a thread looks for the socket.
    socket: Option<OwnedFd>,
    stage: Stage,
}

enum Stage {
    Looking,
    Connecting,
    Asking { question: Vec<u8>, sent: usize },
    Hearing(Answer),
}

struct Thread {
    epoll: OwnedFd,
    /// The network namespace that the daemon is in.
    home: File,
    flights: HashMap<u64, Flight>,
    deadlines: BTreeSet<(Instant, u64)>,
    numbers: u64,
}

impl Thread {
    fn new(shared: &Shared) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(WAKE);
        epoll::add(&epoll, &shared.wake, data, epoll::EventFlags::IN)?;
        let home = File::open("/proc/thread-self/ns/net")?;
        let (flights, deadlines) = (HashMap::new(), BTreeSet::new());
        Ok(Self { epoll, home, flights, deadlines, numbers: WAKE })
    }

    fn run(mut self, shared: &Arc<Shared>) {
        let mut events = Vec::with_capacity(64);
        loop {
            let timeout = self.late();
            let into = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, into, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    // What is given from now on begins another thread.
                    tracing::error!(%error, "cannot wait for probes any more");
                    shared.inbox().begun = false;
                    return self.give_up();
                }
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    WAKE => drop(rustix::io::read(&shared.wake, &mut [0; 8])),
                    number => self.heard(number),
                }
            }
            let (jobs, found) = {
                let mut inbox = shared.inbox();
                if inbox.closed {
                    return;
                }
                (std::mem::take(&mut inbox.jobs), std::mem::take(&mut inbox.found))
            };
            for (number, found) in found {
                self.end(number, found);
            }
            for job in jobs {
                self.begin(job, shared);
            }
        }
    }

    /// Ends what is too late; how long until the next is.
    fn late(&mut self) -> Option<Timespec> {
        let now = Instant::now();
        while let Some((deadline, number)) = self.deadlines.first().copied() {
            if deadline > now {
                return Timespec::try_from(deadline - now).ok();
            }
            self.end(number, Found::Late);
        }
        None
    }

    fn give_up(&mut self) {
        let numbers: Vec<u64> = self.flights.keys().copied().collect();
        for number in numbers {
            self.end(number, Found::Ill("the engine could not wait for it".into()));
        }
    }

    fn end(&mut self, number: u64, found: Found) {
        // One that looked for a socket may come when it is too late.
        let Some(flight) = self.flights.remove(&number) else { return };
        self.deadlines.remove(&(flight.job.deadline, number));
        // Closed before anybody hears of it: it is in the container's network.
        drop(flight.socket);
        (flight.job.done)(found);
    }

    fn begin(&mut self, job: Job, shared: &Arc<Shared>) {
        self.numbers += 1;
        let number = self.numbers;
        let begun = match &job.target {
            Target::Tcp(at) | Target::Http { at, .. } => self
                .open(&job.init, *at)
                .and_then(|socket| self.watch(&socket, number).map(|()| Some(socket)))
                .map_err(|error| cannot_connect(&job.target, error)),
            Target::Unix(path) => match find(&job.init, job.pid, path, ResolveFlags::CACHED) {
                // It is not known by heart.
                Err(Errno::AGAIN) => look_aside(number, &job, shared).map(|()| None),
                outcome => Err(outcome.and_then(|socket| knock(&socket)).map_or_else(
                    |error| cannot_connect(&job.target, error),
                    |()| connected(&job.target),
                )),
            },
        };
        match begun {
            Ok(socket) => {
                let stage = if socket.is_some() { Stage::Connecting } else { Stage::Looking };
                self.deadlines.insert((job.deadline, number));
                self.flights.insert(number, Flight { job, socket, stage });
            }
            Err(found) => (job.done)(found),
        }
    }

    /// A socket in the container's network, on its way to `at`.
    fn open(&self, init: &OwnedFd, at: SocketAddr) -> Result<OwnedFd, Errno> {
        let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        move_into_thread_name_spaces(init.as_fd(), ThreadNameSpaceType::NETWORK)?;
        let made = rustix::net::socket_with(family, SocketType::STREAM, flags, None);
        self.go_home();
        let socket = made?;
        if !at.ip().is_loopback() {
            // The kernel binds to what is the namespace's own, and to nothing else.
            rustix::net::bind(&socket, &SocketAddr::new(at.ip(), 0))?;
        }
        match rustix::net::connect(&socket, &at) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(error) => Err(error),
        }
    }

    /// Nothing else is done while this thread is in a container's network.
    fn go_home(&self) {
        let mut told = false;
        while let Err(error) =
            move_into_link_name_space(self.home.as_fd(), Some(LinkNameSpaceType::Network))
        {
            if !told {
                tracing::error!(%error, "probes cannot leave a container's network: tried again");
                told = true;
            }
            std::thread::sleep(BREATH);
        }
    }

    fn watch(&self, socket: &OwnedFd, number: u64) -> Result<(), Errno> {
        let data = epoll::EventData::new_u64(number);
        epoll::add(&self.epoll, socket, data, epoll::EventFlags::OUT)
    }

    /// Something has come of a flight.
    fn heard(&mut self, number: u64) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let Some(socket) = &flight.socket else { return };
        let gone_on = match &mut flight.stage {
            Stage::Looking => return,
            Stage::Connecting => arrive(socket, &flight.job.target),
            Stage::Asking { question, sent } => ask(socket, question, sent),
            Stage::Hearing(answer) => hear(socket, answer),
        };
        let gone_on = gone_on.and_then(|step| {
            if matches!(step, Next::Stage(Stage::Hearing(_))) {
                let data = epoll::EventData::new_u64(number);
                epoll::modify(&self.epoll, socket, data, epoll::EventFlags::IN)?;
            }
            Ok(step)
        });
        match gone_on {
            Ok(Next::Same) => {}
            Ok(Next::Stage(stage)) => flight.stage = stage,
            Ok(Next::Found(found)) => self.end(number, found),
            Err(error) => {
                let found = match flight.stage {
                    Stage::Connecting => cannot_connect(&flight.job.target, error),
                    _ => Found::Ill(format!(
                        "the connection to {} broke off: {}",
                        flight.job.target,
                        io::Error::from(error)
                    )),
                };
                self.end(number, found);
            }
        }
    }
}

/// Where a flight goes from here.
enum Next {
    Same,
    Stage(Stage),
    Found(Found),
}

/// The connection is there, or will never be.
fn arrive(socket: &OwnedFd, target: &Target) -> Result<Next, Errno> {
    sockopt::socket_error(socket)??;
    match target {
        Target::Http { host, page, .. } => {
            Ok(Next::Stage(Stage::Asking { question: http::question(host, page), sent: 0 }))
        }
        // A port that nobody has may be given to who would connect to it.
        Target::Tcp(at) if rustix::net::getsockname(socket)? == (*at).into() => {
            Err(Errno::CONNREFUSED)
        }
        _ => Ok(Next::Found(connected(target))),
    }
}

fn ask(socket: &OwnedFd, question: &[u8], sent: &mut usize) -> Result<Next, Errno> {
    match rustix::net::send(socket, &question[*sent..], rustix::net::SendFlags::NOSIGNAL) {
        Ok(more) => *sent += more,
        Err(Errno::AGAIN | Errno::INTR) => return Ok(Next::Same),
        Err(error) => return Err(error),
    }
    let whole = *sent == question.len();
    Ok(if whole { Next::Stage(Stage::Hearing(Answer::default())) } else { Next::Same })
}

/// One piece: who says a lot has its turn again when the others had theirs.
fn hear(socket: &OwnedFd, answer: &mut Answer) -> Result<Next, Errno> {
    let mut piece = [0; PIECE];
    let said = match rustix::io::read(socket, &mut piece) {
        Ok(0) => Some(answer.ended()),
        Ok(length) => answer.hear(&piece[..length]),
        Err(Errno::AGAIN | Errno::INTR) => None,
        Err(error) => return Err(error),
    };
    Ok(said.map_or(Next::Same, |said| {
        Next::Found(if said.well { Found::Well(said.words) } else { Found::Ill(said.words) })
    }))
}

/// What is at a path in a container, which may be anything.
///
/// # Errors
/// `EAGAIN` where the kernel would have to ask a file system that it was told
/// not to; `ESRCH` if the container has ended.
fn find(init: &OwnedFd, pid: i32, path: &str, how: ResolveFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = format!("/proc/{pid}/root");
    let root = rustix::fs::open(root, flags | OFlags::DIRECTORY, Mode::empty())?;
    // If init lives yet, then the root is its own and no stranger's.
    let mut ended = [PollFd::new(init, PollFlags::IN)];
    if poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? != 0 {
        return Err(Errno::SRCH);
    }
    let how = how | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(&root, path, flags, Mode::empty(), how)
}

/// Connects with a socket in the file system, and says nothing.
fn knock(found: &OwnedFd) -> Result<(), Errno> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(found)?.st_mode);
    if kind != FileType::Socket {
        return Err(Errno::NOTSOCK);
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The file that was found, whatever is at its path by now.
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

/// Has a thread look for a socket; it may never come back.
fn look_aside(number: u64, job: &Job, shared: &Arc<Shared>) -> Result<(), Found> {
    let Target::Unix(path) = job.target.clone() else { return Ok(()) };
    if !shared.inbox().looking.insert(job.container.clone()) {
        return Err(Found::Ill(format!("an earlier probe still looks for {path}")));
    }
    let (init, pid, container) = (Arc::clone(&job.init), job.pid, job.container.clone());
    let looked = Arc::clone(shared);
    let made =
        std::thread::Builder::new().name("probe".into()).stack_size(STACK).spawn(move || {
            let outcome = find(&init, pid, &path, ResolveFlags::empty());
            let target = Target::Unix(path);
            let found = match outcome.and_then(|socket| knock(&socket)) {
                Ok(()) => connected(&target),
                Err(error) => cannot_connect(&target, error),
            };
            let mut inbox = looked.inbox();
            inbox.looking.remove(&container);
            inbox.found.push((number, found));
            drop(inbox);
            looked.wake();
        });
    made.map(drop).map_err(|error| {
        shared.inbox().looking.remove(&job.container);
        Found::Ill(format!("the engine cannot make a thread to look for it: {error}"))
    })
}

fn connected(target: &Target) -> Found {
    Found::Well(format!("connected to {target}"))
}

fn cannot_connect(target: &Target, error: Errno) -> Found {
    let why = match error {
        Errno::ADDRNOTAVAIL => "this is no address of the container's".to_owned(),
        Errno::AGAIN => "too many wait to be accepted".to_owned(),
        error => io::Error::from(error).to_string(),
    };
    Found::Ill(format!("cannot connect to {target}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    use std::{net::TcpListener, os::unix::net::UnixListener, sync::mpsc};

    /// Makes one probe of this process.
    fn probe(target: Target, patience: Duration) -> Found {
        let prober = Prober::new().expect("a descriptor");
        let (tell, told) = mpsc::channel();
        let job = Job {
            container: Id::from_random([1; 32]),
            target,
            init: Arc::new(pidfd_open(getpid(), PidfdFlags::empty()).expect("ourselves")),
            pid: getpid().as_raw_nonzero().get(),
            deadline: Instant::now() + patience,
            done: Box::new(move |found| tell.send(found).expect("the test listens")),
        };
        prober.give(job).expect("a thread");
        told.recv_timeout(Duration::from_secs(20)).expect("an end")
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_socket_below_the_root_is_found_and_what_is_none_is_told() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("s");
        let target = Target::Unix(path.display().to_string());
        let ill = |words: &str| match probe(target.clone(), LONG) {
            Found::Ill(said) => assert!(said.contains(words), "{said}"),
            other => panic!("{other:?}"),
        };
        ill("No such file");
        std::fs::write(&path, "").expect("written");
        ill("Socket operation on non-socket");
        std::fs::remove_file(&path).expect("removed");
        let listener = UnixListener::bind(&path).expect("bound");
        assert!(matches!(probe(target.clone(), LONG), Found::Well(_)));
        drop(listener);
        ill("refused");
        std::fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(format!("/proc/{}/root/etc", std::process::id()), &path)
            .expect("linked");
        ill("Too many levels of symbolic links");
    }

    /// Entering a network namespace takes root, even the own one.
    #[test]
    fn a_port_is_knocked_at_where_there_are_rights_to() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let at = listener.local_addr().expect("bound");
        assert!(matches!(probe(Target::Tcp(at), LONG), Found::Well(_)));
        let page = Target::Http { at, host: "x".into(), page: "/".into() };
        assert_eq!(probe(page, Duration::from_millis(20)), Found::Late, "nobody answers");
        drop(listener);
        assert!(
            matches!(probe(Target::Tcp(at), LONG), Found::Ill(said) if said.contains("refused"))
        );
        let elsewhere = "192.0.2.1:80".parse().expect("an address");
        let said = probe(Target::Tcp(elsewhere), LONG);
        assert!(
            matches!(&said, Found::Ill(said) if said.contains("no address of the")),
            "{said:?}"
        );
    }
}
