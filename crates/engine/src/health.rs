//! Health checks: a program of the image's or the user's choice, run in the
//! container again and again, whose exit code says whether it is well; or a
//! look at a port, a page or a socket of it, which starts nothing there.
//!
//! A check begins with the program it is about, rests while that is paused,
//! and ends with it. It is known by a number: what an earlier one still has
//! to say, after a pause or a restart, is not listened to.

mod http;
mod prober;
mod target;

pub(crate) use prober::Prober;

use crate::{Engine, Error, ExecWish, Nanos, cell::Cell, watcher::Due};
use prober::{Found, Job};
use serde::{Deserialize, Serialize};
use spec::{
    docker::Config,
    wire::{Exit, Reply, Request},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use target::Target;

/// What is known of a container's health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// Failures since the last success.
    pub failing_streak: u32,
    /// The latest [`LOG`] probes, oldest first.
    pub log: VecDeque<Probe>,
}

/// The verdict, in Docker's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthStatus {
    /// No probe has succeeded, and not enough have failed.
    Starting,
    /// A probe succeeded, and not enough have failed since.
    Healthy,
    /// So many failed in a row, or it is not running.
    Unhealthy,
}

/// One run of the check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When it began.
    pub start: Nanos,
    /// When it ended.
    pub end: Nanos,
    /// Of the program; -1 if it could not be run or took too long. Of a look
    /// that starts none, 0 or 1 likewise.
    pub code: i16,
    /// What it said, or why it has no code.
    pub output: String,
}

/// How many probes are remembered, as Docker has it.
const LOG: usize = 5;
/// How much of a probe's output is kept, in bytes.
const OUTPUT: usize = 4096;
/// Of a thread that runs one probe.
const STACK: usize = 256 << 10;
const SECOND: Nanos = 1_000_000_000;
/// Looks are taken at multiples of this: a fortieth of the shortest interval
/// for which they are.
const TOGETHER: Nanos = 25_000_000;

/// A check with Docker's defaults filled in; times in nanoseconds.
#[derive(Debug, PartialEq, Eq)]
struct Check {
    what: What,
    interval: Nanos,
    timeout: Nanos,
    start_period: Nanos,
    start_interval: Nanos,
    retries: u32,
}

/// What is done to find out.
#[derive(Debug, PartialEq, Eq)]
enum What {
    /// A program is run.
    Run(Vec<String>),
    /// Something is looked at.
    Look(Target),
}

impl Check {
    /// None if there is nothing to be done.
    fn of(config: &Config) -> Option<Self> {
        let asked = config.healthcheck.as_ref()?;
        let (kind, words) = asked.test.split_first()?;
        let what = match Target::parse(&asked.test) {
            // One that makes no sense is refused when it is asked for.
            Some(target) => What::Look(target.ok()?),
            None => What::Run(command(kind, words, config)?),
        };
        let span = |asked: Option<i64>, default: Nanos| {
            asked
                .and_then(|span| u64::try_from(span).ok())
                .filter(|span| *span > 0)
                .unwrap_or(default)
        };
        Some(Self {
            what,
            interval: span(asked.interval, 30 * SECOND),
            timeout: span(asked.timeout, 30 * SECOND),
            start_period: span(asked.start_period, 0),
            start_interval: span(asked.start_interval, 5 * SECOND),
            retries: asked
                .retries
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| *n > 0)
                .unwrap_or(3),
        })
    }

    /// From one probe to the next of a program that began `ran` ago.
    fn pause(&self, status: HealthStatus, ran: Nanos) -> Nanos {
        let young = ran < self.start_period && status == HealthStatus::Starting;
        if young { self.start_interval } else { self.interval }
    }

    /// When the next probe is made after one that ended. To wake up for a look
    /// costs more than to take it: those of many containers are taken together.
    fn after(&self, end: Nanos, pause: Nanos) -> Nanos {
        let next = end.saturating_add(pause);
        if matches!(self.what, What::Look(_)) && pause >= SECOND {
            next.checked_next_multiple_of(TOGETHER).unwrap_or(next)
        } else {
            next
        }
    }
}

