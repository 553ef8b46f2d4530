//! What the daemon has done by processes.

use crate::{
    Begins, Error, Forms, Inflated,
    codec::{self, MAGIC},
    error::Doing as _,
    held::Held,
    process::Order,
    recipe,
    ring::{self, Filling},
    start::{Worker, large},
};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};
use snapshot::{IdRange, LAYER_ROOT, LAYER_SPARE, PutOptions, Tree, Unpacked};
use std::{
    fs::File,
    io::{self, Read, Seek as _, Write},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

/// Of a layer's directory, the part that the process sees.
const INSIDE: &str = "inside";

/// Who has archives taken apart by processes.
#[derive(Clone, Debug)]
pub struct Workers {
    program: PathBuf,
    user: String,
    /// Said for those who look at the list of processes.
    whose: String,
}

/// What is to be put where.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// The root of a tree, which becomes all that there is for the process.
    pub root: BorrowedFd<'a>,
    /// The directory in it.
    pub path: &'a str,
    /// Of the tree's owner.
    pub ids: IdRange,
    /// How.
    pub options: PutOptions,
}

impl Workers {
    /// Nothing is started yet. `program` is the daemon's, or another whose
    /// `unpacker` leads to [`main`](crate::main); `user` an id that nobody else
    /// has; `whose` the data root.
    pub fn new(program: impl Into<PathBuf>, user: u32, whose: &Path) -> Self {
        let whose = whose.display().to_string();
        Self { program: program.into(), user: user.to_string(), whose }
    }

    /// Hands a stream over as it is without its compression, which is undone
    /// by a process. What is not compressed is handed over as it is. What is
    /// wrong with it is told when the stream goes on, or ends.
    ///
    /// # Errors
    /// What `then` said; what the source said; a stream of another form.
    pub fn plain<T: Send, E: From<Error> + Send>(
        &self,
        from: &mut dyn Read,
        forms: Forms,
        then: impl FnOnce(&mut dyn Read) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        let (start, begins) = beginning(from).map_err(Error::Input)?;
        let mut from = start.chain(from);
        if begins == Begins::Other {
            return then(&mut from);
        }
        forms.check(begins).map_err(Error::Input)?;
        let (its_end, mut feed) = ring::to_process()?;
        let mut plain = self.inflate(its_end, false)?;
        let killer = plain.killer()?;
        let fed = plain.fed();
        std::thread::scope(|scope| {
            // Dropped at its end, so that nobody feeds what nobody reads.
            let using = scope.spawn(move || {
                let used = then(&mut plain);
                drop(plain);
                used
            });
            let source = feed.fill(&mut from);
            if source.is_err() {
                // Before its input ends: what is cut short is no whole stream.
                killer.kill();
            }
            fed.store(true, Ordering::SeqCst);
            drop(feed);
            let used = using.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            source.map_err(Error::of_stream)?;
            used
        })
    }

    /// What a file is without its compression.
    ///
    /// # Errors
    /// What the host said.
    pub fn inflated(&self, file: File) -> Result<Inflated, Error> {
        self.inflate(file.into(), true)
    }

    /// `fed`: nothing more comes into the input than is there.
    fn inflate(&self, input: OwnedFd, fed: bool) -> Result<Inflated, Error> {
        let (its_end, plain) = ring::from_process()?;
        let worker = self.start("inflate", input, its_end)?;
        Ok(Inflated::new(plain, worker, Arc::new(fed.into())))
    }

    /// Whether a file begins as a tar does, compressed or not. It is at its
    /// beginning after.
    ///
    /// # Errors
    /// What the host said.
    pub fn is_archive(&self, file: &mut File) -> Result<bool, Error> {
        file.rewind().map_err(Error::Input)?;
        let mut block = [0; 512];
        let mut have = fill(file, &mut block).map_err(Error::Input)?;
        let begins = Begins::with(&block[..have]);
        file.rewind().map_err(Error::Input)?;
        if begins != Begins::Other {
            let its_own = file.try_clone().map_err(Error::Input)?;
            let mut plain = self.inflated(its_own)?;
            let filled = fill(&mut plain, &mut block);
            // It has the same place in the file as we.
            drop(plain);
            file.rewind().map_err(Error::Input)?;
            have = match filled.map_err(Error::of_stream) {
                Ok(have) => have,
                // It begins as if it were compressed, and is not.
                Err(Error::Input(_)) => return Ok(false),
                Err(lost) => return Err(lost),
            };
        }
        Ok(have == block.len() && codec::is_header(&block))
    }

