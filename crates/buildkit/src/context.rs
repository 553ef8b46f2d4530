//! What a build needs of its client before it begins: the Dockerfile, the
//! ignore file, the context, and contexts of other names.

use crate::check::Checks;
use crate::control::blocking;
use crate::desk::Desk;
use crate::grpc::{Code, Status};
use crate::journal::{Journal, range};
use crate::options::{Options, syntax};
use crate::proto::{Any, BytesMessage, SourceInfo};
use crate::receive::receive;
use crate::session::Session;
use crate::wants::{Wants, wants};
use base64::Engine as _;
use dockerfile::{Dockerfile, Ignore, Lines};
use engine::{BuildContext, BuildRoom, BuildWish, Cancel, Engine};
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::mpsc;

const SYNC: &str = "/moby.filesync.v1.FileSync/DiffCopy";
const UPLOAD: &str = "/moby.upload.v1.Upload/Pull";
/// Where a client's own upload is found, as it names it.
const UPLOADS: &str = "http://buildkit-session/";

/// Of these vertexes every build has one.
pub const DEFINITION: &str =
    "sha256:0000000000000000000000000000000000000000000000000000000000000001";
const IGNORE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000002";
const CONTEXT: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000003";

/// Everything that is needed, on this host.
pub struct Gathered {
    /// The wish, complete.
    pub wish: BuildWish,
    /// The build's room, with the context in it.
    pub room: Arc<BuildRoom>,
    /// Rooms of contexts of other names, held for the build's time.
    _others: Vec<Arc<BuildRoom>>,
    filename: String,
    file: Dockerfile,
}

/// The Dockerfile's text, to point at.
#[derive(Clone)]
pub struct Source {
    filename: String,
    text: String,
    /// Of every instruction.
    lines: Vec<Lines>,
}

impl Gathered {
    /// The text to point at.
    pub fn source(&self) -> Source {
        let stages = self.file.stages.iter();
        let lines = stages
            .flat_map(|stage| {
                std::iter::once(stage.lines).chain(stage.steps.iter().map(|s| s.lines))
            })
            .chain(self.file.args.iter().map(|step| step.lines))
            .collect();
        Source { filename: self.filename.clone(), text: self.wish.dockerfile.clone(), lines }
    }
}

impl Source {
    /// As messages carry it.
    pub fn info(&self) -> SourceInfo {
        SourceInfo {
            filename: self.filename.clone(),
            data: self.text.clone().into_bytes(),
            language: "Dockerfile".into(),
        }
    }

    /// A failure that shows its lines: clients print what stands there.
    pub fn failure(&self, message: &str, line: Option<usize>) -> Status {
        let mut status = Status::new(Code::Unknown, message);
        if let Some(first) = line {
            let known = self.lines.iter().find(|lines| lines.first == first).copied();
            status.details.push(self.detail(known.unwrap_or(Lines { first, last: first })));
        }
        status
    }

    /// `errdefs.Source`, which BuildKit writes in JSON.
    fn detail(&self, lines: Lines) -> Any {
        let range = range(lines);
        let line = |at: Option<crate::proto::Position>| at.map_or(0, |at| at.line);
        let json = serde_json::json!({
            "info": {
                "filename": self.filename,
                "data": base64::engine::general_purpose::STANDARD.encode(&self.text),
                "language": "Dockerfile",
            },
            "ranges": [{
                "start": { "line": line(range.start) },
                "end": { "line": line(range.end) },
            }],
        });
        Any {
            type_url: "github.com/moby/buildkit/errdefs.Source+json".into(),
            value: json.to_string().into_bytes(),
        }
    }
}

