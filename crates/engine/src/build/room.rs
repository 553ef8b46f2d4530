//! Where one build keeps what it works on.
//!
//! ```text
//!   DATA/build/rooms/<id>/context    the context
//!                        /mounts/N   what a RUN sees for its time
//!                        /containers/N  the root that a COPY writes to
//!   DATA/build/contexts/…            contexts that stay: `kept`
//!   DATA/build/mounts/<hex>          cache mounts, which stay
//!   DATA/build/used/<hex>            when each served last
//!   RUN/build/<id>/N                 secrets and sockets: never on a disk
//! ```
//!
//! A room goes when it is dropped, or by the sweep of the next start.

use super::{
    error::BuildError,
    kept::{self, Kept},
    wish::SecretOf,
};
use crate::{Engine, Error, error::Doing, house::House};
use rustix::fs::{Mode, OFlags};
use std::{
    fs,
    io::Read,
    os::{fd::AsFd as _, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use unpacker::{Put, Workers};

/// The longest Dockerfile.
const LONGEST: u64 = 4 << 20;

/// One build's place. Removed when dropped.
#[derive(Debug)]
pub struct BuildRoom {
    dir: PathBuf,
    secret: PathBuf,
    next: AtomicU64,
    /// A context that stays.
    kept: Option<Kept>,
    /// Who unpacks contexts.
    workers: Workers,
}

impl Engine {
    /// A new room.
    ///
    /// # Errors
    /// What the host said.
    pub fn build_room(&self) -> Result<BuildRoom, Error> {
        self.0.room()
    }

    /// A new room, with the context that an earlier build of the same key
    /// had, unless another build has that just now. `key` is the client's own
    /// name for the directory.
    ///
    /// # Errors
    /// What the host said.
    pub fn build_room_of(&self, key: &str) -> Result<BuildRoom, Error> {
        let mut room = self.0.room()?;
        room.kept = self.0.keep_context(&build::key(&["context", key]))?;
        Ok(room)
    }
}

impl House {
    pub(super) fn room(&self) -> Result<BuildRoom, Error> {
        let id = crate::random::id();
        let dir = self.paths.data.join("build/rooms").join(id.as_str());
        let secret = self.paths.run.join("build").join(id.as_str());
        let workers = self.images.workers().clone();
        let room = BuildRoom { dir, secret, next: AtomicU64::new(0), kept: None, workers };
        make(&room.dir.join("context"))?;
        make(&room.secret)?;
        Ok(room)
    }
}

/// Removes the rooms of builds that a crash has ended, and what builds of
/// another boot have kept.
pub(crate) fn sweep(data: &Path, run: &Path, boot: &str) -> Result<(), Error> {
    snapshot::remove(&data.join("build/rooms"))?;
    kept::sweep(data, boot)?;
    snapshot::remove(&run.join("build"))?;
    Ok(())
}

pub(super) fn make(dir: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).doing("create", dir)
}

impl BuildRoom {
    /// The directory for the context.
    pub fn context(&self) -> PathBuf {
        match &self.kept {
            Some(kept) => kept.dir.clone(),
            None => self.dir.join("context"),
        }
    }

    /// Digests of its files, as far as they were read before.
    pub(super) fn known(&self) -> Arc<build::Known> {
        self.kept.as_ref().map(|kept| Arc::clone(&kept.known)).unwrap_or_default()
    }

    /// Where roots are made that no program runs in.
    pub(super) fn roots(&self) -> &Path {
        &self.dir
    }

    /// Unpacks the tar of a context.
    ///
    /// # Errors
    /// A hostile or broken archive; what the host said.
    pub fn unpack(&self, input: &mut dyn Read) -> Result<(), Error> {
        let path = self.context();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&path, flags, Mode::empty()).doing("open", &path)?;
        let options = snapshot::PutOptions::default();
        let ids = snapshot::IdRange::HOST;
        let wish = Put { root: dir.as_fd(), path: "/", ids, options };
        Ok(self.workers.put(&wish, input)?)
    }

    /// A text file of the context; none if there is no such file.
    ///
    /// # Errors
    /// It is no text, or too long; what the host said.
    pub fn text(&self, path: &str) -> Result<Option<String>, BuildError> {
        let tree = super::job::tree(&self.context())?;
        let found = match tree.find(path) {
            Err(build::Error::Missing(_)) => return Ok(None),
            found => found?,
        };
        if !found.is_file() {
            return Err(BuildError::invalid(format!("{path} is no regular file")));
        }
        let mut text = Vec::new();
        found.open()?.take(LONGEST + 1).read_to_end(&mut text).doing("read", path)?;
        if text.len() as u64 > LONGEST {
            return Err(BuildError::invalid(format!("{path} is larger than {LONGEST} bytes")));
        }
        String::from_utf8(text)
            .map(Some)
            .map_err(|_| BuildError::invalid(format!("{path} is not UTF-8 text")))
    }

    /// Takes files of the context away that its `.dockerignore` names: the
    /// Dockerfile and itself, which clients send all the same.
    ///
    /// # Errors
    /// A pattern that is none; what the host said.
    pub fn ignore(&self, dockerfile: &str) -> Result<(), BuildError> {
        let Some(text) = self.text(".dockerignore")? else { return Ok(()) };
        let ignore = dockerfile::Ignore::parse(&text)
            .map_err(|e| BuildError::invalid(format!("error reading .dockerignore: {e}")))?;
        let path = self.context();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty()).doing("open", &path)?;
        for name in [".dockerignore", dockerfile] {
            let name = build::clean(name);
            if !ignore.matches(&name) {
                continue;
            }
            let within = rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_SYMLINKS;
            let (parent, last) = name.rsplit_once('/').unwrap_or((".", &name));
            let Ok(dir) = rustix::fs::openat2(&root, parent, flags, Mode::empty(), within) else {
                continue;
            };
            match rustix::fs::unlinkat(&dir, last, rustix::fs::AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error).doing("remove", &name).map_err(BuildError::from),
            }
        }
        Ok(())
    }

    /// Fetches a context: a git repository, an archive, or a Dockerfile
    /// alone, whose text is then given. `secret` gives what the client keeps
    /// by a name, for who is asked who it is.
    ///
    /// # Errors
    /// It is not to be had, or hostile.
    pub fn fetch(
        &self,
        remote: &str,
        secret: SecretOf<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<String>, BuildError> {
        let place = self.place()?;
        if super::fetch::is_repository(remote) {
            let (bare, reference, subdir) = super::fetch::taken_apart(remote);
            super::fetch::Git { secret, stop }.repository(bare, reference, &place)?;
            let tree = super::job::tree(&place)?;
            let found = tree.find(subdir)?;
            let to = super::job::tree(&self.context())?;
            build::Target::new(to.root()).copy(&found, "/", &build::Manner::default())?;
            return Ok(None);
        }
        if !super::fetch::is_address(remote) {
            return Err(BuildError::invalid(format!(
                "{remote:?} is neither a git repository nor an http(s) address"
            )));
        }
        let mut file = fs::File::create_new(&place).doing("create", &place)?;
        registry::download(remote, &mut file, stop).map_err(Error::from)?;
        let mut file = fs::File::open(&place).doing("open", &place)?;
        let archive = self.workers.is_archive(&mut file)?;
        if archive {
            self.unpack(&mut file)?;
            return Ok(None);
        }
        let mut text = String::new();
        let read = file.take(LONGEST).read_to_string(&mut text);
        read.map_err(|_| BuildError::invalid(format!("{remote} is neither an archive nor text")))?;
        Ok(Some(text))
    }

    /// A path of its own for what a step mounts; nothing is there yet.
    pub(super) fn place(&self) -> Result<PathBuf, Error> {
        let dir = self.dir.join("mounts");
        make(&dir)?;
        Ok(dir.join(self.next.fetch_add(1, Ordering::Relaxed).to_string()))
    }

    /// The same in memory.
    pub(super) fn secret_place(&self) -> PathBuf {
        self.secret.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Drop for BuildRoom {
    fn drop(&mut self) {
        for dir in [&self.dir, &self.secret] {
            if let Err(error) = snapshot::remove(dir) {
                tracing::warn!(dir = %dir.display(), %error, "cannot remove a build's files");
            }
        }
    }
}
