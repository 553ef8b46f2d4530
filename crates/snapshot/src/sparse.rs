//! Maps of sparse files: where the bytes that an archive stores belong.

use crate::pax;

/// GNU's own format: pairs of 12-digit numbers, in a header and in blocks
/// that follow it. An empty pair ends the map.
pub(crate) fn from_blocks(blocks: &[Vec<u8>]) -> Option<Vec<(u64, u64)>> {
    let mut map = Vec::new();
    for pair in blocks.iter().flat_map(|block| block.chunks_exact(24)) {
        if pair.iter().all(|b| *b == 0) {
            break;
        }
        let part = |bytes| pax::number(bytes).and_then(|n| u64::try_from(n).ok());
        map.push((part(&pair[..12])?, part(&pair[12..])?));
    }
    Some(map)
}

/// PAX 0.0 and 0.1: offset, length, offset, length …
pub(crate) fn pairs(numbers: &[u64]) -> Option<Vec<(u64, u64)>> {
    if !numbers.len().is_multiple_of(2) {
        return None;
    }
    Some(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// PAX 1.0: the number of pairs and then the pairs, a line each. None while
/// the text is not complete.
pub(crate) fn from_text(text: &[u8]) -> Result<Option<Vec<(u64, u64)>>, &'static str> {
    let mut lines = text.split_inclusive(|b| *b == b'\n');
    let mut number = || match lines.next() {
        Some(line) if line.ends_with(b"\n") => {
            pax::decimal(&line[..line.len() - 1]).map(Some).ok_or("a sparse map is malformed")
        }
        _ => Ok(None),
    };
    let Some(count) = number()? else { return Ok(None) };
    let mut map = Vec::new();
    for _ in 0..count {
        let (Some(at), Some(len)) = (number()?, number()?) else { return Ok(None) };
        map.push((at, len));
    }
    Ok(Some(map))
}

/// Whether the map fits a file of `size` bytes of which `stored` are stored.
pub(crate) fn check(map: &[(u64, u64)], size: u64, stored: u64) -> Result<(), &'static str> {
    let mut end = 0;
    let mut total = 0u64;
    for (at, len) in map {
        if *at < end {
            return Err("its sparse map overlaps itself");
        }
        end = at.checked_add(*len).ok_or("its sparse map is malformed")?;
        total += len;
    }
    if end > size {
        return Err("its sparse map goes beyond its end");
    }
    if total != stored {
        return Err("its sparse map does not fit what is stored");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_lies_is_refused() {
        assert_eq!(check(&[(0, 5), (10, 5)], 20, 10), Ok(()));
        assert!(check(&[(0, 5), (4, 5)], 20, 10).is_err());
        assert!(check(&[(0, 5)], 4, 5).is_err());
        assert!(check(&[(0, 5)], 20, 6).is_err());
        assert!(check(&[(u64::MAX, 5)], u64::MAX, 5).is_err());
    }

    #[test]
    fn a_map_in_the_data_is_read_when_complete() {
        assert_eq!(from_text(b"1\n5\n"), Ok(None));
        assert_eq!(from_text(b"1\n5\n6\n\0\0"), Ok(Some(vec![(5, 6)])));
        assert!(from_text(b"x\n").is_err());
    }
}
