//! Volumes of the local driver that options back with something else.

use promises::{Cli, Engine, until};

/// What is mounted on a volume's directory, as the host sees it.
fn mounted(engine: &Engine, volume: &str) -> bool {
    let place = engine.says(&["volume", "inspect", "-f", "{{.Mountpoint}}", volume]);
    engine.host().sh(&format!("mountpoint -q {place}")).status.success()
}

/// A volume that is the directory `elsewhere` of the host.
fn bound(engine: &Engine, cli: Cli, more: &str) -> std::path::PathBuf {
    let elsewhere = engine.scratch().join("elsewhere");
    std::fs::create_dir_all(&elsewhere).expect("scratch");
    let device = format!("device={}", elsewhere.display());
    let words = ["volume", "create", "--opt", "type=none", "--opt", &device, "--opt", more, "vol"];
    assert_eq!(engine.says_as(cli, &words), "vol");
    elsewhere
}

#[test]
fn a_volume_can_be_another_directory_of_the_host() {
    let engine = Engine::new();
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let elsewhere = bound(&engine, cli, "o=bind");
        assert!(!mounted(&engine, "vol"), "nobody uses it");
        let words = ["run", "-d", "--name", "a", "-v", "vol:/v", "busybox", "sleep", "1000"];
        engine.says_as(cli, &words);
        assert!(mounted(&engine, "vol"));
        engine.says(&["exec", "a", "sh", "-c", "echo from inside > /v/file"]);
        let text = std::fs::read_to_string(elsewhere.join("file")).expect("it is there");
        assert_eq!(text, "from inside\n");
        let refused = engine.run_as(cli, &["volume", "rm", "vol"]);
        assert!(refused.code != 0 && refused.err.contains("volume is in use"), "{refused:?}");
        engine.says(&["stop", "-t", "0", "a"]);
        until("its end", || !mounted(&engine, "vol"));
        assert_eq!(engine.run(&["cp", "a:/v/file", "-"]).code, 0, "of one that does not run");
        assert!(!mounted(&engine, "vol"));
        engine.says(&["rm", "a"]);
        assert_eq!(engine.says(&["volume", "prune", "-af"]).lines().count(), 1, "not a plain one");
        engine.says_as(cli, &["volume", "rm", "vol"]);
        assert!(elsewhere.join("file").exists(), "what is elsewhere stays");
    }
    engine.leaves_nothing();
}

#[test]
fn what_the_host_has_mounted_below_stays_when_a_volume_goes() {
    let engine = Engine::new();
    let elsewhere = bound(&engine, Cli::Docker, "o=rbind").display().to_string();
    let below = format!("{elsewhere}/below");
    let script = format!(
        "mount -t tmpfs tmpfs {elsewhere}; mount --make-rshared {elsewhere}; mkdir {below}; \
         mount -t tmpfs tmpfs {below}; touch {below}/file"
    );
    engine.host().says(&script);
    assert_eq!(engine.says(&["run", "--rm", "-v", "vol:/v", "busybox", "ls", "/v/below"]), "file");
    until("its end", || !mounted(&engine, "vol"));
    engine.host().says(&format!("mountpoint -q {below}; ls {below}/file"));
    engine.says(&["volume", "rm", "vol"]);
    engine.host().says(&format!("mountpoint -q {below}; umount {below}; umount {elsewhere}"));
    engine.leaves_nothing();
}

#[test]
fn a_volume_of_memory_is_shared_bounded_and_gone_with_its_last_user() {
    let engine = Engine::new();
    let options = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m,mode=1777"];
    engine.says(&[&["volume", "create"], &options[..], &["vol"]].concat());
    for name in ["a", "b"] {
        engine.says(&["run", "-d", "--name", name, "-v", "vol:/v", "busybox", "sleep", "1000"]);
    }
    let sh = |name: &str, script: &str| engine.run(&["exec", name, "sh", "-c", script]);
    assert_eq!(sh("a", "echo hello > /v/file").code, 0);
    assert_eq!(sh("b", "cat /v/file").out, "hello");
    let full = sh("b", "dd if=/dev/zero of=/v/big bs=64k count=32");
    assert!(full.code != 0 && full.err.contains("No space left"), "{full:?}");
    engine.says(&["rm", "-f", "a"]);
    assert_eq!(sh("b", "cat /v/file").out, "hello", "b still has it");
    engine.says(&["rm", "-f", "b"]);
    let ran = engine.run(&["run", "--rm", "-v", "vol:/v", "busybox", "ls", "/v"]);
    assert_eq!(ran.out, "");
    engine.leaves_nothing();
}

