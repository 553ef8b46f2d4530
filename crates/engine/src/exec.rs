//! Another program in a running container.
//!
//! A session is in memory only: created, started once, ended. It is forgotten
//! a while after its end, or with its container.

use crate::{
    Engine, Error, Nanos, State, archive::root_of, cell::Cell, error::Doing, start::user_in,
    verbs::not_running, watcher::Due,
};
use spec::{
    Id, Sandbox,
    wire::{Exit, Reply, Request},
};
use std::{
    collections::HashMap,
    fs,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Mutex, MutexGuard},
};

/// The body of `POST /containers/{id}/exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the API's own words")]
pub struct ExecWish {
    /// Command and arguments.
    pub cmd: Vec<String>,
    /// `NAME=value`; added to the container's.
    pub env: Vec<String>,
    /// Empty for the container's.
    pub user: String,
    /// Empty for the container's.
    pub working_dir: String,
    /// A terminal?
    pub tty: bool,
    /// All capabilities.
    pub privileged: bool,
    /// Standard input wanted.
    pub attach_stdin: bool,
    /// Standard output wanted.
    pub attach_stdout: bool,
    /// Standard error wanted.
    pub attach_stderr: bool,
    /// Kept for `inspect`.
    pub detach_keys: String,
}

/// An exec session at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// The session.
    pub id: Id,
    /// Of the container.
    pub container: Id,
    /// As asked for.
    pub wish: ExecWish,
    /// Between start and end.
    pub running: bool,
    /// Once it has ended.
    pub code: Option<u8>,
    /// As the host sees it; 0 before the start.
    pub pid: i32,
}

/// All sessions.
#[derive(Default)]
pub(crate) struct Execs {
    all: Mutex<HashMap<Id, Session>>,
}

struct Session {
    exec: Exec,
    started: bool,
    ended: Nanos,
    /// Of a detached one.
    link: Option<watch::Receiver>,
}

/// How long an ended session can still be asked about, as Docker has it.
const KEPT: Nanos = 300_000_000_000;

impl Execs {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Session>> {
        self.all.lock().expect("no holder panics")
    }

    /// Forgets those that ended long ago.
    fn forget_old(&self, now: Nanos) {
        let old = |ended: Nanos| ended != 0 && now.saturating_sub(ended) > KEPT;
        self.lock().retain(|_, session| !old(session.ended));
    }

    /// Forgets one of the daemon's own, which nobody asks about.
    pub fn forget(&self, id: &Id) {
        self.lock().remove(id);
    }

    /// Forgets those that were never started in a container that has ended.
    pub fn forget_unused(&self, container: &Id) {
        self.lock().retain(|_, s| s.started || s.exec.container != *container);
    }
}

impl Engine {
    /// Registers a session; nothing runs yet.
    ///
    /// # Errors
    /// The container does not run, or is paused; an empty command.
    pub fn exec_create(&self, reference: &str, wish: ExecWish) -> Result<Id, Error> {
        let cell = self.0.find(reference)?;
        let container = cell.known().now();
        match container.state {
            State::Running { .. } => {}
            State::Paused { .. } => {
                let words = "is paused, unpause the container before exec";
                return Err(Error::Conflict(format!("Container {} {words}", container.name)));
            }
            _ => return Err(not_running(&container)),
        }
        if wish.cmd.is_empty() {
            return Err(Error::Invalid("No exec command specified".into()));
        }
        if !wish.user.is_empty() {
            // A user who is not there is the client's mistake: said now.
            let groups = container.host.group_add.as_deref();
            user_in(root_of(&cell)?.as_fd(), &wish.user, groups)?;
        }
        let id = crate::random::id();
        let exec = Exec {
            id: id.clone(),
            container: cell.id.clone(),
            running: false,
            code: None,
            pid: 0,
            wish,
        };
        let action = format!("exec_create: {}", words(&exec.wish));
        self.0.execs.forget_old(crate::clock::now());
        let session = Session { exec, started: false, ended: 0, link: None };
        self.0.execs.lock().insert(id.clone(), session);
        cell.change(|container| container.execs.push(id.clone()));
        self.0.journal.container(&container, &action, &[("execID", id.to_string())]);
        Ok(id)
    }