/// The words of a program; none if there is none.
fn command(kind: &str, words: &[String], config: &Config) -> Option<Vec<String>> {
    let command = match kind {
        "CMD" => words.to_vec(),
        "CMD-SHELL" => {
            let shell = config.shell.clone().filter(|shell| !shell.is_empty());
            let mut command = shell.unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
            command.extend(words.first().cloned());
            command
        }
        _ => return None,
    };
    (!command.is_empty()).then_some(command)
}

impl Health {
    /// Of a program that begins; what was seen of its earlier runs is kept.
    fn starting(before: Option<Self>) -> Self {
        let log = before.map(|health| health.log).unwrap_or_default();
        Self { status: HealthStatus::Starting, failing_streak: 0, log }
    }

    /// Takes a probe of a program that began at `started` into account.
    fn fold(&mut self, probe: Probe, check: &Check, started: Nanos) {
        let in_grace = self.status == HealthStatus::Starting
            && probe.start.saturating_sub(started) < check.start_period;
        if probe.code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if !in_grace {
            self.failing_streak += 1;
            if self.failing_streak >= check.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(probe);
    }
}

impl HealthStatus {
    /// Docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// How long a check's command is, in bytes.
pub(crate) fn length(config: &Config) -> usize {
    match Check::of(config).map(|check| check.what) {
        Some(What::Run(command)) => command.iter().map(|word| word.len() + 1).sum(),
        _ => 0,
    }
}

/// Is it a look at something that makes sense, if it is one?
///
/// # Errors
/// What is wrong with it, for the client.
pub(crate) fn checked(config: &Config) -> Result<(), String> {
    let test = config.healthcheck.as_ref().map_or(&[][..], |check| &check.test);
    Target::parse(test).map_or(Ok(()), |target| target.map(drop))
}

/// The health of a program that begins, if it has a check.
pub(crate) fn at_start(config: &Config, before: Option<Health>) -> Option<Health> {
    Check::of(config).map(|_| Health::starting(before))
}

/// The health of one that is not checked at present: Docker calls it
/// unhealthy, and clients that wait for health rely on it.
pub(crate) fn at_rest(health: &mut Option<Health>) {
    if let Some(health) = health {
        health.status = HealthStatus::Unhealthy;
    }
}

impl Engine {
    /// Begins to check a program that has begun, goes on, or was found alive.
    pub(crate) fn check_health(&self, cell: &Cell) {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let container = cell.now();
        let (Some(check), Some(health)) = (Check::of(&container.config), &container.health) else {
            return;
        };
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        cell.live().checking = Some(number);
        let now = crate::clock::now();
        let pause = check.pause(health.status, now.saturating_sub(container.last.started));
        self.0.watcher.at(now.saturating_add(pause), Due::Probe(cell.id.clone(), number));
    }

    /// It is time for a probe. It has a thread of its own: it may take long,
    /// and ends of containers are not to wait for it.
    pub(crate) fn probe_due(&self, id: &spec::Id, number: u64) {
        let Some(cell) = self.0.roster.get(id) else { return };
        if cell.live().checking != Some(number) {
            return;
        }
        let before = cell.now();
        let Some(check) = Check::of(&before.config) else { return };
        let command = match check.what {
            What::Look(target) => return self.look_at(cell, number, target, check.timeout),
            What::Run(command) => command,
        };
        let engine = self.clone();
        let probing = Arc::clone(&cell);
        let made = std::thread::Builder::new()
            .name("probe".into())
            .stack_size(STACK)
            .spawn(move || engine.probe(&probing, number, &command, check.timeout));
        if let Err(error) = made {
            tracing::warn!(%id, %error, "cannot make a thread for a health check: tried again later");
            self.0.watcher.at(crate::clock::now() + SECOND, Due::Probe(id.clone(), number));
        }
    }