    /// Has the layer of the directory `dir` unpacked, which is there and
    /// empty: what is written to it is the layer's plain tar.
    ///
    /// # Errors
    /// What the host said.
    pub fn layer(&self, dir: &Path) -> Result<Layer, Error> {
        let inside = dir.join(INSIDE);
        rustix::fs::mkdir(&inside, Mode::RWXU).doing("make the directory of a layer")?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&inside, flags, Mode::empty()).doing("open a layer")?;
        let cloned = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(&opened, "", cloned).doing("clone the mount of a layer")?;
        // It makes nodes of devices, and must not get at a device by one.
        let set = sys::mount::NODEV | sys::mount::NOSUID | sys::mount::NOEXEC;
        let change = sys::mount::Change { set, ..sys::mount::Change::default() };
        sys::mount::change(tree.as_fd(), false, &change).doing("close the mount of a layer")?;
        let (its_end, feed) = ring::to_process()?;
        let worker = self.start("layer", its_end, tree)?;
        Ok(Layer { worker, feed, dir: dir.to_owned(), refused: false })
    }

    /// Unpacks a stream, compressed or not, into a directory of a tree. What
    /// is wrong with it is told when the stream goes on, or ends.
    ///
    /// # Errors
    /// [`snapshot::Error::NotFound`], a hostile archive; what the host said.
    pub fn put(&self, wish: &Put<'_>, from: &mut dyn Read) -> Result<(), Error> {
        let (start, begins) = beginning(from).map_err(Error::Input)?;
        let mut from = start.chain(from);
        let (mut its_end, mut feed) = ring::to_process()?;
        let mut inflating = None;
        if begins != Begins::Other {
            let (plain, out) = large()?;
            inflating = Some(self.start("inflate", its_end, out)?);
            its_end = plain;
        }
        // A namespace of this map alone: what the process may do is what the
        // container's root may do to files, and nothing else of the container
        // is in its reach.
        let within = if wish.ids.is_host() {
            None
        } else {
            let [users, groups] = wish.ids.maps();
            Some(sys::userns::new(&users, &groups).doing("make an id map")?)
        };
        let held = within.as_ref().map(|within| Held::of(within.as_fd())).transpose();
        let held = held.doing("look at an id map")?;
        let ids = if held.is_some() { IdRange { base: 0, ..wish.ids } } else { wish.ids };
        let path = wish.path.into();
        let order = Order { path, ids, within: held, options: wish.options };
        let order = serde_json::to_string(&order).map_err(io::Error::from);
        let order = order.doing("say what is wanted")?;
        let root = wish.root.try_clone_to_owned().doing("duplicate the root")?;
        let mut putting = self.start_with("files", Some(&order), its_end, root)?;
        if let Err(e) = feed.fill(&mut from) {
            // Before its input ends, which would be taken for the archive's.
            drop(putting);
            return Err(Error::of_stream(e));
        }
        drop(feed);
        let put = putting.outcome();
        let inflated = inflating.as_mut().map_or(Ok(()), |worker| worker.outcome().map(drop));
        match (inflated, put) {
            // Each fails when the other gives up: tell the cause.
            (Err(Error::Input(e)), put) if e.kind() == io::ErrorKind::BrokenPipe => put,
            (Err(cause), _) => Err(cause),
            (Ok(()), put) => put,
        }
        .and_then(|(_, left)| Ok(snapshot::settle(wish.root, &left, Tree::Container(wish.ids))?))
    }

    fn start(&self, what: &str, input: OwnedFd, output: OwnedFd) -> Result<Worker, Error> {
        self.start_with(what, None, input, output)
    }

    fn start_with(
        &self,
        what: &str,
        order: Option<&str>,
        input: OwnedFd,
        output: OwnedFd,
    ) -> Result<Worker, Error> {
        let words = [what, &self.user].into_iter().chain(order).chain([&*self.whose]);
        Worker::start(&self.program, words, input, output)
    }
}

