//! Engines of others that run containers with `cofferdam-run`: Podman and
//! containerd, as Debian has them.
//!
//! Their root file system is unpacked by `cargo xtask test`; each test has a
//! writable layer of its own over it, and network, mount and process
//! namespaces in which that is the root. Whatever the engines leave running
//! ends with them, and the control groups below the test's own go last.
//!
//! `COFFERDAM_OTHER_RUNTIME=runc` has the same tests try another
//! runtime: that is how what they expect is known to be right.

use crate::{Ran, binary, finish, until};
use cgroup::{Layout, Version};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Where they find the programs that were built here.
const OURS: &str = "/opt/ours";
/// Of containerd.
pub const SOCKET: &str = "/run/containerd.sock";

/// A machine of the test's own with other engines; gone when dropped.
pub struct Others {
    anchor: Child,
    /// The first process of its namespaces, as this machine sees it.
    pid: u32,
    scratch: tempfile::TempDir,
    /// The control group in which the containers are, without a slash.
    group: String,
    daemon: Option<Child>,
}

impl Others {
    /// A machine with `busybox` as an archive that all of them read.
    ///
    /// # Panics
    /// If it cannot be made: it needs root, and `cargo xtask test`.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let group = format!("cofferdam-others-{}-{number}", std::process::id());
        let scratch =
            tempfile::Builder::new().prefix("cofferdam-others-").tempdir().expect("tempdir");
        let mut anchor = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["--propagation", "private", "sh", "-ec", &script(scratch.path())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) starts");
        let mut said = BufReader::new(anchor.stdout.take().expect("piped")).lines();
        let pid = said.next().expect("a line").expect("text").parse().expect("a pid");
        assert_eq!(said.next().map(Result::unwrap_or_default).as_deref(), Some("up"));
        image(&scratch.path().join("busybox.tar"), scratch.path(), "busybox", r#"["sh"]"#);
        image(&scratch.path().join("pause.tar"), scratch.path(), "pause", r#"["sleep","99999"]"#);
        Self { anchor, pid, scratch, group, daemon: None }
    }

    /// A place for files, which has the same path for the engines.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The control group of the containers, as engines take its name.
    pub fn group(&self) -> String {
        format!("/{}", self.group)
    }

    /// A file of their machine, as a path of this one.
    pub fn path(&self, inner: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inner}", self.pid))
    }

