//! A look at one container for a while: the programs are in the kernel as long
//! as it lasts, and nothing of them before or after.

use crate::{
    denied::Denied,
    program::{self, CALLS, MEMORY, Maps, RECORD, Scope},
};
use rustix::{io::Errno, process::getpid, thread::gettid};
use seccomp::Arch;
use std::{io, os::fd::AsFd as _, os::fd::OwnedFd};
use sys::trace::{self, Map, Shape};

/// Denials that wait to be fetched; what comes beyond is counted as lost.
const QUEUE: u32 = 4096;
/// Threads that are in a call at once.
const THREADS: u32 = 8192;

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Records hold this machine's registers.
    #[error("denials can be watched on x86-64 alone")]
    Machine,
    /// The kernel would not.
    #[error("this kernel does not let denials be watched: cannot {doing}: {source}")]
    Kernel {
        /// A bare verb phrase.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The daemon is in a process namespace, where the kernel's own numbers
    /// are not known.
    #[error("denials can be watched by an engine in the host's process namespace alone")]
    Inside,
}

/// One, under way.
#[derive(Debug)]
pub struct Watching {
    maps: Maps,
    /// The kernel tells which capability was missing (Linux 6.14).
    capabilities: bool,
    /// The programs run until these are closed.
    _links: Vec<OwnedFd>,
}

/// Calls that name a path, and in which argument: 0 to 3.
const PATHS: [(usize, &[&str]); 3] = [
    (
        0,
        &[
            "open",
            "creat",
            "mknod",
            "mkdir",
            "rmdir",
            "unlink",
            "rename",
            "link",
            "chmod",
            "chown",
            "lchown",
            "truncate",
            "utime",
            "utimes",
            "access",
            "execve",
            "chdir",
            "chroot",
            "umount2",
            "statfs",
            "stat",
            "lstat",
            "readlink",
            "setxattr",
            "lsetxattr",
            "removexattr",
            "lremovexattr",
            "swapon",
            "swapoff",
            "acct",
            "pivot_root",
        ],
    ),
    (
        1,
        &[
            "openat",
            "openat2",
            "mknodat",
            "mkdirat",
            "unlinkat",
            "renameat",
            "renameat2",
            "linkat",
            "fchmodat",
            "fchmodat2",
            "fchownat",
            "utimensat",
            "faccessat",
            "faccessat2",
            "execveat",
            "newfstatat",
            "statx",
            "readlinkat",
            "open_tree",
            "mount",
            "mount_setattr",
            "symlink",
            "inotify_add_watch",
            "name_to_handle_at",
        ],
    ),
    (2, &["symlinkat"]),
];

impl Watching {
    /// Begins: whatever is denied from now on with one of these errors is
    /// told.
    ///
    /// Costs each call of the whole machine some tens of nanoseconds until it
    /// is dropped, and calls of the container a look-up more.
    ///
    /// # Errors
    /// The kernel has no such points, or does not let this process use them.
    pub fn begin(scope: Scope, errors: &[i32]) -> Result<Self, Error> {
        if Arch::NATIVE != Arch::X86_64 {
            return Err(Error::Machine);
        }
        let maps = Maps {
            memory: made("make a map", Map::new(Shape::Hash, 8, MEMORY, THREADS))?,
            queue: made("make a queue", Map::new(Shape::Queue, 0, RECORD, QUEUE))?,
            paths: made("make a map", Map::new(Shape::Array, 4, 4, CALLS))?,
            lost: made("make a map", Map::new(Shape::Array, 4, 8, 1))?,
            machine: made("make a map", Map::new(Shape::Array, 4, 8, 1))?,
        };
        let registers: [u32; 3] = program::NAMING;
        for (argument, calls) in PATHS {
            let register = registers[argument].to_ne_bytes();
            let numbers = calls.iter().filter_map(|call| Arch::X86_64.number(call));
            for number in numbers {
                made("fill a map", maps.paths.put(&number.to_ne_bytes(), &register))?;
            }
        }
        let mut links = Vec::new();
        let teacher = program::at_capability(scope, ourselves(), &maps);
        let teacher = made("load a program", trace::load_program(&teacher))?;
        let capabilities = match trace::attach(c"cap_capable", teacher.as_fd()) {
            Ok(link) => {
                links.push(link);
                true
            }
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => false,
            Err(source) => {
                return Err(Error::Kernel { doing: "look on at capabilities", source });
            }
        };
        let program = program::at_exit(scope, errors, &maps);
        let program = made("load a program", trace::load_program(&program))?;
        links.push(made("look on at calls", trace::attach(c"sys_exit", program.as_fd()))?);
        let watching = Self { maps, capabilities, _links: links };
        // The kernel asks each who uses a map for CAP_BPF over the machine, by
        // which the program has learnt what asking for that looks like.
        if capabilities && Self::count(&watching.maps.machine)? == 0 {
            return Err(Error::Inside);
        }
        Ok(watching)
    }

    /// Whether the kernel tells which capability was missing (Linux 6.14).
    pub fn tells_capabilities(&self) -> bool {
        self.capabilities
    }

    /// What was denied since it was last asked, in order.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn fetch(&self) -> Result<Vec<Denied>, Error> {
        let mut all = Vec::new();
        // What goes on being denied meanwhile is for the next time.
        while all.len() < QUEUE as usize {
            match made("fetch what was denied", self.maps.queue.take())? {
                Some(record) => all.extend(Denied::read(&record)),
                None => break,
            }
        }
        Ok(all)
    }

    /// How many denials there were that nobody fetched in time.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn lost(&self) -> Result<u64, Error> {
        Self::count(&self.maps.lost)
    }

    fn count(map: &Map) -> Result<u64, Error> {
        let value = made("read a map", map.get(&0_u32.to_ne_bytes()))?;
        Ok(value.try_into().map_or(0, u64::from_ne_bytes))
    }
}

fn made<T>(doing: &'static str, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::Kernel { doing, source })
}

/// This thread, as programs are told of it.
fn ourselves() -> u64 {
    let number = |pid: rustix::process::Pid| u64::from(pid.as_raw_nonzero().get().cast_unsigned());
    number(getpid()) << 32 | number(gettid())
}