    /// Starts it and returns the connection on which its frames flow, as for
    /// [`Engine::attach`]; none if detached.
    ///
    /// The caller reads the connection until the `Control` frame that holds
    /// [`Reply::Ended`](spec::wire::Reply::Ended), whatever becomes of its
    /// own client, and then calls [`Engine::exec_ended`].
    ///
    /// # Errors
    /// `Conflict` if it has run; [`Error::Start`] if it cannot.
    pub fn exec_start(
        &self,
        id: &str,
        detach: bool,
        tty: bool,
        size: Option<(u16, u16)>,
    ) -> Result<Option<UnixStream>, Error> {
        self.start_session(id, tty, size, detach, |exec, dir, request| {
            if detach { self.run_detached(exec, dir, request) } else { run(dir, request) }
        })
    }

    /// Starts it for the daemon itself, which reads its frames and then calls
    /// [`Engine::exec_ended`].
    ///
    /// # Errors
    /// As of [`Engine::exec_start`].
    pub(crate) fn exec_watched(&self, id: &str) -> Result<watch::Receiver, Error> {
        self.start_session(id, false, None, false, |_, dir, request| {
            let mut connection = watch::Connection::open(dir, request)?;
            let pid = started(connection.reply()?)?;
            Ok((pid, connection.split().1))
        })
    }

    fn start_session<T>(
        &self,
        id: &str,
        tty: bool,
        size: Option<(u16, u16)>,
        detach: bool,
        run: impl FnOnce(&Exec, &std::path::Path, &Request) -> Result<(i32, T), Error>,
    ) -> Result<T, Error> {
        let exec = self.begin(id, tty)?;
        let cell = self.0.find(exec.container.as_str())?;
        let container = cell.now();
        let action = format!("exec_start: {}", words(&exec.wish));
        let request = self.request(&cell, &exec, detach, size);
        let started = request.and_then(|request| {
            let dir = self.0.paths.run(&cell.id);
            self.0.journal.container(&container, &action, &[("execID", exec.id.to_string())]);
            run(&exec, &dir, &request)
        });
        match started {
            Ok((pid, stream)) => {
                if let Some(session) = self.0.execs.lock().get_mut(&exec.id) {
                    session.exec.pid = pid;
                }
                Ok(stream)
            }
            Err(error) => {
                let code = match error {
                    Error::Start { code, .. } if code > 125 => code,
                    _ => 126,
                };
                self.ended(&exec.id, code);
                Err(error)
            }
        }
    }

    /// Marks it as started; once.
    fn begin(&self, id: &str, tty: bool) -> Result<Exec, Error> {
        let mut all = self.0.execs.lock();
        let known = id.parse().ok().and_then(|id: Id| all.get_mut(&id));
        let session = known.ok_or_else(|| Error::NoExec(id.to_owned()))?;
        if session.started {
            return Err(Error::Conflict(format!("exec command {id} has already run")));
        }
        session.started = true;
        session.exec.running = true;
        session.exec.wish.tty |= tty;
        Ok(session.exec.clone())
    }

