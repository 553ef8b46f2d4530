//! Dockerfiles: text in, a typed model out. Pure: no file, clock or
//! environment is read, so both doors of the builder (the classic one and
//! BuildKit's) understand every Dockerfile alike.
//!
//! [`parse`] takes a text apart; [`Step::expand`] puts in what variables mean
//! at its place, which the builder knows. [`Ignore`] is the ignore file beside
//! it.
//!
//! Own code and no parser of others, because what counts is to be wrong where
//! Docker's builder is wrong, in its words: which arguments fall back from
//! JSON to a shell, where quotes stay, which error comes first.

mod document;
mod duration;
mod error;
mod expand;
mod file;
mod flags;
mod glob;
mod ignore;
mod json;
mod lines;
mod model;
mod mount;
mod pattern;
mod read;
mod words;

pub use error::{Error, Why, WordError};
pub use file::{parse, trigger};
pub use ignore::{BadPattern, Ignore};
pub use model::{
    Add, Arg, Command, Copy, Directives, Dockerfile, Document, Files, Healthcheck, Held,
    Instruction, Lines, Mount, MountKind, MountText, Network, Pair, Run, Security, Sharing, Stage,
    Step, Warning,
};
pub use words::Words;
