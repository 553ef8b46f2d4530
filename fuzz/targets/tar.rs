//! A layer is refused, or unpacked inside of its directory and written again
//! byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snapshot::{Error, Limits};
use std::{fs, io::BufReader, sync::LazyLock};

const BLOCK: usize = 512;
const LIMITS: Limits =
    Limits { entries: 64, name: 4096, header: 64 << 10, xattrs: 16 << 10, bytes: 1 << 20 };

/// A directory with one other thing in it, which no layer is to touch. Whoever
/// runs this removes it: libFuzzer ends without a farewell.
static SCRATCH: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("scratch");
    fs::write(dir.path().join("outside"), "untouched").expect("scratch");
    dir
});

fuzz_target!(|bytes: &[u8]| {
    let tar = summed(bytes);
    let layer = SCRATCH.path().join("layer");
    let mut recipe = Vec::new();
    let unpacked = snapshot::unpack(&mut &tar[..], &layer, LIMITS, &mut recipe);
    if unpacked.is_ok() {
        let mut again = Vec::new();
        let mut open = || -> Result<Box<dyn std::io::BufRead>, Error> {
            Ok(Box::new(BufReader::new(std::io::Cursor::new(recipe.clone()))))
        };
        snapshot::repack(&layer, &mut open, &mut again).expect("what was unpacked is packed");
        assert!(again == tar, "written again, it is another");
    }
    snapshot::remove(&layer).expect("what was unpacked is removed");
    let outside = fs::read(SCRATCH.path().join("outside")).expect("still there");
    assert_eq!(outside, b"untouched");
    assert_eq!(fs::read_dir(SCRATCH.path()).expect("listed").count(), 1, "nothing beside it");
});

/// With the sums of headers made right: behind a wrong one nothing is read.
fn summed(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    for block in tar.chunks_exact_mut(BLOCK).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
    tar
}