/// Fetches all of it.
pub async fn gather(
    desk: &Arc<Desk>,
    session: &Session,
    told: (&Arc<Journal>, &Cancel),
    options: &Options,
) -> Result<Gathered, Status> {
    let mut wish = options.wish.clone();
    let gatherer = Gatherer::new(desk, session, told, options);
    let (mut room, text, ignored) = gatherer.defined().await?;
    wish.dockerfile = text;
    let file = gatherer.parsed(&wish.dockerfile)?;
    gatherer.warn(&wish.dockerfile, &file)?;
    if options.remote.is_none() && !gatherer.context(&room, &file, ignored).await? {
        // What an earlier build was sent is not this one's context.
        room = self::room(&desk.engine).await?;
    }
    wish.context = Some(room.context());
    let others = gatherer.others(&mut wish).await?;
    Ok(Gathered { wish, room, _others: others, filename: options.filename.clone(), file })
}

/// Fetches the Dockerfile alone: its text, and what it says.
pub async fn definition(
    desk: &Arc<Desk>,
    session: &Session,
    told: (&Arc<Journal>, &Cancel),
    options: &Options,
) -> Result<(String, Dockerfile), Status> {
    let gatherer = Gatherer::new(desk, session, told, options);
    let (_room, text, _) = gatherer.defined().await?;
    let file = gatherer.parsed(&text)?;
    Ok((text, file))
}

async fn room(engine: &Engine) -> Result<Arc<BuildRoom>, Status> {
    let engine = engine.clone();
    blocking(move || engine.build_room().map(Arc::new)).await
}

/// A room, and a Dockerfile that came with it.
struct Remote {
    room: Arc<BuildRoom>,
    fetched: bool,
    text: Option<String>,
}

struct Gatherer<'a> {
    desk: &'a Arc<Desk>,
    session: &'a Session,
    journal: &'a Arc<Journal>,
    cancel: &'a Cancel,
    options: &'a Options,
}

impl<'a> Gatherer<'a> {
    fn new(
        desk: &'a Arc<Desk>,
        session: &'a Session,
        (journal, cancel): (&'a Arc<Journal>, &'a Cancel),
        options: &'a Options,
    ) -> Self {
        Self { desk, session, journal, cancel, options }
    }

    /// The room of the context, the Dockerfile's text, and its own ignore
    /// file if it has one.
    async fn defined(&self) -> Result<(Arc<BuildRoom>, String, Option<String>), Status> {
        let room = match self.options.remote {
            None => self.room_of(&self.options.context_key).await?,
            Some(_) => room(&self.desk.engine).await?,
        };
        let remote = self.remote(room).await?;
        self.definition(remote).await
    }

    fn source(&self, text: &str, lines: Vec<Lines>) -> Source {
        Source { filename: self.options.filename.clone(), text: text.to_owned(), lines }
    }

    fn parsed(&self, text: &str) -> Result<Dockerfile, Status> {
        let file = dockerfile::parse(text).map_err(|error| {
            let lines: Vec<Lines> = error.lines.into_iter().collect();
            let first = lines.first().map(|lines| lines.first);
            self.source(text, lines).failure(&error.to_string(), first)
        })?;
        if let Some(wanted) = &file.directives.syntax {
            syntax(wanted)?;
        }
        Ok(file)
    }

    /// Says what the author should know, unless that was not to be said; it
    /// may be the end.
    fn warn(&self, text: &str, file: &Dockerfile) -> Result<(), Status> {
        let said = self.options.check.as_deref().or(file.directives.check.as_deref());
        let wrong = |words| Status::new(Code::InvalidArgument, words);
        let checks = Checks::parse(said.unwrap_or_default()).map_err(wrong)?;
        let shown = checks.shown(&file.warnings);
        for warning in &shown {
            self.journal.warn(DEFINITION, warning, self.source(text, Vec::new()).info());
        }
        checks.ends(&shown).map_or(Ok(()), |words| Err(Status::new(Code::Unknown, words)))
    }

    /// The session of one of the client's directories.
    async fn session_of(&self, key: &str) -> Result<Session, Status> {
        match self.options.sessions.get(key) {
            Some(id) => self.desk.sessions.get(id).await,
            None => Ok(self.session.clone()),
        }
    }

