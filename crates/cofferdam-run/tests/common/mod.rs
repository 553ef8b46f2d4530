//! A bundle made of one static program, and the real binary to run it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// A bundle, a `--root` and one container's name; all gone at the end.
pub struct Scratch {
    pub dir: PathBuf,
    pub id: String,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// The text of the one log line on standard error.
    pub fn message(&self) -> &str {
        let (_, message) = self.err.rsplit_once("level=error msg=").expect("an error line");
        let message = message.trim_end();
        message.strip_prefix('"').and_then(|m| m.strip_suffix('"')).unwrap_or(message)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Scratch {
    /// A bundle whose program is `args`, in all namespaces, without a terminal.
    pub fn new(args: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("verbs-test-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(&id);
        let bin = dir.join("rootfs/bin");
        fs::create_dir_all(&bin).expect("mkdir");
        for name in ["dev", "proc", "sys", "tmp", "etc", "root"] {
            fs::create_dir(dir.join("rootfs").join(name)).expect("mkdir");
        }
        fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
        for name in [
            "sh", "sleep", "cat", "echo", "id", "env", "true", "kill", "stty", "ls", "tty", "touch",
        ] {
            symlink("busybox", bin.join(name)).expect("symlink");
        }
        let users = "root:x:0:0:root:/root:/bin/sh\n";
        fs::write(dir.join("rootfs/etc/passwd"), users).expect("write");
        let scratch = Self { dir, id };
        let path = scratch.bundle();
        let said = scratch.run(&["spec", "--bundle", &path]);
        assert_eq!(said.code, Some(0), "{said:?}");
        scratch.change(|config| {
            config["process"]["args"] = json!(args);
            config["process"]["terminal"] = json!(false);
            config["root"]["readonly"] = json!(false);
            config["linux"]["cgroupsPath"] = json!(format!("/{}", scratch.id));
        });
        scratch
    }

    pub fn bundle(&self) -> String {
        self.dir.to_string_lossy().into_owned()
    }

    /// Edits `config.json`.
    pub fn change(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.dir.join("config.json");
        let text = fs::read_to_string(&path).expect("config.json");
        let mut config = serde_json::from_str(&text).expect("JSON");
        edit(&mut config);
        fs::write(path, config.to_string()).expect("write");
    }

    /// The binary with these arguments, below this scratch's `--root`.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam-run"));
        command.arg("--root").arg(self.dir.join("state")).args(args);
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// Runs it to its end. Its output goes to files: a container that lives
    /// on would keep a pipe open.
    pub fn run(&self, args: &[&str]) -> Said {
        finish(self.command(args), &self.dir)
    }

    /// A verb with this container's name as its argument.
    pub fn verb(&self, verb: &str, more: &[&str]) -> Said {
        let mut args = vec![verb, &self.id];
        args.extend(more);
        self.run(&args)
    }

    /// `create` or `run` of this bundle.
    pub fn launch(&self, verb: &str, flags: &[&str]) -> Said {
        let bundle = self.bundle();
        let mut args = vec![verb, "--bundle", &bundle];
        args.extend(flags);
        args.push(&self.id);
        self.run(&args)
    }

    pub fn state(&self) -> Value {
        let said = self.verb("state", &[]);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.json()
    }

    pub fn status(&self) -> String {
        self.state()["status"].as_str().expect("a word").to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.state()["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid")
    }

    /// Waits, with a bound, until the container is in this state.
    pub fn until(&self, status: &str) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.status() != status {
            assert!(Instant::now() < end, "still {}", self.status());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Every directory of the container's control group that is left.
    pub fn groups(&self) -> Vec<PathBuf> {
        let mounts = fs::read_dir("/sys/fs/cgroup").expect("cgroups");
        let mut dirs: Vec<PathBuf> =
            mounts.map(|entry| entry.expect("entry").path().join(&self.id)).collect();
        dirs.push(Path::new("/sys/fs/cgroup").join(&self.id));
        dirs.retain(|dir| dir.is_dir());
        dirs
    }
}

/// Runs a command with its output in files of `dir`.
pub fn finish(mut command: Command, dir: &Path) -> Said {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let paths = ["out", "err"].map(|name| dir.join(format!("{name}.{number}")));
    let [out, err] = paths.each_ref().map(|path| fs::File::create(path).expect("create"));
    let status = command.stdout(out).stderr(err).status().expect("the binary runs");
    let [out, err] = paths.map(|path| fs::read_to_string(path).expect("UTF-8"));
    Said { code: status.code(), out, err }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let said = self.verb("delete", &["--force"]);
        let left = self.groups();
        fs::remove_dir_all(&self.dir).expect("remove");
        if !std::thread::panicking() {
            assert_eq!(said.code, Some(0), "{said:?}");
            assert_eq!(left, [] as [PathBuf; 0], "control groups are left");
        }
    }
}
