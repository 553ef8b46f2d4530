//! Unpacks an archive into a tree: a layer into its directory, or the files
//! of `cp` into a container.
//!
//! What a layer says is done in its order, as if applied to an empty tree:
//! a later entry replaces an earlier one of the same name. A whiteout speaks
//! of lower layers only; a directory that takes the place of something else
//! is opaque. Times of directories are set last.

use crate::{
    Error, IdRange, Limits,
    entry::{Entry, EntryKind},
    error::Doing,
    left::Left,
    node::node_mode,
    place::{Name, Place},
    reader::Reader,
    recipe::Recipe,
    tree,
    whiteout::{Hidden, whiteout},
    xattrs::{self, Fate},
};
use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{BufRead, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
    rc::Rc,
};

/// The files of a layer, in its directory.
pub const ROOT: &str = "root";
/// What a later entry of the same name replaced, in the layer's directory.
pub const SPARE: &str = "spare";

/// The access that files get which are made in a directory.
const INHERITED: &str = "system.posix_acl_default";

/// What a layer held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// Members of the archive.
    pub entries: u64,
    /// Bytes of its files, holes counted.
    pub bytes: u64,
}

/// How an archive's files come to lie in the tree.
pub(crate) struct Rules {
    /// Whiteouts mean something; replaced content is kept for the recipe.
    pub layer: Option<PathBuf>,
    /// Range of the tree's owner.
    pub ids: IdRange,
    /// Owner of everything, in place of what the archive says.
    pub owner: Option<(u32, u32)>,
    /// Refuse to put a directory in a file's place, and the reverse.
    pub no_overwrite_dir_non_dir: bool,
    /// What the archive says of `./` is the directory's own, as in a layer.
    pub whole: bool,
}

/// Unpacks a layer's tar into `dir`, which is made; writes its recipe.
///
/// Nothing outside of `dir` is touched, whatever the archive holds. After an
/// error `dir` is left as it came to be: the caller removes it. Nothing is
/// flushed to the disk here.
///
/// # Errors
/// The archive is broken, hostile or too big; or what the host said.
pub fn unpack(
    from: &mut dyn BufRead,
    dir: &Path,
    limits: Limits,
    recipe: &mut dyn Write,
) -> Result<Unpacked, Error> {
    fs::mkdir(dir, Mode::RWXU).doing("make the directory", dir)?;
    Ok(unpack_layer(from, dir, limits, recipe, false)?.0)
}

/// The same in a process that may only handle files: `dir` is there, and empty.
/// What only the administrator may set is left to be set by
/// [`settle`](crate::settle), once the process has ended.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_leaving(
    from: &mut dyn BufRead,
    dir: &Path,
    limits: Limits,
    recipe: &mut dyn Write,
) -> Result<(Unpacked, Vec<Left>), Error> {
    unpack_layer(from, dir, limits, recipe, true)
}

fn unpack_layer(
    from: &mut dyn BufRead,
    dir: &Path,
    limits: Limits,
    recipe: &mut dyn Write,
    leaving: bool,
) -> Result<(Unpacked, Vec<Left>), Error> {
    let root = dir.join(ROOT);
    fs::mkdir(&root, Mode::RWXU).doing("make the directory", &root)?;
    fs::chmod(&root, Mode::from_raw_mode(0o755)).doing("change the mode of", &root)?;
    let root = tree::open_dir(&root).doing("open", &root)?;
    let rules = Rules {
        layer: Some(dir.join(SPARE)),
        ids: IdRange::HOST,
        owner: None,
        no_overwrite_dir_non_dir: false,
        whole: true,
    };
    let reader = Reader::new(from, limits, Recipe::to(recipe));
    let place = Place::layer(root);
    let place = if leaving { place.leaving() } else { place };
    Unpack::new(reader, place, rules).run()
}

/// One archive on its way into one tree.
pub(crate) struct Unpack<'a> {
    reader: Reader<'a>,
    place: Place,
    rules: Rules,
    /// Set when everything is in place.
    times: Vec<(Vec<u8>, (i64, u32))>,
    /// Set then, too: what is made in a directory would inherit them.
    inherited: Vec<(Vec<u8>, Vec<u8>)>,
    spare: Option<OwnedFd>,
    spares: u64,
}

