//! Dockerfiles: text in, a typed model out. Pure: no file, clock or
//! environment is read, so both doors of the builder (the classic one and
//! BuildKit's) understand every Dockerfile alike.

mod model;

pub use model::{
    Add, Arg, Command, Copy, Directives, Dockerfile, Document, Files, Healthcheck, Held,
    Instruction, Lines, Mount, MountKind, MountText, Network, Pair, Run, Security, Sharing, Stage,
    Step, Warning,
};