    /// A room that holds what the client sent of the directory last time, if
    /// it tells which one it is.
    async fn room_of(&self, key: &str) -> Result<Arc<BuildRoom>, Status> {
        let session = self.session_of(key).await?;
        let Some(shared) = &session.shared else { return room(&self.desk.engine).await };
        let (engine, key) = (self.desk.engine.clone(), format!("{shared} {key}"));
        blocking(move || engine.build_room_of(&key).map(Arc::new)).await
    }

    /// A context that is not the client's directory.
    async fn remote(&self, room: Arc<BuildRoom>) -> Result<Remote, Status> {
        let Some(remote) = self.options.remote.clone() else {
            return Ok(Remote { room, fetched: false, text: None });
        };
        let name = format!("[internal] load remote build context {remote}");
        self.journal.announce(CONTEXT, &name, &[]);
        self.journal.start(CONTEXT);
        let fetched = self.fetch(room, &remote).await;
        self.journal.finish(CONTEXT, fetched.as_ref().err().map(|error| error.message.as_str()));
        let (room, text) = fetched?;
        Ok(Remote { room, fetched: true, text })
    }

    async fn fetch(
        &self,
        room: Arc<BuildRoom>,
        remote: &str,
    ) -> Result<(Arc<BuildRoom>, Option<String>), Status> {
        if let Some(path) = remote.strip_prefix(UPLOADS) {
            return Ok((self.upload(room, path).await?, None));
        }
        let (remote, cancel) = (remote.to_owned(), self.cancel.clone());
        let (session, handle) = (self.session.clone(), tokio::runtime::Handle::current());
        let fetched = tokio::task::spawn_blocking(move || {
            let secret = |id: &str| {
                let asked = handle.block_on(crate::client::secret(&session, id));
                asked.map_err(|status| status.message)
            };
            let text = room.fetch(&remote, &secret, &|| cancel.is_cancelled())?;
            Ok((room, text))
        });
        let fault = |_| Status::new(Code::Internal, "fetching the context met a fault");
        fetched.await.map_err(fault)?.map_err(|error: engine::BuildError| {
            Status::new(Code::Unknown, format!("failed to load remote context: {error}"))
        })
    }

    /// A tar archive that the client was given on its standard input.
    async fn upload(&self, room: Arc<BuildRoom>, path: &str) -> Result<Arc<BuildRoom>, Status> {
        let metadata = [("urlpath", path), ("urlhost", "buildkit-session")];
        let mut call = self.session.channel.open(UPLOAD, &metadata).await?;
        call.outgoing.finish()?;
        let mut incoming = call.answer.begin().await?;
        let (pieces, pipe) = mpsc::channel(16);
        let unpack = tokio::task::spawn_blocking(move || {
            room.unpack(&mut Pipe { pieces: pipe, piece: bytes::Bytes::new() })?;
            Ok::<_, engine::Error>(room)
        });
        while let Some(message) = incoming.next::<BytesMessage>().await? {
            if pieces.send(Ok(message.data)).await.is_err() {
                // The archive has ended, or is none, which is said below.
                break;
            }
        }
        drop(pieces);
        let fault = |_| Status::new(Code::Internal, "unpacking the context met a fault");
        let unpacked = unpack.await.map_err(fault)?;
        unpacked.map_err(|error| Status::new(Code::Unknown, error.to_string()))
    }

    /// The Dockerfile's text, and its own ignore file if it has one.
    async fn definition(
        &self,
        remote: Remote,
    ) -> Result<(Arc<BuildRoom>, String, Option<String>), Status> {
        let filename = self.options.filename.as_str();
        let name = format!("[internal] load build definition from {filename}");
        self.journal.announce(DEFINITION, &name, &[]);
        self.journal.start(DEFINITION);
        let read = async {
            if let Some(text) = remote.text {
                return Ok((text, None));
            }
            let own = format!("{filename}.dockerignore");
            if remote.fetched {
                return Ok((text_of(&remote.room, filename)?, None));
            }
            let place = room(&self.desk.engine).await?;
            let mut names = vec![filename, own.as_str()];
            if filename == "Dockerfile" {
                names.push("dockerfile");
            }
            let asked = Asked { key: &self.options.dockerfile_key, follow: &names, exclude: &[] };
            let what = ("transferring dockerfile:", DEFINITION);
            self.sync(&asked, &place, what).await.map_err(|status| {
                let message = format!("failed to read dockerfile: {}", status.message);
                Status { message, ..status }
            })?;
            let ignored = place.text(&own).map_err(failed)?;
            Ok((text_of(&place, filename)?, ignored))
        };
        let read: Result<_, Status> = read.await;
        self.journal.finish(DEFINITION, read.as_ref().err().map(|error| error.message.as_str()));
        let (text, ignored) = read?;
        Ok((remote.room, text, ignored))
    }