impl<'a> Unpack<'a> {
    pub fn new(reader: Reader<'a>, place: Place, rules: Rules) -> Self {
        Self {
            reader,
            place,
            rules,
            times: Vec::new(),
            inherited: Vec::new(),
            spare: None,
            spares: 0,
        }
    }

    pub fn run(mut self) -> Result<(Unpacked, Vec<Left>), Error> {
        while let Some(entry) = self.reader.next_entry()? {
            self.entry(&entry)?;
        }
        for (path, value) in std::mem::take(&mut self.inherited) {
            if let Ok(dir) = self.place.dir(&path, false) {
                fs::fsetxattr(&*dir, INHERITED, &value, XattrFlags::empty()).doing(
                    "set an extended attribute of",
                    String::from_utf8_lossy(&path).as_ref(),
                )?;
            }
        }
        // Children before parents: the last named is the deepest of a chain.
        for (path, mtime) in std::mem::take(&mut self.times).into_iter().rev() {
            if let Ok(dir) = self.place.dir(&path, false) {
                fs::futimens(&*dir, &times(mtime))
                    .doing("set the time of", String::from_utf8_lossy(&path).as_ref())?;
            }
        }
        let (entries, bytes) = self.reader.counts();
        self.reader.finish()?;
        Ok((Unpacked { entries, bytes }, self.place.left()))
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let refuse = |reason: &str| Error::Refused { entry: entry.name(), reason: reason.into() };
        let name = Name::parse(&entry.path).map_err(refuse)?;
        if name.is_root() {
            if entry.kind != EntryKind::Dir {
                return Err(refuse("it would take the root's place"));
            }
            return if self.rules.whole { self.root(entry) } else { Ok(()) };
        }
        if self.rules.layer.is_some() {
            if let Some(hidden) = whiteout(&name).map_err(refuse)? {
                if entry.size > 0 {
                    return Err(refuse("it is a whiteout and has content"));
                }
                return self.whiteout(&name, &hidden);
            }
            if entry.kind == EntryKind::Char && entry.device == (0, 0) {
                return self.hide(&name.dir, &name.last);
            }
        } else if matches!(entry.kind, EntryKind::Char | EntryKind::Block) {
            return Err(refuse("devices are not copied into a container"));
        }
        let parent = self.place.dir(&name.dir, true)?;
        match entry.kind {
            EntryKind::Dir => self.directory(entry, &name, &parent),
            EntryKind::HardLink => self.hard_link(entry, &name, &parent),
            EntryKind::File => self.file(entry, &name, &parent),
            EntryKind::Symlink => {
                self.clear(&name, &parent, false)?;
                if entry.link.is_empty() {
                    return Err(refuse("it is a link to nothing"));
                }
                fs::symlinkat(&entry.link[..], &*parent, &name.last[..])
                    .doing("make the link", entry.name())?;
                self.finish(entry, &name, &parent)
            }
            EntryKind::Char | EntryKind::Block | EntryKind::Fifo => {
                self.clear(&name, &parent, false)?;
                let kind = match entry.kind {
                    EntryKind::Char => FileType::CharacterDevice,
                    EntryKind::Block => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let device = fs::makedev(entry.device.0, entry.device.1);
                fs::mknodat(&*parent, &name.last[..], kind, Mode::RUSR, device)
                    .doing("make the node", entry.name())?;
                self.finish(entry, &name, &parent)
            }
        }
    }

    /// The archive's `./`: what the tree's own directory is to be like.
    fn root(&mut self, entry: &Entry) -> Result<(), Error> {
        let dir = self.place.dir(b"", false)?;
        self.attributes(entry, &dir, b"")?;
        self.inherit(Vec::new(), entry);
        self.times.push((Vec::new(), entry.mtime));
        Ok(())
    }

    fn directory(&mut self, entry: &Entry, name: &Name, parent: &Rc<OwnedFd>) -> Result<(), Error> {
        let replaced = self.clear(name, parent, true)?;
        match fs::mkdirat(&**parent, &name.last[..], Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e).doing("make the directory", entry.name()),
        }
        let path = name.whole();
        // Not through the place: in a container, a link may have come.
        let dir = tree::open_dir_at(parent.as_fd(), &name.last).doing("open", entry.name())?;
        if replaced && self.rules.layer.is_some() {
            self.place.make_opaque(&dir, &path)?;
        }
        self.attributes(entry, &dir, &path)?;
        self.inherit(path.clone(), entry);
        self.times.push((path, entry.mtime));
        Ok(())
    }

