//! What a thread does in a container's mount namespace.
//!
//! It goes there with the host's rights and nothing of the container's is
//! executed. Its root and directory are its own, so that the daemon's other
//! threads stay where they are, and it ends there.

use super::Graft;
use crate::{Error, error::Doing, guise::Guise};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags, statx},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
        move_mount, open_tree, unmount,
    },
    thread::ThreadNameSpaceType,
};
use snapshot::IdRange;
use std::{
    io::Read as _,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    thread,
};

/// A mount on its way in.
pub(super) struct Coming {
    /// Absolute and clean.
    pub target: String,
    pub what: What,
}

pub(super) enum What {
    /// A detached mount, ready.
    Bound(OwnedFd),
    /// Options of a `tmpfs` that is to be made.
    Memory(Vec<String>),
}

/// A mount on its way out.
pub(super) struct Leaving {
    pub target: String,
    pub graft: Graft,
}

/// What was done, to be given back if need be.
pub(super) struct Exchanged {
    pub came: Vec<(String, Graft)>,
    /// Copies of what left.
    left: Vec<(String, OwnedFd)>,
}

/// Nothing has changed, but that what had left has come back, as new mounts.
pub(super) struct Failed {
    pub error: Error,
    pub back: Vec<(String, Graft)>,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, back: Vec::new() }
    }
}

/// A container that runs.
pub(super) struct Inside {
    init: Arc<OwnedFd>,
    ids: IdRange,
}

/// A thread that is there.
struct Here<'a> {
    root: OwnedFd,
    /// The host's procfs.
    proc: BorrowedFd<'a>,
    ids: IdRange,
}

/// Longest list of mounts that is read.
const MOUNTS: u64 = 16 << 20;

impl Inside {
    pub fn of(init: &Arc<OwnedFd>, ids: IdRange) -> Self {
        Self { init: Arc::clone(init), ids }
    }

    /// Takes away, then mounts; or, after an error, neither.
    pub fn exchange(&self, gone: Vec<Leaving>, coming: Vec<Coming>) -> Result<Exchanged, Failed> {
        self.enter(move |here| {
            let mut done = Exchanged { came: Vec::new(), left: Vec::new() };
            let outcome = here.take_away(gone, &mut done).and_then(|()| {
                coming.into_iter().try_for_each(|coming| {
                    let graft = here.graft(&coming)?;
                    done.came.push((coming.target, graft));
                    Ok(())
                })
            });
            match outcome {
                Ok(()) => Ok(done),
                Err(error) => {
                    let back = here.give_back(done)?;
                    Err(Failed { error, back })
                }
            }
        })
    }

    /// As it was before; gives what has come back.
    pub fn give_back(&self, done: Exchanged) -> Result<Vec<(String, Graft)>, Error> {
        self.enter(move |here| here.give_back(done))
    }

