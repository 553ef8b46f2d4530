//! SEL: what SELinux holds, by its own records, on a kernel that enforces it:
//! `cargo xtask test --vm` runs this in a guest that does. Elsewhere the tests
//! say what happens without.

use promises::{Cli, Engine, attack::HOSTS_ROOT, until};
use serde_json::{Value, json};
use std::{fs, path::PathBuf, process::Command};

const BOTH: [Cli; 2] = [Cli::Docker, Cli::Cofferdam];

/// Whether this kernel enforces a policy. In the guest made for it, it must.
fn is_enforced() -> bool {
    let enforced = fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|text| text == "1");
    let meant = std::env::var("COFFERDAM_PROFILE").is_ok_and(|profile| profile == "selinux");
    assert!(enforced || !meant, "the guest's kernel does not enforce its policy");
    enforced
}

/// An engine, and the program `look` where a container may be shown it.
fn engine() -> (Engine, String) {
    let engine = Engine::new();
    let look = engine.scratch().join("look");
    fs::copy(env!("CARGO_BIN_EXE_look"), &look).expect("scratch");
    let mount = format!("{}:/look:ro,z", look.display());
    (engine, mount)
}

/// A container with [`HOSTS_ROOT`]'s rights and more: it gets what it wants without
/// a label, and with one it is denied, as the kernel's record says in `words`.
fn is_denied(engine: &Engine, options: &[&str], script: &str, words: &[&str]) {
    let run = |label: &str| {
        let label = ["--security-opt", label];
        engine.container(&[&HOSTS_ROOT, options, &label].concat(), script)
    };
    let bites = run("label=disable");
    assert_eq!(bites.code, 0, "must succeed without a label: {script} {bites:?}");
    engine.host().says("dmesg --clear");
    let stopped = run("label=type:svirt_lxc_net_t");
    assert_ne!(stopped.code, 0, "got through: {script} {stopped:?}");
    assert!(!(125..=127).contains(&stopped.code), "did not even run: {stopped:?}");
    let log = engine.host().says("dmesg");
    let denials: Vec<&str> = log.lines().filter(|line| line.contains("avc:  denied")).collect();
    let says_so = |line: &&&str| {
        line.contains("scontext=system_u:system_r:container_t:s0:c")
            && line.contains("permissive=0")
            && words.iter().all(|word| line.contains(word))
    };
    assert!(denials.iter().any(|line| says_so(&line)), "no record of {words:?}: {denials:#?}");
}

/// The label of a running container's first process, as the kernel shows it.
fn label_of(engine: &Engine, name: &str) -> String {
    let path = format!("/proc/{}/attr/current", engine.pid_of(name));
    fs::read_to_string(path).expect("it runs").trim_end_matches('\0').to_owned()
}

/// The part of a label that is a container's own.
fn level(label: &str) -> String {
    label.splitn(4, ':').nth(3).expect("a label has four parts").to_owned()
}

fn sleeper(engine: &Engine, name: &str, options: &[&str]) {
    let words = [&["run", "-d", "--name", name][..], options, &["busybox", "sleep", "1000"]];
    engine.says(&words.concat());
}

#[test]
fn sel1_root_with_every_right_reaches_nothing_of_the_hosts() {
    if !is_enforced() {
        return;
    }
    let (engine, look) = engine();
    let tree = ["-v", "/:/host", "--device-cgroup-rule", "b *:* rwm"];
    is_denied(&engine, &tree, "cat /host/etc/shadow", &["{ read }", ":shadow_t:", "tclass=file"]);
    let write = "touch /host/etc/was-here && rm /host/etc/was-here";
    is_denied(&engine, &tree, write, &[":etc_t:", "tclass=dir"]);
    let disk = "dd if=/host/dev/vda of=/dev/null bs=512 count=1";
    is_denied(&engine, &tree, disk, &[":fixed_disk_device_t:", "tclass=blk_file"]);
    let daemon = engine.pid();
    let processes = ["--pid", "host"];
    let environment = format!("cat /proc/{daemon}/environ");
    is_denied(&engine, &processes, &environment, &[":unconfined_t:"]);
    let signal = format!("kill -0 {daemon}");
    is_denied(&engine, &processes, &signal, &[":unconfined_t:", "tclass=process"]);
    let socket = format!("{}:/engine", engine.socket().display());
    let talk = ["-v", &socket, "-v", &look];
    is_denied(&engine, &talk, "/look connect /engine", &["tclass=sock_file"]);
    engine.leaves_nothing();
}

