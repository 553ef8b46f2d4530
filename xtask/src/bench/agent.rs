//! Who starts a contender's commands: a process that lives where they run.
//!
//! It is this program once more, inside the contender's namespaces and control
//! group, so that a command is one `fork` and `exec` away: nothing of nsenter(1)
//! is in the times, and whatever it starts is metered. It is told a line and
//! answers a line, both JSON, and ends with its input; the daemon that it
//! started ends before it.
//!
//! ```text
//!   {"words": [[…], …], "workers": 8}  ─▶  {"wall": ns, "failures": […]}
//!   {"daemon": […], "log": PATH}       ─▶  {"pid": n}
//!   {"socket": PATH, "asks": [[…], …]} ─▶  {"wall": ns, "failures": […]}
//! ```

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// For an engine to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The end of the dialogue that asks.
pub struct Agent {
    process: Child,
    ask: Option<ChildStdin>,
    answers: Mutex<BufReader<ChildStdout>>,
}

impl Agent {
    /// `command` is this program's `bench-agent` with a group's directory.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let (ask, answers) = (process.stdin.take(), process.stdout.take().context("piped")?);
        Ok(Self { process, ask, answers: BufReader::new(answers).into() })
    }

    /// Runs one command to its end; it must succeed.
    pub fn say(&self, words: &[String]) -> Result<Duration> {
        self.say_all(&[words.to_vec()], 1)
    }

    /// Runs many, `workers` at a time; gives the time of all.
    pub fn say_all(&self, all: &[Vec<String>], workers: usize) -> Result<Duration> {
        let answer = self.ask(&json!({ "words": all, "workers": workers }))?;
        time_of(&answer, all.len())
    }

    /// Asks an engine's API, one thing after the other on one connection: each
    /// a path and a body to be posted.
    pub fn post_all(&self, socket: &Path, asks: &[[String; 2]]) -> Result<Duration> {
        let answer = self.ask(&json!({ "socket": socket, "asks": asks }))?;
        time_of(&answer, asks.len())
    }

    /// Starts what is to run until the agent ends.
    pub fn keep(&self, words: &[String], log: &Path) -> Result<u32> {
        let answer = self.ask(&json!({ "daemon": words, "log": log }))?;
        let pid = answer["pid"].as_u64().with_context(|| format!("{words:?}: {answer}"))?;
        Ok(u32::try_from(pid)?)
    }

    fn ask(&self, question: &Value) -> Result<Value> {
        let mut line = String::new();
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(self.ask.as_ref().context("open until the drop")?, "{question}")?;
        answers.read_line(&mut line).context("cannot hear an agent")?;
        serde_json::from_str(&line).with_context(|| format!("an agent said {line:?}"))
    }
}

/// What it says of `all` that it did, none of which may have failed.
fn time_of(answer: &Value, all: usize) -> Result<Duration> {
    let failures = answer["failures"].as_array().context("an agent lists failures")?;
    ensure!(failures.is_empty(), "{} of {all} failed: {}", failures.len(), failures[0]);
    Ok(Duration::from_nanos(answer["wall"].as_u64().context("an agent says a time")?))
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.ask.take());
        let _ = self.process.wait();
    }
}

/// The end that answers.
pub fn serve(group: &Path) -> Result<()> {
    let door = group.join("cgroup.procs");
    std::fs::write(&door, "0").with_context(|| format!("cannot enter {}", door.display()))?;
    let mut daemons = Vec::new();
    for line in io::stdin().lines() {
        let question: Value = serde_json::from_str(&line?).context("cannot understand")?;
        let answer = if let Some(socket) = question["socket"].as_str() {
            post(Path::new(socket), &question["asks"])?
        } else if question["daemon"].is_null() {
            run(&question)?
        } else {
            let daemon = daemon(&question)?;
            let pid = daemon.id();
            daemons.push(daemon);
            json!({ "pid": pid })
        };
        println!("{answer}");
    }
    for mut daemon in daemons {
        // An agent that is itself told to end has a daemon that was, too.
        let _ = Command::new("/bin/busybox").args(["kill", &daemon.id().to_string()]).status();
        daemon.wait().context("cannot wait for a daemon")?;
    }
    Ok(())
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn daemon(question: &Value) -> Result<Child> {
    let words = words(&question["daemon"]);
    let path = question["log"].as_str().context("a log")?;
    let log = File::create(path).with_context(|| format!("cannot make {path}"))?;
    let (program, rest) = words.split_first().context("no words")?;
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("cannot start {command:?}"))
}

fn run(question: &Value) -> Result<Value> {
    let all: Vec<Vec<&str>> =
        question["words"].as_array().into_iter().flatten().map(words).collect();
    let workers = usize::try_from(question["workers"].as_u64().unwrap_or(1))?;
    let failures = Mutex::new(Vec::new());
    let next = Mutex::new(all.iter());
    let work = || {
        loop {
            let one = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(words) = one else { return };
            if let Err(error) = one_command(words) {
                failures.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:#}"));
            }
        }
    };
    let begun = Instant::now();
    if workers == 1 {
        work();
    } else {
        std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    }
    let wall = u64::try_from(begun.elapsed().as_nanos())?;
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(json!({ "wall": wall, "failures": failures }))
}

/// As little of a client as there can be: what is measured is the engine.
fn post(socket: &Path, asks: &Value) -> Result<Value> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answers = BufReader::new(&stream);
    let mut failures = Vec::new();
    let begun = Instant::now();
    for ask in asks.as_array().into_iter().flatten().map(words) {
        let [path, body] = ask[..] else { bail!("a path and a body are wanted") };
        let head = "Host: x\r\nContent-Type: application/json\r\n";
        let length = body.len();
        let text = format!("POST {path} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}");
        (&stream).write_all(text.as_bytes())?;
        let (mut first, mut length) = (String::new(), 0);
        answers.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            answers.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("Content-Length: ") {
                length = text.trim().parse()?;
            }
        }
        let mut said = vec![0; length];
        answers.read_exact(&mut said)?;
        if !first.starts_with("HTTP/1.1 2") {
            failures.push(format!("{path}: {first}{}", String::from_utf8_lossy(&said)));
        }
    }
    let wall = u64::try_from(begun.elapsed().as_nanos())?;
    Ok(json!({ "wall": wall, "failures": failures }))
}

fn one_command(words: &[&str]) -> Result<()> {
    let (program, rest) = words.split_first().context("no words")?;
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let out = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}
