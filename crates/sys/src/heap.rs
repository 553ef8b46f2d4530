//! Giving memory back: for a process that waits for months beside thousands
//! like it.

use std::{ffi::c_void, ptr};

const PAGE: usize = 4096;

/// Gives the heap's free pages back to the kernel.
///
/// Source: `malloc_trim(3)`.
pub fn trim() {
    // SAFETY: takes the heap's own locks and touches free pages alone.
    unsafe { libc::malloc_trim(0) };
}

/// Unmaps the pages of the program's code and constants; those that are needed
/// again are mapped again from the file's pages in memory, which all processes
/// of the program share.
///
/// Costs some soft page faults when the process next wakes.
///
/// Source: `madvise(2)`, `MADV_DONTNEED` on a private file mapping that was
/// never written to; `dl_iterate_phdr(3)`.
pub fn forget_code() {
    // SAFETY: the callback matches the type, and keeps nothing of what it is
    // shown.
    unsafe { libc::dl_iterate_phdr(Some(forget_segments), ptr::null_mut()) };
}

/// Sees the program itself, which comes first, and no other object.
unsafe extern "C" fn forget_segments(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut c_void,
) -> libc::c_int {
    // SAFETY: the C library passes a valid description for the call's duration.
    let info = unsafe { &*info };
    // SAFETY: so many headers stand there, in memory that is never freed.
    let headers =
        unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    for header in headers {
        let clean = header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
        let (Ok(at), Ok(len)) = (usize::try_from(header.p_vaddr), usize::try_from(header.p_memsz))
        else {
            continue;
        };
        let Ok(base) = usize::try_from(info.dlpi_addr) else { continue };
        if clean {
            let start = (base + at) & !(PAGE - 1);
            let len = (base + at + len).next_multiple_of(PAGE) - start;
            // SAFETY: a segment that is mapped from the file without the right
            // to write has no content but the file's: dropping its pages
            // changes nothing that can be read there.
            unsafe { libc::madvise(start as *mut c_void, len, libc::MADV_DONTNEED) };
        }
    }
    1
}

/// Gives back the pages of the main thread's stack that lie below the caller's
/// frame, which deeper calls have left behind.
///
/// Source: `madvise(2)`. What lies below the stack pointer means nothing
/// (x86-64 ABI: but for 128 bytes).
pub fn forget_stack() {
    // Deeper than any call from here, the red zone counted.
    const KEPT: usize = 2 * PAGE;
    const DEPTH: usize = 1 << 20;
    let here = 0_u8;
    let top = (ptr::from_ref(&here) as usize & !(PAGE - 1)) - KEPT;
    // SAFETY: the range ends below every live frame of this, the only, thread;
    // nothing but a main thread's stack lies within a megabyte below it (the
    // kernel keeps that gap), and what is not mapped is passed over.
    unsafe { libc::madvise((top - DEPTH) as *mut c_void, DEPTH, libc::MADV_DONTNEED) };
}

/// Lets all threads share so many heaps, instead of eight a processor. To be
/// called before there are any; each heap keeps what its threads have freed.
///
/// Source: `mallopt(3)`, `M_ARENA_MAX`.
pub fn share(heaps: u16) {
    // SAFETY: sets a number that the next thread's first allocation reads.
    // A refusal leaves the default, which is only larger.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, heaps.into()) };
}
