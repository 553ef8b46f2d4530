//! Places where a test ends the process at once, as `kill -9` would.
//!
//! In builds with debug assertions only, and there only if the environment
//! names one: `COFFERDAM_DIES_AT=layer-placed`, or `layer-placed:3` for the
//! third time that it is passed. A release has nothing of this.

/// Where a store of images may die, in the order of an image's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A layer's files are there under their temporary name, its figures not.
    LayerUnpacked,
    /// All of a layer is there under its temporary name.
    LayerWritten,
    /// A layer has its final name; nothing names it.
    LayerPlaced,
    /// A document is there under its temporary name.
    DocumentWritten,
    /// A document has its final name; nothing names it.
    DocumentPlaced,
    /// All of an image is on the disk; nothing names it.
    Settled,
    /// A change of the records is made and not yet committed.
    Recording,
    /// A change of the records is committed; its caller does not know.
    Recorded,
    /// An image's record is gone; its files are there.
    Forgotten,
    /// A layer that nothing names has a temporary name again.
    LayerMovedAway,
    /// Some files that nothing names are gone.
    LayerRemoved,
}

impl Point {
    /// Every one of them.
    pub const ALL: [Self; 11] = [
        Self::LayerUnpacked,
        Self::LayerWritten,
        Self::LayerPlaced,
        Self::DocumentWritten,
        Self::DocumentPlaced,
        Self::Settled,
        Self::Recording,
        Self::Recorded,
        Self::Forgotten,
        Self::LayerMovedAway,
        Self::LayerRemoved,
    ];

    /// As the environment spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LayerUnpacked => "layer-unpacked",
            Self::LayerWritten => "layer-written",
            Self::LayerPlaced => "layer-placed",
            Self::DocumentWritten => "document-written",
            Self::DocumentPlaced => "document-placed",
            Self::Settled => "settled",
            Self::Recording => "recording",
            Self::Recorded => "recorded",
            Self::Forgotten => "forgotten",
            Self::LayerMovedAway => "layer-moved-away",
            Self::LayerRemoved => "layer-removed",
        }
    }
}

/// The variable that names a point.
pub const VARIABLE: &str = "COFFERDAM_DIES_AT";

/// Ends the process if this is where it is to end.
pub fn point(at: Point) {
    #[cfg(debug_assertions)]
    armed::point(at);
    #[cfg(not(debug_assertions))]
    let _ = at;
}

#[cfg(debug_assertions)]
mod armed {
    use super::{Point, VARIABLE};
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    };

    /// The point's name, and how often it is passed until then.
    static ARMED: OnceLock<Option<(String, AtomicU32)>> = OnceLock::new();

    pub fn point(at: Point) {
        let armed = ARMED.get_or_init(|| {
            let text = std::env::var(VARIABLE).ok()?;
            let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
            Some((name.to_owned(), AtomicU32::new(times.parse().ok()?)))
        });
        if let Some((name, left)) = armed
            && name == at.name()
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            let us = rustix::process::getpid();
            let _ = rustix::process::kill_process(us, rustix::process::Signal::KILL);
        }
    }
}
