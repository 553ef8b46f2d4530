//! `cofferdam-run` in the hands of Debian's containerd: as `ctr` asks for it,
//! and as Kubernetes does, by a runtime class. What is expected was seen with
//! runc first (see `others.rs`).

use promises::{
    Ran,
    cri::{Answer, Kubelet, Message},
    others::{Others, SOCKET, runtime},
    until,
};

const IMAGE: &str = "localhost/busybox:latest";
/// Ends with 5 when told to, and not before.
const WAITS: &str = "trap 'exit 5' TERM; while :; do sleep 1; done";

/// `ctr` on a machine of the test's own.
struct Ctr(Others);

impl Ctr {
    fn new() -> Self {
        let mut others = Others::new();
        others.start_containerd();
        Self(others)
    }

    /// Words of `ctr`; those of `run` are told which runtime.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let (runtime, group) = (runtime(), format!("{}/box", self.0.group()));
        let mut all = vec!["ctr", "--address", SOCKET];
        if words[0] == "run" {
            all.extend(["run", "--runc-binary", &runtime, "--runc-root", "/run/ours"]);
            all.extend(["--cgroup", &group]);
            all.extend(&words[1..]);
        } else {
            all.extend(words);
        }
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
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}\n{}", self.0.logged());
        ran.out
    }

    fn at_terminal(&self, words: &[&str]) -> Ran {
        let words = self.words(words);
        self.0.at_terminal(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What `ctr tasks ls` says of it.
    fn state(&self, name: &str) -> String {
        let all = self.says(&["tasks", "ls"]);
        let row = all.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        row.split_whitespace().last().unwrap_or_default().to_owned()
    }

    fn pid(&self, name: &str) -> String {
        let all = self.says(&["tasks", "ls"]);
        let row = all.lines().find(|line| line.starts_with(name)).expect("a task");
        row.split_whitespace().nth(1).expect("a pid").to_owned()
    }

    fn remove(&self, name: &str) {
        self.says(&["tasks", "rm", "--force", name]);
        self.says(&["containers", "rm", name]);
    }
}

#[test]
fn containerd_runs_programs_with_it() {
    let ctr = Ctr::new();
    let script = "echo out; echo err >&2; exit 7";
    let ran = ctr.run(&["run", "--rm", IMAGE, "a", "sh", "-c", script]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "out", "err"));
    let ran = ctr.at_terminal(&["run", "--rm", "-t", IMAGE, "b", "tty"]);
    assert!(ran.code == 0 && ran.out.contains("/dev/pts/0"), "{ran:?}");
    let ran = ctr.run(&["run", "--rm", IMAGE, "c", "nope"]);
    let why = "unable to start container process";
    assert!(ran.code == 1 && ran.err.contains(why), "{ran:?}");
    assert!(ran.err.contains("exec: \"nope\": executable file not found in $PATH"), "{ran:?}");
    let options = [
        "--memory-limit=50000000",
        "--cpus=0.5",
        "--cpuset-cpus=0",
        "--cap-add=CAP_NET_ADMIN",
        "--seccomp",
        "--read-only",
        "--hostname=there",
        "--user=1000:1000",
        "--env=A=b",
        "--cwd=/tmp",
        "--mount=type=bind,src=/etc,dst=/host,options=rbind:ro",
    ];
    let script = "id -u; cat /proc/sys/kernel/hostname; echo $PWD $A
        for f in /x /host/x; do touch $f 2>/dev/null && echo $f; done
        grep -E 'CapEff|NoNewPrivs|Seccomp:|Cpus_allowed_list' /proc/self/status | tr -s '\\t' ' '";
    let words = [&["run", "--rm"], &options[..], &[IMAGE, "d", "sh", "-c", script]].concat();
    assert_eq!(
        ctr.says(&words),
        "1000\nthere\n/tmp b\nCapEff: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n\
         Cpus_allowed_list: 0"
    );
    let words = ["run", "--rm", "--privileged", IMAGE, "e", "grep", "CapBnd", "/proc/self/status"];
    let own = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let own = own.lines().find(|line| line.starts_with("CapBnd")).expect("a line").to_owned();
    assert_eq!(ctr.says(&words), own);
    let map = ["--uidmap", "0:300000:65536", "--gidmap", "0:300000:65536"];
    let script = "id -u; cat /proc/self/uid_map | tr -s ' '; touch /x && stat -c %u /x";
    for remapped in [&[][..], &["--remap-labels"]] {
        let words = [&["run", "--rm"], &map[..], remapped, &[IMAGE, "f", "sh", "-c", script]];
        assert_eq!(ctr.says(&words.concat()), "0\n 0 300000 65536\n0", "{remapped:?}");
    }
    assert_eq!(ctr.says(&["containers", "ls", "-q"]), "");
}

