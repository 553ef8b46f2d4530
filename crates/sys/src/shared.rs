//! Memory that several processes see and one of them writes.
//!
//! It is a file without a name, as long as it was made: nobody can cut it
//! short under who reads it, which would be a signal to that one.

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create},
    io::Errno,
    mm::{MapFlags, ProtFlags, mmap, munmap},
};
use std::{
    ffi::c_void,
    io,
    ops::{Deref, DerefMut},
    os::fd::{BorrowedFd, OwnedFd},
    ptr::{self, NonNull},
};

/// Makes such memory, full of zeros.
///
/// # Errors
/// As `memfd_create(2)` and `ftruncate(2)`.
pub fn new(len: usize) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match memfd_create("shared", flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 knows no such flag.
        Err(Errno::INVAL) => memfd_create("shared", flags)?,
        made => made?,
    };
    ftruncate(&file, len as u64)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
    Ok(file)
}

/// Nobody who has the file can write to it any more, but for who has mapped it
/// to write before; nor can it be sealed further.
///
/// # Errors
/// As `fcntl(2)`, `F_ADD_SEALS`.
pub fn seal(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl_add_seals(file, SealFlags::FUTURE_WRITE | SealFlags::SEAL)?)
}

/// Memory that this process writes, and no other.
#[derive(Debug)]
pub struct Own(Mapping);

/// Memory that a process writes which keeps its word: what it has handed over
/// is left alone until it gets it back.
#[derive(Debug)]
pub struct Lent(Mapping);

/// Memory that a process writes which may do so at any time.
#[derive(Debug)]
pub struct Foreign(Mapping);

impl Own {
    /// Maps it. The caller sees to it that no other process does so to write.
    ///
    /// # Errors
    /// As `mmap(2)`: `EPERM` for what was sealed.
    pub fn map(file: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        Mapping::new(file, len, ProtFlags::READ | ProtFlags::WRITE).map(Self)
    }
}

impl Deref for Own {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is as long as the file, which cannot shrink, and
        // lives as long as `self`; nobody else writes, as the type promises.
        unsafe { std::slice::from_raw_parts(self.0.at.as_ptr(), self.0.len) }
    }
}

impl DerefMut for Own {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; `self` is the mapping's only owner here, and in
        // other processes it is read as memory that changes, or not at all
        // before it is handed over.
        unsafe { std::slice::from_raw_parts_mut(self.0.at.as_ptr(), self.0.len) }
    }
}

impl Lent {
    /// Maps it, to be read.
    ///
    /// # Errors
    /// As `mmap(2)`.
    pub fn map(file: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        Mapping::new(file, len, ProtFlags::READ).map(Self)
    }

    /// Of what was handed over, so many bytes from `at` on.
    ///
    /// # Panics
    /// It is not so long.
    #[must_use]
    pub fn part(&self, at: usize, len: usize) -> &[u8] {
        let from = self.0.part(at, len);
        // SAFETY: the part lies in the mapping, whose file cannot shrink, and
        // whoever writes there leaves alone what was handed over, as the type
        // promises.
        unsafe { std::slice::from_raw_parts(from, len) }
    }
}

impl Foreign {
    /// Maps it, to be read.
    ///
    /// # Errors
    /// As `mmap(2)`.
    pub fn map(file: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        Mapping::new(file, len, ProtFlags::READ).map(Self)
    }

    /// Copies what is there from `at` on. Nothing is believed of it: it may be
    /// a mixture of what was there before and after somebody wrote.
    ///
    /// # Panics
    /// It is not so long.
    pub fn copy(&self, at: usize, into: &mut [u8]) {
        let from = self.0.part(at, into.len());
        // SAFETY: the part lies in the mapping, whose file cannot shrink; it
        // does not overlap `into`, to which nothing of this mapping was lent.
        // No reference to what others write is made: bytes are moved, and any
        // byte is as good as another.
        unsafe { ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
    }
}

#[derive(Debug)]
struct Mapping {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: it is memory like any other, and is bound to no thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(file: BorrowedFd<'_>, len: usize, access: ProtFlags) -> io::Result<Self> {
        // Longer than the file it could be read where there is nothing.
        if u64::try_from(rustix::fs::fstat(file)?.st_size) != Ok(len as u64) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: with no address wished for, the kernel chooses one where
        // nothing is.
        let at = unsafe { mmap(ptr::null_mut(), len, access, MapFlags::SHARED, file, 0) }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { at, len })
    }

    /// Where a part of it begins.
    fn part(&self, at: usize, len: usize) -> *const u8 {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len), "beyond its end");
        // SAFETY: `at` is within the mapping, as was just looked at.
        unsafe { self.at.as_ptr().add(at) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new`, so long, and whatever was lent of it
        // has ended with `self`.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast::<c_void>(), self.len) };
        debug_assert!(unmapped.is_ok(), "it was mapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    const LEN: usize = 8192;

    #[test]
    fn what_one_writes_the_others_see() {
        let file = new(LEN).expect("made");
        let mut own = Own::map(file.as_fd(), LEN).expect("mapped");
        let lent = Lent::map(file.as_fd(), LEN).expect("mapped");
        let foreign = Foreign::map(file.as_fd(), LEN).expect("mapped");
        own[5000..5004].copy_from_slice(b"seen");
        let mut copied = [0; 4];
        foreign.copy(5000, &mut copied);
        assert_eq!((lent.part(5000, 4), &copied), (&b"seen"[..], b"seen"));
        assert_eq!(own[..5000], [0; 5000]);
    }

    #[test]
    fn what_is_sealed_is_written_by_who_wrote_it_before_alone() {
        let file = new(LEN).expect("made");
        let mut own = Own::map(file.as_fd(), LEN).expect("mapped");
        assert_eq!(rustix::io::pwrite(&file, b"x", 0), Ok(1), "the test must be able to fail");
        seal(file.as_fd()).expect("sealed");
        own[0] = b'y';
        let again = Own::map(file.as_fd(), LEN).expect_err("sealed");
        assert_eq!(again.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(rustix::io::pwrite(&file, b"z", 0), Err(Errno::PERM));
        assert_eq!(Lent::map(file.as_fd(), LEN).expect("to be read").part(0, 1), b"y");
    }

    #[test]
    fn it_stays_as_long_as_it_was_made() {
        let file = new(LEN).expect("made");
        for len in [0, 1, LEN as u64 + 1] {
            assert_eq!(ftruncate(&file, len), Err(Errno::PERM), "{len}");
        }
        for len in [LEN - 1, LEN * 2] {
            let error = Foreign::map(file.as_fd(), len).expect_err("another length");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    #[should_panic(expected = "beyond its end")]
    fn nothing_is_read_beyond_its_end() {
        let file = new(LEN).expect("made");
        Foreign::map(file.as_fd(), LEN).expect("mapped").copy(LEN - 1, &mut [0; 2]);
    }
}
