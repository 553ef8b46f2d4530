//! Writes a tree as a tar archive: ustar, with PAX headers for what does not
//! fit (long names, big ids, nanoseconds, extended attributes, holes).
//!
//! The tree may be a running container's. Every name is opened without
//! following links and looked at again after; what vanishes or changes its
//! kind meanwhile is left out, and a file that shrinks is filled with zeros.
//!
//! A tree that is to stay where it is gets a recipe along with its archive,
//! as if that had been unpacked: `adopt`.

use crate::{Error, IdRange, entry::Attributes, error::Doing, recipe::Recipe, tree, xattrs};
use rustix::{
    fs::{self, FileType, Mode, OFlags, SeekFrom, Stat},
    io::Errno,
};
use std::{
    collections::HashMap,
    ffi::CString,
    fs::File,
    io::Write,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
};
use tar::{EntryType, Header};

const BLOCK: usize = 512;
/// Largest that the octal fields of a header hold.
const LARGEST_ID: u32 = 0o777_7777;
const LARGEST_SIZE: u64 = 0o777_7777_7777;
/// Most extents of a sparse file that are kept apart.
const EXTENTS: usize = 4096;
/// `XATTR_SIZE_MAX` and `XATTR_LIST_MAX`.
const ATTRIBUTE: usize = 64 << 10;

/// What the name of a whiteout begins with.
const WHITEOUT: &[u8] = b".wh.";

/// For whom the archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// An upper directory becomes a layer: whiteouts are spelt `.wh.`.
    Layer,
    /// Files as a program sees them.
    Files,
}

/// An archive that is being written.
pub(crate) struct Packer<'a> {
    out: &'a mut dyn Write,
    ids: IdRange,
    style: Style,
    /// Where files with several names were written first.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
    recipe: Recipe<'a>,
    pub(crate) packed: Packed,
}

/// What went by, as far as somebody asked for a recipe.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    /// Headers, extensions counted, as a reader of the archive counts them.
    pub entries: u64,
    /// Bytes of files, holes counted.
    pub bytes: u64,
    /// What is in the tree and not in the archive.
    pub more: Vec<More>,
    /// A name that means something else in an archive.
    pub ambiguous: bool,
}

/// Something that an archive of a tree leaves out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// A socket, by its path.
    Socket(Vec<u8>),
    /// An extended attribute: of which path, and its name.
    Attribute(Vec<u8>, Vec<u8>),
}

/// A directory whose names are being written.
struct Level {
    dir: OwnedFd,
    prefix: Vec<u8>,
    names: std::vec::IntoIter<CString>,
}

impl<'a> Packer<'a> {
    pub fn new(out: &'a mut dyn Write, ids: IdRange, style: Style) -> Self {
        Self {
            out,
            ids,
            style,
            links: HashMap::new(),
            buffer: vec![0; 256 << 10],
            recipe: Recipe::none(),
            packed: Packed::default(),
        }
    }

    /// The same, with a recipe.
    pub fn with_recipe(self, recipe: Recipe<'a>) -> Self {
        Self { recipe, ..self }
    }

    /// Two blocks of zeros.
    pub fn finish(mut self) -> Result<Packed, Error> {
        self.write(&[0; 2 * BLOCK])?;
        self.out.flush().map_err(Error::Output)?;
        self.recipe.finish()?;
        Ok(self.packed)
    }

    /// Notes what the archive leaves out, for who asks for a recipe alone.
    fn leave(&mut self, more: impl FnOnce() -> More) {
        if self.recipe.is_wanted() {
            self.packed.more.push(more());
        }
    }