/// A layer that is being unpacked. Dropped before it is finished it is given
/// up, and its process is killed.
#[derive(Debug)]
pub struct Layer {
    worker: Worker,
    feed: Filling<OwnedFd>,
    dir: PathBuf,
    /// It took no more.
    refused: bool,
}

impl Layer {
    /// All of the tar was written: waits for its end, and puts what was made
    /// in its place in the layer's directory.
    ///
    /// # Errors
    /// The archive is broken, hostile or too big; what the host said.
    pub fn finish(self) -> Result<Unpacked, Error> {
        let Self { mut worker, mut feed, dir, refused } = self;
        let refused = match feed.end() {
            Ok(()) => refused,
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => true,
            Err(e) => return Err(Error::of_stream(e)),
        };
        drop(feed);
        let (unpacked, left) = worker.outcome()?;
        if refused {
            return Err(has_refused());
        }
        // Nobody is in there any more.
        drop(worker);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |path: &Path| rustix::fs::open(path, flags, Mode::empty());
        let outside = open(&dir).doing("open the directory of a layer")?;
        let inside = open(&dir.join(INSIDE)).doing("open what was unpacked")?;
        take_out(&inside, &outside, LAYER_ROOT, FileType::Directory)?;
        take_out(&inside, &outside, recipe::NAME, FileType::RegularFile)?;
        match take_out(&inside, &outside, LAYER_SPARE, FileType::Directory) {
            Err(Error::Host(_, e)) if e.kind() == io::ErrorKind::NotFound => {}
            taken => taken?,
        }
        match rustix::fs::unlinkat(&outside, INSIDE, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                return Err(Error::Lost("has left what is no part of a layer".into()));
            }
            removed => removed.doing("remove the directory of a layer")?,
        }
        if !left.is_empty() {
            let root = open(&dir.join(LAYER_ROOT)).doing("open what was unpacked")?;
            snapshot::settle(root.as_fd(), &left, Tree::Layer)?;
        }
        Ok(unpacked)
    }

    /// Gives it up. Where its process had already taken no more, that knows
    /// why.
    #[must_use]
    pub fn given_up(self) -> Option<Error> {
        let Self { mut worker, feed, refused, .. } = self;
        drop(feed);
        refused.then(|| match worker.outcome() {
            Err(error) => error,
            Ok(_) => has_refused(),
        })
    }

    /// Where the next bytes of the tar go: waits until there is room. What is
    /// there nobody but the caller can change.
    ///
    /// # Errors
    /// `BrokenPipe`: it takes no more.
    pub fn room(&mut self) -> io::Result<&mut [u8]> {
        match self.feed.room() {
            Err(e) => {
                self.refused |= e.kind() == io::ErrorKind::BrokenPipe;
                Err(e)
            }
            room => room,
        }
    }

    /// So many of them are there.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub fn filled(&mut self, len: usize) -> io::Result<()> {
        let filled = self.feed.filled(len);
        self.refused |= matches!(&filled, Err(e) if e.kind() == io::ErrorKind::BrokenPipe);
        filled
    }
}

fn has_refused() -> Error {
    Error::Lost("has not taken in all of it".into())
}

impl Write for Layer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.room()?;
        let len = bytes.len().min(room.len());
        room[..len].copy_from_slice(&bytes[..len]);
        self.filled(len)?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Moves one of the things that a layer has of the given kind.
fn take_out(inside: &OwnedFd, outside: &OwnedFd, name: &str, kind: FileType) -> Result<(), Error> {
    let stat = rustix::fs::statat(inside, name, AtFlags::SYMLINK_NOFOLLOW);
    let stat = stat.doing("look at what was unpacked")?;
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(Error::Lost(format!("has made of {name} what it must not be")));
    }
    rustix::fs::renameat(inside, name, outside, name).doing("put what was unpacked in its place")
}

/// The first bytes of a stream, and what they say.
fn beginning(from: &mut dyn Read) -> io::Result<(io::Cursor<Vec<u8>>, Begins)> {
    let mut start = vec![0; MAGIC];
    let len = fill(from, &mut start)?;
    start.truncate(len);
    let begins = Begins::with(&start);
    Ok((io::Cursor::new(start), begins))
}

fn fill(from: &mut dyn Read, into: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < into.len() {
        match from.read(&mut into[have..]) {
            Ok(0) => break,
            Ok(len) => have += len,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(have)
}
