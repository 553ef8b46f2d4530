//! A Dockerfile is refused, or has stages whose every line can be expanded or
//! is refused in its turn, in bounded time and memory.
#![no_main]

use dockerfile::{Ignore, Words};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // The same text is as good as a list of what is left out.
    if let Ok(ignore) = Ignore::parse(text) {
        let _ = ignore.matches("a/b/c");
    }
    let Ok(file) = dockerfile::parse(text) else { return };
    assert!(!file.stages.is_empty(), "without a stage it is none");
    let scope = |name: &str| (name.len() % 2 == 0).then(|| format!("value of {name}"));
    let words = Words { escape: file.directives.escape, scope: &scope };
    for stage in &file.stages {
        let _ = words.word(&stage.base);
    }
    for step in file.args.iter().chain(file.stages.iter().flat_map(|stage| &stage.steps)) {
        let _ = step.expand(&words);
        let _ = step.mounts(&words);
        let _ = dockerfile::trigger(&step.text, file.directives.escape);
    }
});
