//! The recipe of a layer, compressed.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::Path,
};

/// In a layer's directory.
pub const NAME: &str = "recipe.zst";
/// Level of the compression: recipes are mostly zeros.
const LEVEL: i32 = 1;

/// A recipe that is being written; `finish` gives the file, to be flushed.
pub type Writer = zstd::stream::write::Encoder<'static, BufWriter<File>>;

/// Begins one at a path.
///
/// # Errors
/// What the host said.
pub fn create(path: &Path) -> io::Result<Writer> {
    zstd::stream::write::Encoder::new(BufWriter::new(File::create(path)?), LEVEL)
}
