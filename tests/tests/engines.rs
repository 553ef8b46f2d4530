//! `cofferdam-run` in the hands of Debian's Podman and containerd, verb by
//! verb. What is expected was seen with runc first (see `others.rs`).

use promises::{
    Ran,
    others::{Others, runtime},
    until,
};
use std::os::unix::fs::MetadataExt as _;

/// Ends with 5 when told to, and not before.
const WAITS: &str = "trap 'exit 5' TERM; echo begun; while :; do sleep 1; done";

/// Podman on a machine of the test's own.
struct Podman(Others);

impl Podman {
    fn new() -> Self {
        let podman = Self(Others::new());
        podman.says(&["load", "--quiet", "--input", &podman.scratch("busybox.tar")]);
        podman
    }

    fn scratch(&self, name: &str) -> String {
        self.0.scratch().join(name).display().to_string()
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        let (root, runtime, group) = (self.scratch("podman"), runtime(), self.0.group());
        let mut all = vec!["podman", "--root", &root, "--runroot", "/run/podman"];
        all.extend(["--cgroup-manager", "cgroupfs", "--runtime", &runtime, words[0]]);
        if ["run", "create"].contains(&words[0]) {
            all.extend(["--cgroup-parent", &group, "--network", "none"]);
        }
        all.extend(&words[1..]);
        all.into_iter().map(str::to_owned).collect()
    }

    fn run_with(&self, words: &[&str], input: &str) -> Ran {
        let words = self.words(words);
        self.0.run_with(&words.iter().map(String::as_str).collect::<Vec<_>>(), input)
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.run_with(words, "")
    }

    fn says(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
        ran.out
    }

    fn at_terminal(&self, words: &[&str]) -> Ran {
        let words = self.words(words);
        self.0.at_terminal(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A container that has begun to wait; gives its identifier.
    fn waits(&self, name: &str, options: &[&str]) -> String {
        let words = [&["run", "-d", "--name", name][..], options, &["busybox", "sh", "-c", WAITS]];
        let id = self.says(&words.concat());
        until("the program to begin", || self.says(&["logs", name]) == "begun");
        id
    }

    fn state(&self, name: &str) -> String {
        self.says(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name])
    }
}

#[test]
fn podman_runs_programs_with_it() {
    let podman = Podman::new();
    let script = "echo out; echo err >&2; cat; exit 7";
    let ran = podman.run_with(&["run", "--rm", "-i", "busybox", "sh", "-c", script], "in");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "out\nin", "err"));
    let script = "tty; stty size";
    let ran = podman.at_terminal(&["run", "--rm", "-t", "busybox", "sh", "-c", script]);
    assert!(ran.code == 0 && ran.out.contains("/dev/pts/0"), "{ran:?}");
    for (words, code, why) in [
        (&["nope"][..], 127, "executable file not found in $PATH"),
        (&["/etc/passwd"], 126, "permission denied"),
    ] {
        let ran = podman.run(&[&["run", "--rm", "busybox"], words].concat());
        assert!(ran.code == code && ran.err.contains(why), "{ran:?}");
    }
    let options = [
        "--hostname=there",
        "--read-only",
        "--tmpfs=/t",
        "--cap-add=net_admin",
        "--user=1000:1000",
        "--group-add=5",
        "--ulimit=nofile=100:100",
        "--sysctl=kernel.shmmax=1000000",
        "--init",
        "-v=/etc:/host:ro",
        "--device=/dev/kmsg",
        "-w=/tmp",
        "--security-opt=no-new-privileges",
        "--umask=077",
        "--oom-score-adj=100",
        "--env=A=b",
    ];
    let script = "id -G; cat /proc/sys/kernel/hostname /proc/sys/kernel/shmmax; ulimit -n; umask
        for f in /x /t/x /host/x; do touch $f 2>/dev/null && echo $f; done; echo $PWD $A
        ls /dev/kmsg; cat /proc/1/comm /proc/self/oom_score_adj
        grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status | tr -s '\\t' ' '";
    let words = [&["run", "--rm"], &options[..], &["busybox", "sh", "-c", script]].concat();
    assert_eq!(
        podman.says(&words),
        "1000 5\nthere\n1000000\n100\n0077\n/t/x\n/tmp b\n/dev/kmsg\npodman-init\n100\n\
         CapEff: 0000000000001000\nNoNewPrivs: 1\nSeccomp: 2"
    );
}

