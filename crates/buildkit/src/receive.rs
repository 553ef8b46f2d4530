//! Files of a client, written into a directory.
//!
//! ```text
//!   client                         here
//!     | STAT, STAT, … STAT() ------> |  every file once, directories first;
//!     |                              |  the n-th has number n
//!     | <----------------- REQ n --- |  for each regular file
//!     | DATA n …, DATA n (empty) --> |  several at a time
//!     | <------------------- FIN --- |
//!     | FIN -----------------------> |
//! ```
//!
//! Whatever a client sends stays below the directory: no path has `..`, and
//! none is followed through a link (`openat2`, which fails instead).
//!
//! Source: fsutil's `send.go` and `receive.go`.

use crate::grpc::{Code, Incoming, Outgoing, Status};
use crate::proto::{Packet, PacketKind, Stat};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::sync::mpsc;

/// Packets between the connection and the disk.
const QUEUE: usize = 64;
/// Files of a client that may be half there at one time; its sender keeps
/// four.
const OPEN: usize = 32;

/// Go's bits of `os.FileMode`.
mod mode {
    pub const DIR: u32 = 1 << 31;
    pub const LINK: u32 = 1 << 27;
    pub const DEVICE: u32 = 1 << 26;
    pub const PIPE: u32 = 1 << 25;
    pub const SOCKET: u32 = 1 << 24;
    pub const SETUID: u32 = 1 << 23;
    pub const SETGID: u32 = 1 << 22;
    pub const STICKY: u32 = 1 << 20;
    pub const KIND: u32 = DIR | LINK | DEVICE | PIPE | SOCKET | 1 << 21 | 1 << 19;
}

/// Receives all that a client sends. `moved` is told how many bytes have come.
///
/// # Errors
/// The client breaks off or sends what is no file, or the disk fails.
pub async fn receive(
    mut incoming: Incoming,
    mut outgoing: Outgoing,
    into: &Path,
    mut moved: impl FnMut(u64),
) -> Result<(), Status> {
    let (packets, work) = mpsc::channel::<Packet>(QUEUE);
    let (ask, mut asked) = mpsc::unbounded_channel::<Packet>();
    let root =
        rustix::fs::open(into, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| disk("open the directory for", &into.display().to_string(), error))?;
    let mut writer = tokio::task::spawn_blocking(move || Writer::new(root, ask).run(work));
    // Reading must not wait for what is asked, nor the other way round: the
    // client stops reading when it cannot send.
    let speak = async {
        while let Some(packet) = asked.recv().await {
            outgoing.send(&packet).await?;
        }
        Ok::<(), Status>(())
    };
    let listen = async move {
        let mut bytes = 0;
        loop {
            let Some(packet) = incoming.next::<Packet>().await? else {
                // Without a last word there must be a reason.
                return incoming.end().await;
            };
            match PacketKind::try_from(packet.kind) {
                Ok(PacketKind::Fin) => return Ok(()),
                Ok(PacketKind::Err) => {
                    let words = String::from_utf8_lossy(&packet.data).into_owned();
                    return Err(Status::new(Code::Unknown, format!("error from sender: {words}")));
                }
                Ok(PacketKind::Stat | PacketKind::Data) => {
                    let names = packet.stat.as_ref().map_or(0, |stat| stat.path.len());
                    bytes += (packet.data.len() + names) as u64;
                    moved(bytes);
                    if packets.send(packet).await.is_err() {
                        // The writer says why it has stopped.
                        return Ok(());
                    }
                }
                _ => return Err(bad("sent a packet that only a receiver sends", "")),
            }
        }
    };
    let mut talk = std::pin::pin!(async { tokio::join!(speak, listen) });
    let fault = |_| Status::new(Code::Internal, "writing the context met a fault");
    let (written, (spoken, listened)) = tokio::select! {
        talked = &mut talk => (writer.await, talked),
        // Before the client has said all, it stops only because it failed;
        // the client may then wait for an answer that never comes.
        written = &mut writer => match written.map_err(fault)? {
            Err(status) => return Err(status),
            Ok(all) => (Ok(Ok(all)), talk.await),
        },
    };
    let all = written.map_err(fault)??;
    listened?;
    if !all {
        let words = "the client stopped in the middle of its files";
        return Err(Status::new(Code::Unavailable, words));
    }
    spoken
}

