//! Watches one container.
//!
//! A monitor is a small process of one thread: it makes the container as its
//! `sandbox.json` says, holds its standard streams, keeps its log, serves those
//! who attach to it or run something in it, waits for its end and writes that
//! down. The daemon launches it and may die; the monitor notices and goes on.
//! What both say to one another is drawn in [`spec::wire`].
//!
//! ```text
//!  launched ──▶ making ──▶ alive ──Go──▶ serving ──end──▶ ending ──▶ gone
//!                 │          │ Abort, or the daemon died    │ lingers for clients
//!                 ▼          ▼                              │ that still read
//!               Failed     gone, nothing remains            ▼ what was said
//! ```
//!
//! At the end, in this order: what is left in the control group is killed; all
//! that was written before is read, logged and queued for the clients; the
//! control group is removed; `exit.json` is written; `monitor.sock` goes; the
//! daemon and the watchers are told.
//!
//! The monitor survives every signal that can be survived, a daemon that is
//! killed and clients that hang. Killed itself, it leaves a container without
//! a watcher, whose output nobody reads: init is not tied to it on purpose
//! (that would let a stray signal end a container twice removed), and the
//! daemon's verdict for it is *Orphaned*: it kills the control group.
//!
//! Memory is the point of the design: one thread, buffers that exist while
//! bytes flow, the sandbox forgotten once it is applied (and read anew for an
//! exec), the heap trimmed when things calm down.

mod client;
mod dir;
mod end;
mod exec;
mod failure;
mod frames;
mod group;
mod launch;
mod log;
mod nursery;
mod pair;
mod queue;
mod requests;
mod serve;
mod session;
mod streams;

use std::process::ExitCode;

/// What `cofferdam-run monitor` does, from its first instruction to its exit;
/// and `cofferdam-run nursery`, in which monitors are born.
pub fn main() -> ExitCode {
    let nursery = std::env::args_os().nth(1).is_some_and(|word| word == "nursery");
    let who = if nursery { nursery::serve() } else { Ok(nursery::Who::Monitor) };
    let done = who.and_then(|who| match who {
        nursery::Who::Nursery => Ok(()),
        nursery::Who::Monitor => launch::run(),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", failure::chain(&error));
            ExitCode::FAILURE
        }
    }
}