    /// A command there.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--pid", "--root", "--wd"]);
        command.args(["--target", &self.pid.to_string(), "--"]).args(words);
        // What it says of version 1 is Podman's business.
        command.env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1");
        command.env("PATH", "/usr/sbin:/usr/bin").env_remove("XDG_RUNTIME_DIR");
        command
    }

    /// Runs a command there, with `input`.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn run_with(&self, words: &[&str], input: &str) -> Ran {
        use std::io::Write as _;
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nsenter(1) starts");
        let mut stdin = child.stdin.take().expect("piped");
        // Whoever reads nothing may have ended.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        finish(child, &format!("{words:?}"))
    }

    /// Runs a command there.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn run(&self, words: &[&str]) -> Ran {
        self.run_with(words, "")
    }

    /// Runs a command there that must succeed, and returns what it said.
    ///
    /// # Panics
    /// If it fails.
    pub fn says(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}\n{}", self.logged());
        ran.out
    }

    /// Runs a command there at a terminal of 80 columns and 24 lines, without
    /// input, and returns what it showed and its exit code.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn at_terminal(&self, words: &[&str]) -> Ran {
        let inner = self.command(words);
        let quoted: Vec<String> =
            inner.get_args().map(|word| format!("'{}'", word.to_string_lossy())).collect();
        let line = format!("stty cols 80 rows 24; exec nsenter {}", quoted.join(" "));
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command.env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1").env("PATH", "/usr/sbin:/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().expect("script(1) starts"), &line)
    }

    /// Starts containerd, whose CRI has the runtime as handler `cofferdam`,
    /// and gives it the images in the namespaces of `ctr` and of the CRI.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start_containerd(&mut self) {
        let scratch = self.scratch().display().to_string();
        let config = CONTAINERD.replace("SCRATCH", &scratch).replace("RUNTIME", &runtime());
        let path = self.scratch().join("containerd.toml");
        fs::write(&path, config).expect("scratch");
        let network = self.scratch().join("cni");
        fs::create_dir(&network).expect("scratch");
        fs::write(network.join("10-pods.conflist"), NETWORK).expect("scratch");
        let log = fs::File::create(self.scratch().join("log")).expect("scratch");
        let mut command = self.command(&["containerd", "--config", &path.display().to_string()]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("log")).stderr(log);
        self.daemon = Some(command.spawn().expect("nsenter(1) starts"));
        let version = ["ctr", "--address", SOCKET, "version"];
        until("containerd", || self.run(&version).code == 0);
        for space in ["default", "k8s.io"] {
            for name in ["busybox.tar", "pause.tar"] {
                let tar = self.scratch().join(name).display().to_string();
                let head = ["ctr", "--address", SOCKET, "--namespace", space];
                self.says(&[&head[..], &["images", "import", "--local", &tar]].concat());
            }
        }
    }

    /// Starts dockerd, with `docker` in the scratch directory as its data
    /// root.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start_dockerd(&mut self) {
        let root = self.scratch().join("docker").display().to_string();
        let log = fs::File::create(self.scratch().join("log")).expect("scratch");
        let words = ["dockerd", "--host", "unix:///run/docker.sock", "--data-root", &root];
        let own = ["--pidfile", "/run/docker.pid", "--storage-driver", "overlay2"];
        let mut command = self.command(&[&words[..], &own].concat());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("log")).stderr(log);
        self.daemon = Some(command.spawn().expect("nsenter(1) starts"));
        let version = ["docker", "--host", "unix:///run/docker.sock", "version"];
        until("dockerd", || self.run(&version).code == 0);
    }

    /// Ends the daemon that was started, as a service manager does.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn stop_daemon(&mut self) {
        let mut daemon = self.daemon.take().expect("one was started");
        self.says(&["busybox", "sh", "-c", "kill $(cat /run/docker.pid)"]);
        until("the daemon to end", || daemon.try_wait().expect("our child").is_some());
    }

    /// What the daemon has logged.
    pub fn logged(&self) -> String {
        fs::read_to_string(self.scratch().join("log")).unwrap_or_default()
    }

    /// The control groups below the test's own, in whichever hierarchy, that
    /// are there now.
    ///
    /// # Panics
    /// If hierarchies cannot be read.
    pub fn groups(&self) -> Vec<PathBuf> {
        fn below(dir: &Path, all: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    below(&entry.path(), all);
                    all.push(entry.path());
                }
            }
        }
        let mut all = Vec::new();
        for root in roots() {
            below(&root.join(&self.group), &mut all);
        }
        all
    }

    /// A limit of the container whose group's name has `part` in it.
    ///
    /// # Panics
    /// If there is no such container.
    pub fn limit(&self, part: &str, legacy: &str, unified: &str) -> String {
        let named = |dir: &&PathBuf| {
            let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.contains(part) && !name.contains("conmon")
        };
        let groups = self.groups();
        let mut files =
            groups.iter().filter(named).flat_map(|dir| [dir.join(legacy), dir.join(unified)]);
        let found = files.find_map(|file| fs::read_to_string(file).ok());
        found.unwrap_or_else(|| panic!("no {legacy} of {part} in {groups:?}")).trim().to_owned()
    }
}

impl Default for Others {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        // With the first process of a namespace all others end.
        drop(self.anchor.stdin.take());
        let _ = self.anchor.wait();
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.wait();
        }
        let emptied = || {
            for dir in self.groups() {
                let _ = fs::remove_dir(dir);
            }
            for root in roots() {
                let _ = fs::remove_dir(root.join(&self.group));
            }
            roots().iter().all(|root| !root.join(&self.group).exists())
        };
        if std::thread::panicking() {
            emptied();
        } else {
            until("the engines' control groups to go", emptied);
        }
    }
}

/// The runtime, as the other engines find it.
pub fn runtime() -> String {
    std::env::var("COFFERDAM_OTHER_RUNTIME").unwrap_or_else(|_| format!("{OURS}/cofferdam-run"))
}

