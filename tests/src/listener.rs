//! Who is told what a container says: servers of the tests' own, and the
//! processes that speak to them.

use crate::Engine;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

/// Listens as its first word says and appends what it hears to a file; with
/// the word `deaf` it takes connections and reads nothing.
const LISTENER: &str = "
import os, socket, ssl, sys, threading
kind, at, into, deaf = sys.argv[1], sys.argv[2], sys.argv[3], 'deaf' in sys.argv
out = open(into, 'ab', buffering=0)
if kind in ('unixgram', 'journal', 'udp'):
    server = socket.socket(socket.AF_INET if kind == 'udp' else socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(('127.0.0.1', 0) if kind == 'udp' else at)
    print(server.getsockname()[1] if kind == 'udp' else 0, flush=True)
    while True:
        text, fds, _, _ = socket.recv_fds(server, 1 << 20, 1)
        for fd in fds:
            text += os.pread(fd, 1 << 20, 0)
            os.close(fd)
        out.write(text + (b'\\0\\n' if kind == 'journal' else b''))
server = socket.socket(socket.AF_UNIX if kind == 'unix' else socket.AF_INET)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(at if kind == 'unix' else ('127.0.0.1', int(at or 0)))
server.listen(8)
print(0 if kind == 'unix' else server.getsockname()[1], flush=True)
if kind == 'tls':
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=at_ca if (at_ca := os.environ.get('CA')) else None)
    context.load_cert_chain(os.environ['CERT'], os.environ['KEY'])
    if os.environ.get('CA'): context.verify_mode = ssl.CERT_REQUIRED
def serve(client):
    try:
        if kind == 'tls': client = context.wrap_socket(client, server_side=True)
        while deaf: threading.Event().wait()
        while text := client.recv(1 << 16): out.write(text)
    except OSError as error:
        print(error, file=sys.stderr)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
";

/// A server of the test's own. Ends when dropped.
pub struct Listener {
    /// Python.
    pub process: Child,
    /// Where it listens, if at a port.
    pub port: u16,
    heard: PathBuf,
}

impl Listener {
    /// Listens at a path or a port; any port if `at` is empty.
    ///
    /// # Panics
    /// If it does not begin.
    pub fn new(engine: &Engine, kind: &str, at: &str, more: &[&str]) -> Self {
        Self::with(engine, kind, at, more, &[])
    }

    /// The same, with variables: `CA`, `CERT` and `KEY` for `tls`.
    ///
    /// # Panics
    /// If it does not begin.
    pub fn with(
        engine: &Engine,
        kind: &str,
        at: &str,
        more: &[&str],
        env: &[(&str, &Path)],
    ) -> Self {
        let heard = engine.scratch().join(format!("heard-by-{kind}"));
        let mut command = engine.host().command("python3");
        command.args(["-c", LISTENER, kind, at]).arg(&heard).args(more);
        command.envs(env.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("python3 starts");
        let mut line = String::new();
        let out = process.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("it listens");
        let port = line.trim().parse().expect("a port");
        Self { process, port, heard }
    }

    /// What it has heard.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.heard).unwrap_or_default()).into_owned()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processes that the monitor of the container `a` has started, by name.
///
/// # Panics
/// If it does not run.
pub fn of_monitor(engine: &Engine, name: &str) -> Vec<i32> {
    let child = engine.pid_of("a");
    let parent = status(child, "PPid:").expect("it runs");
    let all = fs::read_dir("/proc")
        .expect("lists")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    all.filter(|pid| {
        status(*pid, "PPid:").as_ref() == Some(&parent)
            && status(*pid, "Name:").as_deref() == Some(name)
    })
    .collect()
}

/// A line of a process's status.
pub fn status(pid: i32, key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
}

/// The monitor of the container `a`.
///
/// # Panics
/// If it does not run.
pub fn monitor_of(engine: &Engine) -> i32 {
    status(engine.pid_of("a"), "PPid:").and_then(|pid| pid.parse().ok()).expect("it runs")
}

/// Sends a signal.
///
/// # Panics
/// If there is no such process.
pub fn signal(pid: i32, number: i32) {
    sys::signal::send(pid, number).expect("it is there");
}
