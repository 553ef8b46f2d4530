//! What is at a path of a container's, looked up from outside while it runs.
//!
//! The walk stays below the container's root whatever links it meets, and
//! nothing is opened but by `O_PATH`: a device or a pipe takes no notice.

use crate::Denied;
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, major, minor, openat,
        openat2, statx,
    },
    io::{self, Errno},
};
use std::{fs, os::fd::OwnedFd, path::Path};

/// `AT_FDCWD`, as a call's argument.
const HERE: i32 = -100;

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// From the container's root.
    pub path: String,
    /// Where the mount that it is on is attached.
    pub mount: String,
    /// That mount's options, and those of its file system.
    pub options: Vec<String>,
    /// A device: is it one of blocks, and its numbers.
    pub device: Option<(bool, u32, u32)>,
    /// Of the host, as the mount shows it.
    pub owner: u32,
    /// Likewise.
    pub group: u32,
    /// Permissions.
    pub mode: u32,
}

impl Seen {
    /// Has its mount this option?
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|has| has == option)
    }
}

/// Looks at what a call named, in the container whose first process is
/// `init`. What is not there is looked at by its directory, and so is what
/// calls put there or take away, for whose owner and mode nobody asks. None if
/// the call named nothing, or nothing can be seen any more.
pub fn look(init: i32, denied: &Denied) -> Option<Seen> {
    let path = whole(denied)?;
    let root = format!("/proc/{init}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, root.as_str(), flags, Mode::empty()).ok()?;
    let place = place(&root, &path, denied)?;
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let found = statx(&place, "", AtFlags::EMPTY_PATH, wanted).ok()?;
    let (mount, options) = mount(init, found.stx_mnt_id)?;
    let kind = FileType::from_raw_mode(found.stx_mode.into());
    let numbers = (found.stx_rdev_major, found.stx_rdev_minor);
    let device = match kind {
        FileType::CharacterDevice => Some((false, numbers.0, numbers.1)),
        FileType::BlockDevice => Some((true, numbers.0, numbers.1)),
        _ => None,
    };
    Some(Seen {
        path,
        mount,
        options,
        device,
        owner: found.stx_uid,
        group: found.stx_gid,
        mode: u32::from(found.stx_mode) & 0o7777,
    })
}

/// The device that a call wants to make: is it one of blocks, and its numbers.
pub fn wanted_device(denied: &Denied) -> Option<(bool, u32, u32)> {
    let (mode, numbers) = match denied.name().as_str() {
        "mknod" => (denied.call.args[1], denied.call.args[2]),
        "mknodat" => (denied.call.args[2], denied.call.args[3]),
        _ => return None,
    };
    let block = match FileType::from_raw_mode(u32::try_from(mode & 0xffff).ok()?) {
        FileType::CharacterDevice => false,
        FileType::BlockDevice => true,
        _ => return None,
    };
    Some((block, major(numbers), minor(numbers)))
}

/// Calls that ask for the directory's sake alone.
const ENTRIES: [&str; 14] = [
    "mknod",
    "mknodat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
];

fn place(root: &OwnedFd, path: &str, denied: &Denied) -> Option<OwnedFd> {
    if ENTRIES.contains(&denied.name().as_str()) {
        return at(root, parent(path), OFlags::empty()).ok();
    }
    match at(root, path, OFlags::empty()) {
        // A link that leads to nothing is not where its end would be.
        Err(Errno::NOENT) if at(root, path, OFlags::NOFOLLOW).is_err_and(|e| e == Errno::NOENT) => {
            at(root, parent(path), OFlags::empty()).ok()
        }
        found => found.ok(),
    }
}

fn at(root: &OwnedFd, path: &str, how: OFlags) -> io::Result<OwnedFd> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC | how, Mode::empty(), inside)
}

fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((parent, _)) => parent,
    }
}