#[test]
fn sel2_every_container_has_a_pair_of_its_own_and_reaches_no_other() {
    if !is_enforced() {
        return;
    }
    let (mut engine, _) = engine();
    let script = "echo secret > /secret; exec sleep 1000";
    engine.says(&["run", "-d", "--name", "victim", "busybox", "sh", "-c", script]);
    sleeper(&engine, "other", &[]);
    let victim = label_of(&engine, "victim");
    let (own, others) = (level(&victim), level(&label_of(&engine, "other")));
    assert!(victim.starts_with("system_u:system_r:container_t:s0:c"), "{victim}");
    assert_ne!(own, others);
    assert_eq!(engine.inspect("victim", "{{.ProcessLabel}}"), victim);
    let files = format!("system_u:object_r:container_file_t:{own}");
    assert_eq!(engine.inspect("victim", "{{.MountLabel}}"), files);

    let upper = engine.inspect("victim", "{{.GraphDriver.Data.UpperDir}}");
    until("the secret", || PathBuf::from(&upper).join("secret").exists());
    let mount = format!("{upper}:/other");
    let record = [":container_file_t:", &*own, "tclass=file"];
    is_denied(&engine, &["-v", &mount], "cat /other/secret", &record);
    // It is the pair alone that stands between them.
    let option = format!("label=level:{own}");
    let same = [&HOSTS_ROOT[..], &["-v", &mount, "--security-opt", &option]].concat();
    assert_eq!(engine.container(&same, "cat /other/secret").out, "secret");
    let root = format!("cat /proc/{}/environ", engine.pid_of("victim"));
    is_denied(&engine, &["--pid", "host"], &root, &[":container_t:", &own]);

    // Whatever is the program's: by the mount, and by the engine's hand.
    let seen = engine.says(&["exec", "victim", "cat", "/proc/self/attr/current"]);
    assert_eq!(seen.trim_end_matches('\0'), victim);
    let pid = engine.pid_of("victim");
    let stat = |path: &str| engine.host().says(&format!("stat -L -c %C /proc/{pid}/root{path}"));
    for path in ["/secret", "/bin/busybox", "/dev", "/dev/shm", "/dev/mqueue", "/etc/hosts"] {
        assert_eq!(stat(path), files, "{path}");
    }
    for stream in 1..=2 {
        let pipe = engine.host().says(&format!("stat -L -c %C /proc/{pid}/fd/{stream}"));
        assert_eq!(pipe, files, "stream {stream}");
    }
    let audit = engine.run(&["audit", "victim"]);
    assert!(audit.code == 0 && audit.out.contains(&victim), "{audit:?}");

    // For life.
    engine.says(&["restart", "-t", "0", "victim"]);
    assert_eq!(label_of(&engine, "victim"), victim);
    engine.kill_daemon();
    engine.start();
    engine.says(&["stop", "-t", "0", "victim"]);
    engine.says(&["start", "victim"]);
    assert_eq!(label_of(&engine, "victim"), victim);
    engine.leaves_nothing();
}

#[test]
fn sel3_labels_cannot_be_changed_from_inside() {
    if !is_enforced() {
        return;
    }
    let (engine, look) = engine();
    let look = ["-v", &*look];
    let file = "/look relabel /host/file system_u:object_r:etc_t:s0";
    let dir = engine.scratch().join("shared");
    fs::create_dir(&dir).expect("scratch");
    fs::write(dir.join("file"), "").expect("scratch");
    let mount = format!("{}:/host:z", dir.display());
    is_denied(&engine, &[&look[..], &["-v", &mount]].concat(), file, &["{ relabelto }", ":etc_t:"]);
    for (attribute, right) in [("exec", "{ setexec }"), ("fscreate", "{ setfscreate }")] {
        // Even to its own.
        let script = format!(
            "read -r own < /proc/self/attr/current; echo -n $own > /proc/self/attr/{attribute}"
        );
        is_denied(&engine, &[], &script, &[right, "tclass=process"]);
    }
    engine.leaves_nothing();
}

