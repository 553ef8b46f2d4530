//! `RUN`: a container, and what it changed.

use super::{BuildManner, BuildSaid, error::BuildError, job::Stopped, stage::Stage};
use crate::{Attach, Attaching, Condition, Container, Error, Waited, error::Doing, foreign};
use build::{config, key};
use dockerfile::{Command, Mount, Network, Run, Security};
use image::Layer;
use spec::{
    Id,
    docker::{Config, CreateBody, HostConfig, LogConfig, Words},
    wire::{Frame, Kind},
};
use std::{
    io::{self, Read as _},
    os::unix::net::UnixStream,
    sync::mpsc,
};

/// `--network` of the whole build, where it is not the default.
fn network(run: &Run, limits: &HostConfig) -> String {
    match run.network {
        Network::Default => limits.network_mode.clone(),
        Network::None => "none".into(),
        Network::Host => "host".into(),
    }
}

/// One part of many.
fn all(parts: &[String]) -> String {
    key(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What of the whole build's limits makes a difference to a program's result:
/// parts of a key. Docker's classic builder counts none of them, BuildKit
/// these, with the names of further hosts and not their addresses.
fn limits(limits: &HostConfig, manner: BuildManner) -> Vec<String> {
    if manner == BuildManner::Classic {
        return Vec::new();
    }
    let hosts = limits.extra_hosts.iter().flatten();
    let names = hosts.map(|host| host.split([':', '=']).next().unwrap_or_default());
    vec![
        limits.network_mode.clone(),
        format!("{:?}", names.collect::<Vec<_>>()),
        limits.shm_size.to_string(),
        format!("{:?}", limits.ulimits),
        limits.cgroup_parent.clone(),
    ]
}

impl Stage<'_, '_> {
    pub(super) fn run(&mut self, run: &Run, mounts: &[Mount]) -> Result<(), Stopped> {
        let wish = self.job.wish;
        if run.security == Security::Insecure && !wish.allow_insecure {
            let way = match wish.manner {
                BuildManner::BuildKit => "say --allow security.insecure",
                BuildManner::Classic => "take --security=insecure out",
            };
            let words = format!(
                "granting entitlement security.insecure is not allowed by build daemon configuration: {way}"
            );
            return Err(BuildError::invalid(words).into());
        }
        if run.network == Network::Host && !wish.allow_host_network {
            let way = match wish.manner {
                BuildManner::BuildKit => "say --allow network.host",
                BuildManner::Classic => "say --network host, or take --network=host out",
            };
            let words =
                format!("granting entitlement network.host is not allowed by this build: {way}");
            return Err(BuildError::invalid(words).into());
        }
        let words = config::words(&run.command, &self.draft.config.config);
        let args = self.scope.args(self.env());
        let mut told = words.join(" ");
        if !args.is_empty() {
            told = format!("|{} {} {told}", args.len(), args.join(" "));
        }
        if wish.manner == BuildManner::BuildKit {
            told = format!("RUN {told} # buildkit");
        }
        let prepared = self.mounts(mounts, &run.command)?;
        let mode = network(run, &wish.limits);
        let key = key(&[
            &self.key,
            "run",
            &format!("{words:?}"),
            &format!("{args:?}"),
            &all(&prepared.inputs),
            &format!("{:?}", run.network),
            &format!("{:?}", run.security),
            &all(&limits(&wish.limits, wish.manner)),
        ]);
        let kept = self.draft.config.config.clone();
        self.settle(key, &told, kept, |stage| {
            let mut image = stage.draft.config.config.clone();
            for arg in args {
                let name = arg.split_once('=').map_or(&*arg, |(name, _)| name).to_owned();
                image.env.retain(|pair| pair.split_once('=').is_none_or(|(key, _)| key != name));
                image.env.push(arg);
            }
            image.env.extend(stage.scope.proxies(&stage.job.globals));
            image.cmd = Some(Words(words.clone()));
            image.entrypoint = None;
            image.healthcheck = None;
            image.on_build = None;
            if wish.manner == BuildManner::BuildKit {
                image.volumes = None;
            }
            let mut host = (*wish.limits).clone();
            host.network_mode = mode;
            host.log_config = LogConfig { kind: "none".into(), ..LogConfig::default() };
            if run.security == Security::Insecure {
                host.privileged = true;
            }
            let mut live = prepared.begin(stage, &mut image, &mut host)?;
            let hidden = std::mem::take(&mut live.hidden);
            let layer = stage.in_container(image, (host, hidden), &words, &live)?;
            drop(live);
            Ok(layer)
        })
    }

    /// Runs a program on the state so far; what it changed. `hidden` are
    /// variables that are told to the program alone.
    fn in_container(
        &self,
        config: Config,
        (host, hidden): (HostConfig, Vec<String>),
        words: &[String],
        live: &super::mounts::Live,
    ) -> Result<Option<Layer>, Stopped> {
        let engine = self.job.engine;
        // A container that stays has its environment in its record, and in
        // each image that somebody commits of it.
        let may_stay = !live.secret;
        let (stage, step) = self.at;
        let body = CreateBody { host_config: host, ..CreateBody::default() };
        // It builds on what `Making` has announced under this name.
        let draft = self.job.making.draft(self.draft.config.clone(), self.draft.layers.clone())?;
        let config = Config { image: draft.id.to_string(), ..config };
        let created = engine.create_step(&draft.id, config, body, hidden)?;
        let id = created.id;
        self.job.client.said(BuildSaid::Running { stage, step, container: id.clone() });
        let gone = |stage_said: bool| -> Result<(), Error> {
            match engine.remove(id.as_str(), true, true) {
                Ok(()) | Err(Error::NoContainer(_)) => {}
                Err(error) => return Err(error),
            }
            if stage_said {
                self.job.client.said(BuildSaid::Removed { stage, step, container: id.clone() });
            }
            Ok(())
        };
        let ended = self.follow(&id);
        self.job.cancel.ended(&id);
        let code = match ended {
            Ok(waited) => waited,
            Err(error) => {
                gone(false)?;
                let error = foreign::why_not_here(error, draft.config.platform());
                return Err(BuildError::from(error).into());
            }
        };
        if self.job.cancel.is_cancelled() {
            gone(false)?;
            return Err(Stopped::Elsewhere);
        }
        if code.code != 0 && self.job.goes_on().is_err() {
            // Killed, for another stage has failed: nothing of its own.
            gone(true)?;
            return Err(Stopped::Elsewhere);
        }
        if code.code != 0 {
            // Docker's classic builder leaves it for its author to look at.
            let classic = self.job.wish.manner == BuildManner::Classic;
            if classic && !self.job.wish.force_rm && may_stay {
                engine.keep_step(&id)?;
                self.job.state(&draft, None);
            } else {
                gone(true)?;
            }
            let (words, code) = (words.join(" "), code.code);
            let mut error = BuildError::invalid(match self.job.wish.manner {
                BuildManner::Classic => {
                    format!("The command '{words}' returned a non-zero code: {code}")
                }
                BuildManner::BuildKit => {
                    format!("process {words:?} did not complete successfully: exit code: {code}")
                }
            });
            error.code = Some(code);
            return Err(error.into());
        }
        let container = engine.container(id.as_str())?;
        let packed = self.pack(&container, &live.stubs);
        if self.job.wish.keep_containers && may_stay {
            engine.keep_step(&id)?;
            self.job.state(&draft, None);
            packed
        } else {
            let packed = packed.inspect_err(|_| drop(gone(false)))?;
            gone(true)?;
            Ok(packed)
        }
    }

    fn pack(
        &self,
        container: &Container,
        stubs: &[super::stubs::Stub],
    ) -> Result<Option<Layer>, Stopped> {
        super::stubs::clear(&container.upper_dir, stubs)?;
        let root = self.job.engine.0.root(container)?;
        Ok(self.job.making.pack(&root)?)
    }

    /// Starts a container and passes on what it says, until its end.
    fn follow(&self, id: &Id) -> Result<Waited, Error> {
        let engine = self.job.engine;
        let (deliver, delivered) = mpsc::sync_channel(1);
        let wish = Attach { stdin: false, stdout: true, stderr: true };
        engine.attach(id.as_str(), wish, Box::new(Step(deliver)))?;
        let (answer, answered) = mpsc::sync_channel(1);
        engine.wait(id.as_str(), Condition::NextExit, move |waited| {
            let _ = answer.send(waited);
        })?;
        engine.start(id.as_str())?;
        self.job.cancel.runs(engine, id);
        if self.job.goes_on().is_err() {
            // It failed elsewhere before this one could be killed for it.
            self.job.cancel.kill();
        }
        if let Ok(stream) = delivered.recv() {
            self.pass_on(stream).doing("read the output of", id.as_str())?;
        }
        answered.recv().map_err(|_| Error::NoContainer(id.to_string()))
    }

    fn pass_on(&self, mut stream: UnixStream) -> io::Result<()> {
        let (stage, step) = self.at;
        let mut header = [0; 8];
        loop {
            match stream.read_exact(&mut header) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            }
            let frame = Frame::from_bytes(header).map_err(io::Error::other)?;
            let mut bytes = vec![0; usize::try_from(frame.len).unwrap_or(0)];
            stream.read_exact(&mut bytes)?;
            match frame.kind {
                Kind::Stdout | Kind::Stderr if !bytes.is_empty() => {
                    let stderr = frame.kind == Kind::Stderr;
                    self.job.client.said(BuildSaid::Output { stage, step, stderr, bytes });
                }
                _ => {}
            }
        }
    }
}

/// A build that waits for what a step says.
struct Step(mpsc::SyncSender<UnixStream>);

impl Attaching for Step {
    fn deliver(self: Box<Self>, stream: UnixStream) {
        // Nobody waits where the start has failed.
        let _ = self.0.send(stream);
    }

    fn has_left(&self) -> bool {
        // Where the start fails its container goes, and this with it.
        false
    }
}

/// The text of a script that is run as a file.
pub(super) fn script(command: &Command) -> Option<(&str, &str)> {
    match command {
        Command::Script { name, data } => Some((name, data)),
        _ => None,
    }
}
