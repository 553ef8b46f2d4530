//! User namespaces that nobody lives in: holders of an id map for
//! `mount_setattr(2)`.
//!
//! A namespace comes with a process. This one shares our memory instead of
//! copying its page tables, sleeps on a small stack of its own while its maps
//! are written, and is killed: what remains is the descriptor.

use crate::checked;
use std::{
    ffi::{c_int, c_void},
    fs::{self, File},
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

/// Bytes of the sleeper's stack; it makes two calls.
const STACK: usize = 16 << 10;

/// Makes a user namespace with these maps (`INSIDE OUTSIDE COUNT` a line, as
/// `user_namespaces(7)` has it). Any thread may call it.
///
/// # Errors
/// As `clone(2)`, or as a write to `uid_map` or `gid_map`.
pub fn new(uid_map: &str, gid_map: &str) -> io::Result<OwnedFd> {
    // Sixteen-byte aligned, as the ABI wants a stack to be.
    let mut stack = vec![0u128; STACK / 16];
    let quiet = Quiet::new()?;
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_NEWUSER | libc::CLONE_PIDFD;
    let top = stack.as_mut_ptr_range().end.cast::<c_void>();
    // SAFETY: the child runs `sleeper`, which touches no memory of ours, on a
    // stack that is its own until `Sleeper` has seen it end; every signal but
    // SIGKILL is blocked, so that no handler runs there.
    let pid =
        unsafe { libc::clone(sleeper, top, flags, ptr::null_mut(), ptr::from_mut(&mut pidfd)) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: CLONE_PIDFD put a new descriptor there, owned by nobody.
    let sleeper = Sleeper { pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } };
    let made = hold(pid, uid_map, gid_map);
    // It ends before its stack does.
    drop(sleeper);
    drop(stack);
    drop(quiet);
    made
}

/// Opens the namespace that `process` is in.
///
/// # Errors
/// As `open(2)`.
fn hold(pid: i32, uid_map: &str, gid_map: &str) -> io::Result<OwnedFd> {
    fs::write(format!("/proc/{pid}/uid_map"), uid_map)?;
    fs::write(format!("/proc/{pid}/gid_map"), gid_map)?;
    Ok(File::open(format!("/proc/{pid}/ns/user"))?.into())
}

/// Sleeps until killed, or until the thread that made it ends.
extern "C" fn sleeper(_: *mut c_void) -> c_int {
    // SAFETY: integers only. It cannot fail, and so does not write `errno`,
    // which this process shares with the thread that made it.
    unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    loop {
        // SAFETY: no memory; with every signal blocked it does not return.
        unsafe { libc::syscall(libc::SYS_ppoll, 0, 0, 0, 0, 0) };
    }
}

/// Kills the sleeper, and waits until it no longer uses our memory.
struct Sleeper {
    pidfd: OwnedFd,
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // SAFETY: integers and a null pointer.
        let rc = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                libc::SIGKILL,
                ptr::null::<c_void>(),
                0,
            )
        };
        checked(rc).expect("a child of ours that was not waited for can be killed");
        loop {
            // SAFETY: the kernel accepts null for both results.
            let rc = unsafe {
                libc::syscall(
                    libc::SYS_waitid,
                    libc::P_PIDFD,
                    self.pidfd.as_raw_fd(),
                    ptr::null_mut::<c_void>(),
                    libc::WEXITED | libc::__WALL,
                    ptr::null_mut::<c_void>(),
                )
            };
            match checked(rc) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // With SIGCHLD ignored there is nothing to wait for, and
                // waitid(2) says so when the child is gone.
                _ => return,
            }
        }
    }
}

/// This thread hears no signals until it is dropped.
struct Quiet(libc::sigset_t);

impl Quiet {
    fn new() -> io::Result<Self> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: it fills the set that it is given.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: `all` was filled; `before` is written before it is read.
        let rc =
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        if rc != 0 {
            return Err(io::Error::from_raw_os_error(rc));
        }
        // SAFETY: the call succeeded and wrote it.
        Ok(Self(unsafe { before.assume_init() }))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // SAFETY: a set that the same call wrote.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, ptr::from_ref(&self.0), ptr::null_mut())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_outlives_the_process_it_came_with() {
        let map = "0 200000 65536\n";
        let one = new(map, map).expect("root may");
        let two = new(map, map).expect("root may");
        let inode = |fd: &OwnedFd| rustix::fs::fstat(fd).expect("stat").st_ino;
        assert_ne!(inode(&one), inode(&two));
        let ours = fs::metadata("/proc/self/ns/user").expect("stat");
        assert_ne!(inode(&one), std::os::unix::fs::MetadataExt::ino(&ours));
    }

    #[test]
    fn a_malformed_map_is_refused_and_leaves_no_process() {
        let error = new("0 0 0\n", "0 0 0\n").expect_err("an empty map");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn many_threads_may_make_namespaces_at_once() {
        std::thread::scope(|scope| {
            for at in 0..4 {
                scope.spawn(move || {
                    for _ in 0..20 {
                        let map = format!("0 {} 65536\n", 300_000 + at * 65536);
                        new(&map, &map).expect("root may");
                    }
                });
            }
        });
    }
}
