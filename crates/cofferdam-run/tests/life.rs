//! A container's life, verb by verb, as containerd and Podman drive it.

mod common;

use common::{Scratch, finish};
use serde_json::json;
use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

#[test]
fn the_whole_life_of_a_container() {
    let scratch = Scratch::new(&["sleep", "100"]);
    assert_eq!(scratch.launch("create", &[]).code, Some(0));
    assert_eq!(scratch.status(), "created");
    assert_eq!(scratch.verb("start", &[]).code, Some(0));
    assert_eq!(scratch.status(), "running");
    assert_eq!(scratch.verb("pause", &[]).code, Some(0));
    assert_eq!(scratch.status(), "paused");
    assert_eq!(scratch.verb("resume", &[]).code, Some(0));
    assert_eq!(scratch.status(), "running");
    assert_eq!(scratch.verb("kill", &["KILL"]).code, Some(0));
    scratch.until("stopped");
    assert_eq!(scratch.verb("delete", &[]).code, Some(0));
    assert_eq!(scratch.verb("state", &[]).message(), "container does not exist");
    assert_eq!(scratch.groups(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn the_state_has_the_fields_that_callers_read() {
    let scratch = Scratch::new(&["sleep", "100"]);
    scratch.change(|config| config["annotations"] = json!({ "org.example": "yes" }));
    scratch.launch("create", &[]);
    let state = scratch.state();
    let keys: Vec<&String> = state.as_object().expect("an object").keys().collect();
    let mut wanted = [
        "ociVersion",
        "id",
        "pid",
        "status",
        "bundle",
        "rootfs",
        "created",
        "annotations",
        "owner",
    ];
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
    assert_eq!(state["bundle"], json!(scratch.bundle()));
    assert_eq!(state["rootfs"], json!(format!("{}/rootfs", scratch.bundle())));
    assert_eq!(state["annotations"]["org.example"], "yes");
    scratch.verb("kill", &["KILL"]);
    scratch.until("stopped");
    assert_eq!(scratch.state()["pid"], 0);
}

#[test]
fn a_run_in_the_foreground_ends_with_the_programs_code_and_leaves_nothing() {
    let scratch = Scratch::new(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    let said = scratch.launch("run", &[]);
    assert_eq!((said.code, &*said.out, &*said.err), (Some(7), "out\n", "err\n"));
    assert_eq!(scratch.verb("state", &[]).message(), "container does not exist");
}

#[test]
fn a_run_that_keeps_leaves_a_stopped_container() {
    let scratch = Scratch::new(&["true"]);
    assert_eq!(scratch.launch("run", &["--keep"]).code, Some(0));
    assert_eq!(scratch.status(), "stopped");
}

/// Runs the container in the foreground until its program has said, by a
/// file, that it is ready.
fn run_until_ready(scratch: &Scratch) -> std::process::Child {
    let mut run = scratch.command(&["run", "--bundle", &scratch.bundle(), &scratch.id]);
    let run = run.spawn().expect("the binary runs");
    let ready = scratch.dir.join("rootfs/tmp/ready");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !ready.exists() {
        assert!(std::time::Instant::now() < end, "it never began");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    run
}

#[test]
fn a_program_killed_by_a_signal_ends_with_128_and_its_number() {
    let scratch = Scratch::new(&["sh", "-c", "touch /tmp/ready; sleep 100"]);
    let mut run = run_until_ready(&scratch);
    assert_eq!(scratch.verb("kill", &["KILL"]).code, Some(0));
    assert_eq!(run.wait().expect("wait").code(), Some(137));
}

#[test]
fn a_signal_to_the_caller_reaches_the_program() {
    let script = "trap 'exit 9' TERM; touch /tmp/ready; while :; do sleep 0.01; done";
    let scratch = Scratch::new(&["sh", "-c", script]);
    let mut run = run_until_ready(&scratch);
    let pid = i32::try_from(run.id()).expect("a pid is an int");
    sys::signal::send(pid, 15).expect("it lives");
    assert_eq!(run.wait().expect("wait").code(), Some(9));
}

#[test]
fn one_name_is_one_container() {
    let scratch = Scratch::new(&["sleep", "100"]);
    scratch.launch("run", &["--detach"]);
    let again = scratch.launch("create", &[]);
    assert_eq!(again.code, Some(1));
    assert_eq!(
        again.message(),
        "cofferdam-run create failed: container with given ID already exists"
    );
    assert_eq!(scratch.status(), "running", "the first is not hurt");
}

#[test]
fn verbs_that_come_at_the_wrong_time_say_so() {
    let scratch = Scratch::new(&["sleep", "100"]);
    scratch.launch("run", &["--detach"]);
    let message = |verb: &str, more: &[&str]| {
        let said = scratch.verb(verb, more);
        assert_eq!(said.code, Some(1), "{said:?}");
        said.message().to_owned()
    };
    assert_eq!(message("start", &[]), "cannot start an already running container");
    assert_eq!(message("resume", &[]), "container not paused");
    assert_eq!(message("kill", &["FOO"]), "unknown signal \\\"FOO\\\"");
    let id = &scratch.id;
    let refused = format!("cannot delete container {id} that is not stopped: ");
    assert_eq!(message("delete", &[]), refused.clone() + "running");
    scratch.verb("pause", &[]);
    assert_eq!(message("pause", &[]), "container not running");
    assert_eq!(message("delete", &[]), refused + "paused");
    let said = scratch.verb("exec", &["true"]);
    assert_eq!(said.code, Some(255));
    assert_eq!(
        said.message(),
        "exec failed: cannot exec in a paused container (use --ignore-paused to override)"
    );
    scratch.verb("kill", &["KILL"]);
    scratch.until("stopped");
    assert_eq!(message("start", &[]), "cannot start a container that has stopped");
    assert_eq!(message("kill", &["KILL"]), "container not running");
    assert_eq!(message("pause", &[]), "container not running");
    assert_eq!(message("events", &["--stats"]), format!("container with id {id} is not running"));
    let said = scratch.verb("exec", &["true"]);
    assert_eq!(said.message(), "exec failed: cannot exec in a stopped container");
}

#[test]
fn a_container_that_was_never_started_can_be_asked_to_end() {
    let scratch = Scratch::new(&["sleep", "100"]);
    assert_eq!(scratch.launch("create", &[]).code, Some(0));
    assert_eq!(scratch.verb("kill", &["USR1"]).code, Some(0));
    assert_eq!(scratch.status(), "created");
    assert_eq!(scratch.verb("kill", &["TERM"]).code, Some(0));
    scratch.until("stopped");
    let said = scratch.verb("start", &[]);
    assert_eq!(said.message(), "cannot start a container that has stopped");
    assert_eq!(scratch.verb("delete", &[]).code, Some(0));
}

#[test]
fn a_paused_container_can_be_killed_and_deleted_by_force() {
    let scratch = Scratch::new(&["sleep", "100"]);
    scratch.launch("run", &["--detach"]);
    scratch.verb("pause", &[]);
    let said = scratch.verb("delete", &["--force"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(scratch.groups(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_missing_command_is_found_before_the_start_and_nothing_stays() {
    let scratch = Scratch::new(&["nocmd"]);
    let said = scratch.launch("run", &[]);
    assert_eq!(said.code, Some(1));
    assert_eq!(
        said.message(),
        "cofferdam-run run failed: unable to start container process: exec: \\\"nocmd\\\": \
         executable file not found in $PATH"
    );
    assert_eq!(scratch.run(&["list", "-q"]).out, "");
    assert_eq!(scratch.groups(), [] as [std::path::PathBuf; 0]);
}

#[test]
fn a_command_that_cannot_be_executed_is_told_from_a_missing_one() {
    let scratch = Scratch::new(&["/etc/passwd"]);
    let said = scratch.launch("run", &[]);
    assert!(said.message().ends_with("exec: \\\"/etc/passwd\\\": permission denied"), "{said:?}");
}

#[test]
fn the_pid_file_is_relative_to_the_caller_and_names_init() {
    let scratch = Scratch::new(&["sleep", "100"]);
    let bundle = scratch.bundle();
    let mut create =
        scratch.command(&["create", "--bundle", &bundle, "--pid-file", "pid", &scratch.id]);
    create.current_dir(&scratch.dir);
    let said = finish(create, &scratch.dir);
    assert_eq!(said.code, Some(0), "{said:?}");
    let pid = fs::read_to_string(scratch.dir.join("pid")).expect("the pid file");
    assert_eq!(pid, scratch.pid().to_string());
}

#[test]
fn a_list_has_a_row_for_each_container() {
    let scratch = Scratch::new(&["sleep", "100"]);
    scratch.launch("run", &["--detach"]);
    assert_eq!(scratch.run(&["list", "-q"]).out, format!("{}\n", scratch.id));
    let rows = scratch.run(&["list", "--format", "json"]).json();
    assert_eq!(rows[0]["status"], "running");
    assert_eq!(rows[0]["owner"], "root");
    let table = scratch.run(&["list"]).out;
    assert!(table.lines().nth(1).expect("a row").starts_with(&scratch.id), "{table}");
}

#[test]
fn ps_shows_the_processes_of_the_container_alone() {
    let scratch = Scratch::new(&["sleep", "100"]);
    scratch.launch("run", &["--detach"]);
    let pid = scratch.pid();
    assert_eq!(scratch.run(&["ps", "--format", "json", &scratch.id]).json(), json!([pid]));
    let table = scratch.verb("ps", &["-o", "pid,args"]).out;
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("sleep 100"), "{table}");
}

#[test]
fn limits_of_the_bundle_are_set_and_can_be_changed() {
    let scratch = Scratch::new(&["sleep", "100"]);
    scratch.change(|config| {
        config["linux"]["resources"]["pids"] = json!({ "limit": 50 });
        config["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20, "swap": 64 << 20 });
    });
    scratch.launch("run", &["--detach"]);
    let record = fs::read_to_string(scratch.dir.join("state").join(&scratch.id).join("state.json"));
    let record: serde_json::Value =
        serde_json::from_str(&record.expect("state.json")).expect("JSON");
    // Version 1 limits memory and swap together, version 2 swap alone, and it
    // has a weight of 59 for 512 shares.
    let legacy = record["cgroup_paths"].get("memory").is_some();
    let [memory, swap, shares] = if legacy {
        ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.shares"]
    } else {
        ["memory.max", "memory.swap.max", "cpu.weight"]
    };
    let (left, half, none) =
        if legacy { (64 << 20, "512", "9223372036854771712") } else { (32 << 20, "59", "max") };
    let file = |controller: &str, file: &str| {
        let controller = if legacy { controller } else { "" };
        let dir = record["cgroup_paths"][controller].as_str().expect("this machine has it");
        fs::read_to_string(Path::new(dir).join(file)).expect("readable").trim().to_owned()
    };
    assert_eq!(file("pids", "pids.max"), "50");
    assert_eq!(file("memory", memory), (64 << 20).to_string());
    let said = scratch.run(&["update", "--memory", "33554432", "--pids-limit", "9", &scratch.id]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(file("memory", memory), "33554432");
    assert_eq!(file("memory", swap), left.to_string());
    assert_eq!(file("pids", "pids.max"), "9");
    let path = scratch.dir.join("limits.json");
    fs::write(&path, r#"{"cpu":{"shares":512}}"#).expect("write");
    let said = scratch.run(&["update", "-r", &path.to_string_lossy(), &scratch.id]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(file("cpu", shares), half);
    if legacy {
        let said = scratch.run(&["update", "--cpu-share", "1", &scratch.id]);
        assert!(said.message().ends_with("the minimum allowed cpu-shares is 2"), "{said:?}");
        assert_eq!(file("cpu", shares), half);
    }
    // What Go writes for a missing pointer.
    fs::write(&path, "null").expect("write");
    let said = scratch.run(&["update", "-r", &path.to_string_lossy(), &scratch.id]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = scratch.run(&["update", "--memory", "-1", &scratch.id]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(file("memory", memory), none);
    assert_eq!(file("memory", swap), none);
    let said = scratch.run(&["update", "--cpu-idle", "1", &scratch.id]);
    assert_eq!((said.code, file("cpu", "cpu.idle").as_str()), (Some(0), "1"), "{said:?}");
    let said = scratch.run(&["update", "--kernel-memory", "8m", "--cpu-idle", "0", &scratch.id]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains("level=warning"), "{said:?}");
    assert_eq!(file("cpu", shares), half);
}

#[test]
fn a_descriptor_that_is_to_be_handed_through_must_be_there() {
    let scratch = Scratch::new(&["true"]);
    let said = scratch.launch("run", &["--preserve-fds", "60"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.message().contains("(of 60): no such file or directory"), "{said:?}");
    let bundle = scratch.bundle();
    let mut command = std::process::Command::new("sh");
    // Descriptors that nobody but this shell has opened.
    let script = "exec 3</dev/null 4</dev/null; exec \"$@\"";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_cofferdam-run"), "--root"]);
    command.arg(scratch.dir.join("state")).args(["run", "--preserve-fds", "2", "-b"]);
    command.arg(bundle).arg(&scratch.id);
    let said = finish(command, &scratch.dir);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn a_limit_that_this_machine_cannot_set_fails_the_create_and_leaves_nothing() {
    let scratch = Scratch::new(&["sleep", "100"]);
    scratch.change(|config| {
        // Neither a hybrid machine nor one with version 2 alone.
        config["linux"]["resources"]["unified"] = json!({ "nonsense.max": "1" });
    });
    let said = scratch.launch("create", &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.message().contains("cannot set nonsense.max: "), "{said:?}");
    assert_eq!(scratch.groups(), [] as [std::path::PathBuf; 0]);
    assert_eq!(scratch.run(&["list", "-q"]).out, "");
}

/// Whatever moment it is: a control group has no owner but the record.
#[test]
fn a_create_that_is_killed_leaves_nothing_that_delete_would_not_find() {
    let scratch = Scratch::new(&["sleep", "100"]);
    let bundle = scratch.bundle();
    let left: Vec<_> = (0..60)
        .flat_map(|tenth| {
            let mut create = scratch.command(&["create", "-b", &bundle, &scratch.id]);
            let begun = Instant::now();
            let mut create =
                create.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
            while begun.elapsed() < Duration::from_micros(tenth * 100) {
                std::hint::spin_loop();
            }
            create.kill().expect("a child");
            create.wait().expect("a child");
            let said = scratch.verb("delete", &["--force"]);
            assert_eq!(said.code, Some(0), "{said:?}");
            scratch.groups()
        })
        .collect();
    assert_eq!(left, [] as [std::path::PathBuf; 0]);
}

#[test]
fn figures_are_one_json_object() {
    let scratch = Scratch::new(&["sleep", "100"]);
    scratch.launch("run", &["--detach"]);
    let event = scratch.verb("events", &["--stats"]).json();
    assert_eq!(event["type"], "stats");
    assert_eq!(event["id"], json!(scratch.id));
    assert!(event["data"]["cpu"]["usage"]["total"].as_u64() > Some(0));
    assert_eq!(event["data"]["pids"]["current"], 1);
}

#[test]
fn events_tell_of_memory_running_out_and_end_with_the_container() {
    let script = "a=xxxxxxxx; while :; do a=$a$a; done";
    let scratch = Scratch::new(&["sh", "-c", script]);
    scratch.change(|config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 8 << 20, "swap": 8 << 20 });
    });
    assert_eq!(scratch.launch("create", &[]).code, Some(0));
    let out = fs::File::create(scratch.dir.join("events")).expect("create");
    let mut events = scratch.command(&["events", "--interval", "1h", &scratch.id]);
    let mut events = events.stdout(out).spawn().expect("the binary runs");
    // It is listening once it sleeps in ppoll (x86, ARM).
    let listens = |text: &str| text.starts_with("271 ") || text.starts_with("73 ");
    let syscall = format!("/proc/{}/syscall", events.id());
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !fs::read_to_string(&syscall).is_ok_and(|text| listens(&text)) {
        assert!(std::time::Instant::now() < end, "it never listened");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(scratch.verb("start", &[]).code, Some(0));
    assert!(events.wait().expect("wait").success());
    let said = fs::read_to_string(scratch.dir.join("events")).expect("UTF-8");
    assert!(said.contains(r#""type":"oom""#), "{said:?}");
}

#[test]
fn a_program_without_a_terminal_needs_no_console_socket_and_takes_none() {
    let scratch = Scratch::new(&["true"]);
    let said = scratch.launch("create", &["--console-socket", "/nowhere"]);
    assert!(
        said.message()
            .ends_with("cannot use console socket if runtime will not detach or allocate tty")
    );
    scratch.change(|config| config["process"]["terminal"] = json!(true));
    let said = scratch.launch("create", &[]);
    assert!(
        said.message()
            .ends_with("cannot allocate tty if runtime will detach without setting console socket")
    );
}
