//! A manifest or index is refused, or understood in one way: written down
//! again it is read as the same.
#![no_main]

mod json;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use spec::image::{Document, media};

/// What it may be announced as; chosen by the first byte.
const ANNOUNCED: [&str; 6] = [
    "",
    media::OCI_INDEX,
    media::OCI_MANIFEST,
    media::DOCKER_LIST,
    media::DOCKER_MANIFEST,
    "application/json",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, text)) = bytes.split_first() else { return };
    let announced = ANNOUNCED[usize::from(*first) % ANNOUNCED.len()];
    let Ok(document) = Document::parse(text, announced) else { return };
    let again = match &document {
        Document::Manifest(manifest) => serde_json::to_vec(manifest),
        Document::Index(index) => serde_json::to_vec(index),
    };
    let again = again.expect("it is plain data");
    let read = Document::parse(&again, announced).expect("what is written is read");
    assert_eq!(read, document);
});

// The first byte is none of the text.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json::other(data, size, max_size, seed, 1)
});
