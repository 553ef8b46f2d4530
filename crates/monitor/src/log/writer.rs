//! A courier that writes the files, for a program that does not wait: a fork
//! of the monitor, so that a disk that hangs holds up nobody else.

use super::{Source, keeper::Keeper, split::Piece};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags},
    io::Errno,
    stdio::{stdin, stdout},
    thread::{CapabilitySet, CapabilitySets},
};
use spec::log::{File, Record, Toll};
use std::{io, os::fd::AsFd, path::Path};
use sys::confine::{Ruleset, landlock_abi};

/// `LANDLOCK_ACCESS_FS_*` of the first version: 13 of them.
const FILES: u64 = (1 << 13) - 1;
/// What it does in the log's directory: `WRITE_FILE`, `READ_FILE`, `READ_DIR`,
/// `REMOVE_FILE` and `MAKE_REG` of these.
const KEEP: u64 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 8;
/// What it does with the program that compresses: `EXECUTE` and `READ_FILE`.
const EXECUTE: u64 = 1 | 1 << 2;
/// Abstract unix sockets and signals, from version 6 on.
const SCOPES: u64 = 3;

/// Writes until its monitor has no more to say, and ends.
pub fn run(file: &File, helper: &str) -> ! {
    let done = serve(file, helper);
    if let Err(error) = &done {
        eprintln!("a writer of the log ends: {error}");
    }
    sys::process::exit(i32::from(done.is_err()))
}

fn serve(file: &File, helper: &str) -> io::Result<()> {
    // Its name tells it from its monitor.
    rustix::thread::set_name(c"log-writer")?;
    let opened = confine(file, helper).and_then(|()| Keeper::open(file, helper));
    let mut keeper = match opened {
        Ok(keeper) => keeper,
        Err(error) => {
            say(&[&[1], error.to_string().as_bytes()].concat())?;
            return Err(error);
        }
    };
    say(&[0])?;
    let (mut heard, mut done) = (Vec::new(), 0);
    let mut space = vec![0; 64 << 10];
    loop {
        let input = stdin();
        let mut fds = vec![PollFd::new(&input, PollFlags::IN)];
        let pressing = keeper.pressing().map(|(_, fd)| fd.try_clone_to_owned()).transpose()?;
        fds.extend(pressing.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let pressed = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        let ready = !fds[0].revents().is_empty();
        if pressed {
            keeper.pressed();
        }
        if !ready {
            continue;
        }
        let len = match rustix::io::read(stdin(), &mut space) {
            Ok(len) => len,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        if len == 0 {
            return Ok(());
        }
        heard.extend_from_slice(&space[..len]);
        done += take(&mut keeper, &mut heard);
        keeper.flush();
        say(&Toll { done, dropped: keeper.dropped }.to_bytes())?;
    }
}

/// Gives up what its monitor may, for good: it has no capability, and there
/// are no files for it but those of the log's directory, and the program that
/// compresses them.
fn confine(file: &File, helper: &str) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let abi = landlock_abi();
    if abi > 0 {
        let rules = Ruleset::new(FILES, 0, if abi >= 6 { SCOPES } else { 0 })?;
        let allow = |path: &Path, access: u64| -> io::Result<()> {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let place = rustix::fs::open(path, flags, Mode::empty())?;
            rules.allow(access, place.as_fd())
        };
        allow(Path::new(&file.path).parent().unwrap_or(Path::new("/")), KEEP)?;
        if file.compress {
            allow(Path::new(helper), EXECUTE)?;
        }
        rules.restrict_self()?;
    }
    if rustix::process::geteuid().is_root() {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets)?;
    }
    Ok(())
}

/// Takes whole records; says how many.
fn take(keeper: &mut Keeper, heard: &mut Vec<u8>) -> u64 {
    let (mut at, mut count) = (0, 0);
    while let Some((head, rest)) = heard[at..].split_first_chunk::<{ Record::SIZE }>() {
        let record = Record::from_bytes(*head);
        let Some(text) = rest.get(..record.len as usize) else { break };
        let piece = Piece {
            head: &[],
            tail: text,
            whole: record.whole,
            time: None,
            ordinal: record.ordinal,
        };
        let source = if record.stderr { Source::Stderr } else { Source::Stdout };
        keeper.take(source, record.time, |out| out(&piece));
        at += Record::SIZE + text.len();
        count += 1;
    }
    heard.drain(..at);
    count
}

fn say(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(stdout(), bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(Errno::INTR) => {}
            // Nobody listens any more: the end of its input says so, too.
            Err(Errno::PIPE) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
