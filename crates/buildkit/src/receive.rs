//! Files of a client, written into a directory.
//!
//! ```text
//!   client                         here
//!     | STAT, STAT, … STAT() ------> |  every file once, directories first;
//!     |                              |  the n-th has number n
//!     | <----------------- REQ n --- |  for each regular file that is not
//!     |                              |  here already, just as it is there
//!     | DATA n …, DATA n (empty) --> |  several at a time
//!     | <------------------- FIN --- |
//!     | FIN -----------------------> |
//! ```
//!
//! What becomes of them on the disk: [`writer`](crate::writer).
//!
//! Source: fsutil's `send.go` and `receive.go`.

use crate::grpc::{Code, Incoming, Outgoing, Status};
use crate::proto::{Packet, PacketKind};
use crate::writer::{Writer, bad, disk};
use rustix::fs::{Mode, OFlags};
use std::path::Path;
use tokio::sync::mpsc;

/// Packets between the connection and the disk.
const QUEUE: usize = 64;

/// Receives all that a client sends. `moved` is told how many bytes have come.
/// `owner` is what the directory belongs to: it is let go when nothing writes
/// there any more, which is later than this call's end if that is called off.
///
/// # Errors
/// The client breaks off or sends what is no file, or the disk fails.
pub async fn receive(
    mut incoming: Incoming,
    mut outgoing: Outgoing,
    into: &Path,
    owner: impl Send + 'static,
    mut moved: impl FnMut(u64),
) -> Result<(), Status> {
    let (packets, work) = mpsc::channel::<Packet>(QUEUE);
    let (ask, mut asked) = mpsc::unbounded_channel::<Packet>();
    let root =
        rustix::fs::open(into, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| disk("open the directory for", &into.display().to_string(), error))?;
    let mut writer = tokio::task::spawn_blocking(move || {
        let _owner = owner;
        Writer::new(root, ask)?.run(work)
    });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::client::connect;
    use crate::grpc::server::{end, serve};
    use crate::proto::Stat;
    use crate::writer::mode;
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
        (into(said, dir.path()).await, dir)
    }

    async fn into(said: Vec<Packet>, dir: &Path) -> Result<(), Status> {
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
        receive(incoming, call.outgoing, dir, (), |_| {}).await
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
    async fn a_name_is_one_thing_and_none_is_nested_too_deep() {
        let dir = tempfile::tempdir().expect("a directory");
        let kept = dir.path().join("kept");
        let mut file = stat("kept", 0o644);
        file.stat.as_mut().expect("a stat").size = 6;
        into(vec![file.clone(), last()], dir.path()).await.expect("kept for the next");
        // What is asked for becomes another name of a kept file, or a pipe
        // that nobody reads.
        for second in [link("new", 0o644, "kept"), stat("new", mode::PIPE | 0o644)] {
            let said = vec![file.clone(), stat("new", 0o644), second, last()];
            let error = into(said, dir.path()).await.expect_err("said twice");
            assert!(error.message.contains("the same name of the context twice"), "{error}");
            assert_eq!(std::fs::read_to_string(&kept).expect("kept"), "file 0");
        }
        let deep = |parts: usize| {
            let path = |n: usize| vec!["d"; n].join("/");
            let mut said: Vec<Packet> =
                (1..=parts).map(|n| stat(&path(n), mode::DIR | 0o755)).collect();
            said.push(last());
            said
        };
        into(deep(512), dir.path()).await.expect("just deep enough");
        let error = into(deep(513), dir.path()).await.expect_err("too deep");
        assert!(error.message.contains("more than 512 parts"), "{error}");
        into(vec![last()], dir.path()).await.expect("cleared");
        assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0);
    }

    #[test]
    fn a_transfer_that_is_called_off_keeps_its_directory_until_nothing_writes() {
        // The one thread for what blocks is taken: the writer has yet to begin.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .expect("threads");
        let (free, freed) = std::sync::mpsc::channel::<()>();
        runtime.spawn_blocking(move || freed.recv());
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a directory");
            let (near, far) = tokio::io::duplex(1 << 16);
            tokio::spawn(serve(far, |mut call| async move {
                let mut outgoing = call.begin().expect("begins");
                let _ = outgoing.send(&stat("a", 0o644)).await;
                std::future::pending::<()>().await;
            }));
            let (channel, connection) = connect(near).await.expect("speaks");
            tokio::spawn(connection);
            let call = channel.open("/x.Y/Z", &[]).await.expect("opens");
            let incoming = call.answer.begin().await.expect("answers");
            let owner = Arc::new(());
            let held = Arc::downgrade(&owner);
            let (begun, mut begins) = mpsc::unbounded_channel();
            let path = dir.path().to_owned();
            let receiving = tokio::spawn(async move {
                receive(incoming, call.outgoing, &path, owner, move |_| {
                    let _ = begun.send(());
                })
                .await
            });
            begins.recv().await.expect("the first packet");
            receiving.abort();
            assert!(receiving.await.is_err_and(|error| error.is_cancelled()));
            assert!(held.upgrade().is_some(), "the writer has yet to write");
            free.send(()).expect("the thread waits");
            // The one thread does one thing after the other.
            tokio::task::spawn_blocking(|| ()).await.expect("the last");
            assert!(held.upgrade().is_none(), "it goes with the writer");
        });
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