#[test]
fn a_volume_that_cannot_be_mounted_is_told_and_leaves_nothing() {
    let engine = Engine::new();
    let refused = |options: &[&str], because: &str| {
        let ran = engine.run_as(Cli::Docker, &[&["volume", "create"], options, &["vol"]].concat());
        assert!(ran.code != 0 && ran.err.contains(because), "{options:?}: {ran:?}");
    };
    refused(&["--opt", "colour=red"], "create vol: invalid option: \"colour\"");
    refused(&["--opt", "type=nfs"], "create vol: missing required option: \"device\"");
    refused(&["--opt", "size=1g"], "create vol: quota size requested but no quota support");
    let nowhere = ["--opt", "type=none", "--opt", "device=/nonesuch", "--opt", "o=bind"];
    engine.says(&[&["volume", "create"], &nowhere[..], &["vol"]].concat());
    let ran = engine.run(&["run", "--rm", "-v", "vol:/v", "busybox", "true"]);
    assert_eq!(ran.code, 125, "{ran:?}");
    let words = "failed to mount local volume: mount /nonesuch:";
    assert!(ran.err.contains(words) && ran.err.contains("flags: 0x1000"), "{ran:?}");
    engine.leaves_nothing();
}

/// Asked for an address it says that it was (`asked`), and that there is none
/// when it may (`answer`).
const NAME_SERVER: &str = "import os, socket, sys
at = sys.argv[1]
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.53', 53))
server.settimeout(0.1)
open(at + '/listens', 'w')
waiting = []
while True:
    try:
        waiting.append(server.recvfrom(4096))
        open(at + '/asked', 'w')
    except TimeoutError:
        pass
    while waiting and os.path.exists(at + '/answer'):
        text, who = waiting.pop()
        server.sendto(text[:2] + b'\\x81\\x83' + text[4:6] + b'\\0' * 6 + text[12:], who)
";

#[test]
fn a_server_that_does_not_answer_keeps_nobody_else_waiting() {
    let engine = Engine::new();
    let at = engine.scratch().join("names");
    std::fs::create_dir(&at).expect("scratch");
    std::fs::write(at.join("server"), NAME_SERVER).expect("scratch");
    std::fs::write(at.join("conf"), "nameserver 127.0.0.53\noptions timeout:30\n")
        .expect("scratch");
    let dir = at.display().to_string();
    engine.host().says(&format!("mount --bind {dir}/conf /etc/resolv.conf"));
    let mut server = engine.host().command("python3");
    let server = server.arg(at.join("server")).arg(&dir).spawn().expect("python3 starts");
    let server = promises::kitchen::Serving::of(server);
    until("the name server", || at.join("listens").exists());
    let options = ["type=nfs", "device=:/x", "o=addr=nobody.example.,nolock"];
    let options = options.iter().flat_map(|option| ["--opt", option]).collect::<Vec<_>>();
    engine.says(&[&["volume", "create"], &options[..], &["far"]].concat());
    engine.says(&["volume", "create", "near"]);
    let words = ["create", "-v", "far:/v", "-v", "own:/o", "busybox"];
    let mut command = engine.command(Cli::Docker, &words);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut far = command.spawn().expect("starts");
    until("the question", || at.join("asked").exists());
    for volume in ["far", "own"] {
        let refused = engine.run(&["volume", "rm", volume]);
        assert!(refused.code != 0 && refused.err.contains("volume is in use"), "{refused:?}");
    }
    engine.says(&["volume", "rm", "near"]);
    engine.says(&["run", "--rm", "-v", "/anonymous", "-v", "new:/v", "busybox", "true"]);
    assert!(far.try_wait().expect("our child").is_none(), "it has no answer yet");
    std::fs::write(at.join("answer"), "").expect("scratch");
    let ran = promises::finish(far, "the container with the far volume");
    assert!(ran.code != 0 && ran.err.contains("network volume address"), "{ran:?}");
    let left = engine.says(&["volume", "ls", "-q"]);
    assert_eq!(left, "far\nnew", "its own volume went with it");
    engine.says(&["volume", "rm", "far", "new"]);
    drop(server);
    engine.host().says("umount /etc/resolv.conf");
    engine.leaves_nothing();
}

