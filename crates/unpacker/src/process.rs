//! The processes: what each gives up, and what it does then.
//!
//! Standard input is the stream, standard output takes what comes out of it or
//! is the directory that it goes to, standard error is a pipe for the one word
//! at the end. A stream is a ring to or from the daemon, a file, or the pipe
//! between two processes.

use crate::{
    Error,
    codec::Plain,
    error::Doing as _,
    held::Held,
    recipe,
    ring::{self, Filling},
    wire::{Said, Word},
};
use confine::{Left, MAKE, READ_DIR, REFER, REMOVE, TRUNCATE, WRITE_FILE, confine};
use rustix::{
    fs::{FileType, Mode, OFlags},
    process::{Resource, Rlimit, setrlimit},
    stdio::{stderr, stdin, stdout},
    thread::CapabilitySet,
};
use serde::{Deserialize, Serialize};
use snapshot::{BUFFER, IdRange, Limits, PutOptions, Unpacked};
use std::{
    borrow::Cow,
    io::{self, BufRead, BufReader, Read, Write},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    process::ExitCode,
};

/// The system calls of one that reads, and writes.
const CALLS: [&str; 17] = [
    "brk",
    "clock_gettime",
    "close",
    "exit",
    "exit_group",
    "futex",
    "getrandom",
    "madvise",
    "mremap",
    "munmap",
    "read",
    "restart_syscall",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "write",
    "writev",
];

/// And what one makes files with.
const FILES: [&str; 31] = [
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchownat",
    "fcntl",
    "fsetxattr",
    "fstat",
    "ftruncate",
    "getdents64",
    "linkat",
    "lseek",
    "mkdir",
    "mkdirat",
    "mknodat",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pwrite64",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "statx",
    "symlinkat",
    "unlink",
    "unlinkat",
    "utimensat",
    "umask",
];

/// What it may do below its root: nothing is read, and nothing executed.
const RIGHTS: u64 = WRITE_FILE | READ_DIR | REMOVE | MAKE | REFER | TRUNCATE;
/// The capabilities that files with owners, modes and attributes take.
const POWERS: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP);

/// Bytes of memory, of which compressed streams may ask for 128 MiB.
const MEMORY: u64 = 512 << 20;
/// Open files: those of the directories that are kept open, and a few.
const OPEN: u64 = 1024;
/// Killed before others when memory runs out.
const OOM_SCORE: &[u8] = b"500";

/// What is to be put where, for `files`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order<'a> {
    pub path: Cow<'a, str>,
    /// As the process has them.
    pub ids: IdRange,
    /// Whose root it becomes, unless the host's.
    pub within: Option<Held>,
    pub options: PutOptions,
}

/// `cofferdamd unpacker inflate USER`, `… layer USER`, `… files USER ORDER`;
/// what comes after is for those who look.
#[must_use]
pub fn main(words: &[&str]) -> ExitCode {
    let word = match begin(words) {
        Ok(word) => word,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|source| format!(": {source}"));
            Said::Unconfined(format!("{error}{}", cause.unwrap_or_default())).into()
        }
    };
    // Nobody could be told of an error here; without the word it is taken for
    // lost.
    let told = word.to_bytes().map(|text| Pipe(stderr()).write_all(&text));
    if matches!(told, Ok(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn begin(words: &[&str]) -> Result<Word, Error> {
    bound()?;
    match words {
        ["inflate", user, ..] => inflate(number(user)?).map(Word::from),
        ["layer", user, ..] => layer(number(user)?),
        ["files", user, order, ..] => {
            let order = serde_json::from_str(order).map_err(io::Error::from);
            files(number(user)?, &order.doing("understand what is wanted")?)
        }
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput)).doing("understand what is wanted"),
    }
}

fn number(user: &str) -> Result<u32, Error> {
    user.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput)).doing("know the user")
}

/// Bounds on what it may take of the machine.
fn bound() -> Result<(), Error> {
    sys::process::close_all_but(3, &[]).doing("close what is not its own")?;
    let to = |most| Rlimit { current: Some(most), maximum: Some(most) };
    let limits = [
        (Resource::As, MEMORY),
        (Resource::Nofile, OPEN),
        (Resource::Nproc, 0),
        (Resource::Core, 0),
    ];
    for (resource, most) in limits {
        setrlimit(resource, to(most)).doing("bound itself")?;
    }
    // What is not there in some containers; nothing rests on it.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    rustix::process::umask(Mode::empty());
    rustix::thread::set_name(c"unpacker").doing("name itself")
}

