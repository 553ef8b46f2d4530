//! Names by which a layer hides what is below it, in AUFS's spelling.

use crate::place::Name;

/// What a `.wh.` entry hides.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hidden<'a> {
    /// One name beside it.
    Name(&'a [u8]),
    /// Everything that lower layers have in its directory.
    Below,
    /// It is bookkeeping of AUFS.
    Nothing,
}

/// AUFS's spelling: `.wh.NAME` hides NAME, `.wh..wh..opq` hides all. A name
/// must stay one: nothing is hidden by `.wh.`, `.wh..` or `.wh...`.
pub(crate) fn whiteout(name: &Name) -> Result<Option<Hidden<'_>>, &'static str> {
    const PREFIX: &[u8] = b".wh.";
    let mut above = name.dir.split(|b| *b == b'/').filter(|part| part.starts_with(PREFIX));
    if let Some(part) = above.next() {
        if part.starts_with(b".wh..wh.") {
            return Ok(Some(Hidden::Nothing));
        }
        return Err("it lies below a whiteout");
    }
    let Some(hidden) = name.last.strip_prefix(PREFIX) else { return Ok(None) };
    match hidden {
        b".wh..opq" => Ok(Some(Hidden::Below)),
        b"" | b"." | b".." => Err("it is a whiteout of no name"),
        hidden if hidden.starts_with(PREFIX) => Ok(Some(Hidden::Nothing)),
        hidden => Ok(Some(Hidden::Name(hidden))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whiteout_hides_one_name() {
        let of = |path: &str| {
            let name = Name::parse(path.as_bytes()).expect("harmless");
            whiteout(&name).map(|hidden| hidden.map(|h| format!("{h:?}")))
        };
        assert_eq!(of("a/.wh.b"), Ok(Some(format!("{:?}", Hidden::Name(b"b")))));
        assert_eq!(of(".wh..wh..opq"), Ok(Some("Below".into())));
        assert_eq!(of(".wh..wh.plnk"), Ok(Some("Nothing".into())));
        assert_eq!(of(".wh..wh.plnk/12.34"), Ok(Some("Nothing".into())));
        assert_eq!(of("a.wh.b"), Ok(None));
        for path in [".wh.", ".wh..", ".wh...", ".wh.a/b"] {
            assert!(of(path).is_err(), "{path}");
        }
    }
}
