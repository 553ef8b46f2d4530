//! Random bytes: drawn here, and passed on from here.

use spec::Id;

/// Bytes from the kernel.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("getrandom(2) does not fail once the host is up");
    bytes
}

/// A new identifier. Its short form is never a number alone, which some
/// clients would take for one.
pub(crate) fn id() -> Id {
    loop {
        let id = Id::from_random(bytes());
        if id.short().bytes().any(|b| b.is_ascii_alphabetic()) {
            return id;
        }
    }
}
