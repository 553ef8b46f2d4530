//! A monitor at work on a real container, driven as the daemon drives it.
//! Each test is one promise in words.

mod scratch;

use logs::{Options, Reader, Stream};
use scratch::{Scratch, end, hear, hear_until, process};
use spec::{
    oci::{self, ConsoleSize, IdMapping, Namespace},
    wire::{Reply, Request},
};
use std::{fs, path::Path};
use watch::{Error, Message};

#[test]
fn what_it_wrote_and_how_it_ended_stay_behind() {
    let scratch = Scratch::new("echo out; echo err >&2; printf rest; exit 7");
    let exit = end(scratch.run());
    assert_eq!((exit.code, exit.oom), (7, false));
    assert_eq!(watch::exit(&scratch.run_dir()).expect("reads"), Some(exit));
    assert_eq!(scratch.logged(Stream::Stdout), "out\nrest");
    assert_eq!(scratch.logged(Stream::Stderr), "err\n");
    assert!(!scratch.run_dir().join("monitor.sock").exists());
    assert_eq!(scratch.complaints(), "");
}

#[test]
fn a_nursery_that_was_killed_is_missed_by_nobody() {
    let scratch = Scratch::new("exit 3");
    let first = scratch.run();
    let nursery = scratch.nursery.process().expect("it has borne a monitor");
    sys::signal::send(i32::try_from(nursery).expect("a pid"), 9).expect("is killed");
    assert_eq!(end(first).code, 3);
    assert_eq!(end(scratch.run()).code, 3);
    assert_ne!(scratch.nursery.process(), Some(nursery));
}