/// Where control groups are mounted.
fn roots() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("/proc");
    let rows = table.lines().filter(|line| line.contains(" - cgroup"));
    rows.filter_map(|row| row.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// Makes the machine: the peers' root below a layer of its own, with this
/// machine's devices and version 1 hierarchies, if it has any (crun works
/// where there is one version).
fn script(scratch: &Path) -> String {
    let peers = std::env::var("COFFERDAM_PEERS").expect("run `cargo xtask test`, which makes it");
    let ours = binary("cofferdam-run");
    let ours = ours.parent().expect("a file").display();
    let scratch = scratch.display();
    let legacy = Layout::detect().expect("control groups").version() != Version::V2;
    let groups = if legacy {
        "mount -t tmpfs cgroup $R/sys/fs/cgroup
         for c in /sys/fs/cgroup/*; do
             [ $c = /sys/fs/cgroup/unified ] && continue
             mkdir $R$c; mount --bind $c $R$c
         done"
    } else {
        "mount --rbind /sys/fs/cgroup $R/sys/fs/cgroup"
    };
    format!(
        "read -r pid rest < /proc/self/stat; echo $pid
         ip link set lo up
         mount -t tmpfs tmpfs /run
         mkdir /run/upper /run/work /run/root
         R=/run/root
         mount -t overlay -o lowerdir={peers},upperdir=/run/upper,workdir=/run/work peers $R
         mount -t sysfs sysfs $R/sys
         {groups}
         mount --rbind /dev $R/dev
         mount -t proc proc $R/proc
         mount -t tmpfs tmpfs $R/run
         mount -t tmpfs tmpfs $R/tmp
         mkdir -p $R/var/tmp $R{OURS} $R{scratch}
         mount --bind {ours} $R{OURS}
         mount --bind {scratch} $R{scratch}
         echo containers:1000000:1000000 > $R/etc/subuid
         echo containers:1000000:1000000 > $R/etc/subgid
         echo 'containers:x:990:990::/:/bin/sh' >> $R/etc/passwd
         cd $R && mkdir -p host && pivot_root . host && cd /
         exec busybox sh -ec 'umount -l /host; echo up; exec catatonit -- busybox cat'"
    )
}

/// An image with busybox as the archive that `docker save` makes.
fn image(path: &Path, scratch: &Path, name: &str, command: &str) {
    let root = scratch.join("rootfs");
    if !root.exists() {
        crate::image::write_root(&root);
    }
    let place = scratch.join(format!("image-{name}"));
    let script = format!(
        "mkdir {place}; cd {place}; tar -C {root} -cf layer.tar .
         diff=$(sha256sum layer.tar | cut -c1-64)
         printf '{{\"architecture\":\"{arch}\",\"os\":\"linux\",\"config\":{{\"Env\":[\"PATH=/bin\"],\
         \"Cmd\":{command}}},\"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}}}' $diff > config
         id=$(sha256sum config | cut -c1-64); mv config $id.json
         printf '[{{\"Config\":\"%s.json\",\"RepoTags\":[\"localhost/{name}:latest\"],\
         \"Layers\":[\"layer.tar\"]}}]' $id > manifest.json
         tar -cf {path} manifest.json $id.json layer.tar",
        place = place.display(),
        root = root.display(),
        path = path.display(),
        arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
    );
    let out = Command::new("sh").args(["-ec", &script]).output().expect("sh starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// Of version 3, as containerd 2 has it. Processes here may not make
/// themselves less likely to be killed, so that is not asked for.
const CONTAINERD: &str = r#"
version = 3
root = "SCRATCH/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd.sock"
[plugins.'io.containerd.internal.v1.opt']
  path = "/run/opt"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/pause:latest"
[plugins.'io.containerd.cri.v1.runtime']
  tolerate_missing_hugetlb_controller = true
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "SCRATCH/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = "runc"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.cofferdam]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.cofferdam.options]
  BinaryName = "RUNTIME"
"#;

/// A pair of interfaces for each pod.
const NETWORK: &str = r#"{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"ptp","ipMasq":false,
"ipam":{"type":"host-local","dataDir":"/run/addresses","ranges":[[{"subnet":"198.51.100.0/24"}]],
"routes":[{"dst":"0.0.0.0/0"}]}}]}"#;
