//! Looking up the device files that a decision needs.

use crate::{Error, error::Doing};
use policy::devices::{Node, Wanted};
use rustix::fs::FileType;
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What `--privileged` leaves out: file systems of their own, and the console.
const NOT_THESE: [&str; 5] = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console"];

/// Looks up what is wanted. What is not there is left out.
///
/// # Errors
/// A directory that cannot be read.
pub(crate) fn look_up(wanted: &Wanted) -> Result<Vec<Node>, Error> {
    let mut nodes = Vec::new();
    match wanted {
        Wanted::All(paths) => {
            walk(Path::new("/dev"), &mut nodes)?;
            for path in paths.iter().filter(|path| !path.starts_with("/dev/")) {
                look(Path::new(path), &mut nodes)?;
            }
        }
        Wanted::Paths(paths) => {
            for path in paths {
                look(Path::new(path), &mut nodes)?;
            }
        }
    }
    Ok(nodes)
}

/// A path that was asked for: a link is followed, a directory walked.
fn look(path: &Path, nodes: &mut Vec<Node>) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => walk(path, nodes),
        Ok(found) => {
            nodes.extend(node(path, &found));
            Ok(())
        }
        Err(error) if absent(&error) => Ok(()),
        Err(error) => Err(error).doing("look at", path),
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn walk(dir: &Path, nodes: &mut Vec<Node>) -> Result<(), Error> {
    let mut dirs: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).doing("read", &dir)? {
            let path = entry.doing("read", &dir)?.path();
            if NOT_THESE.iter().any(|not| path == Path::new(not)) {
                continue;
            }
            // Links within are not followed: their targets are found by themselves.
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => dirs.push(path),
                Ok(found) => nodes.extend(node(&path, &found)),
                // Unplugged a moment ago.
                Err(error) if absent(&error) => {}
                Err(error) => return Err(error).doing("look at", &path),
            }
        }
    }
    nodes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

fn node(path: &Path, found: &fs::Metadata) -> Option<Node> {
    let kind = match FileType::from_raw_mode(found.mode()) {
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        _ => return None,
    };
    Some(Node {
        path: path.to_str()?.to_owned(),
        kind,
        major: rustix::fs::major(found.rdev()),
        minor: rustix::fs::minor(found.rdev()),
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_with_its_numbers_and_others_are_left_out() {
        let paths = ["/dev/null", "/dev/nonesuch", "/etc/passwd"].map(str::to_owned).to_vec();
        let nodes = look_up(&Wanted::Paths(paths)).expect("looked up");
        let [null] = &nodes[..] else { panic!("{nodes:?}") };
        assert_eq!((null.kind, null.major, null.minor), ('c', 1, 3));
    }

    #[test]
    fn terminals_of_the_host_are_not_among_all_devices() {
        let nodes = look_up(&Wanted::All(Vec::new())).expect("looked up");
        assert!(nodes.iter().any(|node| node.path == "/dev/zero"));
        assert!(!nodes.iter().any(|node| node.path.starts_with("/dev/pts/")), "{nodes:?}");
    }
}
