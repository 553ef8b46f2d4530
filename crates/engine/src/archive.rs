//! Files in and out of a container: `cp`, `diff`, `export`.
//!
//! A running container is seen through the root of its init, volumes
//! included; one that does not run through a mount made for the purpose. All
//! paths are resolved by the kernel, inside that root.

use crate::{Container, Engine, Error, Nanos, cell::Cell, error::Doing, house::House};
use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid, openat2};
use snapshot::IdRange;
use spec::Digest;
use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

/// What `X-Docker-Container-Path-Stat` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// Last part of the path.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// `st_mode` of stat(2).
    pub mode: u32,
    /// Last change.
    pub mtime: Nanos,
    /// Of a symbolic link, resolved in the container; else empty.
    pub link_target: String,
}

impl From<snapshot::PathStat> for PathStat {
    fn from(stat: snapshot::PathStat) -> Self {
        Self {
            name: stat.name,
            size: stat.size,
            mode: stat.mode,
            mtime: u64::try_from(stat.mtime).unwrap_or(0),
            link_target: stat.link_target,
        }
    }
}

/// How to unpack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// Refuse to put a directory in a file's place, and the reverse.
    pub no_overwrite_dir_non_dir: bool,
    /// Everything becomes the container's own user's; without, the archive
    /// says whose it is.
    pub copy_uid_gid: bool,
}

/// A tar stream that waits to be written out.
pub struct Archive {
    stat: Option<PathStat>,
    write: WriteOut,
}

type WriteOut = Box<dyn FnOnce(&mut dyn Write) -> Result<(), Error> + Send>;

impl Archive {
    pub(crate) fn new(
        stat: Option<PathStat>,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Error> + Send + 'static,
    ) -> Self {
        Self { stat, write: Box::new(write) }
    }

    /// Of the file that was asked for (none for `export` and `save`).
    pub fn stat(&self) -> Option<&PathStat> {
        self.stat.as_ref()
    }

    /// Writes the whole tar stream.
    ///
    /// # Errors
    /// What the host or the receiver said.
    pub fn write(self, out: &mut dyn Write) -> Result<(), Error> {
        (self.write)(out)
    }
}

/// What became of a path since the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// 0 on the wire.
    Modified,
    /// 1 on the wire.
    Added,
    /// 2 on the wire.
    Deleted,
}

/// One path that differs from the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Absolute, in the container.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
}

/// The largest `passwd` that is read: a container wrote it.
const LARGEST: u64 = 4 << 20;

/// Reads a small text file below a root, links resolved inside it; empty if
/// it is not there.
pub(crate) fn read_in_root(root: BorrowedFd<'_>, path: &str) -> Result<String, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match openat2(root, path, flags, Mode::empty(), inside) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
            return Ok(String::new());
        }
        opened => std::fs::File::from(opened.doing("open", path)?),
    };
    if !file.metadata().doing("look at", path)?.is_file() {
        return Err(Error::Invalid(format!("/{path} in the container is not a regular file")));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).doing("read", path)?;
    // A line that is no text names nobody.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The root of a running container's init: its own view, volumes included.
pub(crate) fn root_of(cell: &Cell) -> Result<OwnedFd, Error> {
    let container = cell.known().now();
    let init = cell.live().init.clone();
    let (Some(init), Some(pid)) = (init, container.state.pid()) else {
        return Err(crate::verbs::not_running(&container));
    };
    let path = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = match rustix::fs::open(&path, flags, Mode::empty()) {
        // It has ended, which is not heard of yet.
        Err(rustix::io::Errno::NOENT) => return Err(crate::verbs::not_running(&container)),
        opened => opened.doing("open", &path)?,
    };
    // If init lives now, the number was its own when it was used.
    match sys::signal::send_pidfd(init.as_fd(), 0) {
        Ok(()) => Ok(root),
        Err(_) => Err(crate::verbs::not_running(&container)),
    }
}

impl House {
    /// The root alone, mounted for the purpose.
    pub(crate) fn mount(&self, container: &Container) -> Result<OwnedFd, Error> {
        Ok(self.root(container)?.mount(&self.layers(container)?)?)
    }

    pub(crate) fn root(&self, container: &Container) -> Result<snapshot::Root, Error> {
        let root = snapshot::Root::open(&self.paths.data, container.id.as_str(), container.ids())?;
        // A record may be older than what the kernel is now.
        Ok(root.labelled(if self.policy.selinux { &container.mount_label } else { "" }))
    }

    pub(crate) fn layers(&self, container: &Container) -> Result<Vec<std::path::PathBuf>, Error> {
        let image: Digest =
            container.image.parse().map_err(|_| Error::NoImage(container.image.clone()))?;
        self.layers_of(&image)
    }

    /// The layers below what a container writes, lowest first.
    pub(crate) fn layers_of(&self, image: &Digest) -> Result<Vec<std::path::PathBuf>, Error> {
        let mut layers = self.images.layers(image)?;
        layers.push(crate::places::dir(&self.paths.data));
        Ok(layers)
    }
}

