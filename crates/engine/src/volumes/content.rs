//! All that is in a volume, as an archive: out of one, and into one.
//!
//! An archive that comes in is unpacked beside what the volume has, by a
//! process that sees this directory alone, and takes its place at the end:
//!
//! ```text
//!   volumes/NAME/_data      what its containers see
//!   volumes/NAME/_import    what comes into a volume that was there before
//!   volumes/NAME/_new       what comes into one that was made for it
//! ```
//!
//! A daemon that finds `_import` when it starts removes it; with `_new` goes
//! the volume. Where something is mounted on the volume there is no beside:
//! such a one has to be empty, and is filled as it is.

use super::{Volume, VolumeWish, backing::Backing, mounted::Filling, users};
use crate::{Archive, Engine, Error, error::Doing, house::House, recover};
use rustix::{
    fs::{CWD, Gid, Mode, OFlags, RawDir, RenameFlags, Uid, renameat_with},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};
use snapshot::IdRange;
use std::{
    fs,
    io::Read,
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    },
    path::{Path, PathBuf},
};

/// What a file system of a device has in its root, and nobody put there.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// Where an archive is unpacked before it is a volume's content.
fn beside(house: &House, name: &str, new: bool) -> PathBuf {
    let part = if new { "_new" } else { "_import" };
    house.paths.data.join("volumes").join(name).join(part)
}

impl Engine {
    /// All that is in a volume, itself as `./`. Files are read one after the
    /// other, as each is at that time; the volume may be in use.
    ///
    /// # Errors
    /// None such; what is mounted on it cannot be.
    pub fn export_volume(&self, name: &str) -> Result<Archive, Error> {
        let house = self.0.clone();
        let volume = self.volume(name)?;
        Ok(Archive::new(None, move |out| {
            let held = house.hold_volume(&volume.name);
            house.mount_held(&held)?;
            // It may have gone before it was held.
            if house.volumes.get(&volume.name).is_none() {
                return Err(Error::NoVolume(volume.name.clone()));
            }
            let dir = open(Path::new(&volume.mountpoint))?;
            snapshot::export_whole(dir.as_fd(), IdRange::HOST, out)?;
            house.volume_event(&volume.name, "export", &[]);
            Ok(())
        }))
    }

    /// Fills a volume with what a tar stream holds (plain, gzip, zstd, bzip2 or
    /// xz): a new one, one that is empty, or with `force` one whose content
    /// goes for it. Nobody sees it before it is whole.
    ///
    /// # Errors
    /// A volume that is not empty or is in use; labels or options for one that
    /// is there; a hostile or broken archive. Then all is as it was.
    pub fn import_volume(
        &self,
        wish: VolumeWish,
        force: bool,
        input: &mut dyn Read,
    ) -> Result<Volume, Error> {
        let house = &self.0;
        let wants_new = !wish.labels.is_empty() || !wish.options.is_empty();
        if wish.name.is_empty() {
            return Err(Error::Invalid("import: which volume? It has no name".into()));
        }
        let (volume, new) = house.make_volume(wish)?;
        if wants_new && !new {
            return Err(Error::Conflict(format!(
                "volume {} is there: labels and options are for new ones alone",
                volume.name
            )));
        }
        match house.import(&volume, new, force, input) {
            Ok(()) => {
                house.volume_event(&volume.name, "import", &[]);
                self.volume(&volume.name)
            }
            Err(error) => {
                if new {
                    // Whoever came to name it meanwhile keeps it, empty.
                    house.drop_new(&volume.name);
                }
                Err(error)
            }
        }
    }
}

