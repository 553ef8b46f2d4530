//! Images of another engine's, taken over from where it has them unpacked.
//!
//! Docker keeps a layer as the tree that overlayfs wants, as here, and beside
//! it what else its tar held (`tar-split.json.gz`): a list of pieces, each
//! either bytes or the name of a file whose content comes next. That is a
//! recipe in other words. So the files are linked, the recipe is translated,
//! and the tar that both come to is written out once to nowhere: its digest
//! is the layer's, or the layer is refused.
//!
//! Source: github.com/vbatts/tar-split, `tar/storage/entry.go`.

use crate::{Error, Store, error::Doing};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use snapshot::{Linked, Recipe};
use spec::{Digest, Reference};
use std::{
    fs::File,
    io::{BufReader, Read},
    path::PathBuf,
};
use unpacker::Forms;

/// Bytes of one piece of a recipe at most.
const PIECE: usize = 1 << 20;

/// A layer as Docker has it.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// What its tar's digest is to be.
    pub diff_id: Digest,
    /// Its files.
    pub tree: PathBuf,
    /// `tar-split.json.gz`.
    pub split: PathBuf,
}

/// What taking an image over came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// It was not here before.
    pub new: bool,
    /// Layers that were not here before.
    pub layers: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Of those, bytes that had to be copied.
    pub copied: u64,
}

impl Store {
    /// Takes over an image of a configuration and its layers, lowest first.
    /// Names move last; layers that are here already are not looked at.
    ///
    /// # Errors
    /// A layer is not what its digest says; what the host said. Nothing of
    /// the image stays then.
    pub fn take_over(
        &self,
        config: &[u8],
        layers: &[Foreign],
        names: &[Reference],
    ) -> Result<TakenOver, Error> {
        self.leasing(|lease| {
            let mut done = TakenOver::default();
            let mut all = Vec::new();
            for layer in layers {
                if let Some(figures) = lease.take(&layer.diff_id)? {
                    all.push((layer.diff_id.clone(), figures));
                    continue;
                }
                let (taken, linked) = self.content.take_linked(lease, &layer.tree, |recipe| {
                    self.translate(layer, Recipe::to(recipe))
                })?;
                if taken.diff_id != layer.diff_id {
                    let expected = layer.diff_id.clone();
                    return Err(Error::Digest { expected, found: taken.diff_id });
                }
                let Linked { bytes, copied } = linked;
                done.layers += 1;
                done.bytes += bytes;
                done.copied += copied;
                all.push((taken.diff_id, taken.figures));
            }
            let (_, new) = self.add(config, None, &all, names)?;
            Ok(TakenOver { new, ..done })
        })
    }

    /// Whether an image is here.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn is_here(&self, id: &Digest) -> Result<bool, Error> {
        Ok(self.records.row(id)?.is_some())
    }

    fn translate(&self, layer: &Foreign, recipe: Recipe<'_>) -> Result<u64, Error> {
        let mut file = File::open(&layer.split).doing("open", &layer.split)?;
        let mut text = Vec::new();
        self.content.workers.plain(&mut file, Forms::Layers, |plain| {
            plain.read_to_end(&mut text).map(drop).map_err(Error::input)
        })?;
        pieces(&mut &text[..], recipe)
    }
}

/// One piece.
#[derive(Deserialize)]
struct Piece {
    /// 1: a member of the archive; 2: bytes.
    #[serde(rename = "type")]
    kind: u8,
    #[serde(default)]
    name: Option<String>,
    /// Where the name is not UTF-8.
    #[serde(default)]
    name_raw: Option<String>,
    /// Of the member's content.
    #[serde(default)]
    size: u64,
    /// The bytes, or a checksum of the content.
    #[serde(default)]
    payload: Option<String>,
}

/// Translates; gives the number of members.
fn pieces(from: &mut dyn Read, mut recipe: Recipe<'_>) -> Result<u64, Error> {
    let broken = |why: &dyn std::fmt::Display| Error::Invalid(format!("tar-split data: {why}"));
    let mut members = 0;
    for piece in serde_json::Deserializer::from_reader(BufReader::new(from)).into_iter::<Piece>() {
        let piece = piece.map_err(|e| broken(&e))?;
        let decoded = |text: &str| STANDARD.decode(text).map_err(|e| broken(&e));
        match piece.kind {
            1 => {
                let name = match (&piece.name_raw, piece.name) {
                    (Some(raw), _) => decoded(raw)?,
                    (None, name) => name.unwrap_or_default().into_bytes(),
                };
                members += 1;
                recipe.file(relative(&name), 0, piece.size)
            }
            2 => decoded(piece.payload.as_deref().unwrap_or_default())?
                .chunks(PIECE)
                .try_for_each(|bytes| recipe.raw(bytes)),
            kind => return Err(broken(&format_args!("a piece of kind {kind}"))),
        }
        .map_err(|source| Error::Snapshot { doing: "write a recipe", source })?;
    }
    recipe.finish().map_err(|source| Error::Snapshot { doing: "write a recipe", source })?;
    Ok(members)
}

/// As archives name the root: `/`, `./`, or not at all.
fn relative(mut name: &[u8]) -> &[u8] {
    while let Some(rest) = name.strip_prefix(b"/").or_else(|| name.strip_prefix(b"./")) {
        name = rest;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> Result<(u64, Vec<u8>), Error> {
        let mut out = Vec::new();
        let members = pieces(&mut text.as_bytes(), Recipe::to(&mut out))?;
        Ok((members, out))
    }

    #[test]
    fn a_list_of_pieces_is_a_recipe() {
        let text = r#"{"type":2,"payload":"aGVhZA==","position":0}
            {"type":1,"name":"./a/b","size":5,"payload":"AAAAAAAAAAA=","position":1}
            {"type":2,"payload":"dGFpbA==","position":2}
            {"type":1,"name":"c/","payload":null,"position":3}"#;
        let (members, recipe) = translated(text).expect("sound");
        assert_eq!((members, &recipe[..]), (2, &b"R\x04headF\x03a/b\0\x05R\x04tail"[..]));
        let raw = r#"{"type":1,"name_raw":"L2H/","size":1}"#;
        assert_eq!(translated(raw).expect("sound").1, b"F\x02a\xff\0\x01");
    }

    #[test]
    fn what_is_no_list_of_pieces_is_refused() {
        for text in [r#"{"type":3}"#, r#"{"type":2,"payload":"?"}"#, "x", r#"{"type":2"#] {
            assert!(matches!(translated(text), Err(Error::Invalid(_))), "{text}");
        }
    }
}
