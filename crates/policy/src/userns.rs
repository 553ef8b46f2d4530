//! `--userns`: whose ids a container has, and how many.
//!
//! Docker knows `host` alone; the other words, and what they mean, are those
//! of podman-run(1).

use crate::{Own, RANGE, Refusal};
use spec::{docker::HostConfig, ids};

/// Fewest ids that a container is given; as many as Podman gives.
const FEWEST: u32 = 1024;
/// Most of them: a quarter of all that there are for containers.
const MOST: u32 = 1 << 28;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: ids of its own, unless something else needs the host's.
    Default,
    /// The host's.
    Host,
    /// Ids of its own, whatever else is asked for.
    Own {
        /// How many.
        size: u32,
        /// One user and group are those of whoever asks.
        keep: bool,
        /// Joining another container is no way to have them.
        alone: bool,
    },
    /// Another container's.
    Joined,
}

impl Mode {
    /// Reads the words of a request.
    ///
    /// # Errors
    /// A [`Refusal`] of words that are unknown, or known and not carried.
    pub fn of(asked: &HostConfig) -> Result<Self, Refusal> {
        let text = asked.userns_mode.as_str();
        let own = |keep, alone, size| Self::Own { size, keep, alone };
        match text.split_once(':').unwrap_or((text, "")) {
            ("", "") => Ok(Self::Default),
            ("host", "") => Ok(Self::Host),
            ("private", "") => Ok(own(false, false, RANGE)),
            ("auto", options) => Ok(own(false, true, size(text, options)?)),
            ("keep-id", options) => Ok(own(true, true, size(text, options)?)),
            ("container", name) if !name.is_empty() => Ok(Self::Joined),
            ("nomap" | "ns", _) => Err(Refusal::unsupported(format!(
                "the user namespace mode {text} is not carried: say host, private, auto[:size=N], \
                 keep-id[:size=N] or container:NAME"
            ))),
            _ => Err(Refusal::invalid(format!("invalid user namespace mode: {text}"))),
        }
    }
}

/// How many ranges of [`RANGE`] ids a container needs, side by side.
///
/// # Errors
/// As [`Mode::of`].
pub fn ranges(asked: &HostConfig) -> Result<u32, Refusal> {
    Ok(match Mode::of(asked)? {
        Mode::Own { size, .. } => size.div_ceil(RANGE),
        Mode::Default | Mode::Host | Mode::Joined => 1,
    })
}

/// Does the container keep the ids of whoever asks for it?
///
/// # Errors
/// As [`Mode::of`].
pub fn keeps_id(asked: &HostConfig) -> Result<bool, Refusal> {
    Ok(matches!(Mode::of(asked)?, Mode::Own { keep: true, .. }))
}

/// `size=N`, and nothing else.
fn size(text: &str, options: &str) -> Result<u32, Refusal> {
    let mut size = RANGE;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        if matches!(key, "uid" | "gid" | "uidmapping" | "gidmapping") {
            return Err(Refusal::unsupported(format!(
                "the option {key} of the user namespace mode {text} is not carried: leave it out, \
                 the container's ids on disk are its own whatever the map"
            )));
        }
        let number = Some(value).filter(|_| key == "size").and_then(|value| value.parse().ok());
        size = number.ok_or_else(|| {
            Refusal::invalid(format!("invalid user namespace mode: {text}: {option}"))
        })?;
        if !(FEWEST..=MOST).contains(&size) {
            return Err(Refusal::invalid(format!(
                "invalid user namespace mode: {text}: a container has from {FEWEST} to {MOST} ids"
            )));
        }
    }
    Ok(size)
}

/// The ids of a container that has its own.
///
/// # Errors
/// A [`Refusal`] where an id is to be kept that must not be.
pub(crate) fn own(own: Own, size: u32, keep: bool) -> Result<ids::Range, Refusal> {
    if !keep {
        return Ok(ids::Range { first: own.first, size, kept: None });
    }
    let Some(kept) = own.kept else {
        return Err(Refusal::unsupported(
            "--userns=keep-id keeps the ids of whoever asks for the container, and nobody did",
        ));
    };
    if kept.uid == 0 || kept.gid == 0 {
        return Err(Refusal::invalid(
            "--userns=keep-id would make root in the container root of the host, since root asks \
             for it: ask as another user, or say --userns=host if that is wanted",
        ));
    }
    let last = own.first.saturating_add(size);
    if [kept.uid, kept.gid].iter().any(|id| (own.first..last).contains(id)) {
        return Err(Refusal::invalid(
            "--userns=keep-id: the id to be kept is one of the container's own range",
        ));
    }
    Ok(ids::Range { first: own.first, size, kept: Some(kept) })
}
