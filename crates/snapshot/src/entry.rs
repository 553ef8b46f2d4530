//! One member of a tar archive, understood.

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EntryKind {
    File,
    HardLink,
    Symlink,
    Char,
    Block,
    Dir,
    Fifo,
}

/// Extended attributes: names and values.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// A member's header, all extensions applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As the archive spells it.
    pub path: Vec<u8>,
    /// Target of a link.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// The low twelve bits of `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds and nanoseconds since the epoch.
    pub mtime: (i64, u32),
    /// Bytes of the file, holes counted.
    pub size: u64,
    /// Bytes of it that follow in the archive.
    pub stored: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, in the archive's order.
    pub xattrs: Attributes,
    /// Where the stored bytes go, if the file has holes: offset and length.
    pub sparse: Option<Vec<(u64, u64)>>,
}

impl Entry {
    /// Its name, for messages.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }
}
