//! The floor: what the kernel alone takes to start and end a container.
//!
//! The same system calls as an engine's, with nothing decided, checked, logged
//! or remembered: control groups, an overlay made detached, one `clone3` with
//! all namespaces, the id maps, a veth pair into a bridge, the mounts that
//! belong to the container's own namespaces, `execve` of a static program, and
//! the wait for its end. The teardown of the pair is not waited for.
//!
//!     floor prepare DIR GROUP PROGRAM    make the layers and the bridge, once
//!     floor start DIR GROUP              one container, from nothing to its end
//!     floor wire                         make another bridge, once
//!     floor attach PID, floor detach     one more interface, and its end
//!     floor swing PID TIMES              both, so many times, by one process

mod attach;
mod group;
mod link;
mod root;
mod wire;

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    process::{Pid, PidfdFlags, WaitId, WaitIdOptions},
    thread::UnshareFlags,
};
use std::{
    ffi::CString,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    process::ExitCode,
};
use sys::process::{Clone, Cloned};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["prepare", dir, group, program] => root::prepare(Path::new(dir), Path::new(program))
            .and_then(|()| group::prepare(group))
            .and_then(|()| link::bridge()),
        ["start", dir, group] => start(Path::new(dir), group),
        ["wire"] => attach::prepare(),
        ["attach", pid] => attach::attach(pid),
        ["detach"] => attach::detach(),
        ["swing", pid, times] => times.parse().map_err(io::Error::other).and_then(|times: u32| {
            (0..times).try_for_each(|_| attach::attach(pid).and_then(|()| attach::detach()))
        }),
        _ => {
            let usage = "usage: floor prepare DIR GROUP PROGRAM | floor start DIR GROUP | \
                         floor wire | floor attach PID | floor detach | \
                         floor swing PID TIMES";
            Err(io::Error::other(usage))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where the ids of the container begin outside.
const BASE: u32 = 0x7000_0000;

fn start(dir: &Path, group: &str) -> io::Result<()> {
    let groups = group::make(group)?;
    let root = root::overlay(dir)?;
    let (go, wait) = pair()?;
    let namespaces = UnshareFlags::NEWUSER
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    // The mounts of the host are copied into the user namespace, as an
    // engine has to, so that flags of the root stay locked.
    sys::process::unshare(UnshareFlags::NEWNS)?;
    root::attach(&root, dir)?;
    // What is born in a version 1 group needs a parent in it.
    let (tell, told) = pair()?;
    match sys::process::clone(Clone::default())? {
        Cloned::Child => {
            drop(told);
            let code = launch(&groups, namespaces, dir, &wait, &tell).is_err();
            sys::process::exit(i32::from(code));
        }
        Cloned::Parent { .. } => drop(tell),
    }
    let mut pid = [0; 4];
    rustix::io::read(&told, &mut pid)?;
    let pid = i32::from_ne_bytes(pid);
    for (file, text) in
        [("uid_map", format!("0 {BASE} 65536")), ("gid_map", format!("0 {BASE} 65536"))]
    {
        std::fs::write(format!("/proc/{pid}/{file}"), text)?;
    }
    link::plug(pid)?;
    rustix::io::write(&go, b"g")?;
    let child = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    let pidfd = rustix::process::pidfd_open(child, PidfdFlags::empty())?;
    rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
    group::remove(&groups);
    Ok(())
}

/// The launcher: enters the groups, makes the container as its sibling, ends.
fn launch(
    groups: &group::Groups,
    namespaces: UnshareFlags,
    dir: &Path,
    wait: &OwnedFd,
    tell: &OwnedFd,
) -> io::Result<()> {
    group::enter(groups)?;
    match sys::process::clone(Clone { namespaces, cgroup: None, sibling: true })? {
        Cloned::Parent { pid, .. } => rustix::io::write(tell, &pid.to_ne_bytes()).map(drop)?,
        Cloned::Child => {
            let failed = inside(dir, wait);
            eprintln!("floor: {:?}", failed.err());
            sys::process::exit(1);
        }
    }
    Ok(())
}

/// Init: waits, sets up what belongs to its namespaces, becomes the program.
fn inside(dir: &Path, wait: &OwnedFd) -> io::Result<()> {
    rustix::io::read(wait, &mut [0; 1])?;
    let (user, group) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)?;
    link::configure()?;
    root::enter(dir)?;
    Err(sys::process::exec(c"/bin/busybox", &[CString::from(c"true")], &[]))
}

/// A pipe: the writing end and the reading end.
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((write, read))
}

/// Opens a directory as a place to act below.
fn directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}
