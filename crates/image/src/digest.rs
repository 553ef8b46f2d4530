//! The digest of a stream.

use sha2::{Digest as _, Sha256};
use std::io::{self, Read};

/// Bytes asked of the source at a time.
const BUFFER: usize = 128 << 10;

/// Digest of all that a stream gives.
///
/// # Errors
/// What the source said.
pub fn digest(mut from: impl Read) -> io::Result<spec::Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(spec::Digest::from_sha256(hash.finalize().into())),
            len => hash.update(&buffer[..len]),
        }
    }
}
