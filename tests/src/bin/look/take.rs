//! Takes as many of a thing of the kernel's as it gets.

use rustix::{
    fs::{Mode, OFlags, inotify},
    io::Result,
};
use std::{
    io::{self, Write as _},
    os::fd::OwnedFd,
};

fn one(what: &str) -> Result<OwnedFd> {
    match what {
        "inotify" => inotify::init(inotify::CreateFlags::CLOEXEC),
        "files" => rustix::fs::open("/", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()),
        _ => Err(rustix::io::Errno::INVAL),
    }
}

fn all(what: &str, most: &str) -> io::Result<Vec<OwnedFd>> {
    let most = most.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(std::iter::from_fn(|| one(what).ok()).take(most).collect())
}

/// Says how many, and keeps them.
pub fn take(what: &str, most: &str) -> io::Result<()> {
    let held = all(what, most)?;
    // In one piece, for who waits for it.
    io::stdout().write_all(format!("{} taken\n", held.len()).as_bytes())?;
    loop {
        std::thread::park();
    }
}

/// Says how many.
pub fn count(what: &str, most: &str) -> io::Result<()> {
    println!("{} counted", all(what, most)?.len());
    Ok(())
}