    /// Writes what is no file's content.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(Error::Output)?;
        self.recipe.raw(bytes)
    }

    /// A directory and all below it, as `name`.
    pub fn tree(&mut self, dir: OwnedFd, name: &[u8]) -> Result<(), Error> {
        let prefix = [name, b"/"].concat();
        let stat = fs::fstat(&dir).doing("look at", text(name))?;
        self.directory(&dir, &stat, &prefix)?;
        self.below(dir, prefix)
    }

    /// All that is below a directory, named from there.
    pub fn contents(&mut self, dir: OwnedFd) -> Result<(), Error> {
        self.below(dir, Vec::new())
    }

    fn below(&mut self, dir: OwnedFd, prefix: Vec<u8>) -> Result<(), Error> {
        let mut open = vec![Level { names: list(&dir, &prefix)?, dir, prefix }];
        while let Some(level) = open.last_mut() {
            let Some(name) = level.names.next() else {
                open.pop();
                continue;
            };
            let path = [&level.prefix[..], name.to_bytes()].concat();
            self.packed.ambiguous |= name.to_bytes().starts_with(WHITEOUT);
            let stat = match tree::stat_at(level.dir.as_fd(), name.to_bytes()) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(e) => return Err(e).doing("look at", text(&path)),
            };
            if tree::kind(&stat) == FileType::Directory {
                let child = match tree::open_dir_at(level.dir.as_fd(), name.to_bytes()) {
                    Ok(child) => child,
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                    Err(e) => return Err(e).doing("open", text(&path)),
                };
                let prefix = [&path[..], b"/"].concat();
                self.directory(&child, &stat, &prefix)?;
                if self.style == Style::Layer && tree::is_opaque(&child) {
                    self.opaque(&prefix)?;
                }
                open.push(Level { names: list(&child, &path)?, dir: child, prefix });
            } else {
                // A descriptor of its own: `level` must be free for the next.
                let dir = level.dir.as_fd().try_clone_to_owned().doing("open", text(&path))?;
                self.leaf(dir.as_fd(), name.to_bytes(), &stat, &path)?;
            }
        }
        Ok(())
    }

    /// One file, link or node, as `path`.
    pub fn leaf(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        stat: &Stat,
        path: &[u8],
    ) -> Result<(), Error> {
        if self.style == Style::Layer && tree::is_whiteout(stat) {
            return self.whiteout(path, name);
        }
        let mut member = Member::new(path, stat, self.ids);
        let kind = tree::kind(stat);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                member.kind = EntryType::Link;
                member.link.clone_from(first);
                return self.header(&member);
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.to_vec());
        }
        match kind {
            FileType::RegularFile => return self.file(dir, name, path),
            FileType::Symlink => {
                member.kind = EntryType::Symlink;
                member.link = match fs::readlinkat(dir, name, Vec::new()) {
                    Ok(link) => link.into_bytes(),
                    Err(Errno::NOENT | Errno::INVAL) => return Ok(()),
                    Err(e) => return Err(e).doing("read the link", text(path)),
                };
            }
            FileType::CharacterDevice | FileType::BlockDevice => {
                member.kind =
                    if kind == FileType::BlockDevice { EntryType::Block } else { EntryType::Char };
                member.device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
            }
            FileType::Fifo => member.kind = EntryType::Fifo,
            // A socket means nothing without the process behind it.
            _ => {
                self.leave(|| More::Socket(path.to_vec()));
                return Ok(());
            }
        }
        let by_number = tree::by_number(dir, name);
        member.xattrs = self.attributes(
            path,
            |list| fs::llistxattr(&by_number, list),
            |key, value| fs::lgetxattr(&by_number, key, value),
        )?;
        self.header(&member)
    }

    /// A directory itself, as `path`, which ends with `/`.
    pub fn directory(&mut self, dir: &OwnedFd, stat: &Stat, path: &[u8]) -> Result<(), Error> {
        let mut member = Member::new(path, stat, self.ids);
        member.kind = EntryType::Directory;
        member.xattrs = self.attributes_of(dir, path)?;
        self.header(&member)
    }

    /// What a directory has in lower layers is gone.
    pub fn opaque(&mut self, path: &[u8]) -> Result<(), Error> {
        self.mark(&[path, WHITEOUT, b".wh..opq"].concat())
    }

    /// What lower layers have at `path`, whose last part is `name`, is gone.
    pub fn whiteout(&mut self, path: &[u8], name: &[u8]) -> Result<(), Error> {
        let parent = &path[..path.len() - name.len()];
        self.mark(&[parent, WHITEOUT, name].concat())
    }

    /// An empty file that only its name makes something of.
    fn mark(&mut self, path: &[u8]) -> Result<(), Error> {
        self.header(&Member { path: path.to_vec(), mode: 0o600, ..Member::default() })
    }

    fn file(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<(), Error> {
        // Should a pipe or a device have taken its place: do not wait for it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match fs::openat(dir, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(()),
            Err(e) => return Err(e).doing("open", text(path)),
        };
        let stat = fs::fstat(&file).doing("look at", text(path))?;
        if tree::kind(&stat) != FileType::RegularFile {
            return Ok(());
        }
        let size = stat.st_size.unsigned_abs();
        self.packed.bytes = self.packed.bytes.saturating_add(size);
        let mut member = Member::new(path, &stat, self.ids);
        member.xattrs = self.attributes_of(&file, path)?;
        member.size = size;
        // The unit of `st_blocks`, whatever the file system.
        let has_holes = stat.st_blocks.unsigned_abs() * 512 < size;
        let extents = if has_holes { extents(&file, size) } else { None };
        let Some(extents) = extents else {
            self.header(&member)?;
            self.content(&file, 0, size, path)?;
            return self.pad(size);
        };
        let map = sparse_map(&extents);
        let stored: u64 = extents.iter().map(|(_, len)| len).sum();
        member.size = map.len() as u64 + stored;
        member.holes = Some(size);
        self.header(&member)?;
        self.write(&map)?;
        for (at, len) in &extents {
            self.content(&file, *at, *len, path)?;
        }
        self.pad(stored)
    }

    fn content(
        &mut self,
        file: &File,
        mut at: u64,
        mut len: u64,
        path: &[u8],
    ) -> Result<(), Error> {
        let begin = at;
        while len > 0 {
            let want = usize::try_from(len).unwrap_or(usize::MAX).min(self.buffer.len());
            let got = file.read_at(&mut self.buffer[..want], at).doing("read", text(path))?;
            if got == 0 {
                break;
            }
            self.out.write_all(&self.buffer[..got]).map_err(Error::Output)?;
            at += got as u64;
            len -= got as u64;
        }
        self.recipe.file(path, begin, at - begin)?;
        while len > 0 {
            let zeros = [0; BLOCK];
            let want = usize::try_from(len).unwrap_or(usize::MAX).min(BLOCK);
            self.write(&zeros[..want])?;
            len -= want as u64;
        }
        Ok(())
    }

    fn pad(&mut self, size: u64) -> Result<(), Error> {
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        let zeros = [0; BLOCK];
        let padding = usize::try_from(padding).expect("below a block");
        self.write(&zeros[..padding])
    }

    fn attributes_of(&mut self, file: impl AsFd, path: &[u8]) -> Result<Attributes, Error> {
        self.attributes(
            path,
            |list| fs::flistxattr(&file, list),
            |key, value| fs::fgetxattr(&file, key, value),
        )
    }

    fn attributes(
        &mut self,
        path: &[u8],
        list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
        get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
    ) -> Result<Attributes, Error> {
        let mut found = Vec::new();
        let mut names = [0; 1024];
        let mut long = Vec::new();
        let names = match list(&mut names) {
            Ok(len) => &names[..len],
            Err(Errno::RANGE) => {
                long.resize(ATTRIBUTE, 0);
                let len = list(&mut long).doing("list the attributes of", text(path))?;
                &long[..len]
            }
            // Symbolic links of some file systems; /proc and its like.
            Err(Errno::OPNOTSUPP | Errno::NOENT) => return Ok(found),
            Err(e) => return Err(e).doing("list the attributes of", text(path)),
        };
        for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
            match xattrs::fate(name) {
                xattrs::Fate::Set => {}
                // Labels are the host's, here as there.
                xattrs::Fate::Dropped => continue,
                xattrs::Fate::Refused => {
                    if name != tree::OPAQUE.as_bytes() {
                        self.leave(|| More::Attribute(path.to_vec(), name.to_vec()));
                    }
                    continue;
                }
            }
            let mut value = vec![0; ATTRIBUTE];
            match get(name, &mut value) {
                Ok(len) => value.truncate(len),
                Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOENT) => continue,
                Err(e) => return Err(e).doing("read an attribute of", text(path)),
            }
            found.push((name.to_vec(), xattrs::inside(name, value, self.ids)));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Writes a member's header, and before it what does not fit there.
    fn header(&mut self, member: &Member) -> Result<(), Error> {
        let records = member.records();
        if !records.is_empty() {
            let mut header = Header::new_ustar();
            header.set_entry_type(EntryType::XHeader);
            header.as_old_mut().name[..9].copy_from_slice(b"PaxHeader");
            header.set_size(records.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_cksum();
            self.packed.entries += 1;
            self.write(header.as_bytes())?;
            self.write(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.packed.entries += 1;
        self.write(member.header().as_bytes())
    }
}

/// One member's header, to be written.
#[derive(Debug)]
struct Member {
    path: Vec<u8>,
    link: Vec<u8>,
    kind: EntryType,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: (i64, u32),
    size: u64,
    device: (u32, u32),
    xattrs: Attributes,
    /// Size with the holes, if there are any.
    holes: Option<u64>,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            path: Vec::new(),
            link: Vec::new(),
            kind: EntryType::Regular,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            size: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            holes: None,
        }
    }
}

