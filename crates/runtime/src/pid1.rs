//! `--init`: a first process that only waits.
//!
//! It hands every signal on to the program, reaps whoever ends, and ends as
//! the program did; the kernel then ends the rest. It is as confined as the
//! program and never executes anything.

use crate::failure::Doing;
use rustix::{
    io::Errno,
    process::{WaitOptions, WaitStatus},
};
use spec::wire::Failure;
use sys::process::{Clone, Cloned};

/// `SIGCHLD`, in `signal(7)`.
const CHILD: i32 = 17;

/// Forks. In the first process: the program's number. In the child, which is
/// to become the program: none.
pub(crate) fn split() -> Result<Option<i32>, Failure> {
    let doing = || "hold signals back".into();
    sys::signal::hold().doing(doing)?;
    match sys::process::clone(Clone::default()).doing(|| "fork the program".into())? {
        Cloned::Parent { pid, .. } => Ok(Some(pid)),
        Cloned::Child => {
            // Its own group, in the foreground if there is a terminal: keys
            // reach the program once, not again by way of the first process.
            rustix::process::setpgid(None, None).doing(|| "make a process group".into())?;
            let own = rustix::process::getpgrp();
            match rustix::termios::tcsetpgrp(std::io::stdin(), own) {
                Ok(()) | Err(Errno::NOTTY | Errno::BADF | Errno::INVAL) => {}
                other => other.doing(|| "take the terminal's foreground".into())?,
            }
            sys::signal::reset().doing(doing)?;
            Ok(None)
        }
    }
}

/// Waits until `program` ends, and ends as it did.
pub(crate) fn watch(program: i32) -> ! {
    // The socket among them: its closing is how the caller learns that the
    // program runs.
    if sys::process::close_from(3).is_err() {
        sys::process::exit(1);
    }
    loop {
        match sys::signal::next() {
            Ok(CHILD) => {
                if let Some(code) = reap(program) {
                    sys::process::exit(code);
                }
            }
            // It may have ended already: its SIGCHLD is on the way.
            Ok(signal) => drop(sys::signal::send(program, signal)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => sys::process::exit(1),
        }
    }
}

/// Reaps all that have ended; the exit code if the program is among them.
fn reap(program: i32) -> Option<i32> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == program {
            ended = Some(code(status));
        }
    }
    ended
}

fn code(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
        .unwrap_or(255)
}
