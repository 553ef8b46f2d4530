//! A container for one test: its own run directory, root and log, launched by
//! a real monitor. Needs root and busybox-static.

use logs::{Options, Reader, Stream};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt::{Timeout, set_socket_timeout},
};
use spec::{
    Sandbox,
    log::{File, Form, Log},
    oci::{self, Namespace, Process, Root},
    wire::{Exit, Reply, Request},
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::Duration,
};
use watch::{Connection, Launch, Launching, Message, Running};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// A `json-file` log.
pub fn log(path: impl AsRef<std::path::Path>, max_bytes: u64, max_files: u32) -> Log {
    let path = path.as_ref().to_str().expect("utf-8").to_owned();
    let attrs = String::new();
    let file = File { path, form: Form::Json, max_bytes, max_files, compress: false, attrs };
    Log { file: Some(file), ..Log::default() }
}

pub struct Scratch {
    dir: tempfile::TempDir,
    pub nursery: watch::Nursery,
    pub sandbox: Sandbox,
    pub open_stdin: bool,
    pub stdin_once: bool,
}

impl Scratch {
    /// A container that runs `script`.
    pub fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let root = dir.path().join("root");
        for name in ["bin", "proc", "dev", "sys", "tmp"] {
            fs::create_dir_all(root.join(name)).expect("a root");
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
        std::os::unix::fs::symlink("busybox", root.join("bin/sh")).expect("links");
        let run = dir.path().join("run");
        fs::create_dir(&run).expect("a run directory");
        fs::set_permissions(&run, Permissions::from_mode(0o700)).expect("is ours");
        let log_path = dir.path().join("json.log");
        let namespaces = ["pid", "mount", "ipc", "uts", "network"];
        let sandbox = Sandbox {
            id: "scratch".to_owned(),
            config: oci::Config {
                oci_version: "1.2.0".to_owned(),
                process: Some(process(script)),
                root: Some(Root {
                    path: root.to_str().expect("utf-8").to_owned(),
                    readonly: false,
                }),
                mounts: vec![
                    oci::Mount {
                        destination: "/proc".into(),
                        kind: "proc".into(),
                        source: "proc".into(),
                        ..Default::default()
                    },
                    oci::Mount {
                        destination: "/dev".into(),
                        kind: "tmpfs".into(),
                        source: "tmpfs".into(),
                        options: vec!["mode=755".into()],
                        ..Default::default()
                    },
                    oci::Mount {
                        destination: "/dev/pts".into(),
                        kind: "devpts".into(),
                        source: "devpts".into(),
                        options: vec!["newinstance".into(), "ptmxmode=0666".into()],
                        ..Default::default()
                    },
                ],
                linux: Some(oci::Linux {
                    namespaces: namespaces
                        .map(|kind| Namespace { kind: kind.to_owned(), path: String::new() })
                        .to_vec(),
                    ..Default::default()
                }),
                ..Default::default()
            },
            log: log(log_path, 0, 1),
            ..Default::default()
        };
        let nursery = watch::Nursery::new(env!("CARGO_BIN_EXE_monitor-alone"));
        Self { dir, nursery, sandbox, open_stdin: false, stdin_once: false }
    }

    /// With a standard input that closes behind its first client.
    pub fn with_stdin(mut self) -> Self {
        (self.open_stdin, self.stdin_once) = (true, true);
        self
    }

    pub fn with_terminal(mut self, width: u32, height: u32) -> Self {
        let process = self.sandbox.config.process.as_mut().expect("set by new");
        process.terminal = true;
        process.console_size = Some(oci::ConsoleSize { height, width });
        self.open_stdin = true;
        self
    }

    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("json.log")
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub fn launch(&self) -> Launching {
        let text = serde_json::to_vec(&self.sandbox).expect("plain data");
        fs::write(self.run_dir().join("sandbox.json"), text).expect("writes");
        watch::launch(Launch {
            nursery: &self.nursery,
            dir: &self.run_dir(),
            root: None,
            open_stdin: self.open_stdin,
            stdin_once: self.stdin_once,
            patience: PATIENCE,
        })
        .expect("launches")
    }

    pub fn run(&self) -> Running {
        let mut launching = self.launch();
        launching.alive().expect("comes alive");
        launching.go().expect("runs")
    }

    pub fn connect(&self, request: &Request) -> Connection {
        let client = Connection::open(&self.run_dir(), request).expect("connects");
        // No test waits for ever.
        set_socket_timeout(&client, Timeout::Recv, Some(PATIENCE)).expect("is bounded");
        client
    }

    /// An attached client that has been told that it is.
    pub fn attach(&self, pace: bool) -> Connection {
        let request = Request::Attach { stdin: true, stdout: true, stderr: true, pace };
        let mut client = self.connect(&request);
        assert_eq!(client.reply().expect("answers"), Reply::Ok);
        client
    }

    pub fn exec(&self, name: &str, script: &str) -> Connection {
        self.connect(&Request::Exec {
            exec: name.to_owned(),
            process: Box::new(process(script)),
            stdin: true,
            output: true,
        })
    }

    pub fn ask(&self, request: &Request) -> Reply {
        watch::ask(&self.run_dir(), request).expect("answers")
    }

    /// What the log holds of one stream.
    pub fn logged(&self, stream: Stream) -> String {
        let reader = Reader::open(&self.log_path(), Options::default()).expect("a log");
        let entries = reader.map(|entry| entry.expect("a line"));
        let lines = entries.filter(|entry| entry.stream == stream).flat_map(|entry| entry.line);
        String::from_utf8(lines.collect()).expect("utf-8")
    }

    /// What the monitor had to say beyond its dialogue.
    pub fn complaints(&self) -> String {
        fs::read_to_string(self.run_dir().join("monitor.err")).unwrap_or_default()
    }
}

/// Whatever became of the test, nothing of its container stays.
impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = watch::ask(&self.run_dir(), &Request::Signal { signal: 9, exec: None });
    }
}

/// How it ended; it has to, in time.
pub fn end(running: Running) -> Exit {
    let patience = Timespec::try_from(PATIENCE).expect("seconds");
    let mut fds = [PollFd::new(&running, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&patience)), Ok(1), "it does not end");
    running.ended().expect("ends")
}

pub fn process(script: &str) -> Process {
    Process {
        args: ["/bin/busybox", "sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".to_owned()],
        cwd: "/".to_owned(),
        ..Default::default()
    }
}

/// What a client hears until the end, and the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub code: Option<u8>,
}

pub fn hear(client: impl Iterator<Item = Result<Message, watch::Error>>) -> Heard {
    let mut heard = Heard::default();
    for message in client {
        match message.expect("well formed") {
            Message::Stdout(text) => heard.stdout.extend(text),
            Message::Stderr(text) => heard.stderr.extend(text),
            Message::Reply(Reply::Ended(Exit { code, .. })) => heard.code = Some(code),
            Message::Reply(Reply::Started { .. }) => {}
            Message::Reply(other) => panic!("{other:?}"),
        }
    }
    heard
}

/// Hears until standard output ends with `text`.
pub fn hear_until(client: &mut Connection, text: &str) -> String {
    let mut heard = String::new();
    while !heard.ends_with(text) {
        match client.next().expect("goes on").expect("well formed") {
            Message::Stdout(more) => heard += &String::from_utf8_lossy(&more),
            Message::Reply(Reply::Started { .. }) => {}
            other => panic!("{other:?} after {heard:?}"),
        }
    }
    heard
}