#[test]
fn the_file_of_a_monitor_is_out_of_reach() {
    let scratch = Scratch::new("read x").with_stdin();
    let running = scratch.run();
    let exe = format!("/proc/{}/exe", running.monitor());
    let mount = rustix::fs::statvfs(exe).expect("it runs").f_flag;
    assert!(mount.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{mount:?}");
    drop(scratch.attach(true));
    assert_eq!(end(running).code, 1);
}

#[test]
fn a_client_that_is_there_before_it_begins_misses_no_byte() {
    let scratch = Scratch::new("busybox seq 1 50000; echo end >&2");
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    let client = scratch.attach(true);
    let running = launching.go().expect("runs");
    let heard = hear(client);
    let want: String = (1..=50000).map(|i| format!("{i}\n")).collect();
    assert!(heard.stdout == want.as_bytes(), "{} of {}", heard.stdout.len(), want.len());
    assert_eq!((heard.stderr, heard.code), (b"end\n".to_vec(), Some(0)));
    assert_eq!(end(running).code, 0);
    assert!(scratch.logged(Stream::Stdout) == want);
}

#[test]
fn a_client_that_paces_it_is_waited_for() {
    let scratch = Scratch::new(
        "busybox dd if=/proc/self/exe bs=65536 count=1 2>&-; i=0; while [ $i -lt 200 ]; do busybox seq 1 8000; i=$((i+1)); done",
    );
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    let client = scratch.attach(true);
    let running = launching.go().expect("runs");
    // It cannot end before it is read: the pipe, the sockets and the queue are full.
    let mut watch = scratch.connect(&Request::Watch);
    assert!(matches!(watch.reply(), Ok(Reply::State { pid: Some(_), .. })));
    let heard = hear(client);
    let once: usize = (1..=8000).map(|i: u32| i.to_string().len() + 1).sum();
    assert_eq!(heard.stdout.len(), 65536 + 200 * once);
    assert_eq!(heard.code, Some(0));
    assert_eq!(end(running).code, 0);
}

#[test]
fn a_client_that_does_not_read_loses_its_connection_and_nothing_else_happens() {
    let script = "i=0; while [ $i -lt 200 ]; do busybox seq 1 8000; i=$((i+1)); done; read x";
    let scratch = Scratch::new(script).with_stdin();
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    let request = Request::Attach { stdin: false, stdout: true, stderr: true, pace: false };
    let mut client = scratch.connect(&request);
    assert_eq!(client.reply().expect("answers"), Reply::Ok);
    let running = launching.go().expect("runs");
    // All of it is logged though the client reads nothing.
    let follow = Options { follow: true, ..Options::default() };
    let log = Reader::open(&scratch.log_path(), follow).expect("a log");
    assert_eq!(log.take(1_600_000).count(), 1_600_000);
    // The program still runs, and the client is cut off: it has missed something.
    for message in client {
        match message {
            Ok(Message::Stdout(_)) | Err(Error::Gone) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(scratch.attach(true));
    end(running);
}

#[test]
fn standard_input_arrives_and_ends() {
    let scratch = Scratch::new("busybox md5sum").with_stdin();
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    let (mut speaks, hears) = scratch.attach(true).split();
    let running = launching.go().expect("runs");
    // More than pipes, sockets and queues hold together.
    speaks.stdin(&vec![b'x'; 3 << 20]).expect("is taken");
    speaks.close_stdin().expect("is taken");
    assert_eq!(hear(hears).stdout, b"c1887f0c970afa48194adf7f5c504696  -\n");
    assert_eq!(end(running).code, 0);
}

#[test]
fn standard_input_ends_when_its_client_leaves() {
    let scratch = Scratch::new("busybox cat; echo over").with_stdin();
    let running = scratch.run();
    let (mut speaks, hears) = scratch.attach(true).split();
    speaks.stdin(b"last words\n").expect("is taken");
    drop((speaks, hears));
    assert_eq!(end(running).code, 0);
    assert_eq!(scratch.logged(Stream::Stdout), "last words\nover\n");
}

#[test]
fn without_i_standard_input_is_empty() {
    let scratch = Scratch::new("busybox cat; echo over");
    let running = scratch.run();
    assert_eq!(end(running).code, 0);
    assert_eq!(scratch.logged(Stream::Stdout), "over\n");
}

#[test]
fn signals_reach_its_init() {
    let scratch =
        Scratch::new("trap 'exit 33' TERM; echo ready; while :; do busybox sleep 1; done");
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    let mut client = scratch.attach(true);
    let running = launching.go().expect("runs");
    hear_until(&mut client, "ready\n");
    assert_eq!(scratch.ask(&Request::Signal { signal: 15, exec: None }), Reply::Ok);
    assert_eq!(end(running).code, 33);
}

#[test]
fn a_kill_is_told_as_128_and_the_signal() {
    let scratch = Scratch::new("busybox sleep 1000");
    let running = scratch.run();
    assert_eq!(scratch.ask(&Request::Signal { signal: 9, exec: None }), Reply::Ok);
    assert_eq!(end(running).code, 137);
}

#[test]
fn the_daemon_may_die() {
    let scratch = Scratch::new("busybox cat").with_stdin();
    drop(scratch.run());
    let mut watcher = scratch.connect(&Request::Watch);
    assert!(matches!(watcher.reply(), Ok(Reply::State { id, pid: Some(_) }) if id == "scratch"));
    drop(scratch.attach(true));
    assert!(matches!(watcher.reply(), Ok(Reply::Ended(exit)) if exit.code == 0));
    assert_eq!(watch::exit(&scratch.run_dir()).expect("reads").map(|exit| exit.code), Some(0));
}

#[test]
fn what_is_aborted_leaves_nothing() {
    let scratch = Scratch::new("echo never");
    let mut launching = scratch.launch();
    let alive = launching.alive().expect("comes alive");
    assert!(scratch.run_dir().join("monitor.sock").exists());
    launching.abort().expect("gives up");
    assert!(!scratch.run_dir().join("monitor.sock").exists());
    assert_eq!(watch::exit(&scratch.run_dir()).expect("reads"), None);
    assert!(!Path::new(&format!("/proc/{}", alive.pid)).exists());
    assert_eq!(scratch.logged(Stream::Stdout), "");
}

#[test]
fn signals_do_not_end_the_monitor() {
    let scratch = Scratch::new("busybox cat").with_stdin();
    let running = scratch.run();
    for signal in [1, 2, 3, 10, 13, 15] {
        let monitor = i32::try_from(running.monitor()).expect("a pid");
        sys::signal::send(monitor, signal).expect("is sent");
    }
    drop(scratch.attach(true));
    assert_eq!(end(running).code, 0);
}

#[test]
fn a_command_that_is_missing_is_a_failure_and_leaves_nothing() {
    let mut scratch = Scratch::new("");
    let process = scratch.sandbox.config.process.as_mut().expect("set");
    process.args = vec!["/no/such/program".to_owned()];
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    let mut client = scratch.attach(true);
    let failure = match launching.go() {
        Err(Error::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    };
    assert!(failure.command && failure.errno == 2, "{failure:?}");
    assert!(matches!(client.reply(), Err(Error::Failed(again)) if again == failure));
    assert!(!scratch.run_dir().join("monitor.sock").exists());
}

#[test]
fn several_execs_run_beside_it() {
    let scratch = Scratch::new("busybox cat").with_stdin();
    let running = scratch.run();
    let slow = scratch.exec("slow", "read x; echo $x; echo e >&2; exit 3");
    let quick = hear(scratch.exec("quick", "echo quick"));
    assert_eq!((quick.stdout, quick.code), (b"quick\n".to_vec(), Some(0)));
    let (mut speaks, hears) = slow.split();
    speaks.stdin(b"hello\n").expect("is taken");
    let slow = hear(hears);
    assert_eq!(
        (slow.stdout, slow.stderr, slow.code),
        (b"hello\n".to_vec(), b"e\n".to_vec(), Some(3))
    );
    assert_eq!(scratch.logged(Stream::Stdout), "", "an exec is not logged");
    drop(scratch.attach(true));
    assert_eq!(end(running).code, 0);
}

#[test]
fn an_exec_runs_on_without_its_client() {
    let scratch = Scratch::new("busybox mkfifo /tmp/f; echo ready; read x < /tmp/f; echo $x");
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    let mut client = scratch.attach(true);
    let running = launching.go().expect("runs");
    hear_until(&mut client, "ready\n");
    // Its standard input ends when its client leaves.
    let script = "echo begun; while read x; do :; done; echo to nobody && echo alive > /tmp/f";
    let mut left = scratch.exec("left", script);
    hear_until(&mut left, "begun\n");
    drop(left);
    assert_eq!(hear(client).stdout, b"alive\n");
    assert_eq!(end(running).code, 0);
}

#[test]
fn what_an_exec_left_in_the_background_may_write_on() {
    let scratch = Scratch::new("busybox mkfifo /tmp/f; echo ready; read x < /tmp/f; echo $x");
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    let mut client = scratch.attach(true);
    let running = launching.go().expect("runs");
    hear_until(&mut client, "ready\n");
    let script = "(read x < /tmp/g; echo to nobody && echo alive > /tmp/f) & echo left";
    let made = hear(scratch.exec("fifo", "busybox mkfifo /tmp/g"));
    assert_eq!(made.code, Some(0));
    let heard = hear(scratch.exec("parent", script));
    assert_eq!((heard.stdout, heard.code), (b"left\n".to_vec(), Some(0)));
    // The container's end, which it brings about, may come before its own.
    let poke = hear(scratch.exec("poke", "echo go > /tmp/g")).code;
    assert!(matches!(poke, Some(0 | 137)), "{poke:?}");
    assert_eq!(hear(client).stdout, b"alive\n");
    assert_eq!(end(running).code, 0);
}

#[test]
fn a_missing_command_of_an_exec_is_its_failure_alone() {
    let scratch = Scratch::new("busybox cat").with_stdin();
    let running = scratch.run();
    let mut missing = process("");
    missing.args = vec!["/no/such/program".to_owned()];
    let mut client = scratch.connect(&Request::Exec {
        exec: "e".to_owned(),
        process: Box::new(missing),
        stdin: false,
        output: true,
    });
    assert!(matches!(client.reply(), Err(Error::Failed(failure)) if failure.command));
    drop(scratch.attach(true));
    assert_eq!(end(running).code, 0);
}

#[test]
fn execs_end_with_the_container() {
    let scratch = Scratch::new("busybox sleep 1000");
    let running = scratch.run();
    let mut client = scratch.exec("e", "echo up; busybox sleep 1000");
    hear_until(&mut client, "up\n");
    assert_eq!(scratch.ask(&Request::Signal { signal: 9, exec: None }), Reply::Ok);
    assert_eq!(hear(client).code, Some(137));
    assert_eq!(end(running).code, 137);
}

#[test]
fn a_terminal_has_its_size_and_takes_another() {
    let script = "busybox stty size; read x; busybox stty size";
    let scratch = Scratch::new(script).with_terminal(90, 31);
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    let mut client = scratch.attach(true);
    let running = launching.go().expect("runs");
    assert_eq!(hear_until(&mut client, "\n"), "31 90\r\n");
    let resize = Request::Resize { width: 100, height: 40, exec: None };
    assert_eq!(scratch.ask(&resize), Reply::Ok);
    let (mut speaks, hears) = client.split();
    speaks.stdin(b"\r").expect("is taken");
    let text = String::from_utf8(hear(hears).stdout).expect("utf-8");
    assert!(text.ends_with("40 100\r\n"), "{text:?}");
    assert_eq!(end(running).code, 0);
    assert!(scratch.logged(Stream::Stdout).starts_with("31 90\r\n"));
}

#[test]
fn a_size_that_comes_before_the_terminal_is_kept() {
    let scratch = Scratch::new("busybox stty size").with_terminal(80, 24);
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    let client = scratch.attach(true);
    let resize = Request::Resize { width: 77, height: 22, exec: None };
    assert_eq!(scratch.ask(&resize), Reply::Ok);
    // The program may read the size before it is set: it is told of the change too.
    let running = launching.go().expect("runs");
    let heard = hear(client).stdout;
    assert!(heard == b"22 77\r\n" || heard == b"24 80\r\n");
    assert_eq!(end(running).code, 0);
}

#[test]
fn a_terminal_answers_to_control_c() {
    // A signal that comes before the next sleep is seen to after it.
    let script = "trap 'exit 130' INT; echo ready; while :; do busybox sleep 0.02; done";
    let scratch = Scratch::new(script).with_terminal(80, 24);
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    let mut client = scratch.attach(true);
    let running = launching.go().expect("runs");
    hear_until(&mut client, "ready\r\n");
    let (mut speaks, _hears) = client.split();
    speaks.stdin(b"\x03").expect("is taken");
    assert_eq!(end(running).code, 130);
}

#[test]
fn an_exec_has_a_terminal_of_its_own() {
    let scratch = Scratch::new("busybox cat").with_stdin();
    let running = scratch.run();
    let mut on_terminal = process("busybox stty size; busybox tty; read x; busybox stty size");
    on_terminal.terminal = true;
    on_terminal.console_size = Some(ConsoleSize { height: 11, width: 22 });
    let mut client = scratch.connect(&Request::Exec {
        exec: "t".to_owned(),
        process: Box::new(on_terminal),
        stdin: true,
        output: true,
    });
    let heard = hear_until(&mut client, "\n");
    assert!(heard.starts_with("11 22\r\n"), "{heard:?}");
    let resize = Request::Resize { width: 44, height: 33, exec: Some("t".to_owned()) };
    assert_eq!(scratch.ask(&resize), Reply::Ok);
    let (mut speaks, hears) = client.split();
    speaks.stdin(b"\n").expect("is taken");
    let rest = String::from_utf8(hear(hears).stdout).expect("utf-8");
    assert!(rest.ends_with("33 44\r\n"), "{rest:?}");
    drop(scratch.attach(true));
    assert_eq!(end(running).code, 0);
}

#[test]
fn the_log_is_rotated() {
    let mut scratch = Scratch::new("busybox seq 1 1000");
    scratch.sandbox.log = scratch::log(scratch.log_path(), 20_000, 3);
    assert_eq!(end(scratch.run()).code, 0);
    let text = scratch.logged(Stream::Stdout);
    assert!(text.ends_with("999\n1000\n") && !text.starts_with("1\n"));
    let size = fs::metadata(scratch.log_path().with_extension("log.1")).expect("kept").len();
    assert!((20_000..20_200).contains(&size), "{size}");
    assert!(!scratch.log_path().with_extension("log.3").exists());
}

#[test]
fn a_log_that_was_taken_away_is_made_anew() {
    let scratch = Scratch::new("read x; echo $x; read x; echo $x").with_stdin();
    let running = scratch.run();
    let (mut speaks, mut hears) = scratch.attach(true).split();
    speaks.stdin(b"one\n").expect("is taken");
    assert!(matches!(hears.next(), Some(Ok(Message::Stdout(_)))));
    fs::rename(scratch.log_path(), scratch.root().join("taken")).expect("taken away");
    assert_eq!(scratch.ask(&Request::ReopenLog), Reply::Ok);
    speaks.stdin(b"two\n").expect("is taken");
    assert_eq!(end(running).code, 0);
    assert_eq!(scratch.logged(Stream::Stdout), "two\n");
}

#[test]
fn what_makes_no_sense_is_refused_and_harms_nobody() {
    let scratch = Scratch::new("busybox cat").with_stdin();
    let running = scratch.run();
    let unknown = Some("nobody".to_owned());
    let failed = |request: &Request| {
        matches!(watch::ask(&scratch.run_dir(), request), Err(Error::Failed(_)))
    };
    assert!(failed(&Request::Signal { signal: 15, exec: unknown.clone() }));
    assert!(failed(&Request::Signal { signal: 999, exec: None }));
    assert!(failed(&Request::Resize { width: 1, height: 1, exec: unknown }));
    assert!(failed(&Request::Resize { width: 1, height: 1, exec: None }));
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x03\0\0\0\0\0\0\x02{}", b"\x03\0\0\0\xff\0\0\0"]
    {
        use std::io::{Read, Write};
        let path = scratch.run_dir().join("monitor.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(path).expect("connects");
        stream.write_all(garbage).expect("is taken");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("is closed");
        assert!(String::from_utf8_lossy(&answer).contains("Failed"), "{garbage:?}");
    }
    drop(scratch.attach(true));
    assert_eq!(end(running).code, 0);
}

/// In a group of its own, named after the test's process.
fn grouped(mut scratch: Scratch, memory: Option<i64>) -> (Scratch, String) {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = format!("/monitor-test-{}-{number}", std::process::id());
    let linux = scratch.sandbox.config.linux.as_mut().expect("set by new");
    linux.cgroups_path.clone_from(&path);
    if memory.is_some() {
        let memory = oci::Memory { limit: memory, swap: memory, ..Default::default() };
        linux.resources = Some(oci::Resources { memory: Some(memory), ..Default::default() });
    }
    (scratch, path)
}

/// Does the group exist in any hierarchy?
fn exists(path: &str) -> bool {
    let layout = cgroup::Layout::detect().expect("an arrangement");
    cgroup::Cgroup::open(&layout, path).is_ok()
}

#[test]
fn want_of_memory_is_told_and_the_group_goes() {
    let script = "busybox tail /dev/zero || exit 9";
    let (scratch, path) = grouped(Scratch::new(script), Some(32 << 20));
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    assert!(exists(&path));
    let exit = end(launching.go().expect("runs"));
    assert!(exit.oom, "{exit:?} {}", scratch.complaints());
    assert!(!exists(&path), "{}", scratch.complaints());
}

#[test]
fn nothing_survives_its_init() {
    let script = "busybox setsid busybox sleep 1000 & busybox sleep 1000 & exit 5";
    let (mut scratch, path) = grouped(Scratch::new(script), None);
    // In the host's process namespace nobody but the monitor ends the others.
    let linux = scratch.sandbox.config.linux.as_mut().expect("set by new");
    linux.namespaces.retain(|namespace| namespace.kind != "pid");
    assert_eq!(end(scratch.run()).code, 5);
    assert!(!exists(&path), "{}", scratch.complaints());
    assert_eq!(scratch.complaints(), "");
}

#[test]
fn what_is_aborted_or_fails_leaves_no_group() {
    let (mut scratch, path) = grouped(Scratch::new(""), None);
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    launching.abort().expect("gives up");
    assert!(!exists(&path));
    let process = scratch.sandbox.config.process.as_mut().expect("set by new");
    process.args = vec!["/no/such/program".to_owned()];
    let mut launching = scratch.launch();
    launching.alive().expect("comes alive");
    assert!(matches!(launching.go(), Err(Error::Failed(_))));
    assert!(!exists(&path));
}

#[test]
fn a_program_in_a_user_namespace_opens_its_own_output() {
    let mut scratch = Scratch::new("echo there > /dev/stdout; echo wrong > /dev/stderr");
    let linux = scratch.sandbox.config.linux.as_mut().expect("set by new");
    linux.namespaces.push(Namespace { kind: "user".to_owned(), path: String::new() });
    let map = vec![IdMapping { container_id: 0, host_id: 700_000, size: 65_536 }];
    (linux.uid_mappings, linux.gid_mappings) = (map.clone(), map);
    let process = scratch.sandbox.config.process.as_mut().expect("set by new");
    (process.user.uid, process.user.gid) = (1000, 1000);
    let exit = end(scratch.run());
    let complaint = (scratch.complaints(), scratch.logged(Stream::Stderr));
    assert_eq!(exit.code, 0, "{complaint:?}");
    assert_eq!(scratch.logged(Stream::Stdout), "there\n", "{complaint:?}");
}

#[test]
fn a_daemon_that_dies_before_go_leaves_nothing() {
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
    let (scratch, path) = grouped(Scratch::new("echo never"), None);
    // What a launch leaves, if its daemon is killed: a pair that closes.
    drop(scratch.launch());
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .expect("a pair");
    let mut monitor = std::process::Command::new(env!("CARGO_BIN_EXE_monitor-alone"))
        .arg("monitor")
        .stdin(theirs)
        .spawn()
        .expect("starts");
    let launch = spec::wire::ToMonitor::Launch {
        dir: scratch.run_dir().to_str().expect("utf-8").to_owned(),
        open_stdin: false,
        stdin_once: false,
    };
    let text = serde_json::to_vec(&launch).expect("plain data");
    rustix::net::send(&ours, &text, SendFlags::empty()).expect("is sent");
    let mut answer = [0; 1024];
    let (len, _) =
        rustix::net::recv(&ours, &mut answer, rustix::net::RecvFlags::empty()).expect("answers");
    assert!(String::from_utf8_lossy(&answer[..len]).contains("Alive"));
    drop(ours);
    assert!(monitor.wait().expect("ends").success());
    assert!(!exists(&path) && !scratch.run_dir().join("monitor.sock").exists());
    assert_eq!(watch::exit(&scratch.run_dir()).expect("reads"), None);
}

#[test]
fn the_program_inherits_nothing_of_the_monitor() {
    let mut scratch = Scratch::new("");
    let mut tell = |words: &[&str]| {
        let process = scratch.sandbox.config.process.as_mut().expect("set by new");
        process.args = words.iter().map(|word| (*word).to_owned()).collect();
        let before = scratch.logged(Stream::Stdout).len();
        assert_eq!(end(scratch.run()).code, 0);
        scratch.logged(Stream::Stdout).split_off(before)
    };
    // 3 is the directory that is being listed.
    assert_eq!(tell(&["/bin/busybox", "ls", "/proc/self/fd"]), "0\n1\n2\n3\n");
    let signals = tell(&["/bin/busybox", "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    assert_eq!(signals, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    assert_eq!(tell(&["/bin/busybox", "env"]), "PATH=/bin\nHOME=/\n");
}

#[test]
fn a_container_can_be_run_again_in_the_same_place() {
    let (scratch, _path) = grouped(Scratch::new("echo once"), None);
    assert_eq!(end(scratch.run()).code, 0);
    assert_eq!(end(scratch.run()).code, 0);
    assert_eq!(scratch.logged(Stream::Stdout), "once\nonce\n");
    assert_eq!(scratch.complaints(), "");
}
