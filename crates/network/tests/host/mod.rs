//! A test host: a child process with network and mount namespaces of its own,
//! in which containers and outside neighbours are further network namespaces.
//! Everything ends with the child.

#![allow(dead_code, reason = "each test file uses its part of this module")]

use network::{Bridge, BridgeConfig, Endpoint, Mac, Published, Realm, addresses};
pub mod frames;

use rustix::{
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice, recv, send,
        socket_with, sockopt,
    },
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use spec::Id;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

/// Says to the child which test it is to run.
const MARK: &str = "NETWORK_TEST_HOST";

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test on a host of its own. `name` is the test's own.
pub fn on_a_host(name: &str, test: impl FnOnce()) {
    if std::env::var_os(MARK).is_some_and(|mark| mark == name) {
        sh("ip link set lo up");
        // As on a host without br_netfilter, which most are.
        sh("for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 > $f; done");
        return test();
    }
    let out = Command::new("timeout")
        .args(["--signal=KILL", "100", "unshare", "--net", "--mount", "--"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, name)
        .output()
        .expect("timeout(1) and unshare(1)");
    let said = [out.stdout, out.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
    assert!(out.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{name} is not this test's name: {said}");
}

/// Runs a shell command that must succeed; gives its output.
pub fn sh(script: &str) -> String {
    let out = Command::new("sh").args(["-ec", script]).output().expect("sh(1)");
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

/// A network namespace, and a process that keeps it.
pub struct Netns {
    keeper: Child,
    fd: OwnedFd,
}

impl Netns {
    pub fn new() -> Self {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1)");
        let mut line = String::new();
        let out = keeper.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let fd = File::open(format!("/proc/{}/ns/net", keeper.id())).expect("its namespace").into();
        Self { keeper, fd }
    }

    /// Of the process that keeps it.
    pub fn pid(&self) -> u32 {
        self.keeper.id()
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Does something in the namespace.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    move_into_link_name_space(self.fd(), Some(LinkNameSpaceType::Network))
                        .expect("enter the namespace");
                    work()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub fn sh(&self, script: &str) -> String {
        self.within(|| sh(script))
    }

    /// Listens, and answers every connection with the client's address.
    pub fn serve(&self, address: &str) {
        let listener = self.within(|| TcpListener::bind(address).expect("bind"));
        answer(listener);
    }

    /// What a server says to a connection from here.
    pub fn ask(&self, to: &str) -> io::Result<String> {
        self.within(|| ask(to))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.keeper.kill().expect("kill our own child");
        self.keeper.wait().expect("wait for our own child");
    }
}

/// Answers every connection with the client's address.
pub fn answer(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let peer = stream.peer_addr().expect("its address").ip().to_string();
            // A client that left is no concern of the server's.
            let _ = stream.write_all(peer.as_bytes());
        }
    });
}

/// What a server says.
pub fn ask(to: &str) -> io::Result<String> {
    let to: SocketAddr = to.parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(1500))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

/// A packet socket on an interface of the calling thread's namespace.
pub struct Wire(OwnedFd);

impl Wire {
    pub fn on(interface: &str) -> Self {
        let fd = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .expect("a packet socket");
        let index = netdevice::name_to_index(&fd, interface).expect("the interface");
        sys::packet::bind_packet(fd.as_fd(), index, 3).expect("bind to the interface");
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(PATIENCE / 20)).expect("set");
        sockopt::set_socket_recv_buffer_size_force(&fd, 16 << 20).expect("set");
        Self(fd)
    }

    pub fn send(&self, frame: &[u8]) {
        send(&self.0, frame, SendFlags::empty()).expect("send a frame");
    }

    /// The next frame, sent or received here; none if none comes for a while.
    fn next(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65536];
        match recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
            Ok((_, length)) => {
                buffer.truncate(length);
                Some(buffer)
            }
            Err(rustix::io::Errno::AGAIN) => None,
            Err(error) => panic!("a packet socket: {error}"),
        }
    }

    /// All frames up to the first that fits, which is left out. While none
    /// comes, `again` is called to have it sent once more: a host under load
    /// may lose frames.
    pub fn until(&self, fits: impl Fn(&[u8]) -> bool, again: impl Fn()) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for _ in 0..20 {
            again();
            while let Some(frame) = self.next() {
                if fits(&frame) {
                    return frames;
                }
                frames.push(frame);
            }
        }
        panic!("it never came");
    }
}

