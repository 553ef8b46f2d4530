//! Who sends back what it is sent, and who speaks to it.

use rustix::net::sockopt::set_socket_linger;
use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Listens at each port, by IPv4 and IPv6, until it is killed.
pub fn echo(ports: &[&str]) -> io::Result<()> {
    let mut threads = Vec::new();
    for port in ports {
        let port: u16 = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
        let listener =
            TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)))?;
        threads.push(thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || back(stream));
            }
        }));
    }
    for thread in threads {
        drop(thread.join());
    }
    Ok(())
}

fn back(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// Sends one line and prints the one that comes back.
pub fn say(to: &str, text: &str) -> io::Result<()> {
    let to: SocketAddr = to.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    writeln!(stream, "{text}")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    print!("{line}");
    Ok(())
}

/// The same with each line of the input, by one connection.
pub fn say_lines(to: &str) -> io::Result<()> {
    let to: SocketAddr = to.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    for text in io::stdin().lines() {
        writeln!(stream, "{}", text?)?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        print!("{line}");
        io::stdout().flush()?;
    }
    Ok(())
}

/// Takes in what it is sent, at a port, until it is killed.
pub fn sink(port: &str) -> io::Result<()> {
    let port: u16 = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    for stream in TcpListener::bind(("0.0.0.0", port))?.incoming() {
        let mut stream = stream?;
        thread::spawn(move || {
            let mut buffer = vec![0; 256 << 10];
            while matches!(stream.read(&mut buffer), Ok(1..)) {}
        });
    }
    Ok(())
}

/// Sends as much as is taken for so many seconds; prints bytes a second.
pub fn blast(to: &str, seconds: &str) -> io::Result<()> {
    let (mut stream, length) = connect(to, seconds)?;
    let (buffer, begun, mut sent) = (vec![0; 256 << 10], Instant::now(), 0_u32);
    while begun.elapsed() < length {
        stream.write_all(&buffer)?;
        sent += 1;
    }
    println!("{:.0}", f64::from(sent) * 262_144.0 / begun.elapsed().as_secs_f64());
    Ok(())
}

/// Sends a byte and waits for it to come back, for so many seconds; prints how
/// often in a second.
pub fn rally(to: &str, seconds: &str) -> io::Result<()> {
    let (mut stream, length) = connect(to, seconds)?;
    let (begun, mut times) = (Instant::now(), 0_u32);
    while begun.elapsed() < length {
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        times += 1;
    }
    println!("{:.1}", f64::from(times) / begun.elapsed().as_secs_f64());
    Ok(())
}

/// The same with a connection for each byte.
pub fn call(to: &str, seconds: &str) -> io::Result<()> {
    let to: SocketAddr = to.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let seconds: u64 = seconds.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let (begun, mut times) = (Instant::now(), 0_u32);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        // Closed at once: else its port would rest for a minute.
        set_socket_linger(&stream, Some(Duration::ZERO))?;
        stream.set_nodelay(true)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        times += 1;
    }
    println!("{:.1}", f64::from(times) / begun.elapsed().as_secs_f64());
    Ok(())
}

fn connect(to: &str, seconds: &str) -> io::Result<(TcpStream, Duration)> {
    let to: SocketAddr = to.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let seconds: u64 = seconds.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    Ok((stream, Duration::from_secs(seconds)))
}