    /// Has a look made that starts nothing. It costs no thread of its own.
    fn look_at(&self, cell: Arc<Cell>, number: u64, target: Target, timeout: Nanos) {
        let init = cell.live().init.clone();
        // Without them it has ended, and its check ends with it.
        let (Some(pid), Some(init)) = (cell.now().state.pid(), init) else { return };
        let (engine, start) = (self.clone(), crate::clock::now());
        let (id, container) = (cell.id.clone(), cell.id.clone());
        let done = move |found| {
            let (code, output) = match found {
                Found::Well(words) => (0, Output::of(&words)),
                Found::Ill(words) => (1, Output::of(&words)),
                Found::Late => (-1, too_late(timeout, "")),
            };
            engine.probed(&cell, number, Probe { start, end: crate::clock::now(), code, output });
        };
        let deadline = Instant::now() + Duration::from_nanos(timeout);
        let job = Job { container, target, init, pid, deadline, done: Box::new(done) };
        if let Err(error) = self.0.prober.give(job) {
            tracing::warn!(%id, %error, "cannot begin a health check: tried again later");
            self.0.watcher.at(crate::clock::now() + SECOND, Due::Probe(id, number));
        }
    }

    fn probe(&self, cell: &Cell, number: u64, command: &[String], timeout: Nanos) {
        let start = crate::clock::now();
        let (code, output) = match self.run_probe(cell, command, timeout) {
            Ok((Some(exit), output)) => (exit.code.into(), output.text()),
            Ok((None, output)) => (-1, too_late(timeout, &output.text())),
            Err(error) => (-1, error.to_string()),
        };
        self.probed(cell, number, Probe { start, end: crate::clock::now(), code, output });
    }

    /// Takes a probe into account, tells of a change, and sees to the next.
    fn probed(&self, cell: &Cell, number: u64, probe: Probe) {
        let before = cell.now();
        let Some(check) = Check::of(&before.config) else { return };
        let (end, failed) = (probe.end, probe.code != 0);
        self.0.meter.with(|counts| {
            counts.probes += 1;
            counts.failed_probes += u64::from(failed);
        });
        let folded = cell.change_if(
            |live| live.checking == Some(number),
            |container| {
                let started = container.last.started;
                if let Some(health) = &mut container.health {
                    health.fold(probe, &check, started);
                }
            },
        );
        // It has ended, was paused or began anew while the probe ran.
        let Some(after) = folded else { return };
        let Some(health) = &after.health else { return };
        if before.health.as_ref().map(|health| health.status) != Some(health.status) {
            self.0.leave(&after);
            let action = format!("health_status: {}", health.status.word());
            self.0.journal.container(&after, &action, &[]);
        }
        let pause = check.pause(health.status, end.saturating_sub(after.last.started));
        self.0.watcher.at(check.after(end, pause), Due::Probe(cell.id.clone(), number));
    }

    /// Runs the check once. Without an exit, it took too long and was killed.
    fn run_probe(
        &self,
        cell: &Cell,
        command: &[String],
        timeout: Nanos,
    ) -> Result<(Option<Exit>, Output), Error> {
        let wish = ExecWish {
            cmd: command.to_vec(),
            attach_stdout: true,
            attach_stderr: true,
            ..ExecWish::default()
        };
        let id = self.exec_create(cell.id.as_str(), wish)?;
        let outcome = self.hear_probe(cell, timeout, &id);
        // A thousand a second may come, each with its command.
        self.0.execs.forget(&id);
        outcome
    }

