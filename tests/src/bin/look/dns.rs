//! Names, as programs ask for them, and a server of a test's own.

use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with,
};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
const SERVER: (&str, u16) = ("127.0.0.11", 53);
/// What `serve` answers everybody.
const ANSWER: [u8; 4] = [192, 0, 2, 99];

/// Asks 127.0.0.11; prints the code of the answer, `cut` if it is, and what is
/// in it, sorted.
pub fn ask(way: &str, name: &str, kind: &str) -> io::Result<()> {
    let kind = match kind {
        "A" => 1,
        "PTR" => 12,
        "TXT" => 16,
        "AAAA" => 28,
        "SRV" => 33,
        other => other.parse().map_err(|_| io::ErrorKind::InvalidInput)?,
    };
    let query = query(name, kind);
    let answer = if way == "tcp" { by_tcp(&query)? } else { by_udp(&socket()?, &query)? };
    let cut = if answer[2] & 2 == 0 { "" } else { " cut" };
    let found: BTreeSet<String> = records(&answer).into_iter().collect();
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    println!("{}{cut} {}", answer[3] & 15, found.join(" "));
    Ok(())
}

/// Asks so many times, and prints how often which address came first.
pub fn firsts(name: &str, times: &str) -> io::Result<()> {
    let (socket, query) = (socket()?, query(name, 1));
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..times.parse().map_err(|_| io::ErrorKind::InvalidInput)? {
        let first = records(&by_udp(&socket, &query)?).into_iter().next().unwrap_or_default();
        *counts.entry(first).or_insert(0) += 1;
    }
    for (first, count) in &counts {
        println!("{first} {count}");
    }
    Ok(())
}

/// Asks for so many seconds, `window` questions at once; prints how many were
/// answered a second, and the time of a lone one in microseconds: the median
/// and the slowest of a hundred.
pub fn load(name: &str, seconds: &str, window: &str) -> io::Result<()> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| io::ErrorKind::InvalidInput);
    let (socket, query) = (socket()?, query(name, 1));
    let alone = || {
        let begun = Instant::now();
        by_udp(&socket, &query).map(|_| begun.elapsed().as_micros())
    };
    let mut alone: Vec<u128> = (0..=200).map(|_| alone()).collect::<io::Result<_>>()?;
    alone.sort_unstable();
    let (mut answered, mut buffer) = (0_u32, [0; 1500]);
    for _ in 0..number(window)? {
        socket.send(&query)?;
    }
    let (begun, length) = (Instant::now(), Duration::from_secs(number(seconds)?));
    while begun.elapsed() < length {
        socket.recv(&mut buffer)?;
        socket.send(&query)?;
        answered += 1;
    }
    let rate = f64::from(answered) / begun.elapsed().as_secs_f64();
    println!("{rate:.0} {} {}", alone[alone.len() / 2], alone[alone.len() * 99 / 100]);
    Ok(())
}

/// As every program asks: by the C library.
pub fn getent(name: &str) -> io::Result<()> {
    let found = std::net::ToSocketAddrs::to_socket_addrs(&(name, 0))?;
    let found: BTreeSet<String> = found.map(|address| address.ip().to_string()).collect();
    println!("{}", found.into_iter().collect::<Vec<_>>().join(" "));
    Ok(())
}

/// A server: 192.0.2.99 to every question, by UDP and TCP; what it is asked is
/// appended to a file, a line each: who, and what.
pub fn serve(address: &str, log: &str) -> io::Result<()> {
    let udp = UdpSocket::bind((address, 53))?;
    let tcp = TcpListener::bind((address, 53))?;
    let mut heard = File::options().create(true).append(true).open(log)?;
    let mut heard_too = heard.try_clone()?;
    writeln!(heard, "ready")?;
    thread::spawn(move || -> io::Result<()> {
        loop {
            let (mut stream, from) = tcp.accept()?;
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut query)?;
            writeln!(heard_too, "{} {} by tcp", from.ip(), name_in(&query))?;
            let answer = answer(&query);
            let length = u16::try_from(answer.len()).expect("short").to_be_bytes();
            stream.write_all(&[&length[..], &answer].concat())?;
        }
    });
    let mut query = [0; 1500];
    loop {
        let (length, from) = udp.recv_from(&mut query)?;
        writeln!(heard, "{} {}", from.ip(), name_in(&query[..length]))?;
        udp.send_to(&answer(&query[..length]), from)?;
    }
}

