//! The end of a program, and of the container with its own.

use crate::{
    client::Part,
    serve::{Monitor, now},
    session::{self, INIT},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use spec::wire::{Exit, FromMonitor, Reply};
use std::{io, os::fd::AsFd};

/// How long a killed exec session may take to be reaped.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// The most that a pipe holds (`/proc/sys/fs/pipe-max-size`'s default).
const PIPE: usize = 1 << 20;

impl Monitor {
    /// A session's program may have ended.
    pub fn reap(&mut self, id: u32) -> io::Result<()> {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        let Some(process) = session.process.take() else { return Ok(()) };
        let Some(code) = process.reap()? else {
            session.process = Some(process);
            return Ok(());
        };
        self.unpoll(process.pidfd.as_fd());
        if id == INIT { self.end(code) } else { self.end_exec(id, code) }
    }

    /// An exec session is told its end after all that it said. What it left
    /// running in the background may write on, to nobody.
    fn end_exec(&mut self, id: u32, code: u8) -> io::Result<()> {
        self.drain(id)?;
        let exit = session::exit(code, false, now());
        self.tell(&exit, |part| matches!(part, Part::Attached { session, .. } if session == id))?;
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        session.streams.stdin = None;
        session.name = None;
        let nobody = session.streams.outs.iter().all(Option::is_none);
        if nobody || session.streams.has_terminal() {
            self.forget(id);
        } else {
            self.resume(id)?;
        }
        Ok(())
    }

    fn forget(&mut self, id: u32) {
        if let Some(session) = self.sessions.remove(&id) {
            for out in session.streams.outs.iter().flatten() {
                self.unpoll(out.fd.as_fd());
            }
        }
    }

    /// The container has ended.
    fn end(&mut self, code: u8) -> io::Result<()> {
        let at = now();
        let oom = self.group.ran_out_of_memory();
        self.group.kill();
        self.end_all_execs()?;
        self.drain(INIT)?;
        self.close_init();
        self.group.remove();
        let exit = Exit { dropped: self.log.dropped(), ..session::exit(code, oom, at) };
        if let Err(error) = self.dir.record(&exit) {
            eprintln!("cannot write exit.json: {error}");
        }
        self.shut();
        self.say(&FromMonitor::Ended(exit.clone()));
        if let Some(pair) = self.pair.take() {
            self.unpoll(pair.as_fd());
        }
        self.exit = Some(exit.clone());
        self.tell(&exit, |part| part != Part::New)?;
        let silent: Vec<u32> =
            self.clients.iter().filter(|(_, c)| !c.closing).map(|(id, _)| *id).collect();
        silent.into_iter().try_for_each(|id| self.dismiss(id))
    }

    /// They were killed with the container: hear their last words.
    fn end_all_execs(&mut self) -> io::Result<()> {
        let ids: Vec<u32> = self.sessions.keys().copied().filter(|id| *id != INIT).collect();
        for id in ids {
            if let Some(process) = self.sessions.get(&id).and_then(|s| s.process.as_ref()) {
                // Polled again if interrupted: signals are held, so it cannot be.
                poll(&mut [PollFd::new(&process.pidfd, PollFlags::IN)], Some(&PATIENCE))?;
                self.reap(id)?;
            }
            self.forget(id);
        }
        Ok(())
    }

    /// Reads all that a session wrote so far: no more than a pipe can hold, for
    /// somebody who is not ours to kill may write on.
    fn drain(&mut self, id: u32) -> io::Result<()> {
        for which in [0, 1] {
            let mut left = PIPE;
            while left > 0
                && let Some(read) = self.pump(id, which, left)?
            {
                left = left.saturating_sub(read);
            }
        }
        Ok(())
    }

    /// Takes the last line of each stream and writes the log out.
    fn close_init(&mut self) {
        for which in [0, 1] {
            self.close_out(INIT, which);
        }
        self.log.finish();
    }

    /// Tells all clients with such a part, and closes with them.
    fn tell(&mut self, exit: &Exit, whom: impl Fn(Part) -> bool) -> io::Result<()> {
        let ids: Vec<u32> = self
            .clients
            .iter()
            .filter(|(_, c)| !c.closing && whom(c.part))
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().try_for_each(|id| self.answer(id, &Reply::Ended(exit.clone()), true))
    }

    /// Takes no more clients.
    fn shut(&mut self) {
        if let Some(listener) = self.listener.take() {
            self.unpoll(listener.as_fd());
            self.dir.leave();
        }
    }

    /// Leaves nothing of a container that never began.
    pub fn clean_up(&mut self) {
        self.group.kill();
        self.group.remove();
        self.shut();
    }
}
