//! A real daemon on a test host, and the two CLIs that speak to it.

use crate::{Host, PATIENCE, binary, docker, image, left::Left, until};
use std::{
    io::Read as _,
    os::unix::{net::UnixStream, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Instant,
};

/// Which program a user types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cli {
    /// The unmodified Docker CLI.
    Docker,
    /// Ours.
    Cofferdam,
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; 128+n for a signal.
    pub code: i32,
    /// Standard output, without the last newline.
    pub out: String,
    /// Standard error, likewise.
    pub err: String,
}

/// Ends its daemon, and removes its files, when dropped.
pub struct Engine {
    host: Host,
    scratch: tempfile::TempDir,
    daemon: Option<Child>,
    arguments: Vec<String>,
    before: Left,
}

impl Engine {
    /// An engine on a host of its own, with the image `busybox`.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn new() -> Self {
        let engine = Self::with(&[]);
        image::busybox(&engine);
        engine
    }

    /// An engine without images, started with further arguments.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn with(arguments: &[&str]) -> Self {
        Self::prepared("true", arguments)
    }

    /// The same, on a host where a script has run first, which finds the place
    /// of the data root in `$DATA`.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn prepared(script: &str, arguments: &[&str]) -> Self {
        let host = Host::new();
        let scratch =
            tempfile::Builder::new().prefix("cofferdam-test-").tempdir().expect("tempdir");
        host.says(&format!("DATA={}; {script}", scratch.path().join("data").display()));
        let before = Left::now(&host, scratch.path());
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut engine = Self { host, scratch, daemon: None, arguments, before };
        engine.start();
        engine
    }

    /// Starts the daemon; also again, after [`kill_daemon`](Self::kill_daemon).
    ///
    /// # Panics
    /// If it does not answer within [`PATIENCE`].
    pub fn start(&mut self) {
        self.start_in(&[]);
    }

    /// The same, with further variables in the daemon's environment.
    ///
    /// # Panics
    /// If it does not answer within [`PATIENCE`].
    pub fn start_in(&mut self, variables: &[(&str, &str)]) {
        let log = std::fs::File::options().create(true).append(true).open(self.log()).expect("log");
        let mut command = self.host.command(binary("cofferdamd"));
        command.arg("--host").arg(format!("unix://{}", self.socket().display()));
        command.arg("--data-root").arg(self.data_root()).arg("--run-root").arg(self.run_root());
        command.args(&self.arguments).stdin(Stdio::null());
        command.envs(variables.iter().copied());
        command.stdout(log.try_clone().expect("log")).stderr(log);
        let mut daemon = command.spawn().expect("nsenter(1) starts");
        let log = self.log();
        until("the daemon's socket", || {
            if let Some(status) = daemon.try_wait().expect("our child") {
                panic!("the daemon ended at once, {status}: {}", read(&log));
            }
            UnixStream::connect(self.socket()).is_ok()
        });
        self.daemon = Some(daemon);
    }

    /// Starts a daemon that must refuse these arguments; gives its words.
    ///
    /// # Panics
    /// If one runs already, or if it does not end within [`PATIENCE`].
    pub fn refuses_to_start(&self, arguments: &[&str]) -> String {
        assert!(self.daemon.is_none(), "one runs already");
        let mut command = self.host.command(binary("cofferdamd"));
        command.arg("--host").arg(format!("unix://{}", self.socket().display()));
        command.arg("--data-root").arg(self.data_root()).arg("--run-root").arg(self.run_root());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = finish(command.spawn().expect("nsenter(1) starts"), "the daemon to refuse");
        assert_ne!(ran.code, 0, "{ran:?}");
        ran.err
    }

    /// `kill -9` of the daemon.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().expect("runs");
        daemon.kill().expect("our child");
        daemon.wait().expect("our child");
    }

    /// Waits until the daemon has ended by itself, and says how.
    ///
    /// # Panics
    /// If it does not within [`PATIENCE`].
    pub fn died(&mut self) -> ExitStatus {
        wait(&mut self.daemon.take().expect("runs"), "the daemon to die")
    }

    /// What it is started with from now on.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
    }

    /// Asks the daemon to end, as a service manager does.
    ///
    /// # Panics
    /// If it does not within [`PATIENCE`].
    pub fn stop(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("runs");
        let pid = rustix::process::Pid::from_child(&daemon);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("our child");
        wait(&mut daemon, "the daemon to end")
    }

    /// The machine that it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The daemon, as the machine sees it.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("runs").id()
    }

    /// The person's files of the CLIs: `config.json` of registries.
    pub fn client_config(&self) -> PathBuf {
        self.scratch.path().join("client")
    }

    /// Where images and records are.
    pub fn data_root(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// Where sockets and exit codes are.
    pub fn run_root(&self) -> PathBuf {
        self.scratch.path().join("run")
    }

    /// Where the API listens.
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("engine.sock")
    }

    /// A place for the test's own files.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("daemon.log")
    }

    /// What the daemon has logged.
    pub fn logged(&self) -> String {
        read(&self.log())
    }

    /// A command of one of the CLIs, to be started by the test.
    pub fn command(&self, cli: Cli, words: &[&str]) -> Command {
        let program = match cli {
            Cli::Docker => docker(),
            Cli::Cofferdam => binary("cofferdam"),
        };
        let mut command = self.host.command(program);
        command.env("DOCKER_CONFIG", self.client_config());
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        command.args(words);
        command
    }

    /// Runs a command of our CLI.
    pub fn run(&self, words: &[&str]) -> Ran {
        self.run_as(Cli::Cofferdam, words)
    }

    /// Runs a command of either CLI.
    ///
    /// # Panics
    /// If it does not end within [`PATIENCE`].
    pub fn run_as(&self, cli: Cli, words: &[&str]) -> Ran {
        let mut command = self.command(cli, words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().expect("the CLI starts"), &format!("{cli:?} {words:?}"))
    }

    /// Runs a command of our CLI that must succeed, and returns its output.
    ///
    /// # Panics
    /// If it fails.
    pub fn says(&self, words: &[&str]) -> String {
        self.says_as(Cli::Cofferdam, words)
    }

    /// Runs a command of either CLI that must succeed.
    ///
    /// # Panics
    /// If it fails.
    pub fn says_as(&self, cli: Cli, words: &[&str]) -> String {
        let ran = self.run_as(cli, words);
        assert_eq!(ran.code, 0, "{cli:?} {words:?}: {ran:?}\ndaemon: {}", self.logged());
        ran.out
    }

    /// Makes a file that a container's program waits for.
    ///
    /// A program that sees it and ends at once takes the `touch` along, when
    /// this has made the file and not yet ended itself: SIGKILL is no fault.
    ///
    /// # Panics
    /// If that fails.
    pub fn lets_go(&self, container: &str, file: &str) {
        let ran = self.run(&["exec", container, "touch", file]);
        assert!([0, 137].contains(&ran.code), "{ran:?}\ndaemon: {}", self.logged());
    }

    /// A shell script in a fresh container with the given options, removed at
    /// its end.
    pub fn container(&self, options: &[&str], script: &str) -> Ran {
        self.container_of("busybox", options, script)
    }

    /// The same in a container of another image.
    pub fn container_of(&self, image: &str, options: &[&str], script: &str) -> Ran {
        let mut words = vec!["run", "--rm"];
        words.extend(options);
        words.extend([image, "sh", "-c", script]);
        self.run(&words)
    }

    /// Asks `inspect` for one value.
    pub fn inspect(&self, container: &str, format: &str) -> String {
        self.says(&["inspect", "--format", format, container])
    }

    /// A running container's first process, as the machine sees it.
    ///
    /// # Panics
    /// If there is none.
    pub fn pid_of(&self, container: &str) -> i32 {
        self.inspect(container, "{{.State.Pid}}").parse().expect("a pid")
    }

    /// Removes every container, ends the daemon and compares with the start.
    ///
    /// # Panics
    /// If anything is left: a process, a mount, an interface, a control
    /// group, a firewall rule or a run directory.
    pub fn leaves_nothing(mut self) {
        let all = self.says(&["ps", "--all", "--quiet", "--no-trunc"]);
        for id in all.lines() {
            self.says(&["rm", "--force", "--volumes", id]);
        }
        let status = self.stop();
        assert!(status.success(), "{status}: {}", self.logged());
        let before = self.before.clone();
        let mut now = Left::now(&self.host, self.scratch.path());
        let begun = Instant::now();
        while now != before && begun.elapsed() < PATIENCE {
            // Interfaces go with their namespace, a little after the last process.
            std::thread::sleep(std::time::Duration::from_millis(20));
            now = Left::now(&self.host, self.scratch.path());
        }
        assert_eq!(now, before, "left behind; daemon: {}", self.logged());
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            if std::thread::panicking() {
                eprintln!("daemon: {}", self.logged());
            }
            let all = self.run(&["ps", "--all", "--quiet", "--no-trunc"]);
            for id in all.out.lines() {
                self.run(&["rm", "--force", "--volumes", id]);
            }
            self.stop();
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| error.to_string())
}

fn wait(child: &mut Child, what: &str) -> ExitStatus {
    let mut status = None;
    let begun = Instant::now();
    while status.is_none() {
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("waited {PATIENCE:?} for {what}");
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
        status = child.try_wait().expect("our child");
    }
    status.expect("loop ended")
}

/// Waits for a started command and gathers what it said.
///
/// # Panics
/// If it does not end within [`PATIENCE`].
pub fn finish(mut child: Child, what: &str) -> Ran {
    let gather = |stream: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stream) = stream {
                let _ = stream.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()
        })
    };
    let out = gather(child.stdout.take().map(|s| Box::new(s) as _));
    let err = gather(child.stderr.take().map(|s| Box::new(s) as _));
    let status = wait(&mut child, what);
    let code = status.code().or_else(|| status.signal().map(|n| 128 + n)).expect("ended");
    Ran { code, out: out.join().expect("reader"), err: err.join().expect("reader") }
}