#[test]
fn podman_leads_containers_through_their_life_with_it() {
    let podman = Podman::new();
    let id = podman.waits("a", &[]);
    // Programs beside it.
    let ran = podman.run_with(&["exec", "-i", "a", "sh", "-c", "cat; exit 3"], "in");
    assert_eq!((ran.code, ran.out.as_str()), (3, "in"));
    let ran = podman.at_terminal(&["exec", "-t", "a", "tty"]);
    assert!(ran.code == 0 && ran.out.contains("/dev/pts/"), "{ran:?}");
    let ran = podman.run(&["exec", "a", "nope"]);
    assert!(ran.code == 127 && ran.err.contains("executable file not found"), "{ran:?}");
    let script = "id; echo $A $PWD";
    let words = ["exec", "-u", "1000:50", "-e", "A=b", "-w", "/tmp", "a", "sh", "-c", script];
    assert_eq!(podman.says(&words), "uid=1000(user) gid=50(staff) groups=50(staff)\nb /tmp");
    podman.says(&["exec", "-d", "a", "touch", "/there"]);
    until("what runs detached", || podman.run(&["exec", "a", "ls", "/there"]).code == 0);
    let top = podman.says(&["top", "a", "user", "pid", "args"]);
    assert!(top.lines().any(|line| line.starts_with("root") && line.contains("begun")), "{top}");
    // Paused, and not.
    podman.says(&["pause", "a"]);
    assert_eq!(podman.state("a"), "paused 0");
    assert_ne!(podman.run(&["exec", "a", "true"]).code, 0);
    podman.says(&["unpause", "a"]);
    assert_eq!(podman.state("a"), "running 0");
    // Told to end, and begun again.
    podman.says(&["kill", "--signal", "TERM", "a"]);
    assert_eq!(podman.says(&["wait", "a"]), "5");
    assert_eq!(podman.state("a"), "exited 5");
    podman.says(&["start", "a"]);
    podman.says(&["stop", "--time", "20", "a"]);
    assert_eq!(podman.state("a"), "exited 5");
    podman.says(&["restart", "a"]);
    podman.says(&["rm", "--force", "--time", "0", "a"]);
    podman.says(&["create", "--name", "b", "busybox", "sh", "-c", "exit 9"]);
    podman.says(&["init", "b"]);
    assert_eq!(podman.state("b"), "initialized 0");
    assert_eq!(podman.run(&["start", "--attach", "b"]).code, 9);
    podman.says(&["rm", "b"]);
    let left: Vec<_> = podman.0.groups().into_iter().filter(|dir| dir.ends_with(&id)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn podman_limits_and_measures_with_it() {
    let podman = Podman::new();
    let id = podman.waits("a", &["--memory", "50m", "--pids-limit", "40"]);
    let memory = || podman.0.limit(&id, "memory.limit_in_bytes", "memory.max");
    assert_eq!(memory(), "52428800");
    let format = "{{.Name}} {{.MemLimit}}";
    assert_eq!(podman.says(&["stats", "--no-stream", "--format", format, "a"]), "a 52428800");
    let words = ["update", "--memory", "60m", "--memory-swap", "70m", "--cpus", "0.5"];
    podman.says(&[&words[..], &["--pids-limit", "30", "a"]].concat());
    assert_eq!(memory(), "62914560");
    assert_eq!(podman.0.limit(&id, "pids.max", "pids.max"), "30");
    let half = podman.0.limit(&id, "cpu.cfs_quota_us", "cpu.max");
    assert!(["50000", "50000 100000"].contains(&half.as_str()), "{half}");
    podman.says(&["rm", "--force", "--time", "0", "a"]);
    let words = ["run", "--name", "b", "--memory", "10m", "--memory-swap", "10m", "busybox", "dd"];
    let ran = podman.run(&[&words[..], &["if=/dev/zero", "of=/dev/null", "bs=200M"]].concat());
    assert_eq!(ran.code, 137, "{ran:?}");
    assert_eq!(podman.says(&["inspect", "--format", "{{.State.OOMKilled}}", "b"]), "true");
}

#[test]
fn podman_gives_containers_user_namespaces_with_it() {
    let podman = Podman::new();
    let script = "id -u; cat /proc/self/uid_map | tr -s ' '; touch /tmp/x && stat -c %u /tmp/x";
    let run = |options: &[&str]| {
        podman.says(&[&["run", "--rm"], options, &["busybox", "sh", "-c", script]].concat())
    };
    let map = ["--uidmap", "0:100000:5000", "--gidmap", "0:200000:6000"];
    assert_eq!(run(&map), "0\n 0 100000 5000\n0");
    assert_eq!(run(&[&map[..], &["--user", "12:13"]].concat()), "12\n 0 100000 5000\n12");
    let auto = run(&["--userns", "auto:size=2000"]);
    assert!(auto.starts_with("0\n 0 1000000 2000") && auto.ends_with("\n0"), "{auto}");
    // What is mounted in is shifted, too.
    let volume = podman.0.scratch().join("volume");
    std::fs::create_dir(&volume).expect("scratch");
    let mount = format!("{}:/v:idmap", volume.display());
    let words = ["run", "--rm", "--userns", "auto", "-v", &mount, "busybox", "touch", "/v/f"];
    podman.says(&words);
    assert_eq!(volume.join("f").metadata().expect("was made").uid(), 0);
    podman.waits("a", &["--userns", "auto"]);
    assert_eq!(podman.says(&["exec", "a", "sh", "-c", "id -u; ls -l /proc/1/exe | wc -l"]), "0\n1");
    let ran = podman.run(&["run", "--rm", "--userns", "container:a", "busybox", "id", "-u"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "0"));
}

#[test]
fn podman_makes_pods_with_it() {
    let podman = Podman::new();
    podman.says(&["load", "--quiet", "--input", &podman.scratch("pause.tar")]);
    let (group, image) = (podman.0.group(), "localhost/pause");
    let words = ["pod", "create", "--name", "p", "--network", "none", "--infra-image", image];
    podman.says(&[&words[..], &["--cgroup-parent", &group, "--share", "ipc,net,uts,pid"]].concat());
    let words = ["container", "create", "--pod", "p", "--name", "a", "busybox", "sleep", "999"];
    podman.says(&words);
    podman.says(&["pod", "start", "p"]);
    let seen = podman.says(&["exec", "a", "ps", "-o", "args"]);
    assert!(seen.contains("sleep 99999") && seen.contains("sleep 999\n"), "{seen}");
    podman.says(&["pod", "pause", "p"]);
    assert_eq!(podman.says(&["pod", "ps", "--format", "{{.Status}}"]), "Paused");
    podman.says(&["pod", "unpause", "p"]);
    podman.says(&["pod", "rm", "--force", "--time", "0", "p"]);
}
