//! The ways a container begins, is joined, and fails to begin. Needs root.

#![allow(missing_docs)]

#[allow(dead_code, reason = "each test file uses its own part")]
mod common;

use common::{Box, push};
use serde_json::json;

#[test]
fn it_ends_as_the_program_ends() {
    assert_eq!(Box::new("exit 7").run().code, 7);
    assert_eq!(Box::new("kill -KILL $$; sleep 9").of_init().run().code, 137);
}

trait OfInit {
    fn of_init(self) -> Self;
}

impl OfInit for Box {
    fn of_init(mut self) -> Self {
        self.sandbox.init = true;
        self
    }
}

#[test]
fn an_init_of_our_own_reaps_orphans_and_hands_signals_on() {
    let ran = Box::new(
        "trap 'echo asked; exit 3' TERM; (sleep 0.05 &) ; echo $$; kill -TERM 1; sleep 0.5;\
         ps | grep -c '\\[sleep\\]'; sleep 5",
    )
    .of_init()
    .run();
    assert_eq!((ran.code, ran.out.as_str()), (3, "2\nasked\n"), "{ran:?}");
}

#[test]
fn a_command_at_fault_is_told_as_docker_tells_it() {
    let run =
        |word: &str| Box::new("").with(|config| config["process"]["args"] = json!([word])).run();
    let missing = run("nope");
    assert_eq!(missing.code, 127);
    assert_eq!(missing.err, "exec: \"nope\": executable file not found in $PATH\n");
    let denied = run("/proc/version");
    assert_eq!(denied.code, 126);
    assert_eq!(denied.err, "exec: \"/proc/version\": permission denied\n");
}

#[test]
fn an_unfit_format_is_the_commands_fault() {
    let scratch = Box::new("").with(|config| config["process"]["args"] = json!(["/bin/odd"]));
    std::fs::write(scratch.root("bin/odd"), "neither fish nor fowl").expect("room");
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(scratch.root("bin/odd"), permissions).expect("own file");
    let ran = scratch.run();
    assert_eq!((ran.code, ran.err.as_str()), (126, "exec /bin/odd: exec format error\n"));
}

#[test]
fn init_waits_at_its_door_for_who_knocks() {
    let scratch = Box::new("echo begun");
    let door = scratch.path("door");
    let ran = scratch.told("DOOR", door.to_str().expect("plain text")).run();
    assert_eq!((ran.code, ran.out.as_str()), (0, "begun\n"), "{ran:?}");
}

#[test]
fn an_exec_is_in_every_namespace_of_the_container() {
    let script = "for n in cgroup ipc mnt net pid user uts; do \
        a=$(readlink /proc/1/ns/$n); b=$(readlink /proc/self/ns/$n);\
        [ -n \"$a\" ] && [ \"$a\" = \"$b\" ] || echo $n; done; id -u; grep CapInh /proc/self/status";
    let caps =
        json!(["CAP_SYS_PTRACE", "CAP_CHOWN", "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_KILL"]);
    let process = json!({"args": ["sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/tmp",
        "user": {"uid": 0, "gid": 0},
        "capabilities": {"bounding": caps, "effective": caps, "permitted": caps}});
    for scratch in [Box::new("sleep 60"), Box::of_the_host("sleep 60")] {
        let ran = scratch.exec(&process);
        assert_eq!(ran.out, "0\nCapInh:\t0000000000000000\n", "{ran:?}");
    }
}

#[test]
fn an_exec_is_filtered_as_the_container_is() {
    let process = json!({"args": ["mkdir", "/tmp/x"], "env": ["PATH=/bin"], "cwd": "/"});
    let ran = Box::of_the_host("sleep 60")
        .with(|config| {
            config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO",
                    "errnoRet": 95}]
            });
        })
        .exec(&process);
    assert!(ran.code == 1 && ran.err.contains("Operation not supported"), "{ran:?}");
}

