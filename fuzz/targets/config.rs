//! The configuration of an image is refused, or written down again and read
//! as the same.
#![no_main]

mod json;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use spec::image::ImageConfig;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = serde_json::from_slice::<ImageConfig>(bytes) else { return };
    let again = serde_json::to_vec(&config).expect("it is plain data");
    let read: ImageConfig = serde_json::from_slice(&again).expect("what is written is read");
    assert_eq!(read, config);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json::other(data, size, max_size, seed, 0)
});