    /// Starts a probe and listens to it until its end.
    fn hear_probe(
        &self,
        cell: &Cell,
        timeout: Nanos,
        id: &spec::Id,
    ) -> Result<(Option<Exit>, Output), Error> {
        let deadline = Instant::now() + Duration::from_nanos(timeout);
        let mut receiver = self.exec_watched(id.as_str())?;
        receiver.not_after(deadline);
        let mut output = Output::default();
        loop {
            match receiver.next() {
                Some(Ok(watch::Message::Stdout(bytes) | watch::Message::Stderr(bytes))) => {
                    output.add(&bytes);
                }
                Some(Ok(watch::Message::Reply(Reply::Ended(exit)))) => {
                    self.exec_ended(id, Some(&exit));
                    return Ok((Some(exit), output));
                }
                Some(Ok(watch::Message::Reply(_))) => {}
                Some(Err(watch::Error::Late)) => {
                    let request = Request::Signal { signal: 9, exec: Some(id.to_string()) };
                    let killed = watch::ask(&self.0.paths.run(&cell.id), &request);
                    self.exec_ended(id, None);
                    killed?;
                    return Ok((None, output));
                }
                Some(Err(error)) => {
                    self.exec_ended(id, None);
                    return Err(error.into());
                }
                None => {
                    self.exec_ended(id, None);
                    return Err(watch::Error::Gone.into());
                }
            }
        }
    }
}

/// What a probe said, as far as it is kept.
#[derive(Default)]
struct Output {
    kept: Vec<u8>,
    cut: bool,
}

impl Output {
    /// What a look came to.
    fn of(words: &str) -> String {
        let mut output = Self::default();
        output.add(words.as_bytes());
        output.text()
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = OUTPUT - self.kept.len();
        self.cut |= bytes.len() > room;
        self.kept.extend(&bytes[..bytes.len().min(room)]);
    }