#[test]
fn sel3_what_is_asked_of_labels_is_done() {
    if !is_enforced() {
        return;
    }
    let (engine, _) = engine();
    let info =
        engine.says_as(Cli::Docker, &["info", "--format", "{{.SecurityOptions}} {{.Warnings}}"]);
    assert!(info.contains("name=selinux") && !info.contains("SELinux"), "{info}");

    let dir = engine.scratch().join("dir");
    fs::create_dir(&dir).expect("scratch");
    fs::write(dir.join("file"), "hello\n").expect("scratch");
    let mount = |mode: &str| format!("{}:/dir{mode}", dir.display());
    let cat = |mode: &str| engine.container(&["-v", &mount(mode)], "cat /dir/file");
    assert_ne!(cat("").code, 0, "nobody has labelled it");
    for mode in [":z", "", ":Z"] {
        assert_eq!(cat(mode).out, "hello", "{mode}");
    }
    assert_ne!(cat("").code, 0, "it was another's alone");
    for (cli, place) in BOTH.into_iter().zip(["/etc", "/home"]) {
        let option = format!("{place}:/dir:Z");
        let refused = engine.run_as(cli, &["run", "--rm", "-v", &option, "busybox", "true"]);
        let words = format!("SELinux relabeling of {place} is not allowed");
        assert!(refused.code == 125 && refused.err.contains(&words), "{refused:?}");
    }
    sleeper(&engine, "keeper", &["-v", &mount(":Z")]);
    let modes = engine.inspect("keeper", "{{range .Mounts}}{{.Mode}}{{end}}");
    assert_eq!(modes, "Z");

    // A volume is for containers: two share it.
    let volume = ["-v", "volume:/v"];
    assert_eq!(engine.container(&volume, "echo hello > /v/file").code, 0);
    assert_eq!(engine.container(&volume, "cat /v/file && echo x >> /v/file").out, "hello");

    // Who shares a container's processes or IPC has its label.
    sleeper(&engine, "peer", &["--ipc", "shareable"]);
    let peer = label_of(&engine, "peer");
    sleeper(&engine, "joined", &["--pid", "container:peer", "--ipc", "container:peer"]);
    assert_eq!(label_of(&engine, "joined"), peer);
    let clash = engine.run(&[
        "create",
        "--pid",
        "container:keeper",
        "--ipc",
        "container:peer",
        "busybox",
        "true",
    ]);
    assert!(clash.err.contains("SELinux labels aren't the same"), "{clash:?}");
    for options in [&["--privileged"][..], &["--pid", "host"], &["--ipc", "host"]] {
        let words = [&["run", "--rm"][..], options, &["busybox", "cat", "/proc/self/attr/current"]];
        assert!(engine.says(&words.concat()).contains(":unconfined_t:"), "{options:?}");
    }
    let chosen =
        ["--security-opt", "label=level:s0:c7,c9", "--security-opt", "label=type:container_t"];
    let seen = engine.container(&chosen, "cat /proc/self/attr/current");
    assert!(seen.out.contains("container_t:s0:c7,c9"), "{seen:?}");
    let nonsense = engine.run(&["create", "--security-opt", "label=colour:red", "busybox"]);
    assert!(nonsense.err.contains("bad label option"), "{nonsense:?}");

    // And what any container does goes on as it did.
    let daily = "set -e; echo x > /tmp/a; mkdir /d; ln -s a /tmp/l; chown 1000 /tmp/a; chmod 4755 /tmp/a
        echo x > /dev/shm/a; touch /dev/mqueue/a; cat /etc/hosts /etc/resolv.conf /etc/hostname
        head -c 1 /dev/urandom | wc -c; echo x > /dev/null; : < /dev/zero; echo x > /dev/full && exit 1
        mkfifo /tmp/p; (echo x > /tmp/p &); cat /tmp/p; su -s /bin/sh user -c id; chroot / true
        (nc -l -p 80 -e echo hello &); until nc 127.0.0.1 80 < /dev/null; do :; done; exit 0";
    let ran = engine.container(&["--tmpfs", "/t"], daily);
    assert!(ran.code == 0 && ran.out.ends_with("hello"), "{ran:?}");
    for options in [&["--init"][..], &["--read-only"], &["--security-opt", "no-new-privileges"]] {
        let seen = engine.container(options, "cat /proc/self/attr/current");
        assert!(seen.out.contains(":container_t:s0:c"), "{options:?} {seen:?}");
    }
    let first = engine.container(&["--init"], "cat /proc/1/attr/current");
    assert!(first.out.contains(":container_t:s0:c"), "{first:?}");
    let terminal = ["run", "--rm", "-t", "busybox", "cat", "/proc/self/attr/current"];
    let seen = engine.says_as(Cli::Docker, &terminal);
    assert!(seen.contains(":container_t:s0:c"), "on a terminal: {seen}");
    let report = engine.run(&["run", "--rm", "cofferdam/report"]);
    assert!(report.code == 0 && report.out.contains("SEL-1"), "{}{}", report.out, report.err);
    engine.leaves_nothing();
}

#[test]
fn sel3_who_asks_is_shown_selinux_and_given_no_right() {
    if !is_enforced() {
        return;
    }
    let (engine, look) = engine();
    let look = ["-v", &*look];
    let there = "grep -q ' /sys/fs/selinux selinuxfs ' /proc/mounts";
    assert_ne!(engine.container(&look, there).code, 0);
    let nested = [&look[..], &["--security-opt", "label=nested"]].concat();
    for cli in BOTH {
        let words = [&["run", "--rm"][..], &nested, &["busybox", "sh", "-c", there]].concat();
        let ran = engine.run_as(cli, &words);
        assert_eq!(ran.code, 0, "{cli:?}: {ran:?}");
    }
    let label = engine.container(&nested, "cat /proc/self/attr/current");
    assert!(label.out.contains(":container_t:s0:c"), "{label:?}");
    // To see the policy is not to change it, nor to turn it off.
    for write in ["echo 0 > /sys/fs/selinux/enforce", "echo 1 > /sys/fs/selinux/disable"] {
        assert_ne!(engine.container(&nested, write).code, 0, "{write}");
    }
    engine.leaves_nothing();
}