    /// The client's directory, as far as it is wanted; whether it is at all.
    async fn context(
        &self,
        room: &Arc<BuildRoom>,
        file: &Dockerfile,
        ignored: Option<String>,
    ) -> Result<bool, Status> {
        let engine = self.desk.engine.clone();
        let file_ = file.clone();
        let wanted = blocking(move || {
            // An image that is not here may have instructions for its users.
            let triggers = |base: &str| {
                let image = engine.image(base);
                image.map_or(true, |image| image.config.on_build.is_some_and(|on| !on.is_empty()))
            };
            Ok(wants(&file_, &triggers))
        })
        .await?;
        if wanted.is_nothing() {
            return Ok(false);
        }
        let key = self.options.context_key.as_str();
        let exclude = match ignored {
            Some(text) => Ignore::lines(&text),
            None => self.ignore_file(key, "[internal] load .dockerignore", IGNORE).await?,
        };
        self.journal.announce(CONTEXT, "[internal] load build context", &[]);
        self.journal.start(CONTEXT);
        let follow: Vec<&str> = match &wanted {
            Wants::All => Vec::new(),
            Wants::Some(paths) => paths.iter().map(String::as_str).collect(),
        };
        let asked = Asked { key, follow: &follow, exclude: &exclude };
        let synced = self.sync(&asked, room, ("transferring context:", CONTEXT)).await;
        self.journal.finish(CONTEXT, synced.as_ref().err().map(|error| error.message.as_str()));
        synced.map(|()| true)
    }

    /// The patterns of a directory's ignore file.
    async fn ignore_file(
        &self,
        key: &str,
        name: &str,
        vertex: &str,
    ) -> Result<Vec<String>, Status> {
        self.journal.announce(vertex, name, &[]);
        self.journal.start(vertex);
        let read = async {
            let place = room(&self.desk.engine).await?;
            let asked = Asked { key, follow: &[".dockerignore"], exclude: &[] };
            let what = format!("transferring {key}:");
            self.sync(&asked, &place, (&what, vertex)).await?;
            let text = place.text(".dockerignore").map_err(failed)?;
            Ok(Ignore::lines(&text.unwrap_or_default()))
        };
        let read: Result<Vec<String>, Status> = read.await;
        self.journal.finish(vertex, read.as_ref().err().map(|error| error.message.as_str()));
        read
    }

    /// `--build-context`.
    async fn others(&self, wish: &mut BuildWish) -> Result<Vec<Arc<BuildRoom>>, Status> {
        let mut rooms = Vec::new();
        for (at, (name, value)) in self.options.contexts.iter().enumerate() {
            if let Some(image) = value.strip_prefix("docker-image://") {
                wish.contexts.insert(name.clone(), BuildContext::Image(image.into()));
                continue;
            }
            let vertex = |part: usize| format!("sha256:{:063x}{part}", at + 0x1000);
            let mut place = match value.strip_prefix("local:") {
                Some(key) => self.room_of(key).await?,
                None => room(&self.desk.engine).await?,
            };
            if let Some(key) = value.strip_prefix("local:") {
                let ignore = format!("[context {name}] load .dockerignore");
                let exclude = self.ignore_file(key, &ignore, &vertex(0)).await?;
                let id = vertex(1);
                self.journal.announce(&id, &format!("[context {name}] load from client"), &[]);
                self.journal.start(&id);
                let asked = Asked { key, follow: &[], exclude: &exclude };
                let what = format!("transferring {name}:");
                let synced = self.sync(&asked, &place, (&what, &id)).await;
                self.journal.finish(&id, synced.as_ref().err().map(|error| error.message.as_str()));
                synced?;
            } else if value.starts_with("oci-layout:") || value.starts_with("input:") {
                let words =
                    format!("the build context {name}={value} is not carried by this engine");
                return Err(Status::new(Code::Unimplemented, words));
            } else {
                let (fetched, text) = self.fetch(place, value).await?;
                if text.is_some() {
                    let words = format!("the build context {name}={value} is no archive");
                    return Err(Status::new(Code::InvalidArgument, words));
                }
                place = fetched;
            }
            wish.contexts.insert(name.clone(), BuildContext::Dir(place.context()));
            rooms.push(place);
        }
        Ok(rooms)
    }