/// An identifier made of one digit.
pub fn id(digit: u8) -> Id {
    Id::from_random([digit; 32])
}

pub fn config(name: &str) -> BridgeConfig {
    BridgeConfig::default_network(name, "172.30.0.1/16".parse().expect("a subnet"))
}

/// The place on a network of the container with that number, which is also
/// the last number of its addresses.
pub fn endpoint(number: u8, config: &BridgeConfig) -> Endpoint {
    let address =
        |net: ipnet::Ipv4Net| Ipv4Addr::from(u32::from(net.network()) + u32::from(number));
    let address6 =
        |net: ipnet::Ipv6Net| Ipv6Addr::from(u128::from(net.network()) + u128::from(number));
    let addr4 = config.subnet4.map(address);
    let addr6 = config.subnet6.map(address6);
    let mac = addr4.map_or(Mac([2, 0, 0, 0, 0, number]), addresses::mac4);
    Endpoint {
        id: id(number ^ 0xa0),
        container: id(number),
        name: format!("c{number}"),
        ifname: "eth0".to_owned(),
        mac,
        addr4,
        addr6,
        link_local: Vec::new(),
        sysctls: Vec::new(),
        default4: true,
        default6: true,
        ports: Vec::new(),
        egress: network::Egress::default(),
    }
}

/// A realm with one network.
pub fn network(config: &BridgeConfig) -> (Arc<Realm>, Bridge) {
    let realm = Realm::open(&config.name).expect("nftables");
    let bridge = realm.bridge(config).expect("a bridge");
    (realm, bridge)
}

/// A container on a network.
pub struct Guest {
    pub netns: Netns,
    pub endpoint: Endpoint,
}

impl Guest {
    pub fn plug(bridge: &Bridge, number: u8) -> Self {
        Self::publish(bridge, number, &[])
    }

    pub fn publish(bridge: &Bridge, number: u8, ports: &[Published]) -> Self {
        let endpoint = Endpoint { ports: ports.to_vec(), ..endpoint(number, bridge.config()) };
        let netns = Netns::new();
        bridge.plug(netns.fd(), &endpoint).expect("plug");
        Self { netns, endpoint }
    }

    pub fn v4(&self) -> Ipv4Addr {
        self.endpoint.addr4.expect("an IPv4 network")
    }

    pub fn v6(&self) -> Ipv6Addr {
        self.endpoint.addr6.expect("an IPv6 network")
    }
}

pub fn port(host_ip: &str, host_port: u16, container_port: u16) -> Published {
    let host_ip: IpAddr = host_ip.parse().expect("an address");
    Published { proto: network::Proto::Tcp, host_ip, host_port, container_port, count: 1 }
}

/// A neighbour on the outside, on a link of its own: it is 192.0.2.2 and
/// 2001:db8::2, the host 192.0.2.1 and 2001:db8::1; it has no way back to
/// anything else.
pub fn outside() -> Netns {
    let netns = Netns::new();
    let pid = netns.keeper.id();
    sh(&format!(
        "ip link add wan0 type veth peer name eth0 netns {pid}
         ip addr add 192.0.2.1/24 dev wan0
         ip addr add 2001:db8::1/64 dev wan0 nodad
         ip link set wan0 up"
    ));
    netns.sh("ip link set lo up
         ip addr add 192.0.2.2/24 dev eth0
         ip addr add 2001:db8::2/64 dev eth0 nodad
         ip link set eth0 up");
    // The kernel lets frames pass up to a second after both ends are up.
    let passes = |end: &str| {
        format!(
            "timeout 10 sh -c 'until ip -br link show {end} | grep -q \" UP \"; do sleep 0.01; done'"
        )
    };
    sh(&passes("wan0"));
    netns.sh(&passes("eth0"));
    netns
}
