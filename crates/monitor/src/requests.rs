//! What clients ask and say.

use crate::{
    client::{Client, Part},
    exec,
    failure::{Doing, refuse},
    frames,
    queue::Outcome,
    serve::{Monitor, Token},
    session::{INIT, Session},
};
use rustix::{event::epoll::EventFlags, io::Errno, net::SocketFlags, termios::Winsize};
use spec::wire::{Failure, Reply, Request};
use std::{io, os::fd::AsFd};

/// More connections than any daemon makes.
const MOST: usize = 512;

/// So much may wait for a program to read its standard input.
const INPUT: usize = 64 << 10;

/// Taken from a client at once.
const TAKE: usize = 16 << 10;

impl Monitor {
    /// Lets clients in: those of this user and of root.
    pub fn accept(&mut self) -> io::Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = match rustix::net::accept_with(listener, flags) {
            Ok(fd) => fd,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                eprintln!("no descriptor is left for a client");
                self.go_deaf();
                return Ok(());
            }
            // It has gone again, or was a false alarm.
            Err(_) => return Ok(()),
        };
        let peer = rustix::net::sockopt::socket_peercred(&fd)?;
        let ours = peer.uid.is_root() || peer.uid == rustix::process::geteuid();
        if !ours || self.clients.len() >= MOST {
            eprintln!("turned away a client of user {}", peer.uid.as_raw());
            return Ok(());
        }
        let id = self.fresh();
        let mut client = Client::new(fd);
        client.polled = client.wanted();
        self.poll(client.fd.as_fd(), Token::Client(id), client.polled)?;
        self.clients.insert(id, client);
        Ok(())
    }

    /// A client can be read, written, or has gone.
    pub fn client(&mut self, id: u32, flags: EventFlags) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
        if flags.contains(EventFlags::OUT) {
            match client.queue.flush(&client.fd) {
                Outcome::Broken => return self.dismiss(id),
                Outcome::Empty if client.closing => return self.dismiss(id),
                Outcome::Empty | Outcome::Waits => {}
            }
            let part = client.part;
            self.repoll(id)?;
            if let Part::Attached { session, .. } = part {
                self.resume(session)?;
            }
        }
        let gone = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        if flags.contains(EventFlags::IN) || gone { self.hear(id, gone) } else { Ok(()) }
    }

    /// Reads a client; one that has gone is read to its end, whatever its
    /// program takes.
    fn hear(&mut self, id: u32, gone: bool) -> io::Result<()> {
        let mut buffer = vec![0; TAKE];
        loop {
            let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
            if client.closing {
                // Nothing it could say matters; if it has gone, it will read no more.
                return if gone { self.dismiss(id) } else { Ok(()) };
            }
            match rustix::io::read(&client.fd, &mut buffer) {
                Ok(0) => return self.dismiss(id),
                Ok(len) => self.take(id, &buffer[..len])?,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) if !gone => return Ok(()),
                Err(_) => return self.dismiss(id),
            }
            if !gone {
                return Ok(());
            }
        }
    }

    fn take(&mut self, id: u32, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
            let mut decoder = std::mem::take(&mut client.decoder);
            let part = client.part;
            let taken = decoder.take(&mut bytes);
            client.decoder = decoder;
            match taken {
                Ok(None) => return Ok(()),
                Ok(Some(frames::Part::Control(text))) if part == Part::New => {
                    match serde_json::from_slice(&text) {
                        Ok(request) => self.request(id, request)?,
                        Err(error) => {
                            let failure: Result<(), _> = Err(error).doing("understand a request");
                            self.refuse(id, failure)?;
                        }
                    }
                }
                Ok(Some(frames::Part::Stdin(text))) => self.speak(id, part, text)?,
                Ok(Some(frames::Part::StdinEnd)) => {
                    if let Part::Attached { session, stdin: true, .. } = part {
                        self.finish_stdin(session)?;
                    }
                }
                Ok(Some(frames::Part::Control(_))) => {
                    return self.refuse(id, Err(refuse("a connection is for one request")));
                }
                Err(error) => {
                    let failure: Result<(), _> = Err(error).doing("understand a client");
                    return self.refuse(id, failure);
                }
            }
        }
    }

    fn request(&mut self, id: u32, request: Request) -> io::Result<()> {
        match request {
            Request::Watch => {
                self.become_part(id, Part::Watch);
                let init = self.sessions.get(&INIT).and_then(|s| s.process.as_ref());
                let pid = init.map(|process| process.pid);
                self.answer(id, &Reply::State { id: self.id.clone(), pid }, false)
            }
            Request::Attach { stdin, stdout, stderr, pace } => {
                let hears = [stdout, stderr];
                self.become_part(id, Part::Attached { session: INIT, stdin, hears, pace });
                self.answer(id, &Reply::Ok, false)
            }
            Request::Exec { exec, process, stdin, output } => {
                let wish = exec::Wish { name: exec, process: *process, stdin, output };
                self.exec(id, wish)
            }
            Request::Resize { width, height, exec } => {
                let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
                let done = self.session(exec.as_deref()).and_then(|s| resize(s, size));
                self.done(id, done)
            }
            Request::Signal { signal, exec } => {
                let done = self.session(exec.as_deref()).and_then(|session| {
                    let process = session.process.as_ref();
                    let process = process.ok_or_else(|| refuse("its program does not run"))?;
                    sys::signal::send_pidfd(process.pidfd.as_fd(), signal).doing("send a signal")
                });
                self.done(id, done)
            }
            Request::LogState => {
                let dropped = self.log.dropped();
                self.answer(id, &Reply::Log { dropped }, true)
            }
            Request::ReopenLog => {
                let done = self.log.reopen().doing("open the log anew");
                self.done(id, done)
            }
        }
    }

    /// The session of that name; the container's own for none.
    fn session(&mut self, name: Option<&str>) -> Result<&mut Session, Failure> {
        let mut sessions = self.sessions.values_mut();
        let found = sessions.find(|session| session.name.as_deref() == name);
        found.ok_or_else(|| refuse("there is no such exec session"))
    }

    pub fn become_part(&mut self, id: u32, part: Part) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.part = part;
        }
    }

    fn done(&mut self, id: u32, done: Result<(), Failure>) -> io::Result<()> {
        match done {
            Ok(()) => self.answer(id, &Reply::Ok, true),
            refused => self.refuse(id, refused),
        }
    }

    /// Answers with the failure and closes.
    pub fn refuse(&mut self, id: u32, failure: Result<(), Failure>) -> io::Result<()> {
        failure.or_else(|failure| self.answer(id, &Reply::Failed(failure), true))
    }

    /// Answers, and closes once that is sent if it is the `last` answer.
    pub fn answer(&mut self, id: u32, reply: &Reply, last: bool) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
        client.closing |= last;
        match client.reply(reply) {
            Outcome::Broken => self.dismiss(id),
            Outcome::Empty if last => self.dismiss(id),
            Outcome::Empty | Outcome::Waits => self.repoll(id),
        }
    }

    /// Standard input from a client.
    fn speak(&mut self, id: u32, part: Part, text: &[u8]) -> io::Result<()> {
        let Part::Attached { session: of, stdin: true, .. } = part else { return Ok(()) };
        let Some(session) = self.sessions.get_mut(&of) else { return Ok(()) };
        // What nobody will read is passed over, as by a closed pipe.
        let Some(stdin) = session.streams.stdin.as_mut().filter(|stdin| !stdin.ending) else {
            return Ok(());
        };
        let waited = !stdin.queue.is_empty();
        match stdin.queue.write(stdin.fd.as_fd(), [text, &[]]) {
            Outcome::Empty => Ok(()),
            Outcome::Broken => {
                self.drop_stdin(of);
                Ok(())
            }
            Outcome::Waits => {
                let full = stdin.queue.len() > INPUT;
                if !waited {
                    let session = &self.sessions[&of];
                    if let Some(stdin) = &session.streams.stdin {
                        self.poll(stdin.fd.as_fd(), Token::In(of), EventFlags::OUT)?;
                    }
                }
                if full && let Some(client) = self.clients.get_mut(&id) {
                    client.held = true;
                    self.repoll(id)?;
                }
                Ok(())
            }
        }
    }

    /// A program takes more of its standard input.
    pub fn feed(&mut self, of: u32) -> io::Result<()> {
        let session = self.sessions.get_mut(&of);
        let Some(stdin) = session.and_then(|s| s.streams.stdin.as_mut()) else { return Ok(()) };
        match stdin.queue.flush(&stdin.fd) {
            Outcome::Broken => self.drop_stdin(of),
            Outcome::Empty if stdin.ending => self.drop_stdin(of),
            Outcome::Empty => self.unpoll_stdin(of),
            Outcome::Waits if stdin.queue.len() > INPUT / 2 => return Ok(()),
            Outcome::Waits => {}
        }
        self.release(of)
    }

    fn unpoll_stdin(&self, of: u32) {
        let session = self.sessions.get(&of);
        if let Some(stdin) = session.and_then(|session| session.streams.stdin.as_ref()) {
            self.unpoll(stdin.fd.as_fd());
        }
    }

    /// Hears those again whose program had no room for more.
    fn release(&mut self, of: u32) -> io::Result<()> {
        let held = self.clients.iter().filter(|(_, client)| {
            client.held && matches!(client.part, Part::Attached { session, .. } if session == of)
        });
        let held: Vec<u32> = held.map(|(id, _)| *id).collect();
        for id in held {
            if let Some(client) = self.clients.get_mut(&id) {
                client.held = false;
            }
            self.repoll(id)?;
        }
        Ok(())
    }

    /// A client that speaks has no more to say.
    fn finish_stdin(&mut self, of: u32) -> io::Result<()> {
        let Some(session) = self.sessions.get_mut(&of) else { return Ok(()) };
        // A terminal has no end of input but the one that is typed.
        if !session.stdin_once || session.streams.has_terminal() {
            return Ok(());
        }
        if let Some(stdin) = &mut session.streams.stdin {
            stdin.ending = true;
            if stdin.queue.is_empty() {
                self.drop_stdin(of);
            }
        }
        self.release(of)
    }

    fn drop_stdin(&mut self, of: u32) {
        let session = self.sessions.get_mut(&of);
        if let Some(stdin) = session.and_then(|session| session.streams.stdin.take()) {
            self.unpoll(stdin.fd.as_fd());
        }
    }

    /// Closes a client's connection.
    pub fn dismiss(&mut self, id: u32) -> io::Result<()> {
        let Some(client) = self.clients.remove(&id) else { return Ok(()) };
        self.unpoll(client.fd.as_fd());
        if let Part::Attached { session, stdin, .. } = client.part {
            drop(client);
            if stdin {
                self.finish_stdin(session)?;
            }
            self.resume(session)?;
        }
        Ok(())
    }
}

fn resize(session: &mut Session, size: Winsize) -> Result<(), Failure> {
    if session.process.is_none() && session.name.is_none() {
        session.size = Some(size);
        return Ok(());
    }
    session.streams.resize(size).doing("resize a terminal")
}