/// Prints what is sent to a port, a line each.
pub fn hear(port: &str) -> io::Result<()> {
    let port: u16 = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let socket = UdpSocket::bind(("0.0.0.0", port))?;
    let mut buffer = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        println!("{from} {}", String::from_utf8_lossy(&buffer[..length]));
    }
}

/// Sends a datagram under an address that need not be one's own.
pub fn send_as(from: &str, to: &str, text: &str) -> io::Result<()> {
    let parse = |text: &str| text.parse::<SocketAddrV4>().map_err(|_| io::ErrorKind::InvalidInput);
    let (from, to) = (parse(from)?, parse(to)?);
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::RAW, flags, Some(ipproto::RAW))?;
    let udp = u16::try_from(8 + text.len()).expect("short");
    // The kernel fills in lengths and checksums of IP; UDP may go without.
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    for word in [from.port(), to.port(), udp, 0] {
        packet.extend(word.to_be_bytes());
    }
    packet.extend(text.as_bytes());
    sendto(&socket, &packet, SendFlags::empty(), &to)?;
    Ok(())
}

fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(SERVER)?;
    Ok(socket)
}

fn by_udp(socket: &UdpSocket, query: &[u8]) -> io::Result<Vec<u8>> {
    socket.send(query)?;
    let mut answer = vec![0; 65535];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

fn by_tcp(query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(SERVER)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = u16::try_from(query.len()).expect("short").to_be_bytes();
    stream.write_all(&[&length[..], query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0x17, 0x2a, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("short"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

fn answer(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x80;
    let end = skip_name(query, 12) + 4;
    let is_a = query[end - 4..end] == [0, 1, 0, 1];
    answer.truncate(end);
    answer[6..12].fill(0);
    if is_a {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(ANSWER);
    }
    answer
}

fn skip_name(bytes: &[u8], mut at: usize) -> usize {
    loop {
        match bytes[at] {
            0 => return at + 1,
            0xc0.. => return at + 2,
            length => at += 1 + usize::from(length),
        }
    }
}

fn name_in(bytes: &[u8]) -> String {
    read_name(bytes, 12)
}

fn read_name(bytes: &[u8], mut at: usize) -> String {
    let mut labels = Vec::new();
    loop {
        match bytes[at] {
            0 => return labels.join("."),
            0xc0.. => at = usize::from(bytes[at] & 0x3f) << 8 | usize::from(bytes[at + 1]),
            length => {
                let label = &bytes[at + 1..=at + usize::from(length)];
                labels.push(String::from_utf8_lossy(label).into_owned());
                at += 1 + usize::from(length);
            }
        }
    }
}

/// The data of an answer's records, in their order; what of it stands beside
/// the answer comes last.
fn records(bytes: &[u8]) -> Vec<String> {
    let count = |at| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let count = count(6) + count(8) + count(10);
    let mut at = skip_name(bytes, 12) + 4;
    let mut found = Vec::new();
    for _ in 0..count {
        at = skip_name(bytes, at);
        let kind = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let length = usize::from(u16::from_be_bytes([bytes[at + 8], bytes[at + 9]]));
        let data = &bytes[at + 10..at + 10 + length];
        found.push(match (kind, length) {
            (1, 4) => {
                IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(data).expect("four"))).to_string()
            }
            (28, 16) => {
                IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(data).expect("sixteen"))).to_string()
            }
            (12, _) => read_name(bytes, at + 10),
            // Behind priority and weight.
            (33, 7..) => {
                let port = u16::from_be_bytes([data[4], data[5]]);
                format!("{}:{port}", read_name(bytes, at + 16))
            }
            _ => format!("type {kind} of {length} bytes"),
        });
        at += 10 + length;
    }
    found
}