    fn text(&self) -> String {
        if self.cut {
            String::from_utf8_lossy(&self.kept[..OUTPUT - 3]).into_owned() + "..."
        } else {
            String::from_utf8_lossy(&self.kept).into_owned()
        }
    }
}

/// Docker's words for a probe that was killed.
fn too_late(timeout: Nanos, output: &str) -> String {
    let words = format!("Health check exceeded timeout ({})", spell(timeout));
    if output.is_empty() { words } else { format!("{words}: {output}") }
}

/// A time as Go prints it: `1m30s`, `1.5s`, `500ms`.
fn spell(span: Nanos) -> String {
    let decimal = |whole: u64, unit: u64| {
        let (whole, rest) = (whole / unit, whole % unit);
        let width = unit.ilog10() as usize;
        let digits = format!("{rest:0width$}");
        match digits.trim_end_matches('0') {
            "" => whole.to_string(),
            digits => format!("{whole}.{digits}"),
        }
    };
    if span < 1_000_000 {
        return format!("{}µs", decimal(span, 1_000));
    }
    if span < SECOND {
        return format!("{}ms", decimal(span, 1_000_000));
    }
    let (minutes, rest) = (span / (60 * SECOND), span % (60 * SECOND));
    let seconds = decimal(rest, SECOND);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::docker::Healthcheck;

    fn config(test: &[&str]) -> Config {
        let test = test.iter().map(ToString::to_string).collect();
        let healthcheck = Healthcheck { test, retries: Some(2), ..Healthcheck::default() };
        Config { healthcheck: Some(healthcheck), ..Config::default() }
    }

    fn check(start_period: Nanos) -> Check {
        let check = Check::of(&config(&["CMD", "true"])).expect("a check");
        Check { start_period, ..check }
    }

    fn probe(start: Nanos, code: i16) -> Probe {
        Probe { start, end: start + 1, code, output: String::new() }
    }

    #[test]
    fn looks_are_taken_together_and_programs_run_in_their_own_time() {
        let look = Check::of(&config(&["TCP", "80"])).expect("a check");
        assert_eq!(look.after(7, SECOND), SECOND + TOGETHER);
        assert_eq!(look.after(0, SECOND), SECOND);
        assert_eq!(look.after(7, SECOND - 1), SECOND + 6);
        assert_eq!(look.after(Nanos::MAX, SECOND), Nanos::MAX);
        assert_eq!(check(0).after(7, SECOND), SECOND + 7);
    }

    #[test]
    fn a_shell_check_is_one_word_to_the_shell_of_the_image() {
        let of = |config: &Config| match Check::of(config).expect("a check").what {
            What::Run(command) => command,
            What::Look(target) => panic!("{target:?}"),
        };
        let mut config = config(&["CMD-SHELL", "test -e /x || exit 1"]);
        assert_eq!(of(&config), ["/bin/sh", "-c", "test -e /x || exit 1"]);
        config.shell = Some(vec!["/bin/bash".into(), "-lc".into()]);
        assert_eq!(of(&config)[..2], ["/bin/bash", "-lc"]);
    }

    #[test]
    fn a_look_starts_no_program_and_is_refused_if_it_makes_no_sense() {
        let tcp = config(&["TCP", "80"]);
        assert!(matches!(Check::of(&tcp).expect("a check").what, What::Look(Target::Tcp(_))));
        assert_eq!((checked(&tcp), length(&tcp)), (Ok(()), 0));
        let odd = config(&["TCP", "web:80"]);
        assert!(checked(&odd).is_err() && Check::of(&odd).is_none());
        assert_eq!(checked(&config(&["CMD", "web:80"])), Ok(()));
    }

    #[test]
    fn no_check_is_no_check() {
        for test in [&[][..], &["NONE"], &["CMD"], &["SOMETHING", "else"]] {
            assert_eq!(Check::of(&config(test)), None, "{test:?}");
        }
        assert_eq!(Check::of(&Config::default()), None);
    }

    #[test]
    fn failures_in_a_row_make_it_unhealthy_and_one_success_well_again() {
        let mut health = Health::starting(None);
        let check = check(0);
        health.fold(probe(1, 1), &check, 0);
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Starting, 1));
        health.fold(probe(2, -1), &check, 0);
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Unhealthy, 2));
        health.fold(probe(3, 0), &check, 0);
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Healthy, 0));
        health.fold(probe(4, 1), &check, 0);
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Healthy, 1));
    }

    #[test]
    fn failures_in_the_start_period_do_not_count_until_it_was_well() {
        let (mut health, check) = (Health::starting(None), check(100));
        health.fold(probe(50, 1), &check, 0);
        assert_eq!(health.failing_streak, 0);
        health.fold(probe(60, 0), &check, 0);
        health.fold(probe(70, 1), &check, 0);
        assert_eq!(health.failing_streak, 1, "it had been well");
    }

    #[test]
    fn the_latest_five_probes_are_remembered() {
        let mut health = Health::starting(None);
        (0..9).for_each(|at| health.fold(probe(at, 0), &check(0), 0));
        assert_eq!(health.log.iter().map(|probe| probe.start).collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
        assert_eq!(Health::starting(Some(health)).log.len(), LOG, "a restart forgets none");
    }

    #[test]
    fn probes_are_close_only_while_it_starts() {
        let check = Check { start_interval: 5, interval: 30, ..check(100) };
        assert_eq!(check.pause(HealthStatus::Starting, 99), 5);
        assert_eq!(check.pause(HealthStatus::Starting, 100), 30);
        assert_eq!(check.pause(HealthStatus::Healthy, 1), 30);
    }

    #[test]
    fn output_is_cut_with_a_sign_of_it() {
        let mut output = Output::default();
        output.add(&[b'x'; OUTPUT]);
        assert_eq!(output.text().len(), OUTPUT);
        output.add(b"y");
        assert!(output.text().len() == OUTPUT && output.text().ends_with("x..."));
    }

    #[test]
    fn times_are_spelled_as_go_does() {
        let spelled = [30 * SECOND, 90 * SECOND, 1_500_000_000, 500_000_000, 3_600 * SECOND, 1_500];
        assert_eq!(spelled.map(spell), ["30s", "1m30s", "1.5s", "500ms", "1h0m0s", "1.5µs"]);
        assert_eq!(too_late(SECOND, "slow"), "Health check exceeded timeout (1s): slow");
    }
}
