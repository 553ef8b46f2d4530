//! What the writer and the readers of a log's index agree on.

/// How many bytes of a log lie between two marks, about.
pub const STRIDE: u64 = 256 << 10;

/// Before the marks; the second half is the log's inode.
pub const HEAD: [u8; 16] = *b"cofferix\0\0\0\0\0\0\0\0";

/// All lines before `end` were written at `latest` or earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// An offset where a line begins, or the file ends.
    pub end: u64,
    /// Nanoseconds since the epoch.
    pub latest: u64,
}

impl Mark {
    /// Its size in the file.
    pub const SIZE: usize = 16;

    /// To write.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&self.end.to_be_bytes());
        bytes[8..].copy_from_slice(&self.latest.to_be_bytes());
        bytes
    }

    /// As read.
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let half = |at: usize| bytes[at..at + 8].iter().fold(0, |n, b| n << 8 | u64::from(*b));
        Self { end: half(0), latest: half(8) }
    }
}

/// The head of the index of the log with this inode.
pub fn head(inode: u64) -> [u8; HEAD.len()] {
    let mut head = HEAD;
    head[8..].copy_from_slice(&inode.to_be_bytes());
    head
}

/// The index's name, in the directory of the log with this inode.
pub fn name(inode: u64) -> String {
    format!("log-index.{inode}")
}

/// The extra field of a compressed log's gzip header: the subfield `CF` with
/// the inode that it had, and a [`Mark`] of its end.
///
/// Source: RFC 1952, 2.3.1.1.
pub fn extra(inode: u64, mark: Mark) -> Vec<u8> {
    let mut extra = b"CF\x18\0".to_vec();
    extra.extend_from_slice(&inode.to_be_bytes());
    extra.extend_from_slice(&mark.to_bytes());
    extra
}

/// Reads what [`extra`] spelt.
pub fn from_extra(bytes: &[u8]) -> Option<(u64, Mark)> {
    let (inode, mark) = bytes.strip_prefix(b"CF\x18\0")?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*inode), Mark::from_bytes(mark.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_compressed_log_reads_back() {
        let mark = Mark { end: 0x0102_0304_0506_0708, latest: u64::MAX - 3 };
        assert_eq!(from_extra(&extra(77, mark)), Some((77, mark)));
        assert_eq!(from_extra(b"CF\x18\0short"), None);
        assert_eq!(from_extra(b""), None);
    }
}
