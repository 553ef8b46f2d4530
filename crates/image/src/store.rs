//! The store: all images of one data root.

use crate::{Deleted, Detail, Error, HistoryItem, Pruned, Summary};
use spec::{Digest, Reference, docker, image::Platform};
use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// What an imported root file system becomes.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// Its name, if it is to have one.
    pub reference: Option<Reference>,
    /// For people.
    pub message: String,
    /// Dockerfile instructions (`CMD …`, `ENV …`).
    pub changes: Vec<String>,
    /// The host's if none.
    pub platform: Option<Platform>,
}

/// What a container's changes become.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Its name, if it is to have one.
    pub reference: Option<Reference>,
    /// For people.
    pub comment: String,
    /// For people.
    pub author: String,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// What a container of it gets: the container's own configuration, with
    /// what the client laid over it.
    pub config: docker::Config,
    /// The container's id.
    pub container: String,
}

/// What images take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Bytes of all layers, each counted once.
    pub layers: u64,
    /// Every image, and how many of its bytes it shares with others.
    pub images: Vec<(Summary, u64)>,
}

/// All images of one data root. Threads may share it.
pub struct Store {
    data: PathBuf,
}

impl Store {
    /// Opens `DATA/{blobs,layers}` and the records in `DATA/state.db`, and
    /// sweeps what a crash left. One process at a time.
    ///
    /// # Errors
    /// What the host or the data base said.
    pub fn open(data: &Path) -> Result<Self, Error> {
        todo!()
    }

    /// All images, newest first; `all` shows those without name that others
    /// were made from, too.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn list(&self, all: bool) -> Result<Vec<Summary>, Error> {
        todo!()
    }

    /// Finds an image by name, `name@digest`, id, or a prefix of its id.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Ambiguous`].
    pub fn lookup(&self, text: &str) -> Result<Digest, Error> {
        todo!()
    }

    /// Everything about one image.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn inspect(&self, id: &Digest) -> Result<Detail, Error> {
        todo!()
    }

    /// How it came about, newest first.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn history(&self, id: &Digest) -> Result<Vec<HistoryItem>, Error> {
        todo!()
    }

    /// The directories of its layers, lowest first, for
    /// [`snapshot::Root::mount`].
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn layers(&self, id: &Digest) -> Result<Vec<PathBuf>, Error> {
        todo!()
    }

    /// Makes an image of a root file system's tar (gzip, zstd or plain).
    ///
    /// # Errors
    /// A hostile or broken archive; a malformed change.
    pub fn import(&self, wish: &Import, tar: &mut dyn Read) -> Result<Digest, Error> {
        todo!()
    }

    /// Takes in a docker-archive or an OCI layout (gzip, zstd or plain);
    /// calls `said` with Docker's lines (`Loaded image: alpine:3.10`).
    ///
    /// # Errors
    /// A hostile or broken archive; nothing of it stays.
    pub fn load(&self, from: &mut dyn Read, said: &mut dyn FnMut(&str)) -> Result<(), Error> {
        todo!()
    }

    /// Writes images, and the names they were asked for by, as one tar that
    /// is a docker-archive and an OCI layout at once.
    ///
    /// # Errors
    /// [`Error::Missing`], before anything is written; later what the host
    /// or the receiver said.
    pub fn save(&self, references: &[String], out: &mut dyn Write) -> Result<(), Error> {
        todo!()
    }

    /// Makes an image of what a container changed against `parent` (none for
    /// a container without image).
    ///
    /// # Errors
    /// A malformed change; what the host said.
    pub fn commit(
        &self,
        parent: Option<&Digest>,
        root: &snapshot::Root,
        wish: &Commit,
    ) -> Result<Digest, Error> {
        todo!()
    }

    /// The image `name` of one static program at `/program`, made if it is
    /// not there or was made of other bytes.
    ///
    /// # Errors
    /// What the host said.
    pub fn builtin(&self, name: &str, program: &[u8]) -> Result<Digest, Error> {
        todo!()
    }

    /// Gives an image one more name (taking it from another).
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn tag(&self, id: &Digest, name: &Reference) -> Result<(), Error> {
        todo!()
    }

    /// Takes a name away, and the image with its last. `users` gives each
    /// container of an image: its id, and whether it runs.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Conflict`] by Docker's rules.
    pub fn remove(
        &self,
        text: &str,
        force: bool,
        prune: bool,
        users: &dyn Fn(&Digest) -> Vec<(String, bool)>,
    ) -> Result<Vec<Deleted>, Error> {
        todo!()
    }

    /// Removes the images that `go` says may go, and that neither a container
    /// (`users`) nor another image needs.
    ///
    /// # Errors
    /// The records or files cannot be written.
    pub fn prune(
        &self,
        go: &dyn Fn(&Summary) -> bool,
        users: &dyn Fn(&Digest) -> Vec<(String, bool)>,
    ) -> Result<Pruned, Error> {
        todo!()
    }

    /// What everything takes.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn usage(&self) -> Result<Usage, Error> {
        todo!()
    }
}