#[test]
fn containerd_leads_containers_through_their_life_with_it() {
    let ctr = Ctr::new();
    let words = ["run", "-d", "--memory-limit", "50000000", IMAGE, "a", "sh", "-c", WAITS];
    ctr.says(&words);
    assert_eq!(ctr.state("a"), "RUNNING");
    let exec = ["tasks", "exec", "--exec-id"];
    let words = [&exec[..], &["e1", "a", "sh", "-c", "cat; exit 3"]].concat();
    let ran = ctr.run_with(&words, "in");
    assert_eq!((ran.code, ran.out.as_str()), (3, "in"));
    let words = ["tasks", "exec", "-t", "--exec-id", "e2", "a", "tty"];
    let ran = ctr.at_terminal(&words);
    assert!(ran.code == 0 && ran.out.contains("/dev/pts/"), "{ran:?}");
    let ran = ctr.run(&[&exec[..], &["e3", "a", "nope"]].concat());
    assert!(ran.code == 1 && ran.err.contains("executable file not found in $PATH"), "{ran:?}");
    let pid = ctr.pid("a");
    assert!(ctr.says(&["tasks", "ps", "a"]).lines().any(|line| line.starts_with(&pid)));
    let figures = ctr.says(&["tasks", "metrics", "a"]);
    let limit = figures.lines().any(|line| line.contains("memory.") && line.contains("49999872"));
    assert!(limit, "{figures}");
    ctr.says(&["tasks", "pause", "a"]);
    assert_eq!(ctr.state("a"), "PAUSED");
    ctr.says(&["tasks", "resume", "a"]);
    assert_eq!(ctr.state("a"), "RUNNING");
    if runtime().ends_with("cofferdam-run") {
        let ran = ctr.run(&["tasks", "checkpoint", "--image-path", "/tmp/saved", "a"]);
        let why = "checkpoint is not carried by this runtime";
        assert!(ran.code == 1 && ran.err.contains(why), "{ran:?}");
        assert_eq!(ctr.state("a"), "RUNNING", "and lives on");
    }
    // Namespaces of another container.
    let (pids, net) = (format!("pid:/proc/{pid}/ns/pid"), format!("network:/proc/{pid}/ns/net"));
    let words = ["run", "--rm", "--with-ns", &pids, "--with-ns", &net];
    // Its group is the first one's, which is not empty.
    let other = format!("{}/other", ctr.0.group());
    let words = [&words[..], &["--cgroup", &other, IMAGE, "b", "ps", "-o", "args"]].concat();
    assert!(ctr.says(&words).contains("trap"));
    ctr.says(&["tasks", "kill", "--signal", "TERM", "a"]);
    until("the program to end", || ctr.state("a") == "STOPPED");
    let ran = ctr.run(&["tasks", "rm", "a"]);
    assert!(ran.err.contains("exit with non-zero exit code 5"), "{ran:?}");
    ctr.says(&["containers", "rm", "a"]);
    ctr.says(&["run", "-d", IMAGE, "c", "sleep", "999"]);
    ctr.remove("c");
    let left: Vec<_> = ctr.0.groups().into_iter().filter(|dir| dir.ends_with("box")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(ctr.0.says(&["busybox", "ls", "/run/ours/default"]), "");
}

/// How a pod sees its network and its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pod {
    /// The host's.
    Host,
    /// A network of its own.
    Own,
    /// That, and user ids of its own.
    Users,
}

/// 65,536 ids from 200,000.
fn ids() -> Message {
    Message::new().number(1, 200_000).number(2, 0).number(3, 65_536)
}

