//! `exec`: more programs in a running container.

mod common;

use common::Scratch;
use serde_json::json;
use std::fs;

fn running() -> Scratch {
    let scratch = Scratch::new(&["sleep", "100"]);
    let said = scratch.launch("run", &["--detach"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    scratch
}

#[test]
fn the_code_and_the_output_are_the_programs() {
    let scratch = running();
    let said = scratch.verb("exec", &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((said.code, &*said.out, &*said.err), (Some(7), "out\n", "err\n"));
}

#[test]
fn it_sees_the_processes_of_the_container_and_its_root() {
    let scratch = running();
    let said = scratch.verb("exec", &["sh", "-c", "cat /proc/1/cmdline; echo /*"]);
    assert!(said.out.starts_with("sleep\x00100\x00"), "{said:?}");
    assert!(said.out.contains("/bin"), "{said:?}");
}

#[test]
fn a_command_that_is_missing_or_unfit_is_code_255_and_named() {
    let scratch = running();
    let said = scratch.verb("exec", &["nocmd"]);
    assert_eq!(said.code, Some(255));
    assert_eq!(
        said.message(),
        "exec failed: unable to start container process: exec: \\\"nocmd\\\": \
         executable file not found in $PATH"
    );
    let said = scratch.verb("exec", &["/etc/passwd"]);
    assert_eq!(said.code, Some(255));
    assert!(said.message().ends_with("exec: \\\"/etc/passwd\\\": permission denied"), "{said:?}");
    let said = scratch.verb("exec", &[]);
    assert_eq!(
        (said.code, said.message()),
        (Some(255), "exec failed: process args cannot be empty")
    );
}

#[test]
fn who_it_runs_as_and_where_is_as_asked() {
    let scratch = running();
    let flags = ["exec", "--user", "1000:1001", "-g", "5", "--cwd", "/tmp", "-e", "A=b"];
    let script = "id -u; id -g; id -G; pwd; echo $A";
    let args: Vec<&str> = flags.into_iter().chain([&*scratch.id, "sh", "-c", script]).collect();
    let said = scratch.run(&args);
    assert_eq!(said.out, "1000\n1001\n1001 5\n/tmp\nb\n", "{said:?}");
}

#[test]
fn the_environment_has_a_home_and_the_last_duplicate_wins() {
    let scratch = running();
    let args = ["exec", "-e", "A=one", "-e", "A=two", &scratch.id, "sh", "-c", "echo $A $HOME"];
    assert_eq!(scratch.run(&args).out, "two /root\n");
}

#[test]
fn a_process_file_says_it_all() {
    let scratch = running();
    let path = scratch.dir.join("process.json");
    let process = json!({
        "args": ["sh", "-c", "id -u; pwd"],
        "cwd": "/tmp",
        "env": ["PATH=/bin"],
        "user": { "uid": 7, "gid": 7 },
    });
    fs::write(&path, process.to_string()).expect("write");
    let said = scratch.run(&["exec", "--process", &path.to_string_lossy(), &scratch.id]);
    assert_eq!((said.code, &*said.out), (Some(0), "7\n/tmp\n"), "{said:?}");
}

#[test]
fn detached_it_lives_on_and_its_pid_is_written() {
    let scratch = running();
    let path = scratch.dir.join("pid");
    let file = path.to_string_lossy().into_owned();
    let args = ["exec", "--detach", "--pid-file", &file, &scratch.id, "sleep", "99"];
    let said = scratch.run(&args);
    assert_eq!(said.code, Some(0), "{said:?}");
    let pid: u32 = fs::read_to_string(path).expect("the pid file").parse().expect("a number");
    let pids = scratch.run(&["ps", "--format", "json", &scratch.id]).json();
    assert!(pids.as_array().expect("a list").contains(&json!(pid)), "{pids}");
}

#[test]
fn cap2_it_has_no_more_capabilities_than_the_container() {
    let scratch = running();
    let said = scratch.verb("exec", &["sh", "-c", "cat /proc/self/status"]);
    let line = |name: &str| said.out.lines().find(|line| line.starts_with(name)).expect("a line");
    // audit_write, kill, net_bind_service
    assert!(line("CapBnd:").ends_with("0000000020000420"), "{}", line("CapBnd:"));
    assert!(line("CapInh:").ends_with("0000000000000000"));
    assert!(line("NoNewPrivs:").ends_with('1'));
}

#[test]
fn it_is_in_the_containers_control_groups() {
    let scratch = running();
    let said = scratch.verb("exec", &["sh", "-c", "cat /proc/self/cgroup"]);
    // Its own namespace: each group is the top.
    assert!(said.out.lines().all(|line| line.ends_with(":/")), "{said:?}");
}

#[test]
fn an_unknown_group_is_refused() {
    let scratch = running();
    let said = scratch.run(&["exec", "--cgroup", "nowhere", &scratch.id, "true"]);
    assert_eq!(said.code, Some(255));
    assert!(said.message().contains("find control group"), "{said:?}");
}

#[test]
fn an_unknown_capability_is_one_warning() {
    let scratch = running();
    let said = scratch.run(&["exec", "--cap", "CAP_FLY", &scratch.id, "true"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.err.matches("CAP_FLY").count(), 1, "{said:?}");
    assert!(said.err.contains("level=warning"), "{said:?}");
}

/// CVE-2022-29162: what is inherited could be had by executing a file.
#[test]
fn cap2_an_added_capability_is_not_inheritable() {
    let scratch = running();
    let status = ["cat", "/proc/self/status"];
    let said =
        scratch.run(&[&["exec", "--cap", "CAP_SYS_ADMIN", &scratch.id], &status[..]].concat());
    let line = |name: &str| {
        said.out.lines().find_map(|line| line.strip_prefix(name)).expect("in every status").trim()
    };
    assert_eq!((line("CapInh:"), line("CapAmb:")), ("0000000000000000", "0000000000000000"));
    let added = u64::from_str_radix(line("CapEff:"), 16).expect("a set") & (1 << 21);
    assert_ne!(added, 0, "{said:?}");
}
