//! How a daemon comes to run: by the CLI that finds none, by a service
//! manager that hands it a socket.

use promises::{Host, binary, docker, until};
use std::{os::unix::net::UnixStream, path::Path, process::Command};

/// Where everything is by default. The test host has its own.
const DATA: &str = "/var/lib/cofferdam";
const SOCKET: &str = "/run/cofferdam/cofferdam.sock";

/// A host with places of its own for what an engine stores.
fn host() -> Host {
    let host = Host::new();
    host.says("mount -t tmpfs -o mode=755 tmpfs /var/lib");
    host
}

/// Our CLI, or Docker's, pointed at no engine in particular.
fn run(host: &Host, program: &Path, words: &[&str]) -> String {
    let mut command = host.command(program);
    command.args(words).env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
    let out = command.output().expect("the CLI starts");
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{words:?}: {error}");
    String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
}

/// Ends the daemon that has locked the default data root.
fn end(host: &Host) {
    let pid = host.says(&format!("cat {DATA}/cofferdamd.lock"));
    host.says(&format!("kill -TERM {pid}"));
    until("the daemon to end", || !Path::new(&format!("/proc/{}", pid.trim())).exists());
}

/// How many daemons run on the host, not counting what they start.
fn daemons(host: &Host) -> usize {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let own = namespace(&host.pid().to_string()).expect("the host is there");
    let is_daemon = |pid: &String| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.ends_with(b"/cofferdamd\0") && namespace(pid).as_ref() == Some(&own)
    };
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    pids.filter(is_daemon).count()
}

#[test]
fn the_cli_starts_a_daemon_where_none_listens() {
    let host = host();
    let cli = binary("cofferdam");
    assert_eq!(run(&host, &cli, &["ps", "-aq"]), "");
    let first = host.says(&format!("cat {DATA}/cofferdamd.lock"));
    run(&host, &cli, &["run", "--rm", "cofferdam/report"]);
    run(&host, &docker(), &["--host", &format!("unix://{SOCKET}"), "version"]);
    let still = host.says(&format!("cat {DATA}/cofferdamd.lock"));
    assert_eq!(still, first, "the one that was started serves on");
    end(&host);
}

#[test]
fn the_daemon_it_starts_holds_nothing_of_the_callers() {
    let host = host();
    let cli = binary("cofferdam").display().to_string();
    // The lock of a script, say, that calls the CLI while it has it.
    host.says(&format!("exec 9>/run/held; flock 9; env -u DOCKER_HOST {cli} ps -aq"));
    host.says("flock --nonblock /run/held true");
    end(&host);
}

#[test]
fn many_at_once_start_one() {
    let host = host();
    let cli = binary("cofferdam");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(run(&host, &cli, &["ps", "-aq"]), ""));
        }
    });
    until("those that came too late to end", || daemons(&host) == 1);
    end(&host);
    assert_eq!(daemons(&host), 0);
}

#[test]
fn only_for_the_default_socket() {
    let host = host();
    let mut command = host.command(binary("cofferdam"));
    command.args(["--host", "unix:///run/other.sock", "ps"]);
    let out = command.output().expect("the CLI starts");
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("cannot reach the engine"));
    assert!(!host.sh(&format!("test -e {DATA}")).status.success());
}

#[test]
fn a_service_manager_hands_it_a_socket() {
    let host = host();
    // As systemd does it: the socket is descriptor 3, named by environment,
    // and its connections wait until the daemon is up.
    let script = format!(
        "import os, socket
os.makedirs('/run/cofferdam')
s = socket.socket(socket.AF_UNIX)
s.bind({SOCKET:?})
s.listen()
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv({daemon:?}, ['cofferdamd', '--host', 'fd://'])",
        daemon = binary("cofferdamd").display().to_string()
    );
    let mut command: Command = host.command("python3");
    let mut daemon = command.args(["-c", &script]).spawn().expect("python3 starts");
    let socket = format!("/proc/{}/root{SOCKET}", host.pid());
    until("the socket", || UnixStream::connect(&socket).is_ok());
    let address = format!("unix://{SOCKET}");
    assert_eq!(run(&host, &docker(), &["--host", &address, "ps", "-aq"]), "");
    host.says(&format!("kill -TERM {}", daemon.id()));
    assert!(daemon.wait().expect("our child").success());
    assert!(Path::new(&socket).exists(), "the socket is the service manager's");
}
