//! Extended headers and numbers of tar archives.

use crate::Error;

/// What extended headers say of the entry that follows them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<i64>,
    pub gid: Option<i64>,
    pub mtime: Option<(i64, u32)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: Sparse,
}

/// GNU's sparse files in PAX archives, formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// The file's own name (the header's is made up).
    pub name: Option<Vec<u8>>,
    /// Its size, holes counted.
    pub real: Option<i64>,
    /// Offset, length, offset, …
    pub map: Vec<u64>,
    /// The map stands before the content (1.0).
    pub in_data: bool,
}

/// Reads the records of one extended header: `LENGTH KEY=VALUE\n`, where the
/// value may hold any byte.
pub(crate) fn read(mut text: &[u8], into: &mut Extensions) -> Result<(), Error> {
    let bad = || Error::Malformed("an extended header is broken".into());
    while !text.is_empty() {
        let space = text.iter().position(|b| *b == b' ').ok_or_else(bad)?;
        let len = usize::try_from(decimal(&text[..space]).ok_or_else(bad)?).map_err(|_| bad())?;
        if len <= space + 1 || len > text.len() || text[len - 1] != b'\n' {
            return Err(bad());
        }
        let record = &text[space + 1..len - 1];
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(bad)?;
        note(&record[..equals], &record[equals + 1..], into).ok_or_else(bad)?;
        text = &text[len..];
    }
    Ok(())
}

fn note(key: &[u8], value: &[u8], into: &mut Extensions) -> Option<()> {
    match key {
        b"path" => into.path = Some(value.to_vec()),
        b"linkpath" => into.link = Some(value.to_vec()),
        b"size" => into.size = Some(decimal(value)?),
        b"uid" => into.uid = Some(signed(value)?),
        b"gid" => into.gid = Some(signed(value)?),
        b"mtime" => into.mtime = Some(time(value)?),
        b"GNU.sparse.name" => into.sparse.name = Some(value.to_vec()),
        b"GNU.sparse.realsize" | b"GNU.sparse.size" => into.sparse.real = Some(signed(value)?),
        b"GNU.sparse.major" => into.sparse.in_data = decimal(value)? > 0,
        b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => into.sparse.map.push(decimal(value)?),
        b"GNU.sparse.map" => {
            for number in value.split(|b| *b == b',').filter(|n| !n.is_empty()) {
                into.sparse.map.push(decimal(number)?);
            }
        }
        _ => {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                into.xattrs.push((name.to_vec(), value.to_vec()));
            }
        }
    }
    Some(())
}

/// A header's number: octal digits, or GNU's base 256. Empty is zero.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    if field.first()? & 0x80 != 0 {
        // Two's complement; the topmost bit only marks the format.
        let mut value = i128::from(field[0] & 0x7f);
        if field[0] & 0x40 != 0 {
            value -= 0x80;
        }
        for byte in &field[1..] {
            value = value.checked_mul(256)?.checked_add(i128::from(*byte))?;
        }
        return i64::try_from(value).ok();
    }
    let text = field.trim_ascii_start();
    let text = text.split(|b| *b == 0 || *b == b' ').next()?;
    text.iter().try_fold(0i64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn signed(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds with any number of decimals, perhaps before the epoch.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let negative = whole.starts_with('-');
    let seconds: i64 = if matches!(whole, "" | "-") { 0 } else { whole.parse().ok()? };
    let digits: String = part.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    if negative && nanos > 0 {
        Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos))
    } else {
        Some((seconds, nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_of_both_formats_are_read() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   755 \0"), Some(0o755));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(b"12x\0"), None);
        assert_eq!(number(&[0xbf; 12]), None, "beyond 64 bits");
    }

    #[test]
    fn times_before_the_epoch_round_down() {
        assert_eq!(time(b"1.5"), Some((1, 500_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"-0.5"), Some((-1, 500_000_000)));
        assert_eq!(time(b"7.0123456789999"), Some((7, 12_345_678)));
        assert_eq!(time(b"1e9"), None);
    }

    #[test]
    fn a_value_may_hold_newlines() {
        let mut seen = Extensions::default();
        read(b"27 SCHILY.xattr.user.a=x\ny\n", &mut seen).expect("well formed");
        assert_eq!(seen.xattrs, [(b"user.a".to_vec(), b"x\ny".to_vec())]);
    }

    #[test]
    fn a_record_that_lies_about_its_length_is_refused() {
        for text in
            [&b"5 a=b"[..], b"7 a=b\n", b"6a=b\n", b"99999999999999999999 a=b\n", b"6 abc\n"]
        {
            assert!(read(text, &mut Extensions::default()).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&text, &mut Extensions::default());
            let _ = number(&text);
            let _ = time(&text);
        }
    }
}
