//! `run`, `create`, `start` and `attach`.
//!
//! `run` is: create → attach → wait → start, in this order, so that no byte
//! of output and no early end is missed.

use super::{each, images, registries};
use crate::{
    client::{Client, escape, query},
    error::{Error, Outcome},
    request, show,
    streams::{self, End},
    terminal,
    words::{Attach, RunFlags, Start},
};
use http_body_util::BodyExt as _;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;
use spec::docker::CreateBody;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    #[serde(default)]
    warnings: Vec<String>,
}

/// Fetches the image, and says so where it is not taken for output.
async fn fetch(client: &Client, flags: &RunFlags) -> Outcome<()> {
    let platform = flags.platform.clone().unwrap_or_default();
    registries::fetch(client, &flags.image, &platform, flags.quiet).await
}

/// Makes the container; a missing image is pulled first, as `--pull` allows.
async fn make(client: &Client, flags: &RunFlags) -> Outcome<(String, CreateBody)> {
    let body = request::create(flags).map_err(Error::in_flags)?;
    if !matches!(flags.pull.as_str(), "always" | "missing" | "never") {
        return Err(Error::Words(format!(
            "invalid pull option: '{}': must be one of \"always\", \"missing\" or \"never\"",
            flags.pull
        )));
    }
    if let Some(file) = &flags.cidfile
        && std::path::Path::new(file).exists()
    {
        return Err(Error::Words(format!(
            "container ID file found, make sure the other container isn't running or delete {file}"
        )));
    }
    let platform = flags.platform.as_deref().unwrap_or_default();
    if flags.pull == "always" {
        fetch(client, flags).await.map_err(Error::starting)?;
    }
    let path = format!(
        "/containers/create{}",
        query(&[("name", flags.name.as_deref().unwrap_or_default()), ("platform", platform)])
    );
    let created = match client.post::<Created>(&path, &body).await {
        Err(Error::Engine { status: 404, message })
            if flags.pull != "never" && message.contains("No such image") =>
        {
            eprintln!("Unable to find image '{}' locally", images::latest(&flags.image));
            fetch(client, flags).await.map_err(Error::starting)?;
            client.post(&path, &body).await
        }
        other => other,
    };
    let created = created.map_err(Error::starting)?;
    for warning in &created.warnings {
        eprintln!("WARNING: {warning}");
    }
    if let Some(file) = &flags.cidfile {
        std::fs::write(file, &created.id).map_err(|source| Error::Host {
            doing: "write",
            what: file.clone(),
            source,
        })?;
    }
    Ok((created.id, body))
}

/// `create`
pub async fn create(client: &Client, flags: RunFlags) -> Outcome {
    let made = make(client, &flags).await;
    // The codes beyond 1 are those of a program that was to run.
    let (id, _) = made.map_err(|error| match error {
        Error::Start { message, .. } => Error::Start { message, code: 1 },
        other => other,
    })?;
    show::print(&format!("{id}\n"))?;
    Ok(0)
}

/// `run`
pub async fn run(client: &Client, flags: RunFlags) -> Outcome {
    if flags.tty && flags.interactive && !flags.detach && !terminal::is_input() {
        return Err(Error::Unfit("the input device is not a TTY".into()));
    }
    if flags.detach && !flags.attach.is_empty() {
        let words = "conflicting options: cannot specify both --attach and --detach";
        return Err(Error::Unfit(words.into()));
    }
    let (id, body) = make(client, &flags).await?;
    if flags.detach {
        client
            .order(Method::POST, &format!("/containers/{id}/start"))
            .await
            .map_err(Error::starting)?;
        show::print(&format!("{id}\n"))?;
        return Ok(0);
    }
    let config = &body.config;
    let session = Session {
        client,
        id: &id,
        tty: config.tty,
        stdin: config.attach_stdin,
        stdout: config.attach_stdout,
        stderr: config.attach_stderr,
        keys: flags.detach_keys.as_deref(),
        signals: flags.sig_proxy,
    };
    session.run(if flags.rm { "removed" } else { "next-exit" }, true).await
}

/// Starts a container that was just made, attached as its configuration
/// says; removes it at its end if wanted.
pub async fn attached(
    client: &Client,
    id: &str,
    config: &spec::docker::Config,
    remove: bool,
) -> Outcome {
    let session = Session {
        client,
        id,
        tty: config.tty,
        stdin: config.attach_stdin,
        stdout: config.attach_stdout,
        stderr: config.attach_stderr,
        keys: None,
        signals: !config.tty,
    };
    let ended = session.run("next-exit", true).await;
    if remove {
        let path = format!("/containers/{id}?force=1&v=1");
        client.order(Method::DELETE, &path).await?;
    }
    ended
}

/// `start`
pub async fn start(client: &Client, words: Start) -> Outcome {
    if !words.attach && !words.interactive {
        return each(&words.names, |name| async move {
            client.order(Method::POST, &format!("/containers/{}/start", escape(&name))).await?;
            Ok(Some(name))
        })
        .await;
    }
    let [name] = &words.names[..] else {
        return Err(Error::Unfit("you cannot start and attach multiple containers at once".into()));
    };
    let container: Value = client.get(&format!("/containers/{}/json", escape(name))).await?;
    let config = &container["Config"];
    let id = container["Id"].as_str().unwrap_or(name);
    let session = Session {
        client,
        id,
        tty: config["Tty"] == true,
        stdin: words.interactive && config["OpenStdin"] == true,
        stdout: true,
        stderr: true,
        keys: words.detach_keys.as_deref(),
        // A terminal's own keys are signals enough.
        signals: config["Tty"] != true,
    };
    let condition =
        if container["HostConfig"]["AutoRemove"] == true { "removed" } else { "next-exit" };
    session.run(condition, true).await
}