/// Puts packets on the disk.
struct Writer {
    root: OwnedFd,
    ask: Option<mpsc::UnboundedSender<Packet>>,
    /// The number of the next file.
    number: u32,
    /// Asked for and not there: number, what it is.
    wanted: HashMap<u32, Stat>,
    /// Half there.
    open: HashMap<u32, File>,
    /// All names have come.
    listed: bool,
    /// Their times are set last, since files are put in them.
    directories: Vec<Stat>,
}

impl Writer {
    fn new(root: OwnedFd, ask: mpsc::UnboundedSender<Packet>) -> Self {
        Self {
            root,
            ask: Some(ask),
            number: 0,
            wanted: HashMap::new(),
            open: HashMap::new(),
            listed: false,
            directories: Vec::new(),
        }
    }

    /// Whether all has come.
    fn run(mut self, mut work: mpsc::Receiver<Packet>) -> Result<bool, Status> {
        while let Some(packet) = work.blocking_recv() {
            if packet.kind == PacketKind::Data as i32 {
                self.data(&packet)?;
            } else if let Some(stat) = packet.stat.filter(|stat| !stat.path.is_empty()) {
                self.stat(stat)?;
            } else {
                self.listed = true;
            }
            if self.listed && self.wanted.is_empty() {
                self.say(PacketKind::Fin, 0);
                // Nothing more is asked.
                self.ask = None;
            }
        }
        if self.ask.is_some() {
            return Ok(false);
        }
        for stat in self.directories.iter().rev() {
            let dir = self.at(&stat.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            finish(&dir, stat)?;
        }
        Ok(true)
    }

    fn say(&self, kind: PacketKind, id: u32) {
        if let Some(ask) = &self.ask {
            // If nobody listens any more, the reason is told there.
            let _ = ask.send(Packet { kind: kind as i32, id, ..Packet::default() });
        }
    }

    /// Something that is there already, without following any link to it.
    fn at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Status> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(
            &self.root,
            path,
            flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
            resolve,
        )
        .map_err(|error| disk("open", path, error))
    }

    /// The directory that a path is in, and its name there.
    fn place<'p>(&self, path: &'p str) -> Result<(OwnedFd, &'p str), Status> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !path.split('/').all(plain) {
            return Err(bad("sent a path that does not stay in the context", path));
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
        Ok((self.at(parent, OFlags::PATH | OFlags::DIRECTORY)?, name))
    }

    fn stat(&mut self, stat: Stat) -> Result<(), Status> {
        let number = self.number;
        self.number += 1;
        if self.listed {
            return Err(bad("sent a file after the last one", &stat.path));
        }
        let (parent, name) = self.place(&stat.path)?;
        let failed = |error| disk("make", &stat.path, error);
        match stat.mode & mode::KIND {
            0 if stat.link.is_empty() => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let mode = Mode::RUSR | Mode::WUSR;
                drop(
                    rustix::fs::openat(&parent, name, flags | OFlags::CLOEXEC, mode)
                        .map_err(failed)?,
                );
                self.wanted.insert(number, stat);
                self.say(PacketKind::Req, number);
            }
            0 => {
                let (from, first) = self.place(&stat.link)?;
                rustix::fs::linkat(&from, first, &parent, name, AtFlags::empty())
                    .map_err(failed)?;
                // Its bytes come again under this number unless nobody asks.
            }
            mode::DIR => {
                rustix::fs::mkdirat(&parent, name, Mode::RWXU).map_err(failed)?;
                self.directories.push(stat);
            }
            mode::LINK => {
                rustix::fs::symlinkat(&stat.link, &parent, name).map_err(failed)?;
                let at = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::utimensat(&parent, name, &times(&stat), at).map_err(failed)?;
            }
            mode::PIPE => {
                let mode = Mode::from_raw_mode(stat.mode & 0o777);
                rustix::fs::mknodat(&parent, name, FileType::Fifo, mode, 0).map_err(failed)?;
            }
            // Nothing that listens can be in an image.
            mode::SOCKET => {}
            _ => return Err(bad("sent a device, which no build context can hold", &stat.path)),
        }
        Ok(())
    }

    fn data(&mut self, packet: &Packet) -> Result<(), Status> {
        let Some(stat) = self.wanted.get(&packet.id) else {
            return Err(bad("sent bytes of a file that was not asked for", ""));
        };
        let failed = |error| disk("write", &stat.path, error);
        if !self.open.contains_key(&packet.id) {
            if self.open.len() >= OPEN {
                return Err(bad("sends too many files at the same time", &stat.path));
            }
            let file = self.at(&stat.path, OFlags::WRONLY)?;
            self.open.insert(packet.id, File::from(file));
        }
        if packet.data.is_empty() {
            if let (Some(stat), Some(file)) =
                (self.wanted.remove(&packet.id), self.open.remove(&packet.id))
            {
                finish(&OwnedFd::from(file), &stat)?;
            }
        } else if let Some(file) = self.open.get_mut(&packet.id) {
            file.write_all(&packet.data)
                .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        }
        Ok(())
    }
}