#[test]
fn fs1_what_the_host_mounts_read_only_is_read_only_inside() {
    let engine = Engine::new();
    let elsewhere = bound(&engine, Cli::Docker, "o=bind,ro").display().to_string();
    let touch = |mount: &str| engine.run(&["run", "--rm", "-v", mount, "busybox", "touch", "/v/f"]);
    let ran = touch("vol:/v");
    assert!(ran.code != 0 && ran.err.contains("Read-only file system"), "{ran:?}");
    let bind = format!("{elsewhere}:/v");
    assert_eq!(touch(&bind).code, 0, "writable on the host, by this way");
    let script =
        format!("mount --bind {elsewhere} {elsewhere}; mount -o remount,bind,ro {elsewhere}");
    engine.host().says(&script);
    let ran = touch(&bind);
    assert!(ran.code != 0 && ran.err.contains("Read-only file system"), "{ran:?}");
    engine.host().says(&format!("umount {elsewhere}"));
    engine.leaves_nothing();
}

#[test]
fn what_is_mounted_for_a_container_outlives_the_daemon_and_no_more() {
    let mut engine = Engine::new();
    bound(&engine, Cli::Docker, "o=bind");
    engine.says(&["run", "-d", "--name", "a", "-v", "vol:/v", "busybox", "sleep", "1000"]);
    engine.kill_daemon();
    engine.start();
    assert!(mounted(&engine, "vol"));
    let pid = engine.pid_of("a");
    engine.kill_daemon();
    engine.host().says(&format!("kill -KILL {pid}"));
    engine.start();
    until("the sweep", || !mounted(&engine, "vol"));
    engine.leaves_nothing();
}

#[test]
fn a_directory_that_rules_the_host_is_a_weakening_by_any_name() {
    let engine = Engine::new();
    let words = ["--opt", "type=none", "--opt", "device=/etc", "--opt", "o=bind", "vol"];
    engine.says(&[&["volume", "create"], &words[..]].concat());
    engine.says(&["run", "-d", "--name", "a", "-v", "vol:/v", "busybox", "sleep", "1000"]);
    let audit = engine.says_as(Cli::Cofferdam, &["audit", "a"]);
    assert!(audit.contains("can write to the host's /etc"), "{audit}");
    engine.leaves_nothing();
}

#[test]
fn what_uses_a_volume_is_told_in_events() {
    let engine = Engine::new();
    engine.says(&["run", "--name", "a", "-v", "vol:/v:ro", "busybox", "true"]);
    let id = engine.inspect("a", "{{.Id}}");
    let until = engine.host().says("date +%s --date='1 second'");
    let words = ["events", "--since", "1", "--until", &until, "--filter", "type=volume"];
    let format = ["--format", "{{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}"];
    let told = engine.says_as(Cli::Docker, &[&words[..], &format[..]].concat());
    let mount = format!(
        r#"mount vol {{"container":"{id}","destination":"/v","driver":"local","propagation":"","read/write":"false"}}"#
    );
    let unmount = format!(r#"unmount vol {{"container":"{id}","driver":"local"}}"#);
    assert_eq!(told, format!("create vol {{\"driver\":\"local\"}}\n{mount}\n{unmount}"));
    engine.leaves_nothing();
}