impl Member {
    fn new(path: &[u8], stat: &Stat, ids: IdRange) -> Self {
        Self {
            path: path.to_vec(),
            mode: stat.st_mode & 0o7777,
            uid: ids.user_inside(stat.st_uid),
            gid: ids.group_inside(stat.st_gid),
            mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            ..Self::default()
        }
    }

    /// PAX records for what the header cannot hold.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let mut add = |key: &[u8], value: &[u8]| record(key, value, &mut records);
        if let Some(size) = self.holes {
            add(b"GNU.sparse.major", b"1");
            add(b"GNU.sparse.minor", b"0");
            add(b"GNU.sparse.name", &self.path);
            add(b"GNU.sparse.realsize", size.to_string().as_bytes());
        } else if self.path.len() > 100 {
            add(b"path", &self.path);
        }
        if self.link.len() > 100 {
            add(b"linkpath", &self.link);
        }
        if self.size > LARGEST_SIZE {
            add(b"size", self.size.to_string().as_bytes());
        }
        for (key, id) in [(b"uid", self.uid), (b"gid", self.gid)] {
            if id > LARGEST_ID {
                add(key, id.to_string().as_bytes());
            }
        }
        let (seconds, nanos) = self.mtime;
        if nanos > 0 || u64::try_from(seconds).is_err() || seconds.unsigned_abs() > LARGEST_SIZE {
            add(b"mtime", time(seconds, nanos).as_bytes());
        }
        for (name, value) in &self.xattrs {
            add(&[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
        records
    }

    fn header(&self) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(self.kind);
        let old = header.as_old_mut();
        fill(&mut old.name, &self.path);
        fill(&mut old.linkname, &self.link);
        header.set_mode(self.mode);
        header.set_uid(if self.uid > LARGEST_ID { 0 } else { self.uid.into() });
        header.set_gid(if self.gid > LARGEST_ID { 0 } else { self.gid.into() });
        header.set_size(if self.size > LARGEST_SIZE { 0 } else { self.size });
        let seconds = u64::try_from(self.mtime.0).unwrap_or(0);
        header.set_mtime(if seconds > LARGEST_SIZE { 0 } else { seconds });
        if matches!(self.kind, EntryType::Char | EntryType::Block) {
            // Twelve bits and twenty fit the fields.
            let _ = header.set_device_major(self.device.0);
            let _ = header.set_device_minor(self.device.1);
        }
        header.set_cksum();
        header
    }
}

/// What fits of a name; the rest is in a PAX header.
fn fill(field: &mut [u8; 100], text: &[u8]) {
    let len = text.len().min(field.len());
    field[..len].copy_from_slice(&text[..len]);
}

/// `LENGTH KEY=VALUE\n`, the length counting itself.
fn record(key: &[u8], value: &[u8], into: &mut Vec<u8>) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    into.extend_from_slice(len.to_string().as_bytes());
    into.push(b' ');
    into.extend_from_slice(key);
    into.push(b'=');
    into.extend_from_slice(value);
    into.push(b'\n');
}