    fn enter<T: Send, E: From<Error> + Send>(
        &self,
        work: impl FnOnce(&Here<'_>) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::open("/proc", flags, Mode::empty()).doing("open", "/proc")?;
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("inside".into()).stack_size(512 << 10);
            let worker = thread.spawn_scoped(scope, || {
                sys::process::own_directory().doing("prepare for", "a container's mounts")?;
                let kind = ThreadNameSpaceType::MOUNT;
                rustix::thread::move_into_thread_name_spaces(self.init.as_fd(), kind)
                    .doing("join", "the container's mount namespace")?;
                let root = rustix::fs::open("/", flags, Mode::empty()).doing("open", "its root")?;
                work(&Here { root, proc: proc.as_fd(), ids: self.ids })
            });
            let worker = worker.doing("start", "a thread")?;
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Here<'_> {
    fn give_back(&self, done: Exchanged) -> Result<Vec<(String, Graft)>, Error> {
        for (target, graft) in done.came.into_iter().rev() {
            self.unmount(&target, graft, UnmountFlags::DETACH)?;
        }
        let mut back = Vec::new();
        for (target, tree) in done.left.into_iter().rev() {
            let onto = self.open(&target)?;
            attach(&tree, &onto).doing("put back what was mounted on", &target)?;
            let graft = look(tree.as_fd()).doing("look at what was put back on", &target)?;
            back.push((target, graft));
        }
        Ok(back)
    }

    fn take_away(&self, gone: Vec<Leaving>, done: &mut Exchanged) -> Result<(), Error> {
        for Leaving { target, graft } in gone {
            if let Some(copy) = self.unmount(&target, graft, UnmountFlags::empty())? {
                done.left.push((target, copy));
            }
        }
        Ok(())
    }

    /// Mounts it in its place, which is made if nothing is there.
    fn graft(&self, coming: &Coming) -> Result<Graft, Error> {
        let target = &coming.target;
        let is_dir = match &coming.what {
            What::Memory(_) => true,
            What::Bound(tree) => is_dir(tree.as_fd()).doing("look at", target)?,
        };
        let onto = self.place(target, is_dir)?;
        self.may_cover(target, &onto)?;
        if self::is_dir(onto.as_fd()).doing("look at", target)? != is_dir {
            let (this, that) = if is_dir { ("directory", "file") } else { ("file", "directory") };
            return Err(Error::Invalid(format!(
                "cannot mount a {this} on {target}, which is a {that}"
            )));
        }
        let made;
        let tree = match &coming.what {
            What::Bound(tree) => tree,
            What::Memory(words) => {
                made = self.memory(target, words, &onto)?;
                &made
            }
        };
        attach(tree, &onto).doing("mount on", target)?;
        look(tree.as_fd()).doing("look at what was mounted on", target)
    }

    fn place(&self, target: &str, is_dir: bool) -> Result<OwnedFd, Error> {
        match self.open(target) {
            Err(Error::Host { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let relative = target.trim_start_matches('/');
        let guise = Guise::of(self.ids)?;
        let made = snapshot::make_point(self.root.as_fd(), relative, self.ids, is_dir);
        drop(guise);
        if !made? {
            return Err(Error::Invalid(format!("cannot mount on {target}: a file is in the way")));
        }
        self.open(target)
    }

    /// What a path leads to, links followed inside the root alone.
    fn open(&self, target: &str) -> Result<OwnedFd, Error> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        loop {
            match rustix::fs::openat2(&self.root, target, flags, Mode::empty(), how) {
                // A rename somewhere; the kernel asks to try again.
                Err(Errno::AGAIN) => {}
                opened => return opened.doing("open", target),
            }
        }
    }

    /// Where links have led: not to the root, to the kernel's file systems or
    /// into `/dev`, by whatever name.
    fn may_cover(&self, target: &str, onto: &OwnedFd) -> Result<(), Error> {
        let refuse = |what: &str| {
            Err(Error::Invalid(format!("nothing can be mounted on {target}: it leads to {what}")))
        };
        let seen = look(onto.as_fd()).doing("look at", target)?;
        let root = look(self.root.as_fd()).doing("look at", "its root")?;
        if seen == root {
            return refuse("the container's root");
        }
        for own in
            ["/proc", "/sys", "/sys/fs/cgroup", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]
        {
            let same = match self.open(own) {
                Ok(own) => look(own.as_fd()).is_ok_and(|own| own.device == seen.device),
                Err(_) => false,
            };
            if same && seen.device != root.device {
                return refuse(own);
            }
        }
        let list = self.mounts()?;
        if list.iter().any(|listed| listed.mount == seen.mount && listed.shared) {
            return refuse("a mount that is shared with the host");
        }
        let kind = rustix::fs::fstatfs(onto).doing("look at", target)?.f_type;
        if KERNELS.contains(&kind) {
            return refuse("a file system of the kernel's");
        }
        Ok(())
    }

    /// A file system in memory that is the container's root's; without a mode of
    /// its own it takes that of what it covers, as at a start.
    fn memory(&self, target: &str, words: &[String], onto: &OwnedFd) -> Result<OwnedFd, Error> {
        let guise = Guise::of(self.ids)?;
        let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC);
        drop(guise);
        let fs = fs.doing("make a tmpfs for", target)?;
        let set = |key: &str, value: &str| {
            rustix::mount::fsconfig_set_string(&fs, key, value)
                .doing("set an option of the tmpfs on", target)
        };
        let mut flags = MountAttrFlags::empty();
        set("source", "tmpfs")?;
        if !words.iter().any(|word| word.starts_with("mode=")) {
            let mode = rustix::fs::fstat(onto).doing("look at", target)?.st_mode & 0o7777;
            set("mode", &format!("{mode:o}"))?;
        }
        for word in words {
            match word.split_once('=') {
                Some(("uid", id)) => set("uid", &self.outside(word, id, IdRange::user_outside)?)?,
                Some(("gid", id)) => set("gid", &self.outside(word, id, IdRange::group_outside)?)?,
                Some((key, value)) => set(key, value)?,
                None => flags |= flag(word).ok_or_else(|| unknown(word))?,
            }
        }
        rustix::mount::fsconfig_create(&fs).doing("make a tmpfs for", target)?;
        rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, flags)
            .doing("make a tmpfs for", target)
    }

    fn outside(
        &self,
        word: &str,
        id: &str,
        map: impl Fn(IdRange, u32) -> Option<u32>,
    ) -> Result<String, Error> {
        let outside = id.parse().ok().and_then(|id| map(self.ids, id));
        outside.map(|id| id.to_string()).ok_or_else(|| unknown(word))
    }

    /// Takes a mount away, wherever it is by now, and gives a copy of it; none
    /// if somebody inside has done so before.
    fn unmount(
        &self,
        target: &str,
        graft: Graft,
        how: UnmountFlags,
    ) -> Result<Option<OwnedFd>, Error> {
        let list = self.mounts()?;
        let Some(place) = list.iter().rev().find(|listed| listed.mount == graft.mount) else {
            return Ok(None);
        };
        if list.iter().any(|listed| listed.above == graft.mount) {
            return Err(Error::Conflict(format!(
                "{target} cannot be taken away: something else is mounted below it: stop the \
                 container first"
            )));
        }
        // A directory that something is mounted on cannot be renamed, only
        // what is above it: so its parent, once found, has it.
        let (above, last) = place.path.rsplit_once('/').unwrap_or(("", &place.path));
        let parent = self.open(if above.is_empty() { "/" } else { above })?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mounted = rustix::fs::openat(&parent, last, flags, Mode::empty());
        let mounted = mounted.doing("open", target)?;
        if look(mounted.as_fd()).doing("look at", target)? != graft {
            return Err(Error::Conflict(format!(
                "{target} cannot be taken away now: the container is changing its directories"
            )));
        }
        let cloned = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let copy = open_tree(&mounted, "", cloned).doing("copy the mount on", target)?;
        // It would be in use by us.
        drop(mounted);
        rustix::process::fchdir(&parent).doing("go to where is", target)?;
        let gone = unmount(last, how | UnmountFlags::NOFOLLOW);
        rustix::process::fchdir(&self.root).doing("leave", target)?;
        match gone {
            Ok(()) => Ok(Some(copy)),
            Err(Errno::BUSY) => Err(Error::Conflict(format!(
                "{target} is in use in the container (an open file, a working directory): end \
                 what uses it first"
            ))),
            Err(error) => Err(error).doing("unmount", target),
        }
    }

    fn mounts(&self) -> Result<Vec<Listed>, Error> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let name = "thread-self/mountinfo";
        let file = rustix::fs::openat(self.proc, name, flags, Mode::empty()).doing("open", name)?;
        let mut text = Vec::new();
        std::fs::File::from(file).take(MOUNTS).read_to_end(&mut text).doing("read", name)?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().filter_map(Listed::parse).collect())
    }
}

