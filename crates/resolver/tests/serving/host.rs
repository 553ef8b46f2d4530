//! A network namespace for a test, containers in others, and who asks there.

use resolver::{
    Resolver, Wanted,
    wire::{Place, Seat, Server, Upstream},
};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use spec::Id;
use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Says to the child which test it is to run, and where.
const MARK: &str = "RESOLVER_TEST_HOST";
const DIR: &str = "RESOLVER_TEST_DIR";

/// Runs a test in namespaces of its own, with which all its processes end.
/// `name` is the test's own.
pub fn on_a_host(name: &str, test: impl FnOnce()) {
    if std::env::var_os(MARK).is_some_and(|mark| mark == name) {
        return test();
    }
    let dir = tempfile::tempdir().expect("a directory");
    let out = Command::new("timeout")
        .args([
            "--signal=KILL",
            "100",
            "unshare",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, name)
        .env(DIR, dir.path())
        .output()
        .expect("timeout(1) and unshare(1)");
    let said = [out.stdout, out.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
    let log = std::fs::read_to_string(dir.path().join("resolver.err")).unwrap_or_default();
    assert!(out.status.success() && log.is_empty(), "{said}\nresolver.err: {log}");
    assert!(said.contains("1 passed"), "{name} is not this test's name: {said}");
}

/// The run root.
pub fn dir() -> PathBuf {
    std::env::var_os(DIR).expect("set by the parent").into()
}

/// The daemon's end.
pub fn resolver() -> Resolver {
    Resolver::new(env!("CARGO_BIN_EXE_resolver-alone"), dir(), 424_242, "coffer0")
}

/// A network namespace, and the process that is its init.
pub struct Container {
    pub id: Id,
    number: u8,
    keeper: Option<Child>,
    netns: OwnedFd,
}

impl Container {
    pub fn new(number: u8) -> Self {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up; echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1)");
        let mut line = String::new();
        let mut out = BufReader::new(keeper.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("read");
        assert_eq!(line, "ready\n");
        let netns = File::open(format!("/proc/{}/ns/net", keeper.id())).expect("opened").into();
        Self { id: Id::from_random([number; 32]), number, keeper: Some(keeper), netns }
    }

    /// Tells the resolver of it; true if the connection is new.
    pub fn enter(&self, resolver: &Resolver, names: &[&str], servers: &[&str]) -> bool {
        let sockets = |wanted: &Wanted| {
            let servers: Vec<IpAddr> = wanted.lanes.iter().map(|server| server.address).collect();
            let made = network::resolver_sockets(self.netns.as_fd(), wanted.door, &servers);
            let mut sockets = made.expect("sockets");
            if wanted.door {
                let pid = self.keeper.as_ref().expect("it runs").id();
                let pid = Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
                sockets.insert(0, pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd"));
            }
            Ok::<_, resolver::Error>(sockets)
        };
        resolver.seat(&seat(self, names, servers), sockets).expect("told")
    }

    /// Runs in its network namespace.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(&self.netns, work)
    }

    pub fn ask(&self, way: Way, name: &str, kind: u16) -> Answer {
        ask(self, way, "127.0.0.11", &query(name, kind))
    }

    /// A socket to ask with.
    pub fn udp(&self) -> UdpSocket {
        self.within(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
            socket.connect("127.0.0.11:53").expect("connected");
            socket
        })
    }

    /// Ends it; what stays is a look at its network namespace.
    pub fn end(mut self) -> OwnedFd {
        let mut keeper = self.keeper.take().expect("it runs");
        keeper.kill().expect("killed");
        keeper.wait().expect("waited for");
        self.netns.try_clone().expect("duplicated")
    }

    /// Everything that is no question, and questions without end.
    pub fn make_noise(&self) {
        self.within(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
            let mut noise = File::open("/dev/urandom").expect("opened");
            for length in (0..1500).step_by(7) {
                let mut bytes = vec![0; length];
                noise.read_exact(&mut bytes).expect("read");
                // As if they were queries.
                if let Some(head) = bytes.get_mut(2..6) {
                    head.copy_from_slice(&[1, 0, 0, 1]);
                }
                let _ = socket.send_to(&bytes, "127.0.0.11:53");
                let _ = socket.send_to(&query("far.example", 1), "127.0.0.11:53");
            }
            for length in [0_u16, 1, 11, 12, 4096, 4097, 65535] {
                let mut stream = TcpStream::connect("127.0.0.11:53").expect("connected");
                let _ = stream.write_all(&length.to_be_bytes());
                let _ = stream.write_all(&vec![0xff; usize::from(length)]);
            }
            // Connections that say nothing.
            let silent: Vec<_> =
                (0..100).map_while(|_| TcpStream::connect("127.0.0.11:53").ok()).collect();
            assert!(silent.len() > 60);
        });
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            keeper.kill().expect("killed");
            keeper.wait().expect("waited for");
        }
    }
}

