//! The Debian package, as its users have it: installed beside a systemd that
//! is the first process, upgraded, and removed.
//!
//! It changes the machine that it runs on, which therefore is a guest of
//! `cargo xtask test --vm` that ends with it, and nothing else.

use promises::{PATIENCE, finish, until};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

const UNIT: &str = "cofferdam.service";
const DROP_IN: &str = "/run/systemd/system/cofferdam.service.d/watchdog.conf";

/// A command's exit code and what it said, both ways together.
fn ran(words: &[&str]) -> (i32, String) {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = finish(command.spawn().expect("it starts"), &format!("{words:?}"));
    (ran.code, format!("{}{}", ran.out, ran.err).trim().to_owned())
}

fn says(words: &[&str]) -> String {
    let (code, said) = ran(words);
    assert_eq!(code, 0, "{words:?}: {said}\n{}", log());
    said
}

fn log() -> String {
    ran(&["journalctl", "--unit", UNIT, "--no-pager", "--lines", "40"]).1
}

fn property(name: &str) -> String {
    says(&["systemctl", "show", "--property", name, "--value", UNIT])
}

fn handed(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    let path = path.unwrap_or_else(|| panic!("{variable}: run `cargo xtask test --vm`"));
    assert!(path.is_file(), "{} is missing", path.display());
    path
}

/// Docker's CLI, at the package's socket.
fn docker(words: &[&str]) -> String {
    let docker = handed("COFFERDAM_DOCKER").display().to_string();
    says(&[&[&*docker, "--host", "unix:///run/cofferdam/cofferdam.sock"], words].concat())
}

fn pid_of(container: &str) -> String {
    docker(&["inspect", "--format", "{{.State.Pid}}", container])
}

/// A root of a static busybox alone.
fn import() {
    let root = tempfile::tempdir().expect("scratch");
    fs::create_dir(root.path().join("bin")).expect("scratch");
    fs::copy("/usr/bin/busybox", root.path().join("bin/busybox")).expect("Debian's busybox");
    for name in ["sh", "sleep", "echo"] {
        std::os::unix::fs::symlink("busybox", root.path().join("bin").join(name)).expect("scratch");
    }
    let tar = root.path().with_extension("tar");
    says(&[
        "tar",
        "-C",
        &root.path().display().to_string(),
        "-cf",
        &tar.display().to_string(),
        ".",
    ]);
    docker(&["import", &tar.display().to_string(), "busybox"]);
    fs::remove_file(tar).expect("scratch");
}

#[test]
fn a_package_is_installed_used_upgraded_and_removed() {
    let package = handed("COFFERDAM_PACKAGE").display().to_string();
    says(&["dpkg", "--install", &package]);
    assert!(says(&["getent", "group", "cofferdam"]).starts_with("cofferdam:"));
    assert_eq!(property("ActiveState"), "inactive", "until somebody asks");
    // The socket is there, and its first client starts the daemon.
    let client = docker(&["version", "--format", "{{.Server.Version}}"]);
    assert!(!client.is_empty());
    assert_eq!(property("ActiveState"), "active");
    let socket = says(&["stat", "--format", "%U %G %a", "/run/cofferdam/cofferdam.sock"]);
    assert_eq!(socket, "root cofferdam 660");
    import();
    docker(&["run", "--detach", "--name", "a", "busybox", "sleep", "1000000"]);
    let pid = pid_of("a");
    // No unit's processes: systemd ends those with the unit.
    let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    assert!(group.contains("cofferdam") && !group.contains(UNIT), "{group}");
    goes_on(&pid);
    a_daemon_that_hangs_is_started_anew(&pid);
    // The same version again, which is an upgrade to dpkg.
    let daemon = property("MainPID");
    says(&["dpkg", "--install", &package]);
    assert_ne!(property("MainPID"), daemon);
    assert_eq!(pid_of("a"), pid);
    is_removed(&pid);
}

/// Over everything that is done to the service.
fn goes_on(pid: &str) {
    let daemon = property("MainPID");
    says(&["systemctl", "restart", UNIT]);
    assert_ne!(property("MainPID"), daemon);
    assert_eq!(pid_of("a"), pid);
    let daemon = property("MainPID");
    says(&["kill", "-KILL", &daemon]);
    until("another daemon", || !["0", &daemon].contains(&&*property("MainPID")));
    assert_eq!(pid_of("a"), pid);
    says(&["systemctl", "stop", UNIT]);
    assert!(fs::exists(format!("/proc/{pid}")).expect("proc"));
    // Devices are what they were when systemd reads its units again.
    says(&["systemctl", "daemon-reload"]);
    assert_eq!(docker(&["exec", "a", "sh", "-c", "echo x > /dev/null; echo done"]), "done");
    assert_eq!(pid_of("a"), pid);
}

fn a_daemon_that_hangs_is_started_anew(pid: &str) {
    assert_eq!(property("WatchdogUSec"), "1min");
    fs::create_dir_all(PathBuf::from(DROP_IN).parent().expect("a directory")).expect("made");
    fs::write(DROP_IN, "[Service]\nWatchdogSec=10\n").expect("written");
    says(&["systemctl", "daemon-reload"]);
    says(&["systemctl", "restart", UNIT]);
    let daemon = property("MainPID");
    // One that answers is left alone, as long as another would not be.
    let since = || property("WatchdogTimestampMonotonic").parse::<u64>().expect("microseconds");
    let begun = since();
    until("three beats", || since() > begun + 15_000_000);
    assert_eq!(property("MainPID"), daemon, "{}", log());
    says(&["kill", "-STOP", &daemon]);
    until("another daemon", || !["0", &daemon].contains(&&*property("MainPID")));
    assert_eq!(pid_of("a"), pid);
    fs::remove_file(DROP_IN).expect("ours");
    says(&["systemctl", "daemon-reload"]);
    says(&["systemctl", "restart", UNIT]);
}

/// Not while there are containers; then without a trace but its data.
fn is_removed(pid: &str) {
    let (code, said) = ran(&["dpkg", "--remove", "cofferdam"]);
    assert!(code != 0 && said.contains("containers are running"), "{code}: {said}");
    assert_eq!(pid_of("a"), pid);
    docker(&["rm", "--force", "a"]);
    says(&["dpkg", "--purge", "cofferdam"]);
    for gone in
        ["/usr/bin/cofferdamd", "/run/cofferdam/cofferdam.sock", "/etc/apparmor.d/cofferdam"]
    {
        assert!(!fs::exists(gone).expect("looked"), "{gone}");
    }
    assert!(fs::exists("/var/lib/cofferdam").expect("looked"), "images are the user's");
    assert_eq!(
        says(&["systemctl", "show", "--property", "LoadState", "--value", UNIT]),
        "not-found"
    );
    let left = || ran(&["pgrep", "--list-full", "cofferdam"]).1;
    until(&format!("no process of it within {PATIENCE:?}"), || left().is_empty());
}
