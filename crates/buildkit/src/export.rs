//! What becomes of a result: an image with names, a directory or an archive
//! of the client's.

use crate::client::credentials;
use crate::control::blocking;
use crate::desk::{Build, Desk};
use crate::grpc::{Code, Outgoing, Status};
use crate::proto::{BytesMessage, Exporter, SolveRequest};
use crate::send::send;
use bytes::Bytes;
use engine::Archive;
use spec::Reference;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

const SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
/// Bytes in one message.
const PIECE: usize = 32 << 10;

/// Exports an image as it was asked for; gives what the client is told.
pub async fn export(
    desk: &Arc<Desk>,
    build: &Arc<Build>,
    request: &SolveRequest,
    id: &str,
) -> Result<HashMap<String, String>, Status> {
    let mut told = HashMap::new();
    for (at, exporter) in request.wanted().iter().enumerate() {
        let vertex = format!("sha256:{:063x}e", at + 1);
        let name = match exporter.kind.as_str() {
            "moby" | "image" => "exporting to image",
            "local" => "exporting to client directory",
            "tar" => "exporting to client tarball",
            "docker" => "exporting to docker image format",
            "oci" => "exporting to oci image format",
            other => {
                let words = format!("exporter {other:?} could not be found");
                return Err(Status::new(Code::Unimplemented, words));
            }
        };
        build.journal.announce(&vertex, name, &[]);
        build.journal.start(&vertex);
        let task = Task { desk, build, request, exporter, at, vertex: &vertex, id };
        let done = match exporter.kind.as_str() {
            "moby" | "image" => task.image().await,
            "local" => task.directory().await,
            "tar" => task.tar().await,
            _ => task.archive().await,
        };
        build.journal.finish(&vertex, done.as_ref().err().map(|error| error.message.as_str()));
        told.extend(done?);
    }
    Ok(told)
}

struct Task<'a> {
    desk: &'a Arc<Desk>,
    build: &'a Arc<Build>,
    request: &'a SolveRequest,
    exporter: &'a Exporter,
    at: usize,
    vertex: &'a str,
    id: &'a str,
}

type Told = HashMap<String, String>;