/// `attach`
pub async fn attach(client: &Client, words: Attach) -> Outcome {
    let container: Value = client.get(&format!("/containers/{}/json", escape(&words.name))).await?;
    let (state, config) = (&container["State"], &container["Config"]);
    if state["Running"] != true {
        return Err(Error::Unfit(
            "You cannot attach to a stopped container, start it first".into(),
        ));
    }
    if state["Paused"] == true {
        return Err(Error::Unfit(
            "You cannot attach to a paused container, unpause it first".into(),
        ));
    }
    let session = Session {
        client,
        id: container["Id"].as_str().unwrap_or(&words.name),
        tty: config["Tty"] == true,
        stdin: !words.no_stdin && config["OpenStdin"] == true,
        stdout: true,
        stderr: true,
        keys: words.detach_keys.as_deref(),
        signals: words.sig_proxy && config["Tty"] != true,
    };
    session.run("not-running", false).await
}

/// One attachment to one container, from before its start to its end.
struct Session<'a> {
    client: &'a Client,
    id: &'a str,
    tty: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    keys: Option<&'a str>,
    signals: bool,
}

impl Session<'_> {
    async fn run(&self, condition: &str, start: bool) -> Outcome {
        let word = |on| if on { "1" } else { "" };
        let attach = query(&[
            ("stream", "1"),
            ("stdin", word(self.stdin)),
            ("stdout", word(self.stdout)),
            ("stderr", word(self.stderr)),
            ("detachKeys", self.keys.unwrap_or_default()),
        ]);
        let io = self.client.hijack(&format!("/containers/{}/attach{attach}", self.id), "").await?;
        let wait = format!("/containers/{}/wait?condition={condition}", self.id);
        let wait = self.client.open(Method::POST, &wait, "").await?;
        // The first output may be answered by a signal.
        let mut following = self.forward();
        if start {
            let path = format!("/containers/{}/start", self.id);
            self.client.order(Method::POST, &path).await.map_err(Error::starting)?;
        }
        let raw = (self.tty && self.stdin).then(terminal::Raw::on).flatten();
        let resize = || follow_size(self.client, format!("/containers/{}/resize", self.id));
        following.extend(self.tty.then(resize));
        let end = Box::pin(streams::pump(io, self.tty, self.stdin, self.keys)).await;
        drop(raw);
        following.iter().for_each(JoinHandle::abort);
        if end? == End::Detached {
            eprintln!("read escape sequence");
            // As Docker: to leave a container that one has started is no
            // failure, to leave one before its end is.
            return Ok(u8::from(!start));
        }
        exit_code(wait.into_body()).await
    }

    /// Passes on signals.
    fn forward(&self) -> Vec<JoinHandle<()>> {
        if !self.signals {
            return Vec::new();
        }
        let names = [
            ("INT", SignalKind::interrupt()),
            ("TERM", SignalKind::terminate()),
            ("HUP", SignalKind::hangup()),
            ("QUIT", SignalKind::quit()),
            ("USR1", SignalKind::user_defined1()),
            ("USR2", SignalKind::user_defined2()),
        ];
        let forward = |(name, kind)| {
            let mut caught = signal(kind).ok()?;
            let (client, path) =
                (self.client.clone(), format!("/containers/{}/kill?signal={name}", self.id));
            Some(tokio::spawn(async move {
                while caught.recv().await.is_some() {
                    // The program may have ended meanwhile, which is as good.
                    let _ = client.order(Method::POST, &path).await;
                }
            }))
        };
        names.into_iter().filter_map(forward).collect()
    }
}

/// Tells the engine the terminal's size, now and whenever it changes.
pub fn follow_size(client: &Client, path: String) -> JoinHandle<()> {
    let client = client.clone();
    tokio::spawn(async move {
        let Ok(mut changed) = signal(SignalKind::window_change()) else { return };
        loop {
            if let Some((width, height)) = terminal::size() {
                // A program that has just ended has no size to change.
                let _ = client.order(Method::POST, &format!("{path}?h={height}&w={width}")).await;
            }
            if changed.recv().await.is_none() {
                return;
            }
        }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Waited {
    status_code: i64,
    error: Option<Value>,
}

/// Reads the answer to `wait`, which comes when the program has ended.
async fn exit_code(body: hyper::body::Incoming) -> Outcome {
    let bytes = body.collect().await.map_err(Error::Broken)?.to_bytes();
    let waited: Waited =
        serde_json::from_slice(&bytes).map_err(|e| Error::Answer("wait".into(), e))?;
    if let Some(message) = waited.error.as_ref().and_then(|error| error["Message"].as_str()) {
        return Err(Error::Engine { status: 500, message: message.to_owned() });
    }
    Ok(u8::try_from(waited.status_code).unwrap_or(u8::MAX))
}
