//! What a process that may only handle files leaves to be set: attributes
//! that the kernel lets nobody set but the administrator, and they are few.
//!
//! Whoever says what is left may have been taken over by the archive. So what
//! is set is what any archive could have had set, and it is set below the root
//! alone.

use crate::{
    Error, IdRange,
    error::Doing,
    tree,
    xattrs::{self, Fate},
};
use rustix::{
    fs::{self, Mode, OFlags, ResolveFlags, XattrFlags},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    os::fd::{AsRawFd as _, BorrowedFd},
};

/// An attribute that is to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Below the root.
    pub path: Vec<u8>,
    /// Of the attribute.
    pub name: Vec<u8>,
    /// As the archive has it.
    pub value: Vec<u8>,
}

impl Left {
    /// How many of them one archive may leave.
    pub const MOST: usize = 64 << 10;
    /// Bytes of their paths, names and values together.
    pub const BYTES: usize = 8 << 20;
}

/// What an archive leaves while it is unpacked.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// Names and values by path: the last of a name is the one.
    all: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>,
    count: usize,
    bytes: usize,
}

impl Leaving {
    pub fn add(&mut self, path: Vec<u8>, name: &[u8], value: Vec<u8>) -> Result<(), Error> {
        self.count += 1;
        self.bytes += path.len() + name.len() + value.len();
        let of = "attributes that only the administrator may set";
        if self.count > Left::MOST {
            return Err(Error::TooMuch { limit: Left::MOST as u64, of: of.into() });
        }
        if self.bytes > Left::BYTES {
            let of = format!("bytes of {of}").into();
            return Err(Error::TooMuch { limit: Left::BYTES as u64, of });
        }
        self.all.entry(path).or_default().insert(name.to_vec(), value);
        Ok(())
    }

    /// What was at a path is gone, and all that was below it.
    pub fn forget(&mut self, path: &[u8]) {
        self.all.remove(path);
        let below = [path, b"/"].concat();
        let gone: Vec<_> = self
            .all
            .range(below.clone()..)
            .map(|(at, _)| at)
            .take_while(|at| at.starts_with(&below))
            .cloned()
            .collect();
        for at in gone {
            self.all.remove(&at);
        }
    }

    pub fn all(self) -> Vec<Left> {
        let of = |(path, named): (Vec<u8>, BTreeMap<_, _>)| {
            named.into_iter().map(move |(name, value)| Left { path: path.clone(), name, value })
        };
        self.all.into_iter().flat_map(of).collect()
    }
}

/// Where what was left is to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A layer, where nobody is.
    Layer,
    /// A container's, with its ids.
    Container(IdRange),
}

/// Sets what was left below `root`, the root of such a tree. What is gone
/// meanwhile has no attributes.
///
/// # Errors
/// An attribute that no archive may have, or what the host said.
pub fn settle(root: BorrowedFd<'_>, left: &[Left], tree: Tree) -> Result<(), Error> {
    left.iter().try_for_each(|one| set(root, one, tree))
}

fn set(root: BorrowedFd<'_>, left: &Left, tree: Tree) -> Result<(), Error> {
    // In a container links are the container's own; in a layer nothing was
    // reached through one.
    let (how, ids) = match tree {
        Tree::Layer => (ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS, IdRange::HOST),
        Tree::Container(ids) => (ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS, ids),
    };
    let text = || String::from_utf8_lossy(&left.path).into_owned();
    let opaque = tree == Tree::Layer && left.name == tree::OPAQUE.as_bytes() && left.value == b"y";
    if !opaque && (xattrs::fate(&left.name) != Fate::Set || left.name.contains(&0)) {
        return Err(Error::Refused {
            entry: text(),
            reason: "an attribute was left that no archive may have".into(),
        });
    }
    let path = if left.path.is_empty() { b"." } else { &left.path[..] };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node = loop {
        match fs::openat2(root, path, flags, Mode::empty(), how) {
            // A rename elsewhere in the tree; the kernel asks to try again.
            Err(Errno::AGAIN) => {}
            // A container moved it, or put something in its place.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            opened => break opened.doing("open", text())?,
        }
    };
    let path = format!("/proc/self/fd/{}", node.as_raw_fd());
    let value = xattrs::outside(&left.name, left.value.clone(), ids);
    fs::setxattr(path, &left.name[..], &value, XattrFlags::empty())
        .doing("set an extended attribute of", text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    fn left(path: &str, name: &str, value: &str) -> Left {
        Left { path: path.into(), name: name.into(), value: value.into() }
    }

    #[test]
    fn what_is_left_is_set_below_the_root_and_nowhere_else() {
        let scratch = tempfile::tempdir().expect("scratch");
        let root = scratch.path().join("root");
        std::fs::create_dir_all(root.join("d")).expect("scratch");
        std::fs::write(scratch.path().join("outside"), "x").expect("scratch");
        std::os::unix::fs::symlink("..", root.join("up")).expect("scratch");
        let dir = tree::open_dir(&root).expect("open");
        let all = [
            left("d", tree::OPAQUE, "y"),
            left("up/outside", "trusted.x", "1"),
            left("gone", "trusted.x", "1"),
            left("up", "trusted.x", "1"),
        ];
        settle(dir.as_fd(), &all, Tree::Layer).expect("set");
        assert!(tree::is_opaque(tree::open_dir(&root.join("d")).expect("open")));
        let has = |path: &std::path::Path| fs::lgetxattr(path, "trusted.x", &mut [0_u8; 8][..]);
        assert_eq!(has(&scratch.path().join("outside")), Err(Errno::NODATA));
        assert_eq!(has(scratch.path()), Err(Errno::NODATA));
        assert_eq!(has(&root.join("up")), Ok(1), "it is the link's own");
        let climbs = settle(dir.as_fd(), &[left("../outside", "trusted.x", "1")], Tree::Layer);
        assert!(climbs.is_err(), "{climbs:?}");
    }

    #[test]
    fn what_steers_overlayfs_is_not_set_for_a_worker() {
        let scratch = tempfile::tempdir().expect("scratch");
        let dir = tree::open_dir(scratch.path()).expect("open");
        let container = Tree::Container(IdRange::HOST);
        for (name, of) in [("trusted.overlay.redirect", Tree::Layer), (tree::OPAQUE, container)] {
            let refused = settle(dir.as_fd(), &[left("", name, "y")], of);
            assert!(matches!(refused, Err(Error::Refused { .. })), "{name}: {refused:?}");
        }
    }
    #[test]
    fn what_is_left_is_of_the_last_that_had_the_name_and_bounded() {
        let mut leaving = Leaving::default();
        let mut add =
            |path: &str, value: &str| leaving.add(path.into(), b"trusted.x", value.into());
        for (path, value) in [("a", "1"), ("a/b", "2"), ("a.b", "3"), ("c", "4"), ("c", "5")] {
            add(path, value).expect("few");
        }
        leaving.forget(b"a");
        let of = |path, value| left(path, "trusted.x", value);
        assert_eq!(leaving.all(), [of("a.b", "3"), of("c", "5")]);
        let mut leaving = Leaving::default();
        let mut add = |len| leaving.add(vec![b'a'; len], b"", Vec::new());
        add(Left::BYTES).expect("just so much");
        assert!(matches!(add(1), Err(Error::TooMuch { .. })));
        let mut leaving = Leaving::default();
        let mut all = (0..=Left::MOST).map(|_| leaving.add(Vec::new(), b"", Vec::new()));
        assert_eq!(all.position(|added| added.is_err()), Some(Left::MOST));
    }
}