fn within<T: Send>(netns: &OwnedFd, work: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("entered");
        work()
    };
    thread::scope(|scope| scope.spawn(enter).join().expect("no panic"))
}

pub fn seat(container: &Container, names: &[&str], servers: &[&str]) -> Seat {
    let server =
        |text: &&str| Server { address: text.parse().expect("an address"), of_host: false };
    Seat {
        container: container.id.clone(),
        places: vec![Place {
            network: "one".into(),
            network_name: "front".into(),
            addr4: Some(Ipv4Addr::new(10, 0, 0, container.number)),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Place::default()
        }],
        upstream: Upstream { servers: servers.iter().map(server).collect(), ndots: false },
        fences: Vec::new(),
        services: Vec::new(),
    }
}

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Udp,
    Tcp,
}

/// What came back.
pub struct Answer {
    pub code: u8,
    pub cut: bool,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// Of its A records; names in it are compressed.
    pub fn addresses(&self) -> Vec<[u8; 4]> {
        let record = [0, 1, 0, 1];
        let at = self.bytes.windows(4).enumerate().filter(|(_, window)| *window == record);
        let data = |(at, _): (usize, &[u8])| {
            let data = self.bytes.get(at + 8..at + 14)?.strip_prefix(&[0, 4])?;
            data.try_into().ok()
        };
        at.filter_map(data).collect()
    }
}

pub fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0x17, 0x2a, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len().try_into().expect("short"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

pub fn ask(container: &Container, way: Way, server: &str, query: &[u8]) -> Answer {
    let bytes = container.within(|| match way {
        Way::Udp => {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
            socket.set_read_timeout(Some(PATIENCE)).expect("set");
            socket.connect((server, 53)).expect("connected");
            socket.send(query).expect("sent");
            let mut answer = vec![0; 65535];
            let length = socket.recv(&mut answer).expect("an answer");
            answer.truncate(length);
            answer
        }
        Way::Tcp => {
            let mut stream = TcpStream::connect((server, 53)).expect("connected");
            stream.set_read_timeout(Some(PATIENCE)).expect("set");
            let length = u16::try_from(query.len()).expect("short");
            stream.write_all(&length.to_be_bytes()).expect("sent");
            stream.write_all(query).expect("sent");
            let mut length = [0; 2];
            stream.read_exact(&mut length).expect("an answer");
            let mut answer = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut answer).expect("an answer");
            answer
        }
    });
    assert_eq!(bytes[..2], query[..2], "the number of the question");
    Answer { code: bytes[3] & 15, cut: bytes[2] & 2 != 0, bytes }
}

/// Does no datagram wait at the resolver's address here?
pub fn all_is_read() -> bool {
    let table = std::fs::read_to_string("/proc/thread-self/net/udp").expect("read");
    let sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut resolvers = sockets.filter(|fields| fields[1].starts_with("0B00007F:"));
    // Source: proc(5): tx_queue:rx_queue.
    resolvers.all(|fields| fields[4].ends_with(":00000000"))
}

/// How many sockets are bound to the resolver's address there.
pub fn sockets_in(netns: &OwnedFd) -> usize {
    let table = within(netns, || {
        ["udp", "tcp"].map(|kind| {
            std::fs::read_to_string(format!("/proc/thread-self/net/{kind}")).expect("read")
        })
    });
    let _ = netns.as_raw_fd();
    table.concat().matches(" 0B00007F:").count()
}

/// Does it wait for something?
pub fn sleeps(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
}

pub fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

pub fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("sent");
}

/// Connects to the resolver, and leaves, until nobody more may wait there.
pub fn knock_until_it_is_full() {
    let address = SocketAddrUnix::new(dir().join("resolver.sock")).expect("a short name");
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        match connect(socket.expect("made"), &address) {
            Ok(()) => {}
            Err(Errno::AGAIN) => return,
            Err(errno) => panic!("{errno}"),
        }
    }
}
