//! The heap of the C library.

/// Gives the heap's free pages back to the kernel.
///
/// Source: `malloc_trim(3)`.
pub fn trim() {
    // SAFETY: takes the heap's own locks and touches free pages alone.
    unsafe { libc::malloc_trim(0) };
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
