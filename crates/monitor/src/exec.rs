//! Another program in the container.

use crate::{
    client::Part,
    failure::{Doing, refuse},
    serve::Monitor,
    session::{INIT, Process, Session},
    streams,
};
use spec::{
    oci,
    wire::{Failure, Reply},
};
use std::{io, os::fd::AsFd};

/// What to run.
pub struct Wish {
    /// The daemon's word for it.
    pub name: String,
    /// As whom, and what.
    pub process: oci::Process,
    /// It gets a standard input.
    pub stdin: bool,
    /// Its output is wanted.
    pub output: bool,
}

impl Monitor {
    /// Runs it for a client, who hears it from its first byte on.
    pub fn exec(&mut self, client: u32, wish: Wish) -> io::Result<()> {
        let output = wish.output;
        match self.start(wish) {
            Ok((id, running)) => {
                let (stdin, hears) = (true, [output; 2]);
                self.become_part(client, Part::Attached { session: id, stdin, hears, pace: true });
                self.answer(client, &Reply::Started { pid: running.pid }, false)?;
                let process = Process { pid: running.pid, pidfd: running.pidfd };
                self.adopt(id, process, running.console)
            }
            Err(failure) => self.refuse(client, Err(failure)),
        }
    }

    fn start(&mut self, wish: Wish) -> Result<(u32, runtime::Running), Failure> {
        if self.sessions.values().any(|s| s.name.as_deref() == Some(wish.name.as_str())) {
            return Err(refuse("there is an exec session of that name"));
        }
        let init = self.sessions.get(&INIT).and_then(|session| session.process.as_ref());
        let init = init.ok_or_else(|| refuse("the container does not run"))?;
        // Forgotten since the start: it is large and seldom needed.
        let sandbox = self.dir.sandbox().doing("read sandbox.json")?;
        let Wish { name, process, stdin, output } = wish;
        let plan = streams::plan(&sandbox, &process, stdin, output).doing("make pipes")?;
        let options = runtime::Options { cgroup: self.group.paths.as_ref(), ..Default::default() };
        let bundle = std::path::Path::new("");
        let target = runtime::Target { pidfd: init.pidfd.as_fd(), sandbox: &sandbox, bundle };
        let running = runtime::exec(target, &process, plan.io, &options)?;
        for warning in &running.warnings {
            eprintln!("warning: {warning}");
        }
        let session = Session {
            name: Some(name),
            process: None,
            streams: plan.streams,
            paused: false,
            size: None,
            open_stdin: stdin,
            stdin_once: true,
        };
        let id = self.fresh();
        self.sessions.insert(id, session);
        Ok((id, running))
    }
}
