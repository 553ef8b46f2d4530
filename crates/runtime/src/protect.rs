//! This program's own file, out of a container's reach (CVE-2019-5736).
//!
//! Until init executes the command, `/proc/PID/exe` in the container leads to
//! the runtime's file, and `#!/proc/self/exe` runs it there. A container whose
//! root is the host's root could then open it for writing. If the program was
//! executed through a read-only mount, the link leads through that mount, and
//! the file cannot be opened for writing by anybody.

use crate::tree;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use std::{
    ffi::{CString, OsString},
    io,
    os::{
        fd::AsFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
};
use sys::mount::{self as attr, Change};

/// Makes sure that the container cannot write to this program's file through
/// `/proc/PID/exe`: unless it was executed from a read-only mount already,
/// executes it again from one that is attached nowhere. To be called first
/// thing in `main` by whoever makes containers without a user namespace.
///
/// Costs one `execve` (about 0.3 ms). Afterwards `/proc/self/exe` has no path
/// in the host's tree.
///
/// # Errors
/// What the kernel said; carrying on would leave the program exposed.
pub fn protect_self() -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let exe = rustix::fs::open("/proc/self/exe", flags, Mode::empty())?;
    if rustix::fs::fstatvfs(&exe)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let copy = tree::copy(exe.as_fd(), false)?;
    attr::change(copy.as_fd(), false, &Change { set: attr::RDONLY, ..Change::default() })?;
    let text = |text: OsString| CString::new(text.into_vec()).map_err(io::Error::from);
    let args = std::env::args_os().map(text).collect::<io::Result<Vec<_>>>()?;
    let entry = |(mut name, value): (OsString, OsString)| {
        name.push("=");
        name.push(value);
        CString::new(name.as_bytes()).map_err(io::Error::from)
    };
    let env = std::env::vars_os().map(entry).collect::<io::Result<Vec<_>>>()?;
    Err(sys::process::exec_file(copy.as_fd(), &args, &env))
}
