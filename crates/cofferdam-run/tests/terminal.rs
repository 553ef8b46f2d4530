//! Programs with a terminal: the caller's, or one handed over.

mod common;

use common::Scratch;
use rustix::{
    event::{PollFd, PollFlags},
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags},
    pty::OpenptFlags,
    termios::Winsize,
    time::Timespec,
};
use serde_json::json;
use std::{
    fs::File,
    io::{IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixListener},
    process::{Child, Stdio},
};

fn with_terminal(args: &[&str]) -> Scratch {
    let scratch = Scratch::new(args);
    scratch.change(|config| config["process"]["terminal"] = json!(true));
    scratch
}

/// A terminal as a person has it: the side of the person, and the program's.
fn terminal(rows: u16, columns: u16) -> (File, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let person = rustix::pty::openpt(flags).expect("openpt");
    rustix::pty::grantpt(&person).expect("grantpt");
    rustix::pty::unlockpt(&person).expect("unlockpt");
    resize(&person, rows, columns);
    let name = rustix::pty::ptsname(&person, Vec::new()).expect("ptsname");
    let name = name.into_string().expect("UTF-8");
    let program = File::options().read(true).write(true).open(name).expect("the other side");
    (person.into(), program)
}

fn resize(terminal: impl rustix::fd::AsFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).expect("set the size");
}

/// Reads until `wanted` has been said; gives up when nothing comes.
fn hear(mut from: &File, wanted: &str) -> String {
    let mut said = Vec::new();
    let mut bytes = [0; 1024];
    while !String::from_utf8_lossy(&said).contains(wanted) {
        let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
        let mut fds = [PollFd::new(from, PollFlags::IN)];
        let came = rustix::event::poll(&mut fds, Some(&patience)).expect("poll") > 0;
        let count = if came { from.read(&mut bytes).unwrap_or(0) } else { 0 };
        let text = String::from_utf8_lossy(&said);
        assert!(count > 0, "it ended with {text:?} and without {wanted:?}");
        said.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn run_on(scratch: &Scratch, terminal: &File) -> Child {
    let stream = || Stdio::from(terminal.try_clone().expect("clone"));
    let mut run = scratch.command(&["run", "--bundle", &scratch.bundle(), &scratch.id]);
    run.stdin(stream()).stdout(stream()).stderr(stream()).spawn().expect("the binary runs")
}

#[test]
fn a_foreground_program_talks_on_the_callers_terminal() {
    let scratch = with_terminal(&["sh", "-c", "stty size; read -r word; echo got $word; exit 5"]);
    let (person, program) = terminal(31, 101);
    let before = rustix::termios::tcgetattr(&program).expect("modes");
    let mut run = run_on(&scratch, &program);
    hear(&person, "31 101");
    (&person).write_all(b"hello\r").expect("type");
    hear(&person, "got hello");
    assert_eq!(run.wait().expect("wait").code(), Some(5));
    let after = rustix::termios::tcgetattr(&program).expect("modes");
    assert_eq!(after.local_modes, before.local_modes, "the terminal is as it was");
}

#[test]
fn a_change_of_size_reaches_the_program() {
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.01; done";
    let scratch = with_terminal(&["sh", "-c", script]);
    let (person, program) = terminal(24, 80);
    let mut run = run_on(&scratch, &program);
    hear(&person, "ready");
    resize(&person, 40, 120);
    let pid = i32::try_from(run.id()).expect("a pid is an int");
    sys::signal::send(pid, 28).expect("it lives");
    hear(&person, "40 120");
    assert!(run.wait().expect("wait").success());
}

#[test]
fn a_key_that_interrupts_reaches_the_program_and_not_the_caller() {
    let script = "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 0.01; done";
    let scratch = with_terminal(&["sh", "-c", script]);
    let (person, program) = terminal(24, 80);
    let mut run = run_on(&scratch, &program);
    hear(&person, "ready");
    (&person).write_all(&[3]).expect("type");
    hear(&person, "caught");
    assert_eq!(run.wait().expect("wait").code(), Some(6));
}

/// Receives the one descriptor that a runtime hands over.
fn receive(listener: &UnixListener) -> OwnedFd {
    let (stream, _) = listener.accept().expect("accept");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 256];
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(&stream, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)
        .expect("recvmsg");
    ancillary
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        })
        .expect("a descriptor")
}

#[test]
fn a_created_containers_terminal_goes_to_the_console_socket() {
    let scratch = with_terminal(&["sh", "-c", "tty; stty size"]);
    scratch.change(|config| {
        config["process"]["consoleSize"] = json!({ "height": 33, "width": 99 });
    });
    let path = scratch.dir.join("console.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let said = scratch.launch("create", &["--console-socket", &path.to_string_lossy()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let terminal = File::from(receive(&listener));
    assert_eq!(scratch.verb("start", &[]).code, Some(0));
    let said = hear(&terminal, "33 99");
    assert!(said.contains("/dev/pts/0") || said.contains("/dev/console"), "{said:?}");
}

#[test]
fn an_execs_terminal_goes_to_the_console_socket() {
    let scratch = Scratch::new(&["sleep", "100"]);
    scratch.launch("run", &["--detach"]);
    let path = scratch.dir.join("console.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let path = path.to_string_lossy().into_owned();
    let args = ["exec", "--tty", "--detach", "--console-socket", &path, &scratch.id, "tty"];
    let said = scratch.run(&args);
    assert_eq!(said.code, Some(0), "{said:?}");
    hear(&File::from(receive(&listener)), "/dev/pts/");
}

#[test]
fn a_pidfd_of_init_goes_to_the_pidfd_socket() {
    let scratch = Scratch::new(&["sleep", "100"]);
    let path = scratch.dir.join("pidfd.sock");
    let listener = UnixListener::bind(&path).expect("bind");
    let said = scratch.launch("create", &["--pidfd-socket", &path.to_string_lossy()]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let pidfd = receive(&listener);
    let number = std::os::fd::AsRawFd::as_raw_fd(&pidfd);
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).expect("fdinfo");
    let wanted = format!("Pid:\t{}", scratch.pid());
    assert!(info.lines().any(|line| line == wanted), "{info}");
}

#[test]
fn a_listener_that_is_not_there_is_found_before_anything_is_made() {
    let scratch = with_terminal(&["sh"]);
    let said = scratch.launch("create", &["--console-socket", "/nowhere"]);
    assert_eq!(said.code, Some(1));
    assert!(said.message().contains("connect to /nowhere: no such file or directory"), "{said:?}");
    assert_eq!(scratch.groups(), [] as [std::path::PathBuf; 0]);
}