    fn file(&mut self, entry: &Entry, name: &Name, parent: &OwnedFd) -> Result<(), Error> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Nobody else sees a layer that is being made: its files may be born
        // with what they are to have. Most are.
        let mode = match self.rules.layer {
            Some(_) => Mode::from_raw_mode(entry.mode & 0o777),
            None => Mode::RUSR | Mode::WUSR,
        };
        let open = || fs::openat(parent, &name.last[..], flags, mode);
        let file = match open() {
            Err(Errno::EXIST) => {
                self.clear(name, parent, false)?;
                open()
            }
            opened => opened,
        };
        let file = file.map(File::from).doing("make the file", entry.name())?;
        match &entry.sparse {
            None => loop {
                let chunk = self.reader.chunk()?;
                if chunk.is_empty() {
                    break;
                }
                (&file).write_all(chunk).doing("write", entry.name())?;
            },
            Some(map) => {
                let mut extents = map.iter().copied();
                let (mut at, mut len) = (0, 0);
                loop {
                    let mut chunk = self.reader.chunk()?;
                    if chunk.is_empty() {
                        break;
                    }
                    while !chunk.is_empty() {
                        while len == 0 {
                            (at, len) = extents.next().expect("the map was checked");
                        }
                        let part = chunk.len().min(usize::try_from(len).unwrap_or(usize::MAX));
                        file.write_all_at(&chunk[..part], at).doing("write", entry.name())?;
                        chunk = &chunk[part..];
                        at += part as u64;
                        len -= part as u64;
                    }
                }
                fs::ftruncate(&file, entry.size).doing("set the size of", entry.name())?;
            }
        }
        self.reader.kept_at(&name.whole(), entry)?;
        if !entry.xattrs.is_empty() || !self.was_born_right(entry, &file)? {
            self.attributes(entry, &file, &name.whole())?;
        }
        fs::futimens(&file, &times(entry.mtime)).doing("set the time of", entry.name())
    }

    /// Whether a new file has its owner and mode already: that depends on the
    /// umask, and on the directory's own mode and attributes.
    fn was_born_right(&self, entry: &Entry, file: &File) -> Result<bool, Error> {
        let stat = fs::fstat(file).doing("look at", entry.name())?;
        Ok(self.owner(entry)? == (stat.st_uid, stat.st_gid) && entry.mode == stat.st_mode & 0o7777)
    }

    fn hard_link(&mut self, entry: &Entry, name: &Name, parent: &Rc<OwnedFd>) -> Result<(), Error> {
        let refuse = |reason: String| Error::Refused { entry: entry.name(), reason };
        let link = String::from_utf8_lossy(&entry.link).into_owned();
        let target = Name::parse(&entry.link)
            .map_err(|_| refuse(format!("it is a hard link out of the archive, to {link}")))?;
        if target == *name || target.is_root() {
            return Err(refuse("it is a hard link to itself or to the root".into()));
        }
        let missing = || refuse(format!("it is a hard link to {link}, which is not here"));
        let from = self.place.dir(&target.dir, false).map_err(|e| match e {
            Error::Host { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                missing()
            }
            e => e,
        })?;
        let stat = match tree::stat_at(from.as_fd(), &target.last) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Err(missing()),
            Err(e) => return Err(e).doing("look at", link),
        };
        if tree::kind(&stat) == FileType::Directory {
            return Err(refuse(format!("it is a hard link to the directory {link}")));
        }
        if tree::is_whiteout(&stat) {
            return Err(missing());
        }
        self.clear(name, parent, false)?;
        match fs::linkat(&*from, &target.last[..], &**parent, &name.last[..], AtFlags::empty()) {
            Err(Errno::NOENT) => Err(missing()),
            result => result.doing("link", entry.name()),
        }
    }

    /// A `.wh.` entry: what it hides, or the directory that it makes opaque.
    fn whiteout(&mut self, name: &Name, hidden: &Hidden<'_>) -> Result<(), Error> {
        match hidden {
            Hidden::Name(hidden) => {
                let hidden = hidden.to_vec();
                self.hide(&name.dir, &hidden)
            }
            Hidden::Below => {
                let dir = self.place.dir(&name.dir, true)?;
                self.place.make_opaque(&*dir, &name.dir)
            }
            Hidden::Nothing => Ok(()),
        }
    }

    /// Hides `last` of the lower layers. What this layer has there stays; a
    /// directory of its own no longer shows what is below.
    fn hide(&mut self, dir: &[u8], last: &[u8]) -> Result<(), Error> {
        let parent = self.place.dir(dir, true)?;
        let text = || String::from_utf8_lossy(last).into_owned();
        match tree::stat_at(parent.as_fd(), last) {
            Err(Errno::NOENT) => {
                tree::make_whiteout(parent.as_fd(), last).doing("make the whiteout", text())
            }
            Ok(stat) if tree::kind(&stat) == FileType::Directory => {
                let own = tree::open_dir_at(parent.as_fd(), last).doing("open", text())?;
                let path = Name { dir: dir.to_vec(), last: last.to_vec() }.whole();
                self.place.make_opaque(own, &path)
            }
            Ok(_) => Ok(()),
            Err(e) => Err(e).doing("look at", text()),
        }
    }

    /// Makes way for an entry; true if something other than a directory was
    /// there. A directory stays where `dir` is to come.
    fn clear(&mut self, name: &Name, parent: &OwnedFd, dir: bool) -> Result<bool, Error> {
        let text = || String::from_utf8_lossy(&name.whole()).into_owned();
        let stat = match tree::stat_at(parent.as_fd(), &name.last) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(false),
            Err(e) => return Err(e).doing("look at", text()),
        };
        let is_dir = tree::kind(&stat) == FileType::Directory;
        if is_dir && dir {
            return Ok(false);
        }
        if self.rules.no_overwrite_dir_non_dir && is_dir != dir {
            let (there, new) = if is_dir {
                ("directory", "non-directory")
            } else {
                ("non-directory", "directory")
            };
            return Err(Error::WrongKind(format!(
                "cannot overwrite {there} {:?} with {new}",
                text()
            )));
        }
        if self.rules.layer.is_some() {
            self.save(parent.as_fd(), &name.last, &name.whole(), &stat)?;
        }
        if is_dir {
            self.place.forget();
        }
        tree::remove(parent.as_fd(), &name.last).doing("remove", text())?;
        self.place.gone(&name.whole());
        Ok(!is_dir)
    }

    /// Moves content that the recipe speaks of to a spare place.
    fn save(
        &mut self,
        parent: BorrowedFd<'_>,
        last: &[u8],
        path: &[u8],
        stat: &fs::Stat,
    ) -> Result<(), Error> {
        let text = || String::from_utf8_lossy(path).into_owned();
        match tree::kind(stat) {
            FileType::RegularFile if stat.st_size > 0 => {
                self.spares += 1;
                let number = self.spares;
                let spare = self.spare()?;
                fs::renameat(parent, last, spare, number.to_string()).doing("move", text())?;
                self.reader.moved(path, number)
            }
            FileType::Directory => {
                // As deep as an archive's names may be long: bounded.
                let dir = tree::open_dir_at(parent, last).doing("open", text())?;
                for name in tree::names(&dir).doing("list", text())? {
                    let name = name.to_bytes();
                    let stat = tree::stat_at(dir.as_fd(), name).doing("look at", text())?;
                    self.save(dir.as_fd(), name, &[path, b"/", name].concat(), &stat)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn spare(&mut self) -> Result<&OwnedFd, Error> {
        if self.spare.is_none() {
            let path = self.rules.layer.as_ref().expect("only layers have spares");
            fs::mkdir(path, Mode::RWXU).doing("make the directory", path)?;
            self.spare = Some(tree::open_dir(path).doing("open", path)?);
        }
        Ok(self.spare.as_ref().expect("was just opened"))
    }

    fn inherit(&mut self, path: Vec<u8>, entry: &Entry) {
        let value = entry.xattrs.iter().rfind(|(name, _)| name == INHERITED.as_bytes());
        if let Some((name, value)) = value {
            let value = xattrs::outside(name, value.clone(), self.rules.ids);
            self.inherited.push((path, value));
        }
    }

    fn owner(&self, entry: &Entry) -> Result<(u32, u32), Error> {
        let (uid, gid) = self.rules.owner.unwrap_or((entry.uid, entry.gid));
        match (self.rules.ids.user_outside(uid), self.rules.ids.group_outside(gid)) {
            (Some(uid), Some(gid)) => Ok((uid, gid)),
            _ => Err(Error::Refused {
                entry: entry.name(),
                reason: format!("its owner {uid}:{gid} is beyond the container's ids"),
            }),
        }
    }

    /// Owner, mode and attributes of a file or directory that is open: in
    /// this order, since a change of owner drops rights.
    fn attributes(&mut self, entry: &Entry, file: impl AsFd, path: &[u8]) -> Result<(), Error> {
        let (uid, gid) = self.owner(entry)?;
        fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .doing("change the owner of", entry.name())?;
        fs::fchmod(&file, Mode::from_raw_mode(entry.mode))
            .doing("change the mode of", entry.name())?;
        for (name, value) in &entry.xattrs {
            let later = entry.kind == EntryKind::Dir && name == INHERITED.as_bytes();
            if self.wanted(entry, name, value)? && !later {
                if xattrs::is_for_administrators(name) && self.place.leave(path, name, value)? {
                    continue;
                }
                let value = xattrs::outside(name, value.clone(), self.rules.ids);
                fs::fsetxattr(&file, &name[..], &value, XattrFlags::empty())
                    .doing("set an extended attribute of", entry.name())?;
            }
        }
        Ok(())
    }

    /// The same for what cannot be opened: links and nodes.
    fn finish(&mut self, entry: &Entry, name: &Name, parent: &OwnedFd) -> Result<(), Error> {
        let (uid, gid) = self.owner(entry)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let last = &name.last[..];
        fs::chownat(parent, last, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)
            .doing("change the owner of", entry.name())?;
        if entry.kind != EntryKind::Symlink {
            node_mode(entry, last, parent)?;
        }
        for (key, value) in &entry.xattrs {
            if self.wanted(entry, key, value)? {
                // Users' own attributes are of files and directories alone.
                if self.place.leave(&name.whole(), key, value)? {
                    continue;
                }
                let value = xattrs::outside(key, value.clone(), self.rules.ids);
                let path = tree::by_number(parent.as_fd(), last);
                fs::lsetxattr(path, &key[..], &value, XattrFlags::empty())
                    .doing("set an extended attribute of", entry.name())?;
            }
        }
        fs::utimensat(parent, last, &times(entry.mtime), flags)
            .doing("set the time of", entry.name())
    }

    fn wanted(&self, entry: &Entry, name: &[u8], value: &[u8]) -> Result<bool, Error> {
        let opaque = name == tree::OPAQUE.as_bytes() && value == b"y";
        if opaque && self.rules.layer.is_some() && entry.kind == EntryKind::Dir {
            return Ok(true);
        }
        if name.len() > 255 || name.contains(&0) {
            return Err(Error::Refused {
                entry: entry.name(),
                reason: "an extended attribute's name is malformed".into(),
            });
        }
        match xattrs::fate(name) {
            Fate::Set => Ok(true),
            Fate::Dropped => Ok(false),
            Fate::Refused => Err(Error::Refused {
                entry: entry.name(),
                reason: format!(
                    "its attribute {} is reserved for the engine",
                    String::from_utf8_lossy(name)
                ),
            }),
        }
    }
}

fn times((tv_sec, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}