    /// What the monitor is asked: decided with the users of the running
    /// container's own files.
    fn request(
        &self,
        cell: &Cell,
        exec: &Exec,
        detach: bool,
        size: Option<(u16, u16)>,
    ) -> Result<Request, Error> {
        let container = cell.now();
        let path = self.0.paths.run(&cell.id).join("sandbox.json");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(not_running(&container));
            }
            text => text.doing("read", &path)?,
        };
        let sandbox: Sandbox =
            serde_json::from_slice(&text).map_err(std::io::Error::from).doing("read", &path)?;
        let wish = &exec.wish;
        let user = if wish.user.is_empty() { &container.config.user } else { &wish.user };
        let root = root_of(cell)?;
        let user = user_in(root.as_fd(), user, container.host.group_add.as_deref())?;
        let (height, width) = size.unwrap_or((0, 0));
        let process = policy::exec_process(
            &sandbox,
            &policy::ExecWish {
                user: &user,
                env: &wish.env,
                working_dir: &wish.working_dir,
                cmd: &wish.cmd,
                tty: wish.tty,
                console_size: [height.into(), width.into()],
                privileged: wish.privileged,
            },
        )?;
        Ok(Request::Exec {
            exec: exec.id.to_string(),
            process: Box::new(process),
            stdin: wish.attach_stdin && !detach,
            output: !detach && (wish.attach_stdout || wish.attach_stderr || wish.tty),
        })
    }

    /// Starts a session that nobody reads; its end comes to us.
    fn run_detached(
        &self,
        exec: &Exec,
        dir: &std::path::Path,
        request: &Request,
    ) -> Result<(i32, Option<UnixStream>), Error> {
        let mut connection = watch::Connection::open(dir, request)?;
        let pid = started(connection.reply()?)?;
        let (_, receiver) = connection.split();
        let mut all = self.0.execs.lock();
        let watched = self.0.watcher.watch(&receiver, Due::Exec(exec.id.clone()));
        if let Some(session) = all.get_mut(&exec.id) {
            session.link = Some(receiver);
        }
        drop(all);
        watched.doing("watch the monitor in", dir)?;
        Ok((pid, None))
    }

    /// The connection of a detached session has something to read: its end.
    pub(crate) fn exec_heard(&self, id: &Id) {
        let link = self.0.execs.lock().get_mut(id).and_then(|session| session.link.take());
        let Some(receiver) = link else { return };
        let exit = receiver.map_while(Result::ok).find_map(|message| match message {
            watch::Message::Reply(Reply::Ended(exit)) => Some(exit),
            _ => None,
        });
        self.exec_ended(id, exit.as_ref());
    }

    /// Hands in what the last frame said; `None` if the connection broke.
    pub fn exec_ended(&self, id: &Id, exit: Option<&Exit>) {
        // A session without a last word was killed with its container.
        self.ended(id, exit.map_or(137, |exit| exit.code));
    }

    fn ended(&self, id: &Id, code: u8) {
        let mut all = self.0.execs.lock();
        let Some(session) = all.get_mut(id).filter(|session| session.exec.running) else { return };
        session.exec.running = false;
        session.exec.code = Some(code);
        session.ended = crate::clock::now();
        let container = session.exec.container.clone();
        drop(all);
        let Some(cell) = self.0.roster.get(&container) else { return };
        let after = cell.change(|container| container.execs.retain(|exec| exec != id));
        let more = [("execID", id.to_string()), ("exitCode", code.to_string())];
        self.0.journal.container(&after, "exec_die", &more);
    }

    /// A session by its identifier; kept for a while after its end.
    ///
    /// # Errors
    /// None such.
    pub fn exec(&self, id: &str) -> Result<Exec, Error> {
        let all = self.0.execs.lock();
        let known = id.parse().ok().and_then(|id: Id| all.get(&id));
        known.map(|session| session.exec.clone()).ok_or_else(|| Error::NoExec(id.to_owned()))
    }

    /// Changes the size of its terminal.
    ///
    /// # Errors
    /// Not running.
    pub fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<(), Error> {
        let exec = self.exec(id)?;
        if !exec.running {
            return Err(Error::Conflict(format!("exec {id} is not running")));
        }
        let request = Request::Resize { width, height, exec: Some(exec.id.to_string()) };
        watch::ask(&self.0.paths.run(&exec.container), &request)?;
        Ok(())
    }
}

/// Starts a session whose streams go to the caller.
fn run(dir: &std::path::Path, request: &Request) -> Result<(i32, Option<UnixStream>), Error> {
    let (reply, stream) = watch::hand_over(dir, request)?;
    Ok((started(reply)?, Some(stream)))
}

fn started(reply: Reply) -> Result<i32, Error> {
    match reply {
        Reply::Started { pid } => Ok(pid),
        other => Err(watch::Error::OutOfTurn(format!("{other:?}")).into()),
    }
}

/// The command as events show it.
fn words(wish: &ExecWish) -> String {
    let (command, args) = wish.cmd.split_first().map_or(("", &[][..]), |(c, a)| (c.as_str(), a));
    format!("{command} {}", args.join(" "))
}
