//! Every word of the Docker CLI that the engine carries, by both CLIs.

use promises::{Cli, Engine, until};
use std::process::Stdio;

const BOTH: [Cli; 2] = [Cli::Docker, Cli::Cofferdam];

#[test]
fn run_gives_output_error_and_code() {
    let engine = Engine::new();
    for cli in BOTH {
        let ran = engine
            .run_as(cli, &["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3"]);
        assert_eq!((ran.code, &*ran.out, &*ran.err), (3, "out", "err"), "{cli:?}");
    }
}

#[test]
fn input_reaches_the_program_and_its_end_too() {
    let engine = Engine::new();
    for cli in BOTH {
        let mut command =
            engine.command(cli, &["run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo end"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let text = "line\n".repeat(50_000);
        let mut input = child.stdin.take().expect("piped");
        let writer = std::thread::spawn({
            let text = text.clone();
            move || std::io::Write::write_all(&mut input, text.as_bytes())
        });
        let out = child.wait_with_output().expect("ends");
        writer.join().expect("writer").expect("all is taken");
        assert_eq!(String::from_utf8_lossy(&out.stdout), text + "end\n", "{cli:?}");
    }
}

#[test]
fn the_life_of_a_container_in_words() {
    let engine = Engine::new();
    for cli in BOTH {
        let says = |words: &[&str]| engine.says_as(cli, words);
        let id = says(&[
            "create",
            "--name",
            "a",
            "-l",
            "k=v",
            "busybox",
            "sh",
            "-c",
            "echo hello; exec sleep 1000",
        ]);
        assert_eq!(id.len(), 64, "{cli:?}");
        assert_eq!(says(&["start", "a"]), "a");
        assert_eq!(
            says(&["ps", "--filter", "label=k=v", "--format", "{{.Names}} {{.Image}} {{.State}}"]),
            "a busybox running"
        );
        until("the line", || says(&["logs", "a"]) == "hello");
        assert_eq!(
            says(&["exec", "-e", "X=1", "-w", "/tmp", "a", "sh", "-c", "echo $X $PWD"]),
            "1 /tmp"
        );
        assert_eq!(engine.run_as(cli, &["exec", "a", "sh", "-c", "exit 9"]).code, 9, "{cli:?}");
        assert_eq!(engine.run_as(cli, &["exec", "a", "nonesuch"]).code, 127, "{cli:?}");
        assert!(says(&["top", "a"]).contains("sleep 1000"));
        assert_eq!(says(&["inspect", "-f", "{{.State.Status}}", &id[..12]]), "running");
        says(&["pause", "a"]);
        assert!(says(&["ps", "--format", "{{.Status}}"]).ends_with("(Paused)"));
        says(&["unpause", "a"]);
        says(&["rename", "a", "second"]);
        says(&["update", "--pids-limit", "77", "second"]);
        assert_eq!(says(&["inspect", "-f", "{{.HostConfig.PidsLimit}}", "second"]), "77");
        says(&["exec", "second", "touch", "/new"]);
        assert!(says(&["diff", "second"]).lines().any(|line| line == "A /new"), "{cli:?}");
        let stats = says(&["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "second"]);
        assert_eq!(stats, "second 1", "{cli:?}");
        assert_eq!(says(&["kill", "second"]), "second");
        assert_eq!(says(&["wait", "second"]), "137");
        says(&["restart", "second"]);
        assert_eq!(says(&["inspect", "-f", "{{.State.Running}}", "second"]), "true");
        assert_eq!(says(&["stop", "-t", "1", "second"]), "second");
        assert_eq!(says(&["rm", "-v", "second"]), "second");
        assert_eq!(engine.run_as(cli, &["inspect", "second"]).code, 1, "{cli:?}");
    }
    engine.leaves_nothing();
}

#[test]
fn files_are_copied_both_ways() {
    let engine = Engine::new();
    let here = engine.scratch().join("file");
    std::fs::write(&here, "content").expect("scratch");
    let here = here.display().to_string();
    for cli in BOTH {
        let says = |words: &[&str]| engine.says_as(cli, words);
        says(&["run", "-d", "--name", "a", "-v", "/vol", "busybox", "sleep", "1000"]);
        says(&["cp", &here, "a:/tmp/there"]);
        assert_eq!(says(&["exec", "a", "cat", "/tmp/there"]), "content");
        says(&["cp", &here, "a:/vol/"]);
        assert_eq!(says(&["exec", "a", "cat", "/vol/file"]), "content", "into a volume");
        let contents = engine.scratch().join(format!("contents-{cli:?}"));
        for what in ["a new directory", "one that is there"] {
            says(&["cp", "a:/vol/.", &contents.display().to_string()]);
            let copied = std::fs::read_to_string(contents.join("file"));
            assert_eq!(copied.expect(what), "content", "{cli:?} {what}");
        }
        let back = engine.scratch().join(format!("back-{cli:?}"));
        says(&["cp", "a:/etc", &back.display().to_string()]);
        assert!(std::fs::read_to_string(back.join("passwd")).expect("copied").starts_with("root:"));
        says(&["stop", "-t", "0", "a"]);
        says(&["cp", &here, "a:/stopped"]);
        says(&["start", "a"]);
        assert_eq!(says(&["exec", "a", "cat", "/stopped"]), "content", "into a stopped container");
        says(&["rm", "-f", "-v", "a"]);
    }
}

#[test]
fn images_come_and_go() {
    let engine = Engine::new();
    let scratch = |name: &str| engine.scratch().join(name).display().to_string();
    for cli in BOTH {
        let says = |words: &[&str]| engine.says_as(cli, words);
        says(&["tag", "busybox", "localhost:5000/a/b:1"]);
        assert!(
            says(&["images", "--format", "{{.Repository}}:{{.Tag}}"])
                .contains("localhost:5000/a/b:1")
        );
        assert!(says(&["history", "busybox"]).contains("IMAGE"));
        let archive = scratch("saved.tar");
        says(&["save", "-o", &archive, "localhost:5000/a/b:1"]);
        assert!(says(&["rmi", "localhost:5000/a/b:1"]).contains("Untagged: localhost:5000/a/b:1"));
        assert!(says(&["load", "-i", &archive]).contains("Loaded image: localhost:5000/a/b:1"));
        says(&["rmi", "localhost:5000/a/b:1"]);
        says(&["run", "--name", "c", "busybox", "sh", "-c", "echo changed > /file"]);
        says(&["commit", "-c", "CMD [\"cat\", \"/file\"]", "c", "committed"]);
        assert_eq!(says(&["run", "--rm", "committed"]), "changed");
        let archive = scratch("exported.tar");
        says(&["export", "-o", &archive, "c"]);
        says(&["import", &archive, "imported"]);
        assert_eq!(says(&["run", "--rm", "imported", "cat", "/file"]), "changed");
        let held = engine.run_as(cli, &["rmi", "busybox"]);
        assert!(held.code == 1 && held.err.contains("conflict"), "{held:?}");
        says(&["rm", "c"]);
        says(&["rmi", "committed", "imported"]);
        assert!(says(&["system", "df"]).contains("Images"));
    }
}

#[test]
fn volumes_keep_what_containers_write() {
    let engine = Engine::new();
    for cli in BOTH {
        let says = |words: &[&str]| engine.says_as(cli, words);
        assert_eq!(says(&["volume", "create", "data"]), "data");
        says(&["run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", "echo kept > /d/f"]);
        assert_eq!(says(&["run", "--rm", "-v", "data:/d:ro", "busybox", "cat", "/d/f"]), "kept");
        let ran =
            engine.run_as(cli, &["run", "--rm", "-v", "data:/d:ro", "busybox", "touch", "/d/g"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(says(&["volume", "ls", "-q"]).lines().any(|name| name == "data"));
        says(&["run", "-d", "--name", "user", "-v", "data:/d", "busybox", "sleep", "1000"]);
        let held = engine.run_as(cli, &["volume", "rm", "data"]);
        assert!(held.code == 1 && held.err.contains("in use"), "{held:?}");
        says(&["rm", "-f", "user"]);
        says(&["volume", "rm", "data"]);
        says(&["run", "--rm", "-v", "/anonymous", "busybox", "true"]);
        assert_eq!(
            says(&["volume", "ls", "-q"]),
            "",
            "an anonymous volume goes with its container"
        );
        let tmpfs = [
            "run",
            "--rm",
            "--mount",
            "type=tmpfs,dst=/t,tmpfs-size=1m",
            "busybox",
            "grep",
            "-c",
            " /t tmpfs",
            "/proc/mounts",
        ];
        assert_eq!(says(&tmpfs), "1");
    }
}

#[test]
fn the_image_fills_a_new_volume() {
    let engine = Engine::new();
    let ran = engine.container(&["-v", "fresh:/etc"], "cat /etc/passwd");
    assert!(ran.out.starts_with("root:"), "{ran:?}");
}

#[test]
fn events_tell_what_happened_in_order() {
    let engine = Engine::new();
    let since = engine.host().says("date +%s");
    engine.says(&["run", "--rm", "--name", "a", "busybox", "true"]);
    for cli in BOTH {
        let until = engine.host().says("date +%s --date='1 second'");
        let words = [
            "events",
            "--since",
            &since,
            "--until",
            &until,
            "--filter",
            "container=a",
            "--format",
            "{{.Action}}",
        ];
        let told = engine.says_as(cli, &words);
        let told: Vec<&str> = told
            .lines()
            .filter(|line| ["create", "start", "die", "destroy"].contains(line))
            .collect();
        assert_eq!(told, ["create", "start", "die", "destroy"], "{cli:?}");
    }
}

#[test]
fn networks_are_listed() {
    let engine = Engine::new();
    for cli in BOTH {
        let names = engine.says_as(cli, &["network", "ls", "--format", "{{.Name}}"]);
        assert_eq!(names, "bridge\nhost\nnone", "{cli:?}");
        let subnet = engine.says_as(
            cli,
            &["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge"],
        );
        assert!(subnet.ends_with("/16"), "{cli:?}: {subnet}");
    }
}

#[test]
fn version_and_info_are_answered() {
    let engine = Engine::new();
    for cli in BOTH {
        assert_eq!(
            engine.says_as(cli, &["version", "-f", "{{.Server.APIVersion}}"]),
            "1.51",
            "{cli:?}"
        );
        assert!(!engine.says_as(cli, &["info", "-f", "{{.ServerVersion}} {{.Driver}}"]).is_empty());
        assert!(engine.says_as(cli, &["info"]).contains("Kernel Version"));
    }
}

#[test]
fn logs_can_be_cut_followed_and_stamped() {
    let engine = Engine::new();
    engine.says(&[
        "run",
        "--name",
        "a",
        "busybox",
        "sh",
        "-c",
        "for i in 1 2 3 4 5; do echo line $i; done",
    ]);
    for cli in BOTH {
        let says = |words: &[&str]| engine.says_as(cli, words);
        assert_eq!(says(&["logs", "-n", "2", "a"]), "line 4\nline 5", "{cli:?}");
        assert_eq!(says(&["logs", "-f", "a"]).lines().count(), 5, "follow ends with the container");
        let stamped = says(&["logs", "-t", "-n", "1", "a"]);
        let stamp = stamped.split(' ').next().expect("one");
        assert!(stamp.ends_with('Z') && stamp.contains('T'), "{stamped}");
        assert_eq!(says(&["logs", "--since", stamp, "a"]).lines().last(), Some("line 5"));
    }
}

#[test]
fn limits_are_in_the_kernel() {
    let engine = Engine::new();
    let words = [
        "run",
        "-d",
        "--name",
        "a",
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "33",
        "busybox",
        "sleep",
        "1000",
    ];
    engine.says(&words);
    let group = engine.host().says(&format!("cat /proc/{}/cgroup", engine.pid_of("a")));
    let read = |controller: &str, file: &str| {
        let line = group.lines().find(|line| {
            line.split(':').nth(1).is_some_and(|names| names.split(',').any(|n| n == controller))
        });
        let (base, path) = match line {
            Some(line) => {
                (format!("/sys/fs/cgroup/{controller}"), line.rsplit(':').next().expect("a path"))
            }
            None => (
                "/sys/fs/cgroup".to_owned(),
                group.lines().last().and_then(|l| l.rsplit(':').next()).expect("a path"),
            ),
        };
        std::fs::read_to_string(format!("{base}{path}/{file}")).map(|text| text.trim().to_owned())
    };
    let memory = read("memory", "memory.limit_in_bytes").or_else(|_| read("memory", "memory.max"));
    assert_eq!(memory.expect("limited"), (64 << 20).to_string());
    let pids = read("pids", "pids.max");
    assert_eq!(pids.expect("limited"), "33");
    let quota = read("cpu", "cpu.cfs_quota_us").or_else(|_| read("cpu", "cpu.max"));
    assert!(quota.expect("limited").starts_with("50000"));
}

#[test]
fn a_little_of_everything_else_of_run() {
    let engine = Engine::new();
    std::fs::write(engine.scratch().join("env"), "A=1\n# no\nB=two words\n").expect("scratch");
    let env = engine.scratch().join("env").display().to_string();
    for cli in BOTH {
        let run = |options: &[&str], script: &str| {
            let words = [&["run", "--rm"], options, &["busybox", "sh", "-c", script]].concat();
            engine.says_as(cli, &words)
        };
        assert_eq!(
            run(&["--env-file", &env, "-e", "C=3"], "echo $A $B $C"),
            "1 two words 3",
            "{cli:?}"
        );
        assert_eq!(run(&["-w", "/var/tmp"], "pwd"), "/var/tmp");
        assert_eq!(run(&["-w", "/made/for/it"], "pwd"), "/made/for/it");
        assert_eq!(run(&["--ulimit", "nofile=64:128"], "ulimit -n; ulimit -Hn"), "64\n128");
        assert_eq!(
            run(
                &["--sysctl", "net.ipv4.ip_default_ttl=77"],
                "cat /proc/sys/net/ipv4/ip_default_ttl"
            ),
            "77"
        );
        assert_eq!(
            run(&["--init"], "cat /proc/1/comm | grep -c sh; test $$ != 1 && echo child"),
            "0\nchild"
        );
        assert_eq!(run(&["--tmpfs", "/t:size=1m"], "grep -c ' /t ' /proc/mounts"), "1");
        assert_eq!(run(&["--hostname", "h", "--domainname", "d.example"], "hostname"), "h");
        assert_eq!(run(&["--uts", "host"], "hostname"), engine.host().says("hostname"));
        let words = ["run", "--rm", "--entrypoint", "echo", "busybox", "from", "entrypoint"];
        assert_eq!(engine.says_as(cli, &words), "from entrypoint");
        let file = engine.scratch().join(format!("cid-{cli:?}"));
        run(&["--cidfile", &file.display().to_string()], "true");
        assert_eq!(std::fs::read_to_string(file).expect("written").len(), 64);
    }
}

#[test]
fn a_container_that_nobody_waits_for_is_removed_too() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--rm", "--name", "a", "busybox", "true"]);
    until("its removal", || engine.says(&["ps", "-aq"]).is_empty());
    engine.leaves_nothing();
}

#[test]
fn a_load_is_one_event_for_each_name_that_came() {
    let engine = Engine::new();
    let archive = engine.scratch().join("busybox.tar").display().to_string();
    let id = engine.says(&["image", "inspect", "--format", "{{.Id}}", "busybox"]);
    engine.says(&["save", "-o", &archive, "busybox"]);
    // Another image has the name when the first comes again.
    engine.says(&["tag", "cofferdam/report", "busybox"]);
    let said = engine.says_as(Cli::Docker, &["load", "-i", &archive]);
    assert!(said.contains("already exists, renaming the old one"), "{said}");
    let until = engine.host().says("date +%s.%N");
    let words = ["events", "--since", "1", "--until", &until, "--filter", "event=load"];
    let said = engine.says_as(Cli::Docker, &[&words[..], &["--format", "{{.Actor.ID}}"]].concat());
    assert_eq!(said, id);
    engine.leaves_nothing();
}