impl House {
    fn import(
        &self,
        volume: &Volume,
        new: bool,
        force: bool,
        input: &mut dyn Read,
    ) -> Result<(), Error> {
        if Backing::parse(&volume.options)?.is_some_and(|backing| backing.is_memory()) {
            return Err(Error::Invalid(format!(
                "volume {} is in memory, and what is in it goes with its last user: start a \
                 container with it, and copy into that",
                volume.name
            )));
        }
        let filling = self.fill_volume(&volume.name)?;
        if self.volumes.get(&volume.name).is_none() {
            return Err(Error::NoVolume(volume.name.clone()));
        }
        let place = Path::new(&volume.mountpoint);
        let empty = is_empty(place, !volume.is_plain())?;
        let may_replace = force && volume.is_plain();
        if !empty && !may_replace {
            return Err(Error::Conflict(not_empty(volume)));
        }
        if volume.is_plain() {
            self.replace_content(&filling, place, new, input)
        } else {
            self.fill_in_place(place, input)
        }
    }

    fn replace_content(
        &self,
        filling: &Filling<'_>,
        place: &Path,
        new: bool,
        input: &mut dyn Read,
    ) -> Result<(), Error> {
        let coming = beside(self, &filling.name, new);
        snapshot::remove(&coming)?;
        fs::DirBuilder::new().mode(0o755).create(&coming).doing("create", &coming)?;
        let unpacked = self.count_as(&coming, place).and_then(|()| {
            self.unpack_whole(&coming, input)?;
            // What is said to be there survives a loss of power.
            rustix::fs::syncfs(open(&coming)?).doing("flush", &coming)?;
            take_place(&coming, place)
        });
        // What did not come, or what was there before.
        let cleared = snapshot::remove(&coming);
        unpacked.and_then(|()| Ok(cleared?))
    }

    /// What is mounted cannot be replaced, and is filled as it is; if that fails
    /// it is emptied again.
    fn fill_in_place(&self, place: &Path, input: &mut dyn Read) -> Result<(), Error> {
        let dir = open(place)?;
        let before = rustix::fs::fstat(&dir).doing("look at", place)?;
        let filled = self
            .unpack_whole(place, input)
            .and_then(|()| rustix::fs::syncfs(&dir).doing("flush", place));
        let Err(error) = filled else { return Ok(()) };
        let owner = (Uid::from_raw(before.st_uid), Gid::from_raw(before.st_gid));
        let emptied = empty(place)
            .and_then(|()| {
                rustix::fs::fchown(&dir, Some(owner.0), Some(owner.1)).doing("give back", place)
            })
            .and_then(|()| {
                let mode = Mode::from_raw_mode(before.st_mode & 0o7777);
                rustix::fs::fchmod(&dir, mode).doing("change the mode of", place)
            });
        if let Err(left) = emptied {
            tracing::error!(place = %place.display(), %left, "cannot take back half an import");
        }
        Err(error)
    }

    /// Has a process unpack a stream into a directory, which is all that it
    /// sees, and on which no device opens.
    fn unpack_whole(&self, into: &Path, input: &mut dyn Read) -> Result<(), Error> {
        let mut first = [0];
        let some = loop {
            match input.read(&mut first) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read.map_err(|e| Error::from(unpacker::Error::Input(e)))?,
            }
        };
        if some == 0 {
            // An archive of nothing has an end; this is a pipe that broke.
            return Err(Error::Invalid("import: not one byte of an archive came".into()));
        }
        let cloned = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let root = open_tree(open(into)?, "", cloned).doing("clone the mount of", into)?;
        let set = sys::mount::NODEV | sys::mount::NOSUID | sys::mount::NOEXEC;
        let change = sys::mount::Change { set, ..sys::mount::Change::default() };
        sys::mount::change(root.as_fd(), false, &change).doing("close the mount of", into)?;
        let options = snapshot::PutOptions { whole: true, ..snapshot::PutOptions::default() };
        let wish = unpacker::Put { root: root.as_fd(), path: "/", ids: IdRange::HOST, options };
        Ok(self.images.workers().put(&wish, &mut first.chain(input))?)
    }

    fn drop_new(&self, name: &str) {
        match self.forget_volume(name) {
            Ok(()) => self.volume_event(name, "destroy", &[]),
            Err(error) => tracing::error!(volume = name, %error, "cannot take back a volume"),
        }
    }

    /// Takes back imports that ended with an earlier daemon.
    pub fn sweep_imports(&self) {
        for name in recover::names_in(&self.paths.data.join("volumes")) {
            let rests = [true, false].map(|new| beside(self, &name, new));
            if !rests.iter().any(|rest| rest.is_dir()) {
                continue;
            }
            // Another one may be under way by now.
            let Some(filling) = self.claim_volume(&name) else { continue };
            let was_new = rests[0].is_dir() && self.volumes.get(&name).is_some();
            for rest in rests {
                if let Err(error) = snapshot::remove(&rest) {
                    tracing::error!(volume = name, %error, "cannot remove half an import");
                }
            }
            drop(filling);
            if was_new && users(&self.roster.all(), &name).is_empty() {
                tracing::info!(volume = name, "its import did not come to its end");
                self.drop_new(&name);
            }
        }
    }
}

