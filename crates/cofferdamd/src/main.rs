//! cofferdamd: the daemon.
//!
//! ```text
//!   words and file ─▶ Settings     (settings)
//!   data root ──────▶ locked       (lock)     one daemon each
//!   run root, host ─▶ listening    (door)     sockets bound, or handed in
//!   engine opened  ─▶ serving      until SIGTERM or SIGINT
//!                  ─▶ calls under way finish, within a bound; exit 0
//! ```
//!
//! Containers go on when it ends, however it ends; the next one adopts them.
//!
//! The engine starts it as `cofferdamd resolver USER RUN-ROOT` too: the process that
//! answers containers' questions about names, and is no daemon; and as `cofferdamd scribe
//! USER REALM RUN-ROOT`, which enters what names lead to in the firewall's sets. Monitors start
//! it as `cofferdamd courier`, which brings a container's lines to a syslog server or the journal,
//! and as `cofferdamd press`, which compresses a log that is written no more. The engine starts
//! it as `cofferdamd unpacker …` as well, which takes one archive apart.

mod door;
mod lock;
mod settings;

use anyhow::Context as _;
use clap::Parser as _;
use engine::Engine;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use settings::{Settings, Words};
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// Heaps of the C library, shared by all threads: each keeps what it freed.
const HEAPS: u16 = 2;
/// Threads that move bytes; the engine's calls have threads of their own.
const WORKERS: usize = 2;
/// Of every thread. Touched as far as it is used.
const STACK: usize = 1 << 20;
/// How long a thread waits for its next call.
const THREAD_REST: Duration = Duration::from_secs(5);
/// For what still streams when the daemon ends.
const LAST_STREAMS: Duration = Duration::from_millis(500);
/// Killed late when memory runs out; as Docker's unit file has it.
const OOM_SCORE: &str = "-500";

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["resolver", user, ..] => return resolver::main(user),
        ["scribe", user, realm, ..] => return scribe::main(user, realm),
        ["courier"] => return courier::main(false),
        ["courier", "again"] => return courier::main(true),
        ["press", inode, latest] => return courier::press(inode, latest),
        ["unpacker", ref words @ ..] => return unpacker::main(words),
        _ => {}
    }
    sys::heap::share(HEAPS);
    let words = Words::parse();
    match words.settled().map_err(anyhow::Error::from).and_then(|settings| run(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log_level).context("cannot read the log level")?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    raise_limits();
    let options = settings.options()?;
    // Images and volumes hold set-id programs, records hold secrets.
    private_dir(&options.data_root, 0o700)?;
    // The socket below it may be a group's.
    private_dir(&options.run_root, 0o711)?;
    let _lock = lock::take(&options.data_root)?;
    let mut doors = door::open(&settings.hosts, settings.papers.as_ref())?;
    if let Some(address) = settings.metrics {
        doors.push(door::figures(address)?);
    }
    let engine = Engine::open(options).context("cannot open the engine")?;
    tracing::info!(
        data_root = %settings.data_root.display(),
        hosts = %settings.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        "ready"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_stack_size(STACK)
        .thread_keep_alive(THREAD_REST)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let served = runtime.block_on(serve(engine.clone(), doors));
    runtime.shutdown_timeout(LAST_STREAMS);
    engine.close();
    served
}

async fn serve(engine: Engine, doors: Vec<door::Door>) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut term = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut listeners = Vec::new();
    for door in &doors {
        listeners.push(door.listener()?);
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("stopping; containers go on");
        tell(&[sd_notify::NotifyState::Stopping]);
        // If nobody listens any more, it has stopped already.
        let _ = stop.send(true);
    });
    tell(&[sd_notify::NotifyState::Ready]);
    let alive = tokio::spawn(show_life(engine.clone()));
    api::serve(engine, listeners, stopped, shrink).await;
    alive.abort();
    drop(doors);
    Ok(())
}

/// Gives back what an idle daemon does not need: free pages of the heap, and
/// the mappings of its code, which is the larger half.
fn shrink() {
    sys::heap::trim();
    sys::heap::forget_code();
}

/// Tells the service manager, if it asked to be told (`WatchdogSec=` of
/// systemd.service(5)), that calls are answered: twice in each of its spans.
/// A call is made for it where clients' are, so that a daemon whose threads
/// all hang falls silent, and is started anew.
async fn show_life(engine: Engine) {
    let Some(span) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval(span / 2);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let engine = engine.clone();
        let call = tokio::task::spawn_blocking(move || drop(engine.containers()));
        if call.await.is_ok() {
            tell(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

/// To the service manager, if there is one.
fn tell(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}

/// A directory that only its owner can list or change.
///
/// Source: CVE-2021-41091, a data root through which every user could pass.
fn private_dir(path: &Path, mode: u32) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    let found = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us {
        anyhow::bail!("{} belongs to user {}, not to {us}", path.display(), found.uid());
    }
    if found.permissions().mode() & 0o022 != 0 {
        anyhow::bail!("others may write to {}: make it private first", path.display());
    }
    Ok(())
}

/// Descriptors for many containers, and a place at the end of the queue when
/// memory runs out.
fn raise_limits() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    // Needs a capability that not every service has; nothing rests on it.
    if let Err(error) = fs::write("/proc/self/oom_score_adj", OOM_SCORE) {
        tracing::debug!(%error, "cannot lower the score for the killing of processes");
    }
}