fn namespaces(pod: Pod) -> Message {
    let namespaces = Message::new().number(2, 1);
    match pod {
        Pod::Host => namespaces.number(1, 2),
        Pod::Own => namespaces,
        Pod::Users => {
            namespaces.part(5, &Message::new().number(1, 0).part(2, &ids()).part(3, &ids()))
        }
    }
}

/// What is asked of containerd for one pod.
struct Node {
    others: Others,
    kubelet: Kubelet,
    sandbox: Message,
    pod: Pod,
    id: String,
}

impl Node {
    fn with(pod: Pod) -> Self {
        let mut others = Others::new();
        others.start_containerd();
        let kubelet = Kubelet::new(&others.path(SOCKET), others.scratch());
        let logs = others.scratch().join("logs").display().to_string();
        let security =
            Message::new().part(1, &namespaces(pod)).part(9, &Message::new().number(1, 0));
        let linux = Message::new().text(1, &others.group()).part(2, &security);
        let name = Message::new().text(1, "p").text(2, "u").text(3, "n");
        let mut sandbox = Message::new().part(1, &name).text(3, &logs).part(8, &linux);
        if pod != Pod::Host {
            sandbox = sandbox.text(2, "there");
        }
        let wish = Message::new().part(1, &sandbox).text(2, "cofferdam");
        let id = kubelet.says("RunPodSandbox", &wish).text(&[1]);
        Self { others, kubelet, sandbox, pod, id }
    }

    /// Asks for a container; half a processor and 50 MB.
    fn create(&self, name: &str, program: &[&str], memory: u64) -> Result<String, String> {
        let volume = self.others.scratch().join("volume");
        std::fs::create_dir_all(&volume).expect("scratch");
        let mount = |path: &str| {
            let mount = Message::new().text(1, path).text(2, &volume.display().to_string());
            if self.pod == Pod::Users { mount.part(6, &ids()).part(7, &ids()) } else { mount }
        };
        let resources = Message::new().number(1, 100_000).number(2, 50_000).number(4, memory);
        let resources = resources.number(10, memory);
        let security =
            Message::new().part(3, &namespaces(self.pod)).part(15, &Message::new().number(1, 0));
        let mut config = Message::new()
            .part(1, &Message::new().text(1, name))
            .part(2, &Message::new().text(1, IMAGE))
            .text(11, &format!("{name}.log"))
            .part(7, &mount("/v"))
            .part(7, &mount("/r").number(3, 1).number(8, 1))
            .part(15, &Message::new().part(1, &resources).part(2, &security));
        for word in program {
            config = config.text(3, word);
        }
        let wish = Message::new().text(1, &self.id).part(2, &config).part(3, &self.sandbox);
        let id = self.kubelet.ask("CreateContainer", &wish)?.text(&[1]);
        self.kubelet.ask("StartContainer", &Message::new().text(1, &id))?;
        Ok(id)
    }

