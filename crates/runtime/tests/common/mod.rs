//! A scratch root with busybox in it, and the ways to run it.

use serde_json::{Value, json};
use spec::Sandbox;
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const APPLETS: [&str; 20] = [
    "sh", "ls", "cat", "id", "mount", "umount", "ps", "sleep", "true", "echo", "stat", "touch",
    "mkdir", "hostname", "readlink", "grep", "mknod", "tty", "kill", "mv",
];

/// Where the container's ids begin on the host.
pub const FIRST: u32 = 100_000;

/// A container that is about to be run.
pub struct Box {
    pub sandbox: Sandbox,
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// What came of it.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Box {
    /// One that runs a shell script in a user namespace, confined as usual.
    pub fn new(script: &str) -> Self {
        let mut new = Self::of_the_host(script);
        let map = json!([{"containerID": 0, "hostID": FIRST, "size": 65536}]);
        new.change(|config| {
            config["linux"]["uidMappings"] = map.clone();
            config["linux"]["gidMappings"] = map;
            push(&mut config["linux"]["namespaces"], json!({"type": "user"}));
        });
        new
    }

    /// The same without a user namespace.
    pub fn of_the_host(script: &str) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let root = dir.path().join("root");
        for name in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
            fs::create_dir_all(root.join(name)).expect("a new directory");
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("package busybox-static");
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).expect("a new link");
        }
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(dir.path(), open).expect("own directory");
        let caps = json!(["CAP_CHOWN", "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_KILL"]);
        let config = json!({
            "ociVersion": "1.2.0",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": ["sh", "-c", script],
                "env": ["PATH=/bin"],
                "cwd": "/",
                "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            },
            "hostname": "box",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                 "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "gid=5"]},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs",
                 "options": ["nosuid", "noexec", "nodev", "ro"]},
            ],
            "linux": {
                "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"},
                    {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}],
                "maskedPaths": ["/proc/keys", "/proc/timer_list", "/sys/firmware", "/nowhere"],
                "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger", "/proc/bus"],
            },
        });
        let config = serde_json::from_value(config).expect("a config");
        let sandbox = Sandbox::from_config("box".into(), config);
        Self { sandbox, dir, env: Vec::new() }
    }

    /// Changes the configuration as the JSON that it is.
    pub fn change(&mut self, change: impl FnOnce(&mut Value)) {
        let mut config = serde_json::to_value(&self.sandbox.config).expect("plain data");
        change(&mut config);
        self.sandbox.config = serde_json::from_value(config).expect("a config still");
    }

    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        self.change(change);
        self
    }

    pub fn with_caps(self, names: &[&str]) -> Self {
        self.with(|config| {
            for set in ["bounding", "effective", "permitted"] {
                for name in names {
                    push(&mut config["process"]["capabilities"][set], json!(name));
                }
            }
        })
    }

    pub fn with_mount(self, mount: Value) -> Self {
        self.with(|config| push(&mut config["mounts"], mount))
    }

    /// Without the mount on `destination`.
    pub fn without_mount(mut self, destination: &str) -> Self {
        self.sandbox.config.mounts.retain(|mount| mount.destination != destination);
        self
    }

    /// A word to the caller (see `caller/main.rs`).
    pub fn told(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A path on the host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path of the container's root, on the host.
    pub fn root(&self, name: &str) -> PathBuf {
        self.dir.path().join("root").join(name)
    }

    pub fn run(&self) -> Ran {
        self.command(None)
    }

    /// Runs another program beside the container's.
    pub fn exec(&self, process: &Value) -> Ran {
        self.command(Some(process))
    }

    fn command(&self, exec: Option<&Value>) -> Ran {
        let file = self.path("sandbox.json");
        fs::write(&file, serde_json::to_vec(&self.sandbox).expect("plain data")).expect("room");
        // Nothing that hangs may hold the tests up.
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "60", env!("CARGO_BIN_EXE_runtime-caller")]);
        command.arg(&file).arg(self.root("")).args(exec.map(Value::to_string));
        ran(&command.envs(self.env.iter().cloned()).output().expect("the caller"))
    }
}

/// Reads what a command said.
pub fn ran(output: &Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

pub fn push(list: &mut Value, item: Value) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().expect("a list").push(item);
}

/// The names in a directory.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into()).collect()
}
