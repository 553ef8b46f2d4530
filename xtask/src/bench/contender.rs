//! Who is measured: a client, perhaps a daemon, an agent that starts both, and
//! a meter.

use super::{
    agent::Agent,
    host::{Host, Scratch},
    meter::Meter,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// A container engine, a runtime, or the floor.
pub struct Contender {
    pub name: String,
    /// The words before `run`, `exec`, …
    client: Vec<String>,
    /// What is said beside `run`.
    run_words: Vec<String>,
    agent: Agent,
    pub daemon: Option<u32>,
    pub meter: Rc<Meter>,
    pub kind: Kind,
}

/// What can be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours, by our CLI.
    Ours,
    /// Ours, by Docker's.
    OursByDocker,
    /// Another build of ours.
    OursBefore,
    /// Another engine.
    Peer,
    /// The system calls and nothing else: it can only run a container.
    Floor,
}

/// What makes a contender; its client has been tried by nobody yet.
pub struct Parts {
    pub name: &'static str,
    pub kind: Kind,
    pub client: Vec<String>,
    pub run_words: Vec<String>,
    pub agent: Agent,
    pub daemon: Option<u32>,
    pub meter: Rc<Meter>,
}

/// Words as strings.
pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// Our daemon and our CLI.
pub fn ours(
    (name, kind): (&'static str, Kind),
    host: &Host,
    scratch: &Scratch,
    binaries: &Path,
) -> Result<Contender> {
    let place = scratch.folder(if kind == Kind::Ours { "ours" } else { "before" })?;
    let mut meter =
        Meter::new(place.file_name().and_then(|name| name.to_str()).unwrap_or_default())?;
    let agent = host.agent(&meter.group)?;
    let binary = |name| binaries.join(name).display().to_string();
    let (data, run) = (place.join("data"), place.join("run"));
    let socket = place.join("engine.sock");
    let address = format!("unix://{}", socket.display());
    // Two engines on one host need two bridges with addresses of their own.
    let (bridge, bip) =
        if kind == Kind::Ours { ("coffer0", "10.91.0.1/16") } else { ("coffer1", "10.92.0.1/16") };
    let daemon = [
        &binary("cofferdamd"),
        "--host",
        &address,
        "--data-root",
        &data.display().to_string(),
        "--run-root",
        &run.display().to_string(),
        "--bridge",
        bridge,
        "--bip",
        bip,
    ];
    let daemon = agent.keep(&words(&daemon), &place.join("log"))?;
    await_socket(&socket)?;
    let client = words(&[&binary("cofferdam"), "--host", &address]);
    // It listens before it is open: who answers has said where its containers
    // are counted.
    agent.say(&[&client[..], &words(&["version"])].concat())?;
    let parent = std::fs::read_to_string(run.join("cgroup-parent"));
    meter.also(parent.context("cannot read where containers are counted")?.trim());
    let contender = Contender::new(Parts {
        name,
        kind,
        client,
        run_words: Vec::new(),
        agent,
        daemon: Some(daemon),
        meter: meter.into(),
    });
    contender.import(&scratch.0.join("busybox.tar"))?;
    Ok(contender)
}

/// The same daemon through the Docker CLI.
pub fn ours_by_docker(ours: &Contender, host: &Host, docker: &Path) -> Result<Contender> {
    let mut client = ours.client.clone();
    client[0] = docker.display().to_string();
    Ok(Contender::new(Parts {
        name: "cofferdam by docker's CLI",
        kind: Kind::OursByDocker,
        client,
        run_words: Vec::new(),
        agent: host.agent(&ours.meter.group)?,
        daemon: None,
        meter: ours.meter.clone(),
    }))
}

/// The same system calls with nothing else.
pub fn floor(host: &Host, scratch: &Scratch, binaries: &Path) -> Result<Contender> {
    let place = scratch.folder("floor")?.display().to_string();
    let program = binaries.join("floor").display().to_string();
    let meter = Rc::new(Meter::new("floor")?);
    let agent = host.agent(&meter.group)?;
    agent.say(&words(&[&program, "prepare", &place, &meter.name, "/bin/busybox"]))?;
    Ok(Contender::new(Parts {
        name: "floor",
        kind: Kind::Floor,
        client: words(&[&program, "start", &place, &meter.name]),
        run_words: Vec::new(),
        agent,
        daemon: None,
        meter,
    }))
}

/// Waits until something listens.
pub fn await_socket(socket: &Path) -> Result<()> {
    let begun = Instant::now();
    while std::os::unix::net::UnixStream::connect(socket).is_err() {
        ensure!(begun.elapsed() < PATIENCE, "nothing listens at {}", socket.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

impl Contender {
    pub fn new(parts: Parts) -> Self {
        let Parts { name, kind, client, run_words, agent, daemon, meter } = parts;
        Self { name: name.into(), client, run_words, agent, daemon, meter, kind }
    }

    /// Its client's words before these.
    pub fn words(&self, said: &[&str]) -> Vec<String> {
        self.client.iter().cloned().chain(words(said)).collect()
    }

    /// `run` and what has to be said beside it.
    pub fn run_words(&self, said: &[&str]) -> Vec<String> {
        let mut all = self.words(&["run"]);
        all.extend(self.run_words.iter().cloned());
        all.extend(words(said));
        all
    }

    /// One command of its client, which must succeed.
    pub fn say(&self, said: &[&str]) -> Result<Duration> {
        self.agent.say(&self.words(said))
    }

    /// Things asked of its API, each a path and a body to be posted.
    pub fn post_all(&self, asks: &[[String; 2]]) -> Result<Duration> {
        let socket = self.address()?.strip_prefix("unix://").context("no unix socket")?;
        self.agent.post_all(Path::new(socket), asks)
    }

    /// Where its daemon listens.
    fn address(&self) -> Result<&str> {
        let at = self.client.iter().position(|word| word == "--host");
        at.and_then(|at| self.client.get(at + 1)).map(String::as_str).context("no address")
    }

    /// One command of buildx, which stands in the scratch directory, about
    /// this engine.
    pub fn buildx(&self, said: &[&str]) -> Result<Duration> {
        let address = self.address()?;
        let plugin = super::host::buildx();
        let (host, plugin) = (format!("DOCKER_HOST={address}"), plugin.display().to_string());
        let own = format!("DOCKER_CONFIG={plugin}.config");
        let all = [&["/bin/busybox", "env", &host, &own, &plugin], said].concat();
        self.agent.say(&words(&all))
    }

    /// Whole commands, some at a time.
    pub fn say_all(&self, all: &[Vec<String>], workers: usize) -> Result<Duration> {
        self.agent.say_all(all, workers)
    }

    /// Makes the image `busybox`.
    pub fn import(&self, tar: &Path) -> Result<()> {
        self.say(&["import", &tar.display().to_string(), "busybox"]).map(drop)
    }

    /// One command again and again until it succeeds.
    pub fn until(&self, said: &[&str]) -> Result<()> {
        let begun = Instant::now();
        loop {
            match self.say(said) {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > PATIENCE => {
                    return Err(error).context("it does not come true");
                }
                Err(_) => {}
            }
        }
    }
}
