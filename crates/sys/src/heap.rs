//! The heap of the C library.

/// Gives the heap's free pages back to the kernel.
///
/// Source: `malloc_trim(3)`.
pub fn trim() {
    // SAFETY: takes the heap's own locks and touches free pages alone.
    unsafe { libc::malloc_trim(0) };
}
