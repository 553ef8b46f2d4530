//! What a source is, as one digest: names, kinds, modes, links, attributes
//! and bytes. Times are left out, as Docker leaves them: a checkout has new
//! ones. Owners count only where the copy keeps them.

use crate::{
    Error,
    error::Doing,
    tree::{Found, Left, Node, Tree, bounded},
};
use dockerfile::Ignore;
use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};
use std::{io::Read as _, os::fd::AsFd as _};

/// How much is read at a time.
const PIECE: usize = 256 << 10;

/// What of a tree counts.
#[derive(Clone, Copy, Default)]
pub struct Counts<'a> {
    /// Owner and group.
    pub owners: bool,
    /// Paths (below the source, or its name) that are left out.
    pub skip: Option<&'a Ignore>,
}

impl Tree {
    /// Digest of one source.
    ///
    /// # Errors
    /// What the host said.
    pub fn sum(&self, found: &Found, counts: Counts<'_>) -> Result<[u8; 32], Error> {
        let mut hash = Sha256::new();
        let left = Left::new(counts.skip);
        let mut sums = Summing { tree: self, counts, left, buffer: Vec::new() };
        sums.node(&found.node, "", &mut hash)?;
        Ok(hash.finalize().into())
    }
}

struct Summing<'a> {
    tree: &'a Tree,
    counts: Counts<'a>,
    left: Left<'a>,
    buffer: Vec<u8>,
}

impl Summing<'_> {
    fn node(&mut self, node: &Node, path: &str, hash: &mut Sha256) -> Result<(), Error> {
        let stat = &node.stat;
        // A link's mode means nothing.
        let is_link = node.kind() == FileType::Symlink;
        let mode = if is_link { 0o120_777 } else { stat.st_mode };
        field(hash, path.as_bytes());
        hash.update(mode.to_le_bytes());
        if self.counts.owners {
            hash.update(stat.st_uid.to_le_bytes());
            hash.update(stat.st_gid.to_le_bytes());
        }
        for (name, value) in node.xattrs().doing("read the attributes of", path)? {
            field(hash, &name);
            field(hash, &value);
        }
        match node.kind() {
            FileType::RegularFile => {
                let sum = self.content(node, path)?;
                hash.update(sum);
            }
            FileType::Symlink => field(hash, &node.link().doing("read the link", path)?),
            FileType::CharacterDevice | FileType::BlockDevice => {
                hash.update(stat.st_rdev.to_le_bytes());
            }
            FileType::Directory => {
                bounded(path)?;
                for name in node.names().doing("read", path)? {
                    let text = String::from_utf8_lossy(&name);
                    let below =
                        if path.is_empty() { text.into_owned() } else { format!("{path}/{text}") };
                    let child = Node::at(node.fd.as_fd(), &name).doing("look at", &below)?;
                    if self.left.stays_behind(&child, &below)? {
                        continue;
                    }
                    self.node(&child, &below, hash)?;
                }
                field(hash, b"");
            }
            _ => {}
        }
        Ok(())
    }

    /// Of a file's bytes; each file of a tree is read once.
    fn content(&mut self, node: &Node, path: &str) -> Result<[u8; 32], Error> {
        let stat = &node.stat;
        let key = (
            stat.st_dev,
            stat.st_ino,
            stat.st_ctime,
            stat.st_ctime_nsec,
            stat.st_size.cast_unsigned(),
        );
        if let Some(sum) = self.tree.known.get(&key) {
            return Ok(sum);
        }
        let mut file = node.open().doing("open", path)?;
        self.buffer.resize(PIECE, 0);
        let mut hash = Sha256::new();
        loop {
            match file.read(&mut self.buffer).doing("read", path)? {
                0 => break,
                len => hash.update(&self.buffer[..len]),
            }
        }
        let sum: [u8; 32] = hash.finalize().into();
        self.tree.known.note(key, sum);
        Ok(sum)
    }
}

/// A string that cannot be mistaken for another by where it ends.
fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}
