//! The name of an image is refused, or read again as the same from each way of
//! writing it; none of its parts leads anywhere else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spec::Reference;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(name) = text.parse::<Reference>() else { return };
    assert_eq!(name.familiar().parse::<Reference>().as_ref(), Ok(&name), "{text:?}");
    let latest = name.clone().or_latest();
    assert!(latest.tag().is_some() || latest.digest().is_some(), "{text:?}");
    assert_eq!(latest.familiar().parse::<Reference>().as_ref(), Ok(&latest), "{text:?}");
    // Parts of it become parts of addresses.
    let climbs = |part: &str| part.is_empty() || part == "." || part == "..";
    assert!(!name.path().split('/').any(climbs), "{text:?}");
    let odd = |c: char| c.is_control() || c.is_whitespace() || "?#%\\@".contains(c);
    assert!(!name.repository().contains(odd), "{text:?}");
});
