//! What a confined process can no longer do, tried from within. Needs root.
//!
//! Each test runs again as a process of its own, which is confined and then
//! prints what the kernel answered.

use confine::{Error, Left, MAKE, READ_DIR, WRITE_FILE, confine};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    thread::CapabilitySet,
};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::MetadataExt as _,
    },
    path::Path,
    process::{Command, Stdio},
};

const MARK: &str = "CONFINED";
const USER: u32 = 1_900_000_001;

/// Enough for a test to look around, and to end.
const CALLS: &[&str] = &[
    "brk",
    "clock_gettime",
    "close",
    "connect",
    "dup",
    "exit",
    "exit_group",
    "fcntl",
    "fstat",
    "futex",
    "getpid",
    "getppid",
    "getrandom",
    "kill",
    "madvise",
    "mkdir",
    "mkdirat",
    "mremap",
    "munmap",
    "newfstatat",
    "open",
    "openat",
    "read",
    "rt_sigprocmask",
    "rt_sigreturn",
    "setsockopt",
    "sigaltstack",
    "socket",
    "statx",
    "write",
];

const NOTHING: Left<'_> = Left {
    user: USER,
    ids: None,
    maker: None,
    capabilities: CapabilitySet::empty(),
    calls: CALLS,
    files: None,
    port: None,
    daemon: None,
};

/// Runs `act` in a process of its own, by the test's own name; what it said.
fn apart(name: &str, act: impl FnOnce() -> String) -> String {
    if std::env::var_os(MARK).is_some_and(|mark| mark == name) {
        let text = act();
        let out = rustix::stdio::stdout();
        for line in text.lines() {
            let said = rustix::io::write(out, format!("said: {line}\n").as_bytes());
            said.expect("the test listens");
        }
        sys::process::exit(0);
    }
    let ran = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, name)
        .stdin(Stdio::null())
        .output()
        .expect("this program starts");
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let err = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{name}: {}\n{text}\n{err}", ran.status);
    let said = text.lines().filter_map(|line| line.split_once("said: ").map(|(_, said)| said));
    said.map(|line| format!("{line}\n")).collect()
}

fn dir(path: &Path) -> OwnedFd {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).expect("a directory")
}

fn answer<T>(outcome: std::io::Result<T>) -> String {
    match outcome {
        Ok(_) => "done".into(),
        Err(e) if e.raw_os_error() == Some(Errno::ACCESS.raw_os_error()) => "ACCESS".into(),
        Err(e) if e.raw_os_error() == Some(Errno::PERM.raw_os_error()) => "PERM".into(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn the_kernel_shows_that_nothing_is_left() {
    let said = apart("the_kernel_shows_that_nothing_is_left", || {
        let mut status = File::open("/proc/thread-self/status").expect("procfs");
        confine(&NOTHING).expect("root may give up all");
        let mut text = String::new();
        status.read_to_string(&mut text).expect("it was open before");
        text
    });
    let field = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {said}")).split_whitespace().collect::<Vec<_>>()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    let user = USER.to_string();
    assert_eq!(field("Uid:"), [&user; 4]);
    assert_eq!(field("Gid:"), [&user; 4]);
    assert!(field("Groups:").is_empty(), "{said}");
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert_eq!(field("Seccomp:"), ["2"]);
}

#[test]
fn there_are_no_files_but_those_that_were_left() {
    let scratch = tempfile::tempdir().expect("scratch");
    let said = apart("there_are_no_files_but_those_that_were_left", || {
        let (ours, theirs) = (scratch.path().join("ours"), scratch.path().join("theirs"));
        for path in [&ours, &theirs] {
            std::fs::create_dir(path).expect("scratch");
            std::fs::write(path.join("f"), "x").expect("scratch");
        }
        let root = dir(&ours);
        // All that the user's ids could refuse is allowed: Landlock alone is
        // left to say no.
        let capabilities = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        let files = Some((root.as_fd(), WRITE_FILE | READ_DIR | MAKE));
        confine(&Left { capabilities, files, maker: Some((7, 8)), ..NOTHING }).expect("confined");
        let write =
            |path: &Path| File::options().write(true).create(true).truncate(false).open(path);
        let made = write(&ours.join("new")).and_then(|file| file.metadata());
        let made = made.map_or_else(|e| e.to_string(), |m| format!("{}:{}", m.uid(), m.gid()));
        [
            format!("made {made}"),
            format!("write {}", answer(write(&ours.join("f")))),
            format!("read {}", answer(File::open(ours.join("f")))),
            format!("theirs {}", answer(write(&theirs.join("new")))),
            format!("dir {}", answer(std::fs::create_dir(theirs.join("d")))),
            format!("passwd {}", answer(File::open("/etc/passwd"))),
        ]
        .join("\n")
    });
    let wanted = "made 7:8\nwrite done\nread ACCESS\ntheirs ACCESS\ndir ACCESS\npasswd ACCESS\n";
    assert_eq!(said, wanted);
}

#[test]
fn there_is_no_other_process_and_no_port() {
    let said = apart("there_is_no_other_process_and_no_port", || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("it has one");
        let before = answer(TcpStream::connect(at));
        // With the right to it, so that Landlock alone is left to say no.
        let capabilities = CapabilitySet::KILL;
        confine(&Left { capabilities, ..NOTHING }).expect("confined");
        let parent = rustix::process::getppid().expect("a parent");
        let killed = rustix::process::test_kill_process(parent).map_err(Into::into);
        format!("{before}\nconnect {}\nkill {}", answer(TcpStream::connect(at)), answer(killed))
    });
    assert_eq!(said, "done\nconnect ACCESS\nkill PERM\n");
}

#[test]
fn a_call_that_is_not_left_is_refused() {
    let said = apart("a_call_that_is_not_left_is_refused", || {
        let calls: Vec<&str> = CALLS.iter().copied().filter(|call| *call != "socket").collect();
        confine(&Left { calls: &calls, ..NOTHING }).expect("confined");
        let socket = TcpStream::connect(("127.0.0.1", 9));
        let file = File::open("/etc/passwd");
        // One is not in the filter, the other one is.
        format!("{}\n{}", answer(socket), answer(file))
    });
    assert_eq!(said, "PERM\nACCESS\n");
}

#[test]
fn a_descriptor_is_duplicated_and_tells_nobody_of_anything() {
    let said = apart("a_descriptor_is_duplicated_and_tells_nobody_of_anything", || {
        let (_reader, writer) = std::io::pipe().expect("a pipe");
        confine(&NOTHING).expect("confined");
        let twin = rustix::io::fcntl_dupfd_cloexec(&writer, 3).map_err(Into::into);
        let flags = rustix::fs::fcntl_getfl(&writer).map_err(Into::into);
        let size = rustix::pipe::fcntl_setpipe_size(&writer, 8192).map_err(Into::into);
        format!("{}\n{}\n{}", answer(twin), answer(flags), answer(size))
    });
    assert_eq!(said, "done\nPERM\nPERM\n");
}

#[test]
fn whose_daemon_has_gone_does_not_begin() {
    let said = apart("whose_daemon_has_gone_does_not_begin", || {
        let (ours, theirs) = std::io::pipe().expect("a pipe");
        drop(ours);
        match confine(&Left { daemon: Some(theirs.as_fd()), ..NOTHING }) {
            Err(Error::Gone) => "gone".into(),
            other => format!("{other:?}"),
        }
    });
    assert_eq!(said, "gone\n");
    std::io::stdout().flush().expect("the runner listens");
}