/// Copies what a root has at `destination` into the empty volume at `path`,
/// which becomes what the directory is: whose, and for whom.
pub(crate) fn copy_up(
    root: &OwnedFd,
    ids: IdRange,
    destination: &str,
    path: &str,
) -> Result<(), Error> {
    match snapshot::stat(root.as_fd(), destination) {
        Ok(stat) if stat.mode & 0o170_000 == 0o040_000 => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == snapshot::Kind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let volume = rustix::fs::open(path, flags, Mode::empty()).doing("open", path)?;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let whole = format!("/{}", destination.trim_start_matches('/'));
    let like = openat2(root, whole, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how)
        .and_then(rustix::fs::fstat)
        .doing("look at", destination)?;
    let (mut reader, mut writer) = io::pipe().doing("make a pipe for", path)?;
    // What is in it, not the directory itself.
    let source = format!("{}/.", destination.trim_end_matches('/'));
    std::thread::scope(|scope| {
        let read = scope.spawn(move || {
            let outcome = snapshot::get(root.as_fd(), &source, ids, &mut writer);
            drop(writer);
            outcome
        });
        let options = snapshot::PutOptions::default();
        let put = snapshot::put(volume.as_fd(), "/", IdRange::HOST, options, &mut reader);
        drop(reader);
        let got = read.join().map_err(|_| Error::records(&"copying into a volume panicked"))?;
        put?;
        Ok::<_, Error>(got?)
    })?;
    let uid = Uid::from_raw(ids.user_inside(like.st_uid));
    let gid = Gid::from_raw(ids.group_inside(like.st_gid));
    rustix::fs::fchown(&volume, Some(uid), Some(gid)).doing("change the owner of", path)?;
    let mode = Mode::from_raw_mode(like.st_mode & 0o7777);
    rustix::fs::fchmod(&volume, mode).doing("change the mode of", path)
}

impl Engine {
    /// What is at `path`: the container's own view, volumes included.
    ///
    /// # Errors
    /// No such container or file.
    pub fn archive_stat(&self, reference: &str, path: &str) -> Result<PathStat, Error> {
        let cell = self.0.find(reference)?;
        let root = self.0.view(&cell)?;
        let stat = snapshot::stat(root.as_fd(), path).map_err(|e| no_file(e, path, reference))?;
        Ok(stat.into())
    }

    /// Reads `path` and all below it.
    ///
    /// # Errors
    /// No such container or file.
    pub fn archive_get(&self, reference: &str, path: &str) -> Result<Archive, Error> {
        let cell = self.0.find(reference)?;
        let container = cell.now();
        let ids = container.ids();
        let root = self.0.view(&cell)?;
        let stat = snapshot::stat(root.as_fd(), path).map_err(|e| no_file(e, path, reference))?;
        let path = path.to_owned();
        self.0.journal.container(&container, "archive-path", &[]);
        Ok(Archive::new(Some(stat.into()), move |out| {
            Ok(snapshot::get(root.as_fd(), &path, ids, out)?)
        }))
    }

    /// Unpacks a tar stream (gzip, zstd or plain) into the directory `path`.
    ///
    /// # Errors
    /// No such container or directory; a hostile archive; read-only.
    pub fn archive_put(
        &self,
        reference: &str,
        path: &str,
        options: PutOptions,
        input: &mut dyn Read,
    ) -> Result<(), Error> {
        let cell = self.0.find(reference)?;
        let container = cell.now();
        let read_only = container.mounts.iter().filter(|mount| !mount.rw);
        let within = |dir: &str| path == dir || path.starts_with(&format!("{dir}/"));
        if read_only.clone().any(|mount| within(&mount.destination)) {
            return Err(Error::Forbidden("mounted volume is marked read-only".into()));
        }
        if container.host.readonly_rootfs
            && !container.mounts.iter().any(|mount| within(&mount.destination))
        {
            return Err(Error::Forbidden("container rootfs is marked read-only".into()));
        }
        let root = self.0.view(&cell)?;
        let own = || crate::start::user_in(root.as_fd(), &container.config.user, None);
        let owner = if options.copy_uid_gid { Some(own()?) } else { None };
        let options = snapshot::PutOptions {
            no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
            owner: owner.map(|user| (user.uid, user.gid)),
            whole: false,
        };
        let ids = container.ids();
        let wish = unpacker::Put { root: root.as_fd(), path, ids, options };
        self.0.images.workers().put(&wish, input).map_err(|e| match e {
            unpacker::Error::Archive(error) => no_file(error, path, reference),
            error => error.into(),
        })?;
        self.0.journal.container(&container, "extract-to-dir", &[("path", path.to_owned())]);
        Ok(())
    }

    /// The whole root file system, without volumes.
    ///
    /// # Errors
    /// No such container.
    pub fn export(&self, reference: &str) -> Result<Archive, Error> {
        let container = self.container(reference)?;
        let root = self.0.mount(&container)?;
        let ids = container.ids();
        self.0.journal.container(&container, "export", &[]);
        Ok(Archive::new(None, move |out| Ok(snapshot::export(root.as_fd(), ids, out)?)))
    }

    /// What it changed against its image.
    ///
    /// # Errors
    /// No such container.
    pub fn changes(&self, reference: &str) -> Result<Vec<Change>, Error> {
        let container: Arc<Container> = self.container(reference)?;
        let changes = self.0.root(&container)?.changes(&self.0.layers(&container)?)?;
        let change = |change: snapshot::Change| Change {
            path: change.path.to_string_lossy().into_owned(),
            kind: match change.kind {
                snapshot::ChangeKind::Modified => ChangeKind::Modified,
                snapshot::ChangeKind::Added => ChangeKind::Added,
                snapshot::ChangeKind::Deleted => ChangeKind::Deleted,
            },
        };
        Ok(changes.into_iter().map(change).collect())
    }
}

fn no_file(error: snapshot::Error, path: &str, container: &str) -> Error {
    match error.kind() {
        snapshot::Kind::NotFound => {
            Error::NoFile { path: path.to_owned(), container: container.to_owned() }
        }
        _ => error.into(),
    }
}
