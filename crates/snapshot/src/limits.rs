//! How much one archive may take.

/// Bounds on what an archive makes us keep in memory or write to disk.
///
/// None of them is met by an image that anybody built on purpose; each is met
/// by an archive that was made to hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of one entry's name, and of a link's target: `PATH_MAX`.
    pub name: usize,
    /// Bytes of one extended header or sparse map.
    pub header: u64,
    /// Bytes of one entry's extended attributes together: `XATTR_SIZE_MAX`
    /// for each of a few.
    pub xattrs: usize,
    /// Bytes of all files together, holes counted.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 8 << 20, name: 4096, header: 1 << 20, xattrs: 256 << 10, bytes: 1 << 40 }
    }
}