fn not_empty(volume: &Volume) -> String {
    let name = &volume.name;
    if volume.is_plain() {
        format!("volume {name} is not empty: remove it, or replace what is in it with --force")
    } else {
        format!(
            "volume {name} is not empty, and what is mounted on it cannot be replaced: empty it"
        )
    }
}

/// Puts what came in the place of what was there.
fn take_place(coming: &Path, place: &Path) -> Result<(), Error> {
    match rustix::fs::rename(coming, place) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        renamed => return renamed.doing("put in its place", coming),
    }
    let exchanged = renameat_with(CWD, coming, CWD, place, RenameFlags::EXCHANGE);
    exchanged.doing("put in its place", coming)
}

fn open(dir: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::empty()).doing("open", dir)
}

/// Whether nobody has put anything in a directory.
fn is_empty(dir: &Path, mounted: bool) -> Result<bool, Error> {
    let open = open(dir)?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut names = RawDir::new(&open, &mut buffer);
    while let Some(entry) = names.next() {
        let entry = entry.doing("list", dir)?;
        let name = entry.file_name().to_bytes();
        let of_nobody = mounted && name == LOST_AND_FOUND;
        if !matches!(name, b"." | b"..") && !of_nobody {
            return Ok(false);
        }
    }
    Ok(true)
}

fn empty(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).doing("list", dir)? {
        let entry = entry.doing("list", dir)?;
        if entry.file_name().as_bytes() != LOST_AND_FOUND {
            snapshot::remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_takes_the_place_of_what_was_there_empty_or_not() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let [coming, place] = ["_import", "_data"].map(|name| scratch.path().join(name));
        for before in [None, Some("old")] {
            fs::create_dir_all(&coming).expect("scratch");
            fs::create_dir_all(&place).expect("scratch");
            fs::write(coming.join("new"), "").expect("scratch");
            if let Some(before) = before {
                fs::write(place.join(before), "").expect("scratch");
            }
            take_place(&coming, &place).expect("taken");
            assert!(place.join("new").exists() && !place.join("old").exists());
            assert_eq!(coming.join("old").exists(), before.is_some(), "it is not lost before");
            snapshot::remove(&coming).expect("scratch");
            snapshot::remove(&place).expect("scratch");
        }
    }

    #[test]
    fn what_a_file_system_has_of_itself_is_no_content() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        assert!(is_empty(scratch.path(), false).expect("listed"));
        fs::create_dir(scratch.path().join("lost+found")).expect("scratch");
        assert!(is_empty(scratch.path(), true).expect("listed"));
        assert!(!is_empty(scratch.path(), false).expect("listed"), "somebody's own");
        fs::write(scratch.path().join("x"), "").expect("scratch");
        assert!(!is_empty(scratch.path(), true).expect("listed"));
        empty(scratch.path()).expect("emptied");
        assert!(is_empty(scratch.path(), true).expect("listed"));
    }
}