/// Undoes the compression of what it reads.
fn inflate(user: u32) -> Result<Said, Error> {
    rustix::process::chdir("/").doing("leave the directory")?;
    let (mut input, mut output) = (input()?, Output::open()?);
    give_up(&Left { user, calls: &CALLS, ..NOTHING })?;
    let mut plain = match Plain::of(&mut *input) {
        Ok(plain) => plain,
        Err(e) => return Ok(Said::Input((&e).into())),
    };
    loop {
        let Ok(room) = output.room() else { return Ok(Said::Output) };
        let handed_over = match plain.read(room) {
            Ok(0) => {
                let ended = output.end();
                return Ok(if ended.is_ok() {
                    Said::Done(Unpacked::default())
                } else {
                    Said::Output
                });
            }
            Ok(len) => output.hand_over(len),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(e) => return Ok(Said::Input((&e).into())),
        };
        if handed_over.is_err() {
            return Ok(Said::Output);
        }
    }
}

/// Unpacks a layer into the directory. Nodes of devices are made there, on a
/// mount on which they cannot be opened.
fn layer(user: u32) -> Result<Word, Error> {
    let mut from = input()?;
    stay_in(user, None, POWERS.union(CapabilitySet::MKNOD))?;
    let root = Path::new("/");
    let mut recipe = recipe::create(&root.join(recipe::NAME)).doing("make the recipe")?;
    let unpacked = snapshot::unpack_leaving(&mut *from, root, Limits::default(), &mut recipe);
    let written = recipe.finish().and_then(|mut file| file.flush());
    Ok(Word::of(unpacked.and_then(|unpacked| {
        let path = || recipe::NAME.into();
        written
            .map_err(|source| snapshot::Error::Host { doing: "write".into(), path: path(), source })
            .map(|()| unpacked)
    })))
}

/// Unpacks files into a tree that others may be in: where that is a container's
/// with ids of its own, with the powers that its root has over files, and no
/// others.
fn files(user: u32, order: &Order<'_>) -> Result<Word, Error> {
    let Order { path, ids, within, options } = order;
    let mut from = input()?;
    let within = within.map(Held::open).transpose().doing("open a user namespace")?;
    let root = stay_in(user, within.as_ref().map(OwnedFd::as_fd), POWERS)?;
    drop(within);
    let put = snapshot::put_leaving(root.as_fd(), path, *ids, *options, &mut from);
    Ok(Word::of(put.map(|left| (Unpacked::default(), left))))
}

/// Makes the directory all that there is, and gives up the rest.
fn stay_in(
    user: u32,
    ids: Option<BorrowedFd<'_>>,
    capabilities: CapabilitySet,
) -> Result<OwnedFd, Error> {
    rustix::process::fchdir(stdout()).doing("go to the directory")?;
    rustix::process::chroot(".").doing("make the directory its root")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, Mode::empty()).doing("open the directory")?;
    let calls: Vec<&str> = CALLS.iter().chain(&FILES).copied().collect();
    let files = Some((root.as_fd(), RIGHTS));
    // Files are made as by root: the host's, or that of the namespace.
    let maker = Some((0, 0));
    give_up(&Left { user, ids, maker, capabilities, calls: &calls, files, ..NOTHING })?;
    Ok(root)
}

const NOTHING: Left<'_> = Left {
    user: 0,
    ids: None,
    maker: None,
    capabilities: CapabilitySet::empty(),
    calls: &[],
    files: None,
    port: None,
    daemon: None,
};

fn give_up(left: &Left<'_>) -> Result<(), Error> {
    confine(&Left { daemon: Some(stderr()), ..*left })
        .map_err(io::Error::other)
        .doing("give up its rights")
}

/// Standard input: a ring of the daemon's, or a stream. To be opened before
/// any right is given up.
fn input() -> Result<Box<dyn BufRead>, Error> {
    if !is_ring(stdin())? {
        return Ok(Box::new(BufReader::with_capacity(BUFFER, Pipe(stdin()))));
    }
    Ok(Box::new(ring::lent(stdin()).doing("map what it reads")?))
}

/// Standard output, likewise.
enum Output {
    Ring(Filling<BorrowedFd<'static>>),
    Pipe(Vec<u8>),
}

impl Output {
    fn open() -> Result<Self, Error> {
        if !is_ring(stdout())? {
            return Ok(Self::Pipe(vec![0; BUFFER]));
        }
        ring::own(stdout()).map(Self::Ring).doing("map what it writes")
    }

    fn room(&mut self) -> io::Result<&mut [u8]> {
        match self {
            Self::Ring(ring) => ring.room(),
            Self::Pipe(buffer) => Ok(buffer),
        }
    }

    fn hand_over(&mut self, len: usize) -> io::Result<()> {
        match self {
            Self::Ring(ring) => {
                ring.filled(len)?;
                ring.hand_over()
            }
            Self::Pipe(buffer) => Pipe(stdout()).write_all(&buffer[..len]),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Ring(ring) => ring.end(),
            // It ends with the process.
            Self::Pipe(_) => Ok(()),
        }
    }
}

/// Of its streams the rings alone are sockets.
fn is_ring(stream: BorrowedFd<'_>) -> Result<bool, Error> {
    let stat = rustix::fs::fstat(stream).doing("look at its streams")?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Socket)
}

/// A standard stream, without a buffer.
struct Pipe(BorrowedFd<'static>);

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, into)?)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.0, bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