/// Decimal seconds; before the epoch the fraction counts backwards.
fn time(seconds: i64, nanos: u32) -> String {
    let text = if seconds < 0 && nanos > 0 {
        let whole = seconds + 1;
        let sign = if whole == 0 { "-" } else { "" };
        format!("{sign}{whole}.{:09}", 1_000_000_000 - nanos)
    } else {
        format!("{seconds}.{nanos:09}")
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Where a file has data; none if it cannot be told or is all data.
fn extents(file: &File, size: u64) -> Option<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let end = fs::seek(file, SeekFrom::Hole(start)).ok()?.min(size);
        found.push((start, end.checked_sub(start).filter(|len| *len > 0)?));
        if found.len() > EXTENTS {
            return None;
        }
        at = end;
    }
    if found == [(0, size)] {
        return None;
    }
    if found.last().is_none_or(|(at, len)| at + len < size) {
        // GNU tar takes a file's size from the end of its map.
        found.push((size, 0));
    }
    Some(found)
}

/// GNU's sparse format 1.0: the map, padded to a block.
fn sparse_map(extents: &[(u64, u64)]) -> Vec<u8> {
    let mut map = format!("{}\n", extents.len()).into_bytes();
    for (at, len) in extents {
        map.extend_from_slice(format!("{at}\n{len}\n").as_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

fn list(dir: &OwnedFd, path: &[u8]) -> Result<std::vec::IntoIter<CString>, Error> {
    Ok(tree::names(dir).doing("list", text(path))?.into_iter())
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for len in [0, 1, 83, 84, 85, 86, 87, 88, 89, 90, 983, 984, 985] {
            let mut text = Vec::new();
            record(b"k", &vec![b'v'; len], &mut text);
            let digits = text.iter().position(|b| *b == b' ').expect("a space");
            let said: usize =
                std::str::from_utf8(&text[..digits]).expect("digits").parse().expect("digits");
            assert_eq!(said, text.len());
        }
    }

    #[test]
    fn times_are_spelt_as_they_are_read() {
        let mut seen = crate::pax::Extensions::default();
        for mtime in [(0, 0), (5, 1), (-1, 500_000_000), (-2, 750_000_000), (-7, 0), (1 << 40, 120)]
        {
            let mut text = Vec::new();
            record(b"mtime", time(mtime.0, mtime.1).as_bytes(), &mut text);
            crate::pax::read(&text, &mut seen).expect("well formed");
            assert_eq!(seen.mtime, Some(mtime));
        }
    }
}
