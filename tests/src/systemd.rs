//! A systemd of the test's own: the first process of its own namespaces, in a
//! control group of its own, with a runtime beside it as containerd would
//! call one.
//!
//! It finds no units but what its targets need, so that nothing of the
//! machine's starts, and ends with the test.

use crate::{binary, until};
use cgroup::{Cgroup, Layout, Version};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Which control group trees it is to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trees {
    /// All that the machine has.
    Machine,
    /// Version 2's alone, with whatever controllers are not in use elsewhere.
    Unified,
}

/// Ends when dropped, and takes its processes and groups along.
pub struct Systemd {
    keeper: Child,
    pid: u32,
    group: Cgroup,
    /// Where whoever comes from outside enters: systemd may move nobody over
    /// the edge of its own tree, and nobody may be at its top.
    visitors: PathBuf,
    scratch: tempfile::TempDir,
    version: Version,
    /// Only to be reached over a message bus.
    bus: bool,
}

/// Units that systemd loads by itself.
const TARGETS: &str = "default sysinit basic sockets shutdown local-fs swap umount";

impl Systemd {
    /// Boots one.
    ///
    /// # Panics
    /// If it does not come up: it needs root and Debian's package `systemd`.
    pub fn boot(trees: Trees) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let scratch =
            tempfile::Builder::new().prefix("cofferdam-systemd-").tempdir().expect("tempdir");
        let layout = Layout::detect().expect("control groups");
        let name = format!("/cofferdam-systemd-{}-{number}", std::process::id());
        let group = Cgroup::create(&layout, &name).expect("a group");
        let unified = group.unified_path().expect("version 2, at least beside version 1");
        // Not by `Cgroup`, which would have the group hand controllers down
        // before systemd's first process is in it.
        let visitors = unified.join("visitors");
        fs::create_dir(&visitors).expect("a group");
        let mut keeper = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "sh", "-ec", &first(&group, trees)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(scratch.path().join("log")).expect("scratch"))
            .spawn()
            .expect("unshare(1) starts");
        let mut line = String::new();
        let out = keeper.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("the first process speaks");
        let version = if trees == Trees::Unified { Version::V2 } else { layout.version() };
        let pid = line.trim().parse().unwrap_or(0);
        let own = Self { keeper, pid, group, visitors, scratch, version, bus: false };
        assert!(pid > 0, "systemd has not come up: {}", own.log());
        until("systemd", || own.run("systemctl", &["is-system-running"]).0);
        own
    }

    /// Whether it has version 1's controllers.
    pub fn is_legacy(&self) -> bool {
        self.version != Version::V2
    }

    /// Starts a message bus and takes systemd's own socket away: whoever
    /// speaks to it goes over the bus from now on.
    ///
    /// # Panics
    /// If the bus does not come up: it needs Debian's package `dbus`.
    pub fn behind_a_bus(&mut self) {
        let (started, said) = self.run("systemctl", &["start", "dbus.service"]);
        assert!(started, "{said}\n{}", self.log());
        let name = ["--system", "status", "org.freedesktop.systemd1"];
        until("systemd on the bus", || self.run("busctl", &name).0);
        let hide = ["--bind", "/dev/null", "/run/systemd/private"];
        let (hidden, said) = self.run("mount", &hide);
        assert!(hidden, "{said}");
        self.bus = true;
    }

    fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }

    /// A command beside it.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 0 > $0/cgroup.procs; exec nsenter \"$@\""]).arg(&self.visitors);
        command.args(["--pid", "--mount", "--net", "--uts", "--ipc", "--cgroup"]);
        command.args(["--target", &self.pid.to_string(), "--wd=/", "--"]).arg(program.as_ref());
        command.stdin(Stdio::null());
        if self.bus {
            // systemctl(1) of root knows systemd's own socket alone.
            command.env("SYSTEMCTL_FORCE_BUS", "1");
        }
        command
    }

    /// Runs it: whether it succeeded, and all that it said. Output goes to a
    /// file, since what a container inherits stays open.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn run(&self, program: impl AsRef<Path>, args: &[&str]) -> (bool, String) {
        let file = tempfile::NamedTempFile::new_in(self.scratch.path()).expect("scratch");
        let mut command = self.command(program);
        let status = command.args(args).stdout(append(file.path())).stderr(append(file.path()));
        let status = status.status().expect("sh(1) starts");
        let said = fs::read_to_string(file.path()).expect("text");
        (status.success(), said.trim_end().to_owned())
    }

    /// Our runtime, which keeps its state here.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn runtime(&self, args: &[&str]) -> (bool, String) {
        let root = self.scratch.path().join("state");
        let mut words = vec!["--systemd-cgroup", "--root", root.to_str().expect("text")];
        words.extend(args);
        self.run(binary("cofferdam-run"), &words)
    }

    /// The same, which must succeed.
    ///
    /// # Panics
    /// If it fails.
    pub fn does(&self, args: &[&str]) -> String {
        let (done, said) = self.runtime(args);
        assert!(done, "{args:?}: {said}\n{}", self.log());
        said
    }

    /// What `systemctl show` says of one property.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.run("systemctl", &["show", "--value", "--property", name, unit]).1
    }

    /// A file of a group here, e.g. `memory`, `/a.slice/b.scope`, `memory.max`.
    pub fn file(&self, controller: &str, group: &str, file: &str) -> String {
        let tree = if self.is_legacy() { controller } else { "" };
        let path = format!("/sys/fs/cgroup/{tree}{group}/{file}");
        self.run("cat", &[&path]).1
    }

    /// A bundle of busybox whose program is `script`.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn bundle(&self, place: &str, script: &str, change: impl FnOnce(&mut Value)) -> String {
        let dir = tempfile::Builder::new().prefix("bundle-").tempdir_in(self.scratch.path());
        let dir = dir.expect("scratch").keep();
        let bin = dir.join("rootfs/bin");
        fs::create_dir_all(&bin).expect("scratch");
        for name in ["dev", "proc", "sys"] {
            fs::create_dir(dir.join("rootfs").join(name)).expect("scratch");
        }
        fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
        for name in ["sh", "sleep", "cat", "true", "mknod", "dd"] {
            symlink("busybox", bin.join(name)).expect("scratch");
        }
        let path = dir.to_string_lossy().into_owned();
        self.does(&["spec", "--bundle", &path]);
        let file = dir.join("config.json");
        let text = fs::read_to_string(&file).expect("spec wrote it");
        let mut config: Value = serde_json::from_str(&text).expect("JSON");
        config["process"]["args"] = json!(["sh", "-c", script]);
        config["process"]["terminal"] = json!(false);
        config["linux"]["cgroupsPath"] = json!(place);
        change(&mut config);
        fs::write(file, config.to_string()).expect("scratch");
        path
    }

    /// The groups that are left at a place, in every hierarchy.
    pub fn left(&self, unit: &str) -> Vec<String> {
        let found = self.run("find", &["/sys/fs/cgroup", "-name", unit]).1;
        found.lines().map(str::to_owned).collect()
    }
}

