//! `cargo xtask demo`: from nothing to the isolation report in one command.
//!
//! The engine runs in a network and mount namespace of its own with scratch
//! roots, so that nothing of the machine is touched, and is gone at the end.

use crate::{as_root, build};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long an engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn run() -> Result<()> {
    as_root()?;
    let binaries = build("dev")?;
    let scratch = std::env::temp_dir().join(format!("cofferdam-demo-{}", std::process::id()));
    std::fs::create_dir(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let outcome = show(&binaries, &scratch);
    std::fs::remove_dir_all(&scratch)
        .with_context(|| format!("cannot remove {}", scratch.display()))?;
    outcome
}

fn show(binaries: &Path, scratch: &Path) -> Result<()> {
    let socket = scratch.join("engine.sock");
    let mut daemon = start(binaries, scratch, &socket)?;
    let outcome = wait_for(&socket, &mut daemon).and_then(|()| report(binaries, &socket));
    // SIGTERM, so that the engine takes down what it set up.
    let pid = daemon.id().to_string();
    let _ = Command::new("kill").args(["-TERM", &pid]).status();
    daemon.wait().context("cannot wait for the daemon")?;
    outcome
}

fn start(binaries: &Path, scratch: &Path, socket: &Path) -> Result<Child> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--"]).arg(binaries.join("cofferdamd"));
    command.arg("--host").arg(format!("unix://{}", socket.display()));
    command.arg("--data-root").arg(scratch.join("data"));
    command.arg("--run-root").arg(scratch.join("run"));
    command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot start {command:?}"))
}

fn wait_for(socket: &Path, daemon: &mut Child) -> Result<()> {
    let begun = Instant::now();
    while UnixStream::connect(socket).is_err() {
        if let Some(status) = daemon.try_wait()? {
            bail!("the daemon ended at once: {status}");
        }
        ensure!(begun.elapsed() < PATIENCE, "the daemon does not answer within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn report(binaries: &Path, socket: &Path) -> Result<()> {
    let words = ["run", "--rm", "cofferdam/report"];
    println!("$ cofferdam {}", words.join(" "));
    let mut command = Command::new(binaries.join("cofferdam"));
    command.arg("--host").arg(format!("unix://{}", socket.display())).args(words);
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "the isolation report: {status}");
    Ok(())
}