/// The path from the root. One that is not from there begins where the
/// process is, or at the descriptor it gave, if it still has them.
fn whole(denied: &Denied) -> Option<String> {
    let path = denied.path.as_deref()?;
    if path.starts_with('/') {
        return Some(path.to_owned());
    }
    let by_descriptor = denied.name().contains("at") && denied.name() != "truncate";
    #[expect(clippy::cast_possible_truncation, reason = "a descriptor is 32 bits wide")]
    let from = (denied.call.args[0] as u32).cast_signed();
    let link = if by_descriptor && from != HERE {
        format!("/proc/{}/fd/{from}", denied.pid)
    } else {
        format!("/proc/{}/cwd", denied.pid)
    };
    let base = fs::read_link(link).ok()?;
    Some(base.join(path).to_str()?.to_owned())
}

/// Where the mount with this number is, and its options.
fn mount(init: i32, number: u64) -> Option<(String, Vec<String>)> {
    let table = fs::read_to_string(Path::new("/proc").join(init.to_string()).join("mountinfo"));
    options(&table.ok()?, number)
}

/// From `/proc/PID/mountinfo`, see `proc_pid_mountinfo(5)`.
fn options(table: &str, number: u64) -> Option<(String, Vec<String>)> {
    let number = number.to_string();
    let line = table.lines().find(|line| line.split(' ').next() == Some(&number))?;
    let (fields, file_system) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(4);
    let (point, own) = (fields.next()?, fields.next()?);
    let of_all = file_system.split(' ').nth(2).unwrap_or_default();
    let mut options: Vec<String> = own.split(',').map(str::to_owned).collect();
    // A file system that is read-only as a whole is so at each of its mounts.
    options.extend(of_all.split(',').filter(|option| *option == "ro").map(str::to_owned));
    Some((point.to_owned(), options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_number_and_not_by_the_beginning_of_one() {
        let table =
            "120 1 0:5 / /a rw - tmpfs t rw\n12 1 0:5 / /b ro,nodev shared:1 - ext4 d ro,x\n";
        let (point, options) = options(table, 12).expect("there");
        assert_eq!((point.as_str(), options.join(",").as_str()), ("/b", "ro,nodev,ro"));
        assert_eq!(super::options(table, 2), None);
    }

    #[test]
    fn what_is_not_there_is_looked_at_by_its_directory() {
        assert_eq!(parent("/a/b"), "/a");
        assert_eq!(parent("/a/"), "/");
        assert_eq!(parent("a"), "/");
    }

    fn denied(pid: u32, path: &str) -> Denied {
        Denied {
            pid: pid.try_into().expect("a process"),
            thread: 0,
            uid: 0,
            program: String::new(),
            error: 30,
            call: seccomp::Call {
                arch: seccomp::Arch::X86_64,
                number: seccomp::Arch::X86_64.number("open").expect("a call"),
                args: [0; 6],
            },
            path: Some(path.into()),
            capabilities: Vec::new(),
            whole_machine: 0,
        }
    }

    #[test]
    fn a_path_begins_where_its_program_is_as_long_as_it_is() {
        let ours = denied(std::process::id(), "x/y");
        let here = std::env::current_dir().expect("a directory");
        assert_eq!(whole(&ours), here.join("x/y").to_str().map(str::to_owned));
        let mut child = std::process::Command::new("true").spawn().expect("true(1)");
        let pid = child.id();
        child.wait().expect("ours");
        assert_eq!(whole(&denied(pid, "x/y")), None);
        assert_eq!(whole(&denied(pid, "/x")).as_deref(), Some("/x"));
    }

    #[test]
    fn a_link_that_leads_to_nothing_is_not_looked_at_in_its_place() {
        let scratch = tempfile::tempdir().expect("scratch");
        std::os::unix::fs::symlink("/elsewhere/x", scratch.path().join("link")).expect("scratch");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, scratch.path(), flags, Mode::empty()).expect("scratch");
        let open = denied(1, "");
        assert!(place(&root, "/link", &open).is_none());
        assert!(place(&root, "/new", &open).is_some(), "its directory");
        assert!(place(&root, "/none/new", &open).is_none());
    }
}
