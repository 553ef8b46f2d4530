//! Files of a result, sent into a directory of the client's: the other end of
//! the dialogue in `receive`.

use crate::grpc::client::Answer;
use crate::grpc::{Code, Outgoing, Status};
use crate::proto::{Packet, PacketKind, Stat};
use bytes::Bytes;
use engine::ImageTree;
use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Bytes in one packet.
const PIECE: usize = 32 << 10;
/// Packets between the disk and the connection.
const QUEUE: usize = 16;

/// Sends all files of an image.
///
/// # Errors
/// The client breaks off or refuses, or the disk fails.
pub async fn send(answer: Answer, mut outgoing: Outgoing, from: ImageTree) -> Result<(), Status> {
    let (packets, mut ready) = mpsc::channel::<Packet>(QUEUE);
    let (ask, asked) = mpsc::unbounded_channel();
    let mut reader = tokio::task::spawn_blocking(move || read(&from, &packets, asked));
    let speak = async {
        while let Some(packet) = ready.recv().await {
            outgoing.send(&packet).await?;
        }
        outgoing.finish()
    };
    let listen = async move {
        // The client answers when it has heard something.
        let mut incoming = answer.begin().await?;
        while let Some(packet) = incoming.next::<Packet>().await? {
            match PacketKind::try_from(packet.kind) {
                Ok(PacketKind::Req) => {
                    if ask.send(Some(packet.id)).is_err() {
                        break;
                    }
                }
                Ok(PacketKind::Fin) => {
                    // If the reader has gone, it says why.
                    let _ = ask.send(None);
                    drop(ask);
                    return incoming.end().await;
                }
                Ok(PacketKind::Err) => {
                    let words = String::from_utf8_lossy(&packet.data).into_owned();
                    return Err(Status::new(
                        Code::Unknown,
                        format!("error from receiver: {words}"),
                    ));
                }
                _ => {
                    return Err(Status::new(
                        Code::Internal,
                        "the client sent what only a sender sends",
                    ));
                }
            }
        }
        Ok(())
    };
    let mut talk = std::pin::pin!(async { tokio::join!(speak, listen) });
    let fault = |_| Status::new(Code::Internal, "reading the result met a fault");
    let (read, (spoken, listened)) = tokio::select! {
        talked = &mut talk => (reader.await, talked),
        // A client may wait for what cannot be read.
        read = &mut reader => match read.map_err(fault)? {
            Err(status) => return Err(status),
            Ok(()) => (Ok(Ok(())), talk.await),
        },
    };
    read.map_err(fault)??;
    spoken?;
    listened
}

/// Names first, then the bytes of what is asked for, then the end.
fn read(
    from: &ImageTree,
    packets: &mpsc::Sender<Packet>,
    mut asked: mpsc::UnboundedReceiver<Option<u32>>,
) -> Result<(), Status> {
    let say = |packet: Packet| {
        let left = |_| Status::new(Code::Cancelled, "the client has left");
        packets.blocking_send(packet).map_err(left)
    };
    let root = from.path();
    let mut walk = Walk {
        root: root.clone().unwrap_or_default(),
        links: HashMap::new(),
        files: HashMap::new(),
        number: 0,
    };
    if root.is_some() {
        walk.directory("", &|packet| say(packet))?;
    }
    say(Packet { kind: PacketKind::Stat as i32, ..Packet::default() })?;
    while let Some(Some(id)) = asked.blocking_recv() {
        let unknown = || Status::new(Code::InvalidArgument, format!("invalid file id {id}"));
        let path = walk.files.remove(&id).ok_or_else(unknown)?;
        let failed = |error: io::Error| {
            Status::new(Code::Internal, format!("cannot read {path} of the result: {error}"))
        };
        let mut file = File::open(walk.root.join(&path)).map_err(failed)?;
        loop {
            let mut data = vec![0; PIECE];
            let length = file.read(&mut data).map_err(failed)?;
            data.truncate(length);
            let data = Bytes::from(data);
            say(Packet { kind: PacketKind::Data as i32, id, data, ..Packet::default() })?;
            if length == 0 {
                break;
            }
        }
    }
    say(Packet { kind: PacketKind::Fin as i32, ..Packet::default() })
}

struct Walk {
    root: PathBuf,
    /// Files of more than one name, by device and inode.
    links: HashMap<(u64, u64), String>,
    /// Files whose bytes may be asked for.
    files: HashMap<u32, String>,
    number: u32,
}

impl Walk {
    /// Everything below a directory, in the order of names.
    fn directory(
        &mut self,
        path: &str,
        say: &dyn Fn(Packet) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let failed = |error: io::Error| {
            Status::new(Code::Internal, format!("cannot list /{path} of the result: {error}"))
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(path)).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let words = || format!("{} is not UTF-8, which the client needs", name.display());
            names.push(
                name.to_str().ok_or_else(|| Status::new(Code::Unimplemented, words()))?.to_owned(),
            );
        }
        names.sort();
        for name in names {
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            let meta = fs::symlink_metadata(self.root.join(&path)).map_err(failed)?;
            let stat = self.stat(&path, &meta).map_err(failed)?;
            if meta.is_file() && stat.link.is_empty() {
                self.files.insert(self.number, path.clone());
            }
            self.number += 1;
            say(Packet { kind: PacketKind::Stat as i32, stat: Some(stat), ..Packet::default() })?;
            if meta.is_dir() {
                self.directory(&path, say)?;
            }
        }
        Ok(())
    }

    fn stat(&mut self, path: &str, meta: &Metadata) -> io::Result<Stat> {
        let kind = meta.file_type();
        let mut mode = meta.mode() & 0o777;
        for (go, unix) in [(1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000)] {
            if meta.mode() & unix != 0 {
                mode |= go;
            }
        }
        let mut link = String::new();
        if kind.is_dir() {
            mode |= 1 << 31;
        } else if kind.is_symlink() {
            mode |= 1 << 27;
            let target = fs::read_link(self.root.join(path))?;
            link = target.to_string_lossy().into_owned();
        } else if kind.is_fifo() {
            mode |= 1 << 25;
        } else if kind.is_char_device() {
            mode |= 1 << 26 | 1 << 21;
        } else if kind.is_block_device() {
            mode |= 1 << 26;
        } else if meta.nlink() > 1 {
            match self.links.get(&(meta.dev(), meta.ino())) {
                Some(first) => link.clone_from(first),
                None => {
                    self.links.insert((meta.dev(), meta.ino()), path.to_owned());
                }
            }
        }
        let device = |number: u32| i64::from(number);
        Ok(Stat {
            path: path.to_owned(),
            mode,
            uid: meta.uid(),
            gid: meta.gid(),
            size: i64::try_from(meta.size()).unwrap_or(i64::MAX),
            modified: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
            link,
            major: device(rustix::fs::major(meta.rdev())),
            minor: device(rustix::fs::minor(meta.rdev())),
            xattrs: HashMap::new(),
        })
    }
}