    /// Receives files of one of the client's directories.
    async fn sync(
        &self,
        asked: &Asked<'_>,
        into: &Arc<BuildRoom>,
        (what, vertex): (&str, &str),
    ) -> Result<(), Status> {
        let session = self.session_of(asked.key).await?;
        if !session.answers(SYNC) {
            return Err(Status::new(Code::Unknown, "no local sources enabled"));
        }
        let mut metadata = vec![("dir-name", asked.key.to_owned())];
        metadata.extend(encoded("exclude-patterns", "exclude-patterns-encoded", asked.exclude));
        metadata.extend(encoded("followpaths", "followpaths-encoded", asked.follow));
        let metadata: Vec<(&'static str, &str)> =
            metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let call = session.channel.open(SYNC, &metadata).await?;
        let incoming = call.answer.begin().await?;
        let mut said = 0;
        let mut bytes = 0;
        let path = into.context();
        let owner = Arc::clone(into);
        let received = receive(incoming, call.outgoing, &path, owner, |moved| {
            bytes = moved;
            // A hundred lines are enough for a large context.
            if moved >= said {
                said = moved + (moved / 64).max(1 << 16);
                self.journal.progress(vertex, what, (moved, 0), false);
            }
        });
        received.await?;
        self.journal.progress(vertex, what, (bytes, 0), true);
        Ok(())
    }
}

/// What is asked of a directory.
struct Asked<'a> {
    key: &'a str,
    follow: &'a [&'a str],
    exclude: &'a [String],
}

/// Values of one name. Headers are ASCII: if a value is not, all are written
/// as in a query, which is said beside them.
fn encoded<T: AsRef<str>>(
    name: &'static str,
    marker: &'static str,
    values: &[T],
) -> Vec<(&'static str, String)> {
    let plain = |value: &str| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if values.iter().all(|value| plain(value.as_ref())) {
        return values.iter().map(|value| (name, value.as_ref().to_owned())).collect();
    }
    let query = |value: &str| {
        value
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(byte).to_string()
                }
                b' ' => "+".into(),
                byte => format!("%{byte:02X}"),
            })
            .collect::<String>()
    };
    let mut all: Vec<(&'static str, String)> =
        values.iter().map(|value| (name, query(value.as_ref()))).collect();
    all.push((marker, "1".into()));
    all
}

fn text_of(room: &BuildRoom, filename: &str) -> Result<String, Status> {
    let found = room.text(filename).map_err(failed)?;
    let lower = || match filename {
        "Dockerfile" => room.text("dockerfile").map_err(failed),
        _ => Ok(None),
    };
    let missing = || {
        let words =
            format!("failed to read dockerfile: open {filename}: no such file or directory");
        Status::new(Code::Unknown, words)
    };
    match found {
        Some(text) => Ok(text),
        None => lower()?.ok_or_else(missing),
    }
}

fn failed(error: engine::BuildError) -> Status {
    Status::new(Code::Unknown, error.message)
}

/// Bytes from a task to a thread.
struct Pipe {
    pieces: mpsc::Receiver<io::Result<bytes::Bytes>>,
    piece: bytes::Bytes,
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let length = out.len().min(self.piece.len());
        out[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}