/// A line of `/proc/PID/mountinfo`. Source: proc_pid_mountinfo(5).
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    mount: u64,
    above: u64,
    path: String,
    /// What is mounted there comes to mounts elsewhere, too.
    shared: bool,
}

impl Listed {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (mount, above) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let path = words.nth(2)?;
        let mut plain = String::new();
        let mut rest = path;
        while let Some((before, after)) = rest.split_once('\\') {
            plain.push_str(before);
            let code = u8::from_str_radix(after.get(..3)?, 8).ok()?;
            plain.push(code.into());
            rest = &after[3..];
        }
        plain.push_str(rest);
        let shared =
            words.skip(1).take_while(|word| *word != "-").any(|w| w.starts_with("shared:"));
        Some(Self { mount, above, path: plain, shared })
    }
}

/// File systems of the kernel's own: `PROC_SUPER_MAGIC`, `SYSFS_MAGIC`,
/// `CGROUP_SUPER_MAGIC`, `CGROUP2_SUPER_MAGIC`, `DEVPTS_SUPER_MAGIC`,
/// `SECURITYFS_MAGIC`, `BPF_FS_MAGIC`, of linux/magic.h, and that of message
/// queues, of ipc/mqueue.c.
const KERNELS: [i64; 8] =
    [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270, 0x1cd1, 0x7363_6673, 0xcafe_4a11, 0x1980_0202];