#[test]
fn processors_of_an_exec_are_no_business_of_the_containers_own_program() {
    let affinity = json!({"initial": "0-1", "final": "0"});
    let script = "for p in 1 self; do grep Cpus_allowed_list /proc/$p/status; done";
    let process = json!({"args": ["sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/",
        "execCPUAffinity": affinity});
    let ran = Box::new("sleep 60")
        .with(|config| config["process"]["execCPUAffinity"] = affinity.clone())
        .exec(&process);
    let lists: Vec<_> = ran.out.split_whitespace().filter(|word| !word.ends_with(':')).collect();
    assert_eq!(lists.len(), 2, "{ran:?}");
    assert!(lists[0] != "0" && lists[1] == "0", "{ran:?}");
}

#[test]
fn a_missing_command_of_an_exec_is_told_too() {
    let process = json!({"args": ["nope"], "env": ["PATH=/bin"], "cwd": "/"});
    let ran = Box::new("sleep 60").exec(&process);
    assert_eq!(ran.code, 127);
    assert_eq!(ran.err, "exec: \"nope\": executable file not found in $PATH\n");
}

#[test]
fn a_terminal_has_a_name_inside_and_belongs_to_the_user() {
    let script = "tty; stat -c %u $(tty) /dev/console; [ -c /dev/console ] && echo console";
    let terminal = |config: &mut serde_json::Value| {
        config["process"]["terminal"] = json!(true);
        config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    };
    let ran = Box::new(script).with(terminal).run();
    assert_eq!(ran.out, "/dev/pts/0\r\n1000\r\n1000\r\nconsole\r\n", "{ran:?}");
    let process = json!({"terminal": true, "args": ["sh", "-c", script], "env": ["PATH=/bin"],
        "cwd": "/", "user": {"uid": 1000, "gid": 1000}});
    let ran = Box::new("sleep 60").exec(&process);
    assert!(ran.out.starts_with("/dev/pts/0\r\n1000\r\n"), "{ran:?}");
}

#[test]
fn hooks_run_in_their_places() {
    let scratch = Box::new("echo program >>/tmp/order");
    let order = scratch.root("tmp/order");
    std::fs::write(&order, "").expect("room");
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&order, permissions).expect("own file");
    let hook = |word: &str, file: &str| {
        json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("echo {word} >>{file}")],
            "env": ["PATH=/bin"]}])
    };
    let host = order.to_str().expect("plain text");
    let ran = scratch.with(|config| {
        config["hooks"] = json!({
            "prestart": hook("prestart", host),
            "createRuntime": hook("createRuntime", host),
            "createContainer": hook("createContainer", host),
            "startContainer": hook("startContainer", "/tmp/order"),
        });
    });
    let ran = (ran.run(), ran);
    assert_eq!(ran.0.code, 0, "{:?}", ran.0);
    let order = std::fs::read_to_string(&order).expect("written");
    assert_eq!(order, "prestart\ncreateRuntime\ncreateContainer\nstartContainer\nprogram\n");
}

#[test]
fn settings_of_its_namespaces_are_set_and_the_hosts_refused() {
    let read = || std::fs::read_to_string("/proc/sys/kernel/msgmax").expect("procfs");
    let before = read();
    let script = "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward \
        /proc/sys/user/max_inotify_watches";
    let ran = Box::new(script)
        .with(|config| {
            config["linux"]["sysctl"] = json!({"kernel.msgmax": "4242",
                "net.ipv4.ip_forward": "1", "user.max_inotify_watches": "77"});
        })
        .run();
    assert_eq!(ran.out, "4242\n1\n77\n", "{ran:?}");
    assert_eq!(read(), before);
    let ran = Box::new("true")
        .with(|config| config["linux"]["sysctl"] = json!({"kernel.core_pattern": "|/x"}))
        .run();
    assert_eq!(ran.code, 125);
    assert!(ran.err.contains("not in a separate kernel namespace"), "{ran:?}");
}

#[test]
fn a_limit_beyond_the_hosts_is_a_warning() {
    let ran = Box::new("ulimit -n; ulimit -c")
        .with(|config| {
            config["process"]["rlimits"] = json!([
                {"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
        })
        .run();
    assert_eq!(ran.out, "77\n0\n", "{ran:?}");
}

#[test]
fn clocks_can_be_set_ahead() {
    let ran = Box::new("read up rest </proc/uptime; [ ${up%.*} -gt 900000000 ] && echo ahead")
        .with(|config| {
            push(&mut config["linux"]["namespaces"], json!({"type": "time"}));
            config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000_000}});
        })
        .run();
    assert_eq!(ran.out, "ahead\n", "{ran:?}");
}

#[test]
fn namespaces_of_another_are_joined_by_path() {
    use std::io::Read;
    let mut other = std::process::Command::new("unshare")
        .args(["-Un", "--", "sh", "-c"])
        .arg("readlink /proc/self/ns/net /proc/self/ns/user; exec 1>&-; exec sleep 60")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("unshare(1)");
    let mut theirs = String::new();
    other.stdout.take().expect("piped").read_to_string(&mut theirs).expect("told");
    for map in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{}/{map}", other.id()), "0 100000 65536\n").expect("root");
    }
    let path = |name: &str| format!("/proc/{}/ns/{name}", other.id());
    let scratch = Box::of_the_host(
        "readlink /proc/self/ns/net; readlink /proc/self/ns/user; id -u; stat -c %u /dev",
    )
    .with(|config| {
        config["linux"]["namespaces"] = json!([{"type": "pid"}, {"type": "mount"},
                {"type": "ipc"}, {"type": "uts"},
                {"type": "network", "path": path("net")}, {"type": "user", "path": path("user")}]);
    });
    let ran = scratch.run();
    other.kill().expect("it runs");
    other.wait().expect("a child");
    // Itself root, and what was made is its root's.
    assert_eq!(ran.out, format!("{theirs}0\n0\n"), "{ran:?}");
}

#[test]
fn without_pivoting_it_has_its_root_all_the_same() {
    let ran = Box::new("ls /; pwd").told("NO_PIVOT", "1").run();
    assert_eq!(ran.out, "bin\ndev\netc\nproc\nsys\ntmp\n/\n", "{ran:?}");
}
