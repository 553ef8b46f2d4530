//! A caller with one thread, as the library demands; the kernel tests start
//! it. Not shipped.
//!
//! `runtime-caller SANDBOX ROOT [EXEC]`: runs the sandbox (a JSON file) on the
//! root directory, and around it, if asked, another program (JSON of an OCI
//! process, started once the container's runs). Ends as the container ends
//! (or the other program). What went wrong is told on standard error, with
//! exit code 125, 126 or 127.

use runtime::{Cgroup, Io, Options, Root, Running, Target};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use spec::{Sandbox, oci::Process, wire::Failure};
use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::ExitCode,
};

fn main() -> ExitCode {
    if std::env::var_os("PROTECT_SELF").is_some() {
        runtime::protect_self().expect("a file to protect");
    }
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|arg| arg == "/bin/evil") {
        return look_at_self();
    }
    if args.first().is_some_and(|arg| arg == "spy") {
        spy();
    }
    let code = match &args[..] {
        [_, sandbox, root] => run(sandbox, root, None),
        [_, sandbox, root, exec] => run(sandbox, root, Some(exec)),
        _ => panic!("usage: runtime-caller SANDBOX ROOT [EXEC]"),
    };
    match code {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(match (failure.command, failure.errno) {
                (false, _) => 125,
                (true, 2) => 127,
                (true, _) => 126,
            })
        }
    }
}

/// Where the container's program is this very file: could it write to it?
fn look_at_self() -> ExitCode {
    let flags = rustix::fs::statvfs("/proc/self/exe").expect("procfs").f_flag;
    eprintln!("read-only: {}", flags.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    ExitCode::SUCCESS
}

/// As a program of a container: looks into every other process, for ever, and
/// says what it could reach there that is no container's.
fn spy() -> ! {
    let held = |pid: u32| {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        fds.flatten().find(|fd| fd.path().is_dir()).map(|fd| fd.path())
    };
    for pid in (2..200).cycle() {
        // The file that runs now has a name on the host.
        let outside =
            std::path::PathBuf::from(format!("/proc/{pid}/root/{}", env!("CARGO_MANIFEST_DIR")));
        if let Some(path) = Some(outside).filter(|path| path.exists()).or_else(|| held(pid)) {
            println!("reached {}", path.display());
        }
    }
    unreachable!("a cycle has no end")
}

fn run(sandbox: &str, root: &str, exec: Option<&String>) -> Result<u8, Failure> {
    let read = |path: &str| std::fs::read(path).expect("a readable file");
    let sandbox: Sandbox = serde_json::from_slice(&read(sandbox)).expect("a sandbox");
    let cgroup = std::env::var("CGROUP").ok().map(|path| {
        let layout = cgroup::Layout::detect().expect("control groups");
        cgroup::Cgroup::create(&layout, &path).expect("a control group")
    });
    let place = cgroup.as_ref().map(Cgroup::from);
    let door = std::env::var_os("DOOR").map(std::path::PathBuf::from);
    let terminal = sandbox.config.process.as_ref().is_some_and(|process| process.terminal);
    let options = Options {
        cgroup: place.as_ref(),
        no_pivot: std::env::var_os("NO_PIVOT").is_some(),
        door: door.as_deref(),
        ..Options::default()
    };
    let io = |terminal| if terminal { Io::Terminal { size: None } } else { Io::Inherit };
    let root = Path::new(root);
    let waiting = runtime::prepare(&sandbox, root, Root::Path(root), io(terminal), &options)?;
    let running = match &door {
        None => waiting.go()?,
        Some(door) => {
            let left = waiting.leave()?;
            runtime::knock(door)?;
            left
        }
    };
    running.warnings.iter().for_each(|line| eprintln!("warning: {line}"));
    let code = match exec {
        None => end(&running),
        Some(exec) => {
            let process: Process = serde_json::from_str(exec).expect("a process");
            let target = Target { pidfd: running.pidfd.as_fd(), sandbox: &sandbox, bundle: root };
            let options = Options { door: None, ..options };
            let times = std::env::var("EXECS").map_or(1, |times| times.parse().expect("a number"));
            let mut code = Ok(0);
            for _ in 0..times {
                let joined = runtime::exec(target, &process, io(process.terminal), &options);
                code = joined.map(|joined| end(&joined));
            }
            rustix::process::pidfd_send_signal(&running.pidfd, Signal::KILL).expect("it runs");
            end(&running);
            code?
        }
    };
    if let Some(cgroup) = cgroup {
        cgroup.remove().expect("nobody is left in it");
    }
    Ok(code)
}

/// Shows what the terminal says, and waits for the end.
fn end(running: &Running) -> u8 {
    if let Some(console) = &running.console {
        copy(console);
    }
    let id = WaitId::PidFd(running.pidfd.as_fd());
    let status =
        rustix::process::waitid(id, WaitIdOptions::EXITED).expect("a child").expect("ended");
    let code =
        status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(255)
}

fn copy(console: &OwnedFd) {
    let mut chunk = [0; 4096];
    // The last program that has the terminal open being gone is an error.
    while let Ok(len @ 1..) = rustix::io::read(console, &mut chunk) {
        print!("{}", String::from_utf8_lossy(&chunk[..len]));
    }
}