fn append(path: &Path) -> fs::File {
    fs::File::options().append(true).open(path).expect("scratch")
}

/// What the first process does before it becomes systemd: it goes into its
/// group, makes the rest of its namespaces, and mounts what it is to find. It
/// says what number the machine gives it.
fn first(group: &Cgroup, trees: Trees) -> String {
    let mut enter = String::from("read -r pid rest < /proc/self/stat; echo $pid;");
    let mut mounts = String::from(
        "umount -R /sys/fs/cgroup || true; mount -t tmpfs -o mode=755 run /run;
         mount -t proc proc /proc; mkdir /run/units;",
    );
    let dirs: Vec<PathBuf> = group
        .legacy_paths()
        .into_iter()
        .map(|(_, dir)| dir)
        .chain(group.unified_path().map(Into::into))
        .collect();
    for dir in dirs {
        enter.push_str(&format!("echo 0 > {}/cgroup.procs;", dir.display()));
    }
    let legacy = group.legacy_paths();
    if trees == Trees::Unified || legacy.is_empty() {
        mounts.push_str("mount -t cgroup2 cgroup2 /sys/fs/cgroup;");
    } else {
        mounts.push_str("mount -t tmpfs -o mode=755 groups /sys/fs/cgroup;");
        for (name, _) in legacy {
            let options = if name == "systemd" { "none,name=systemd" } else { &name };
            let dir = format!("/sys/fs/cgroup/{name}");
            mounts.push_str(&format!("mkdir {dir}; mount -t cgroup -o {options} cgroup {dir};"));
        }
        mounts.push_str(
            "mkdir /sys/fs/cgroup/unified; mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified;",
        );
    }
    format!(
        "{enter} exec unshare --mount --net --uts --ipc --cgroup --propagation private sh -ec '
         {mounts}
         for target in {TARGETS}; do
             printf \"[Unit]\\nDefaultDependencies=no\\n\" > /run/units/$target.target
         done
         cp /lib/systemd/system/dbus.socket /lib/systemd/system/dbus.service /run/units
         export container=other SYSTEMD_UNIT_PATH=/run/systemd/transient:/run/units
         export SYSTEMD_GENERATOR_PATH=/run/none SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/none
         exec /lib/systemd/systemd --system --log-target=console --show-status=0 >&2'"
    )
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // With the first process of a namespace all others end.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        let gone = self.group.kill().and_then(|()| self.group.remove());
        if !std::thread::panicking() {
            gone.expect("systemd's group goes");
        }
    }
}