fn flag(word: &str) -> Option<MountAttrFlags> {
    use MountAttrFlags as F;
    Some(match word {
        "ro" => F::MOUNT_ATTR_RDONLY,
        "nosuid" => F::MOUNT_ATTR_NOSUID,
        "nodev" => F::MOUNT_ATTR_NODEV,
        "noexec" => F::MOUNT_ATTR_NOEXEC,
        "noatime" => F::MOUNT_ATTR_NOATIME,
        "strictatime" => F::MOUNT_ATTR_STRICTATIME,
        "nodiratime" => F::MOUNT_ATTR_NODIRATIME,
        "rw" | "suid" | "dev" | "exec" | "atime" | "relatime" | "diratime" | "private"
        | "rprivate" => F::empty(),
        _ => return None,
    })
}

fn unknown(word: &str) -> Error {
    Error::Invalid(format!("{word:?} is no option of a tmpfs that is mounted later"))
}

fn attach(tree: &OwnedFd, onto: &OwnedFd) -> rustix::io::Result<()> {
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", onto, "", how)
}

fn is_dir(fd: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Directory)
}

fn look(fd: BorrowedFd<'_>) -> rustix::io::Result<Graft> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let seen = statx(fd, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted)?;
    Ok(Graft {
        mount: seen.stx_mnt_id,
        device: u64::from(seen.stx_dev_major) << 32 | u64::from(seen.stx_dev_minor),
        inode: seen.stx_ino,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list_of_mounts_is_understood_blanks_and_all() {
        let line = "36 35 98:0 /mnt1 /mnt\\0402/a\\134b rw,noatime master:1 - ext3 /dev/root rw";
        let listed = Listed::parse(line).expect("valid");
        let path = "/mnt 2/a\\b".into();
        assert_eq!(listed, Listed { mount: 36, above: 35, path, shared: false });
        let shared = Listed::parse("36 35 98:0 / /a rw shared:4 - ext3 shared:1 rw");
        assert!(shared.is_some_and(|listed| listed.shared));
        assert_eq!(Listed::parse("36 35"), None);
        assert_eq!(Listed::parse("36 35 98:0 / /a\\04"), None);
    }

    #[test]
    fn an_option_that_is_not_known_is_no_flag() {
        assert!(flag("noexec").is_some() && flag("rw").is_some());
        assert!(flag("suid,dev").is_none() && flag("bind").is_none());
    }
}