impl Task<'_> {
    /// The names that are asked for, written out.
    fn names(&self) -> Result<Vec<String>, Status> {
        let names = self.exporter.attrs.get("name").map(String::as_str).unwrap_or_default();
        let names = names.split(',').filter(|name| !name.is_empty());
        names
            .map(|name| {
                let wrong = |_| {
                    Status::new(Code::InvalidArgument, format!("invalid reference format: {name}"))
                };
                Ok(name.parse::<Reference>().map_err(wrong)?.to_string())
            })
            .collect()
    }

    fn told(&self, names: &[String]) -> Told {
        let mut told = HashMap::from([
            ("containerimage.digest".into(), self.id.to_owned()),
            ("containerimage.config.digest".into(), self.id.to_owned()),
        ]);
        if !names.is_empty() {
            told.insert("image.name".into(), names.join(","));
        }
        told
    }

    fn did(&self, part: &str) {
        self.build.journal.progress(self.vertex, part, (0, 0), true);
    }

    /// The builder has written it and given it its names.
    async fn image(&self) -> Result<Told, Status> {
        let names = self.names()?;
        self.did("exporting layers");
        self.did(&format!("writing image {}", self.id));
        for name in &names {
            self.did(&format!("naming to {name}"));
        }
        if self.exporter.attrs.get("push").is_some_and(|push| push == "true") {
            for name in &names {
                self.push(name).await?;
            }
        }
        Ok(self.told(&names))
    }

    /// Sends it to the registry of a name, as who the client is there.
    async fn push(&self, name: &str) -> Result<(), Status> {
        let session = self.desk.sessions.get(&self.request.session).await?;
        let (engine, handle) = (self.desk.engine.clone(), Handle::current());
        let (journal, vertex) = (Arc::clone(&self.build.journal), self.vertex.to_owned());
        let cancel = self.build.cancel.clone();
        let name = name.to_owned();
        blocking(move || {
            let reference: Reference =
                name.parse().map_err(|_| engine::Error::Invalid(format!("no name: {name}")))?;
            let credentials = credentials(&session, &handle, &cancel, reference.domain());
            engine.push(&name, "", &credentials, &mut |said| {
                if cancel.is_cancelled() {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                let of = said.id.as_deref().unwrap_or_default();
                let part = format!("pushing {of} {}", said.status);
                let bytes = said.bytes.unwrap_or_default();
                journal.progress(&vertex, &part, bytes, bytes.0 >= bytes.1);
                Ok(())
            })
        })
        .await
    }

    /// Opens the client's end.
    async fn open(&self) -> Result<crate::grpc::client::Opened, Status> {
        let session = self.desk.sessions.get(&self.request.session).await?;
        if !session.answers(SEND) {
            let words = format!("method {SEND} not supported by the client");
            return Err(Status::new(Code::Unknown, words));
        }
        let at = self.at.to_string();
        session.channel.open(SEND, &[("buildkit-attachable-exporter-id", &at)]).await
    }

    async fn directory(&self) -> Result<Told, Status> {
        let (engine, id) = (self.desk.engine.clone(), self.id.to_owned());
        let root = blocking(move || engine.image_tree(&id)).await?;
        let call = self.open().await?;
        send(call.answer, call.outgoing, root).await?;
        self.did("copying files");
        Ok(Told::new())
    }

    async fn tar(&self) -> Result<Told, Status> {
        let (engine, id) = (self.desk.engine.clone(), self.id.to_owned());
        let archive = blocking(move || engine.image_root(&id)).await?;
        self.stream(archive).await?;
        self.did("sending tarball");
        Ok(Told::new())
    }

    async fn archive(&self) -> Result<Told, Status> {
        if self.exporter.attrs.get("tar").is_some_and(|tar| tar == "false") {
            let words = "an image layout in a directory is not carried: say tar=true";
            return Err(Status::new(Code::Unimplemented, words));
        }
        let names = self.names()?;
        let (engine, id) = (self.desk.engine.clone(), self.id.to_owned());
        let wanted = names.clone();
        let archive = blocking(move || {
            for name in &wanted {
                engine.tag(&id, name, "")?;
            }
            if wanted.is_empty() { engine.save(&[id]) } else { engine.save(&wanted) }
        });
        self.stream(archive.await?).await?;
        self.did("sending tarball");
        Ok(self.told(&names))
    }

    /// Sends an archive as one file.
    async fn stream(&self, archive: Archive) -> Result<(), Status> {
        let mut call = self.open().await?;
        let (pieces, mut ready) = mpsc::channel(16);
        let writer = tokio::task::spawn_blocking(move || {
            let mut out = io::BufWriter::with_capacity(PIECE, Pieces(pieces));
            archive.write(&mut out)?;
            // The last piece; if nobody takes it, that is said elsewhere.
            let _ = out.flush();
            Ok::<(), engine::Error>(())
        });
        let spoken = speak(&mut call.outgoing, &mut ready).await;
        drop(ready);
        let fault = |_| Status::new(Code::Internal, "writing the archive met a fault");
        let written = writer.await.map_err(fault)?;
        spoken?;
        written.map_err(|error| Status::new(Code::Unknown, error.to_string()))?;
        call.outgoing.finish()?;
        let mut incoming = call.answer.begin().await?;
        while incoming.next::<BytesMessage>().await?.is_some() {}
        incoming.end().await
    }
}

async fn speak(outgoing: &mut Outgoing, ready: &mut mpsc::Receiver<Bytes>) -> Result<(), Status> {
    while let Some(data) = ready.recv().await {
        outgoing.send(&BytesMessage { data }).await?;
    }
    Ok(())
}

/// Bytes from a thread to a task.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(&bytes[..bytes.len().min(PIECE)]);
        let length = piece.len();
        self.0.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