/// A bundle whose program says what it is labelled, in a file of its root.
fn bundle(change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("scratch");
    let bin = dir.path().join("rootfs/bin");
    fs::create_dir_all(&bin).expect("scratch");
    for name in ["dev", "proc", "sys"] {
        fs::create_dir(dir.path().join("rootfs").join(name)).expect("scratch");
    }
    fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
    for name in ["sh", "cat", "touch"] {
        std::os::unix::fs::symlink("busybox", bin.join(name)).expect("scratch");
    }
    let spec = runtime().arg("spec").arg("--bundle").arg(dir.path()).output().expect("starts");
    assert!(spec.status.success(), "{spec:?}");
    let file = dir.path().join("config.json");
    let text = fs::read_to_string(&file).expect("spec wrote it");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    let script = "cat /proc/self/attr/current > /label; touch /dev/mqueue/a /dev/shm/a";
    config["process"]["args"] = json!(["sh", "-ec", script]);
    config["process"]["terminal"] = json!(false);
    config["root"]["readonly"] = json!(false);
    config["linux"]["cgroupsPath"] = json!(format!("/selinux-{}", std::process::id()));
    change(&mut config);
    fs::write(file, config.to_string()).expect("scratch");
    dir
}

fn runtime() -> Command {
    Command::new(promises::binary("cofferdam-run"))
}

/// Runs a bundle to its end: its exit code, and what was said of errors.
fn run(dir: &tempfile::TempDir) -> (Option<i32>, String) {
    let id = format!("selinux-{}", std::process::id());
    let out = runtime()
        .arg("--root")
        .arg(dir.path().join("state"))
        .args(["run", "--bundle"])
        .arg(dir.path())
        .arg(&id)
        .output()
        .expect("starts");
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn sel1_a_bundles_labels_are_set_or_refused() {
    let process = "system_u:system_r:container_t:s0:c3,c4";
    let files = "system_u:object_r:container_file_t:s0:c3,c4";
    let asks = |both: bool| {
        bundle(|config| {
            if both {
                config["process"]["selinuxLabel"] = json!(process);
            }
            config["linux"]["mountLabel"] = json!(files);
        })
    };
    if !is_enforced() {
        for both in [true, false] {
            let (code, said) = run(&asks(both));
            let words = "selinux is disabled or not supported";
            assert!(code != Some(0) && said.contains(words), "{said}");
        }
        return;
    }
    let dir = asks(true);
    let label = Command::new("chcon").args(["-R", files]).arg(dir.path().join("rootfs")).status();
    assert!(label.expect("chcon(1)").success());
    let (code, said) = run(&dir);
    assert_eq!(code, Some(0), "{said}");
    let seen = fs::read_to_string(dir.path().join("rootfs/label")).expect("it wrote it");
    assert_eq!(seen.trim_end_matches('\0'), process);
    let wrong = bundle(|config| {
        config["process"]["selinuxLabel"] = json!("system_u:system_r:no_such_t:s0");
    });
    let (code, said) = run(&wrong);
    assert!(code != Some(0) && said.contains("no_such_t"), "{said}");
}

#[test]
fn sel3_without_selinux_options_are_taken_and_nothing_is_done() {
    if is_enforced() {
        return;
    }
    let engine = Engine::new();
    for cli in BOTH {
        for option in ["label=disable", "label=type:container_t", "label=colour:red"] {
            let words = ["run", "--rm", "--security-opt", option, "busybox", "true"];
            let ran = engine.run_as(cli, &words);
            assert_eq!(ran.code, 0, "{cli:?} {option} {ran:?}");
        }
    }
    let mount = format!("{}:/dir:Z", engine.scratch().display());
    assert_eq!(engine.container(&["-v", &mount, "-v", "/etc:/x:z"], "true").code, 0);
    engine.says(&["create", "--name", "open", "--privileged", "busybox"]);
    let shown =
        engine.inspect("open", "{{.HostConfig.SecurityOpt}} {{.ProcessLabel}} {{.MountLabel}}");
    assert_eq!(shown.trim_end(), "[label=disable]");
    let info = engine.says_as(Cli::Docker, &["info", "--format", "{{.SecurityOptions}}"]);
    assert!(!info.contains("selinux"), "{info}");
    engine.leaves_nothing();
}