/// Owner, permissions, attributes and time of something that is complete.
fn finish(fd: &OwnedFd, stat: &Stat) -> Result<(), Status> {
    let failed = |error| disk("finish", &stat.path, error);
    rustix::fs::fchown(fd, Some(Uid::from_raw(stat.uid)), Some(Gid::from_raw(stat.gid)))
        .map_err(failed)?;
    let mut bits = stat.mode & 0o777;
    for (go, unix) in [(mode::SETUID, 0o4000), (mode::SETGID, 0o2000), (mode::STICKY, 0o1000)] {
        if stat.mode & go != 0 {
            bits |= unix;
        }
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(bits)).map_err(failed)?;
    for (name, value) in &stat.xattrs {
        if name.starts_with("user.") || name == "security.capability" {
            rustix::fs::fsetxattr(fd, name.as_str(), value, XattrFlags::empty()).map_err(failed)?;
        }
    }
    rustix::fs::futimens(fd, &times(stat)).map_err(failed)
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.modified.div_euclid(1_000_000_000),
        tv_nsec: stat.modified.rem_euclid(1_000_000_000),
    };
    Timestamps { last_access: time, last_modification: time }
}

fn bad(what: &str, path: &str) -> Status {
    let of = if path.is_empty() { String::new() } else { format!(": {path:?}") };
    Status::new(Code::InvalidArgument, format!("the client {what}{of}"))
}