    fn log(&self, name: &str) -> String {
        let path = self.others.scratch().join(format!("logs/{name}.log"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = |line: &str| line.split(' ').skip(3).collect::<Vec<_>>().join(" ");
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    fn exec(&self, id: &str, program: &[&str], seconds: u64) -> Result<(u64, String), String> {
        let wish = Message::new().text(1, id).number(3, seconds);
        let wish = program.iter().fold(wish, |wish, word| wish.text(2, word));
        let answer = self.kubelet.ask("ExecSync", &wish)?;
        Ok((answer.number(&[3]), answer.text(&[1]) + &answer.text(&[2])))
    }

    fn status(&self, id: &str) -> Answer {
        self.kubelet.says("ContainerStatus", &Message::new().text(1, id))
    }

    /// Waits for the end: the exit code, and why.
    fn ended(&self, id: &str) -> (u64, String) {
        until("the container to end", || self.status(id).number(&[1, 3]) == 2);
        let status = self.status(id);
        (status.number(&[1, 7]), status.text(&[1, 10]))
    }
}

/// The life of a pod's container, whatever the pod's namespaces.
fn pods_live(pod: Pod) {
    let node = Node::with(pod);
    let script = format!(
        "id -u; cat /proc/sys/kernel/hostname; cat /proc/self/uid_map | tr -s ' '
         grep -c : /proc/net/dev; touch /v/f; stat -c %u /v/f; touch /r/f 2>/dev/null || echo no
         echo begun; {WAITS}"
    );
    let id = node.create("a", &["sh", "-c", &script], 50_000_000).expect("a container");
    until("the program to begin", || node.log("a").ends_with("begun"));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("/proc");
    let (host, map, links) = match pod {
        Pod::Host => (host.trim(), "0 4294967295", 1),
        Pod::Own => ("there", "0 4294967295", 2),
        Pod::Users => ("there", "200000 65536", 2),
    };
    assert_eq!(node.log("a"), format!("0\n{host}\n 0 {map}\n{links}\n0\nno\nbegun"));
    // Its limits, and others.
    let limit = |legacy, unified| node.others.limit(&id, legacy, unified);
    assert_eq!(limit("memory.limit_in_bytes", "memory.max"), "49999872");
    let resources = Message::new().number(1, 100_000).number(2, 20_000).number(4, 60_000_000);
    let wish = Message::new().text(1, &id).part(2, &resources.text(6, "0"));
    node.kubelet.says("UpdateContainerResources", &wish);
    assert_eq!(limit("memory.limit_in_bytes", "memory.max"), "59998208");
    assert!(limit("cpu.cfs_quota_us", "cpu.max").starts_with("20000"));
    assert_eq!(limit("cpuset.cpus", "cpuset.cpus"), "0");
    assert_eq!(node.status(&id).number(&[1, 16, 1, 4]), 60_000_000);
    let figures = node.kubelet.says("ContainerStats", &Message::new().text(1, &id));
    assert!(figures.number(&[1, 3, 2, 1]) > 0 && figures.number(&[1, 2, 2, 1]) > 0, "{figures:?}");
    // Programs beside it: one, one that is not there, and one that takes too long.
    let (code, said) = node.exec(&id, &["sh", "-c", "id -u; ps; exit 6"], 20).expect("runs");
    assert!(code == 6 && said.starts_with("0\n") && said.contains("trap"), "{code} {said}");
    let refused = node.exec(&id, &["nope"], 20).expect_err("is not there");
    assert!(refused.contains("executable file not found in $PATH"), "{refused}");
    let refused = node.exec(&id, &["sleep", "99"], 1).expect_err("takes too long");
    assert!(refused.contains("timeout 1s exceeded"), "{refused}");
    // The ends it can have.
    node.kubelet.says("StopContainer", &Message::new().text(1, &id).number(2, 20));
    assert_eq!(node.ended(&id), (5, "Error".into()));
    node.kubelet.says("RemoveContainer", &Message::new().text(1, &id));
    // Once somebody looks on.
    let eats = "until [ -e /v/go ]; do sleep 0.1; done; dd if=/dev/zero of=/dev/null bs=200M";
    let id = node.create("b", &["sh", "-c", eats], 10_000_000).expect("a container");
    std::fs::write(node.others.scratch().join("volume/go"), "").expect("scratch");
    assert_eq!(node.ended(&id), (137, "OOMKilled".into()));
    let refused = node.create("c", &["nope"], 50_000_000).expect_err("no such program");
    assert!(refused.contains("executable file not found in $PATH"), "{refused}");
    node.kubelet.says("StopPodSandbox", &Message::new().text(1, &node.id));
    node.kubelet.says("RemovePodSandbox", &Message::new().text(1, &node.id));
    let left = node.others.groups();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn kubernetes_pods_on_the_hosts_network_run_with_it() {
    pods_live(Pod::Host);
}

#[test]
fn kubernetes_pods_with_networks_run_with_it() {
    pods_live(Pod::Own);
}

#[test]
fn kubernetes_pods_with_user_namespaces_run_with_it() {
    pods_live(Pod::Users);
}

#[test]
fn kubernetes_is_told_what_it_can_do() {
    let mut others = Others::new();
    others.start_containerd();
    let kubelet = Kubelet::new(&others.path(SOCKET), others.scratch());
    let status = kubelet.says("Status", &Message::new());
    let handler = status.parts(3).find(|handler| handler.text(&[1]) == "cofferdam");
    let handler = handler.expect("the handler of the configuration");
    let (read_only, users) = (handler.number(&[2, 1]), handler.number(&[2, 2]));
    assert_eq!((read_only, users), (1, 1), "recursively read-only mounts, user namespaces");
}
