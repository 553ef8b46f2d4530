//! A syslog server, and what has been said to it.

use crate::{
    Line, Rest,
    confine::{self, Keeps},
    link::Link,
    message::Speller,
    tls,
};
use jiff::tz::TimeZone;
use rustix::io::Errno;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use spec::log::{Address, Syslog as Wish};
use std::{
    fs,
    io::{self, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    os::unix::net::{UnixDatagram, UnixStream},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a host's own server listens. Source: Go's `log/syslog`.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// One server.
pub struct Syslog {
    wish: Wish,
    speller: Speller,
    tls: Option<Arc<ClientConfig>>,
    /// None while there is none.
    connection: Option<Connection>,
    rest: Rest,
}

/// How it is spoken to.
enum Connection {
    /// A message each.
    Datagram(Link),
    /// One after the other.
    Stream(Link),
    Tls(Box<StreamOwned<ClientConnection, Link>>),
}

impl Syslog {
    /// Connects, and gives up what rights are not needed for that. Whoever
    /// takes a dead one's place comes without a connection, too.
    pub fn open(wish: Wish, again: bool) -> io::Result<Self> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let speller = Speller::of(&wish, host, std::process::id(), zone()?);
        let secret = matches!(wish.address, Address::Tls(_));
        let tls = if secret { Some(tls::config(&wish.tls)?) } else { None };
        let keeps = match wish.address {
            Address::Local => Keeps::Root,
            // It may be anybody's, and for its owner alone.
            Address::Unix(_) | Address::Unixgram(_) => Keeps::RootAnywhere,
            Address::Udp(_) | Address::Tcp(_) | Address::Tls(_) => Keeps::User(wish.user),
        };
        confine::confine(keeps)?;
        let mut syslog = Self { wish, speller, tls, connection: None, rest: Rest::default() };
        match syslog.connect() {
            Ok(connection) => syslog.connection = Some(connection),
            Err(error) if again => drop(syslog.rest.tried::<()>(Err(error))),
            Err(error) => return Err(error),
        }
        Ok(syslog)
    }

    /// Says how many could not be told.
    pub fn tell(&mut self, lines: &[Line<'_>]) -> u64 {
        // As Docker: an empty line is no message.
        let lines: Vec<&Line<'_>> = lines.iter().filter(|line| !line.text.is_empty()).collect();
        let mut messages = Vec::new();
        let mut ends = Vec::with_capacity(lines.len());
        for line in &lines {
            let record = line.record;
            self.speller.spell(&mut messages, record.stderr, record.time, line.text);
            ends.push(messages.len());
        }
        // Over the connection that there is, and once more over another.
        let mut told = 0;
        for _ in 0..2 {
            let Some(connection) = self.connected() else { break };
            match connection.send(&messages, &ends, &mut told) {
                Ok(()) => return 0,
                Err(error) => {
                    eprintln!("the connection of a log is lost: {error}");
                    self.connection = None;
                }
            }
        }
        (lines.len() - told) as u64
    }

    fn connected(&mut self) -> Option<&mut Connection> {
        if self.connection.as_ref().is_some_and(Connection::is_dead) {
            self.connection = None;
        }
        if self.connection.is_none() && self.rest.is_over() {
            let made = self.connect();
            self.connection = self.rest.tried(made);
        }
        self.connection.as_mut()
    }

    fn connect(&self) -> io::Result<Connection> {
        let to = |at: &str, error: io::Error| {
            io::Error::new(error.kind(), format!("cannot connect to syslog at {at}: {error}"))
        };
        match &self.wish.address {
            Address::Local => local(),
            Address::Unix(path) => {
                let made = UnixStream::connect(path).and_then(Link::over);
                made.map(Connection::Stream).map_err(|error| to(path, error))
            }
            Address::Unixgram(path) => datagram(path).map_err(|error| to(path, error)),
            Address::Udp(at) => udp(at).map_err(|error| to(at, error)),
            Address::Tcp(at) => {
                let made = tcp(at).and_then(Link::over);
                made.map(Connection::Stream).map_err(|error| to(at, error))
            }
            Address::Tls(at) => self.secret(at).map_err(|error| to(at, error)),
        }
    }

    fn secret(&self, at: &str) -> io::Result<Connection> {
        let config = self.tls.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
        let (host, _) = at.rsplit_once(':').unwrap_or((at, ""));
        let mut link = Link::over(tcp(at)?)?;
        link.deadline = Some(Instant::now() + PATIENCE);
        let mut stream = tls::greet(config, host, link)?;
        stream.sock.deadline = None;
        Ok(Connection::Tls(Box::new(stream)))
    }
}

impl Connection {
    fn is_dead(&self) -> bool {
        match self {
            Self::Datagram(_) => false,
            Self::Stream(link) => link.is_dead(),
            Self::Tls(stream) => stream.sock.is_dead(),
        }
    }

    /// Sends messages that end there; of those that go one by one, the ones
    /// that have not been `told`, and says how many have.
    fn send(&mut self, messages: &[u8], ends: &[usize], told: &mut usize) -> io::Result<()> {
        match self {
            Self::Datagram(link) => {
                while let Some(end) = ends.get(*told) {
                    let from = told.checked_sub(1).map_or(0, |last| ends[last]);
                    link.message(&messages[from..*end])?;
                    *told += 1;
                }
                Ok(())
            }
            Self::Stream(link) => link.write_all(messages),
            Self::Tls(stream) => stream.write_all(messages).and_then(|()| stream.flush()),
        }
    }
}

/// A server of the host's: where one listens, by messages or as a stream.
fn local() -> io::Result<Connection> {
    let mut why = Vec::new();
    for path in LOCAL {
        let made = match datagram(path) {
            Err(error) if error.raw_os_error() == Some(Errno::PROTOTYPE.raw_os_error()) => {
                UnixStream::connect(path).and_then(Link::over).map(Connection::Stream)
            }
            made => made,
        };
        match made {
            Ok(connection) => return Ok(connection),
            Err(error) => why.push(format!("{path}: {error}")),
        }
    }
    let words = format!("Unix syslog delivery error: {}", why.join(", "));
    Err(io::Error::new(io::ErrorKind::NotFound, words))
}

fn datagram(path: &str) -> io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Link::over(socket).map(Connection::Datagram)
}

fn udp(at: &str) -> io::Result<Connection> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in at.to_socket_addrs()? {
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => ([0; 4], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        match UdpSocket::bind(own).and_then(|socket| socket.connect(address).map(|()| socket)) {
            Ok(socket) => return Link::over(socket).map(Connection::Datagram),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn tcp(at: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in at.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The host's zone, for times that do not name theirs.
///
/// Source: `localtime(5)`: without the file it is UTC.
fn zone() -> io::Result<TimeZone> {
    const PLACE: &str = "/etc/localtime";
    let bad = |kind, error: &dyn std::fmt::Display| {
        io::Error::new(kind, format!("cannot use the zone of {PLACE}: {error}"))
    };
    match fs::read(PLACE) {
        Ok(data) => {
            TimeZone::tzif("local", &data).map_err(|error| bad(io::ErrorKind::InvalidData, &error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(TimeZone::UTC),
        Err(error) => Err(bad(error.kind(), &error)),
    }
}