fn disk(doing: &str, path: &str, error: Errno) -> Status {
    Status::new(Code::Internal, format!("cannot {doing} {path} of the build context: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::client::connect;
    use crate::grpc::server::{end, serve};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::sync::Arc;

    fn stat(path: &str, mode: u32) -> Packet {
        let stat = Stat { path: path.into(), mode, modified: 1_500_000_000, ..Stat::default() };
        Packet { stat: Some(stat), ..Packet::default() }
    }

    fn link(path: &str, mode: u32, to: &str) -> Packet {
        let mut packet = stat(path, mode);
        packet.stat.as_mut().expect("a stat").link = to.into();
        packet
    }

    fn last() -> Packet {
        Packet::default()
    }

    fn data(id: u32, text: &str) -> Packet {
        let data = bytes::Bytes::copy_from_slice(text.as_bytes());
        Packet { kind: PacketKind::Data as i32, id, data, ..Packet::default() }
    }

    /// Plays a client that says these packets, and then answers each question
    /// with the words `file N`.
    async fn from_client(said: Vec<Packet>) -> (Result<(), Status>, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a directory");
        let (near, far) = tokio::io::duplex(1 << 16);
        let said = Arc::new(said);
        tokio::spawn(async move {
            let served = serve(far, |mut call| {
                let said = Arc::clone(&said);
                async move {
                    let mut outgoing = call.begin().expect("begins");
                    for packet in said.iter() {
                        if outgoing.send(packet).await.is_err() {
                            return;
                        }
                    }
                    while let Ok(Some(packet)) = call.incoming.next::<Packet>().await {
                        if packet.kind == PacketKind::Fin as i32 {
                            let _ = outgoing.send(&packet).await;
                            break;
                        }
                        let text = format!("file {}", packet.id);
                        for packet in [data(packet.id, &text), data(packet.id, "")] {
                            if outgoing.send(&packet).await.is_err() {
                                return;
                            }
                        }
                    }
                    let _ = end(outgoing, Ok(()));
                }
            });
            // The test ends the connection.
            let _ = served.await;
        });
        let (channel, connection) = connect(near).await.expect("speaks");
        tokio::spawn(connection);
        let call = channel.open("/x.Y/Z", &[]).await.expect("opens");
        let incoming = call.answer.begin().await.expect("answers");
        let received = receive(incoming, call.outgoing, dir.path(), |_| {}).await;
        (received, dir)
    }

    #[tokio::test]
    async fn files_arrive_as_they_were() {
        let (received, dir) = from_client(vec![
            stat("a", 0o640),
            stat("d", mode::DIR | 0o750),
            stat("d/b", mode::SETUID | 0o755),
            link("d/c", 0o755, "d/b"),
            link("d/l", mode::LINK | 0o777, "../a"),
            stat("s", mode::SOCKET | 0o777),
            last(),
        ])
        .await;
        received.expect("all of it");
        let read = |path: &str| std::fs::read_to_string(dir.path().join(path)).expect(path);
        let meta = |path: &str| std::fs::metadata(dir.path().join(path)).expect(path);
        assert_eq!(
            (read("a"), read("d/b"), read("d/c")),
            ("file 0".into(), "file 2".into(), "file 2".into())
        );
        assert_eq!(meta("a").permissions().mode() & 0o7777, 0o640);
        assert_eq!(meta("d").permissions().mode() & 0o7777, 0o750);
        assert_eq!(meta("d/b").permissions().mode() & 0o7777, 0o4755);
        assert_eq!(meta("d/b").ino(), meta("d/c").ino());
        assert_eq!((meta("d").mtime(), meta("a").mtime_nsec()), (1, 500_000_000));
        let target = std::fs::read_link(dir.path().join("d/l")).expect("a link");
        assert_eq!(target, Path::new("../a"));
        assert!(!dir.path().join("s").exists());
    }

    #[tokio::test]
    async fn nothing_is_written_outside() {
        let outside = tempfile::tempdir().expect("a directory");
        let to = outside.path().to_str().expect("UTF-8");
        for said in [
            vec![stat("../x", 0o644), last()],
            vec![stat("/x", 0o644), last()],
            vec![stat("a/../../x", 0o644), last()],
            vec![stat("./x", 0o644), last()],
            vec![stat("x\0", 0o644), last()],
            vec![link("l", mode::LINK | 0o777, to), stat("l/x", 0o644), last()],
            vec![link("l", mode::LINK | 0o777, to), stat("l/d", mode::DIR | 0o755), last()],
            vec![link("x", mode::LINK | 0o777, &format!("{to}/x")), stat("x", 0o644), last()],
            vec![link("h", 0o644, "../../etc/passwd"), last()],
            vec![link("l", mode::LINK | 0o777, "/etc"), link("h", 0o644, "l/passwd"), last()],
        ] {
            let (received, dir) = from_client(said.clone()).await;
            let error = received.expect_err(&format!("{said:?}"));
            assert!(error.message.contains("context"), "{error}");
            assert!(!dir.path().join("h").exists());
        }
        assert_eq!(std::fs::read_dir(outside.path()).expect("there").count(), 0);
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused() {
        for (said, words) in [
            (vec![stat("n", mode::DEVICE | 0o666), last()], "sent a device"),
            (vec![data(7, "x"), last()], "not asked for"),
            (vec![last(), stat("a", 0o644)], "after the last one"),
            (vec![Packet { kind: PacketKind::Req as i32, ..Packet::default() }], "only a receiver"),
            (
                vec![Packet {
                    kind: PacketKind::Err as i32,
                    data: bytes::Bytes::from_static(b"gone"),
                    ..Packet::default()
                }],
                "error from sender: gone",
            ),
        ] {
            let (received, _) = from_client(said.clone()).await;
            let error = received.expect_err(&format!("{said:?}"));
            assert!(error.message.contains(words), "{error}");
        }
    }

    #[tokio::test]
    async fn a_thousand_files_arrive() {
        let mut said: Vec<Packet> = (0..1000).map(|n| stat(&format!("f{n}"), 0o644)).collect();
        said.push(last());
        let (received, dir) = from_client(said).await;
        received.expect("all of it");
        assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 1000);
    }
}
