//! A connection that has stopped being HTTP: `attach` and `exec`.
//!
//! ```text
//!   client                    here                        monitor
//!     | POST …/attach --------> |                             |
//!     | <-- 101 UPGRADED (200)  |                             |
//!     | <-- the log so far      | (logs=1)                    |
//!     |                         | <-- a connection, when the program starts
//!     | bytes ----------------> | Stdin frames -------------> |
//!     | half-close -----------> | empty Stdin frame --------> |
//!     | <-------- frames, bytes | <---- output frames --------|
//!     |                         | <---- Control: Ended -------|
//!     | <----------------- end  |                             |
//! ```
//!
//! A client leaves by closing or by typing the detach keys; the program never
//! notices. An exec session is read to its end even then, since its exit code
//! comes on the same connection.

use crate::detach::{Keys, Scanner};
use crate::socket::Departure;
use crate::unpack::{Unpack, frame};
use bytes::Bytes;
use spec::wire::{Exit, Kind, Reply};
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};

/// Bytes moved at a time.
const BUFFER: usize = 32 * 1024;
/// How long a client may take to close after the program has ended.
const LINGER: Duration = Duration::from_secs(10);

/// What is to become of the connection.
pub struct Hijack {
    /// Status line and headers, with the empty line.
    pub head: String,
    /// What was said before, to be sent first.
    pub replay: Option<mpsc::Receiver<io::Result<Bytes>>>,
    /// The program's streams.
    pub program: Program,
    /// How the client's input is treated, if it sends any.
    pub input: Option<Input>,
    /// The client has a terminal: payload without frames.
    pub raw: bool,
    /// Told how it ended; the program is then listened to until its end,
    /// whatever the client does.
    pub ended: Option<Ended>,
}

/// Told how an exec session ended; `None` if its monitor broke off.
pub type Ended = Box<dyn FnOnce(Option<Exit>) + Send>;

/// Where a program's streams come from.
pub enum Program {
    /// The connection comes when the program starts; or never, if the sender
    /// goes.
    Awaited(oneshot::Receiver<StdStream>),
    /// It could not be started; the client is told so in its stream.
    Failed(String),
    /// None was asked for.
    Unwanted,
}

/// How input is treated.
#[derive(Clone, Debug)]
pub struct Input {
    /// The end of the client's input is the end of the program's; otherwise
    /// it is the end of the session.
    pub close: bool,
    /// What leaves a terminal.
    pub keys: Option<Keys>,
}

impl fmt::Debug for Hijack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hijack").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Hijack {
    /// Serves the connection to its end. `early` is what the client sent
    /// right behind its request.
    pub async fn serve(mut self, mut client: UnixStream, early: Bytes) {
        let Ok(departure) = Departure::of(&client) else { return self.abandon().await };
        if !self.greet(&mut client).await {
            return self.abandon().await;
        }
        let program = tokio::select! {
            program = self.program.connect() => program,
            () = departure.wait() => None,
        };
        if let Some(program) = program {
            let talk = Talk { client, program, departure, unpack: Unpack::new(self.raw) };
            let exit = talk.run(early, self.input, self.ended.is_some()).await;
            if let Some(ended) = self.ended {
                ended(exit);
            }
        }
    }

    /// The client is gone before it was served.
    pub async fn abandon(mut self) {
        if let Some(ended) = self.ended {
            let exit = match self.program.connect().await {
                Some(program) => {
                    hear_out(program, &mut Outbox::default(), &mut Unpack::new(true)).await
                }
                None => None,
            };
            ended(exit);
        }
    }

    /// Sends the head and what goes before the program's own streams.
    async fn greet(&mut self, client: &mut UnixStream) -> bool {
        if client.write_all(self.head.as_bytes()).await.is_err() {
            return false;
        }
        if let Some(mut replay) = self.replay.take() {
            while let Some(Ok(piece)) = replay.recv().await {
                if client.write_all(&piece).await.is_err() {
                    return false;
                }
            }
        }
        if let Program::Failed(message) = &self.program {
            let line = format!("{message}\r\n").into_bytes();
            let bytes = if self.raw { line } else { frame(Kind::Stdout, &line) };
            return client.write_all(&bytes).await.is_ok();
        }
        true
    }
}

impl Program {
    async fn connect(&mut self) -> Option<UnixStream> {
        let Self::Awaited(program) = self else { return None };
        let program = program.await.ok()?;
        program.set_nonblocking(true).ok()?;
        UnixStream::from_std(program).ok()
    }
}

/// Frames on their way to a program: what a cancelled write leaves over is
/// still there to be sent.
#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    fn put(&mut self, payload: &[u8]) {
        self.bytes.extend_from_slice(&frame(Kind::Stdin, payload));
    }

    async fn flush(&mut self, speak: &mut WriteHalf<'_>) -> io::Result<()> {
        while self.sent < self.bytes.len() {
            self.sent += speak.write(&self.bytes[self.sent..]).await?;
        }
        *self = Self::default();
        Ok(())
    }
}

/// Why a direction has come to its end.
enum End {
    /// The program has ended, or its monitor broke off.
    Program(Option<Exit>),
    /// The client says no more.
    Silent,
    /// The client has left, or wants to.
    Left,
}

/// Client and program, connected.
struct Talk {
    client: UnixStream,
    program: UnixStream,
    departure: Departure,
    unpack: Unpack,
}

impl Talk {
    async fn run(mut self, early: Bytes, input: Option<Input>, to_the_end: bool) -> Option<Exit> {
        let mut outbox = Outbox::default();
        let end = self.copy(early, input, &mut outbox).await;
        match end {
            End::Program(exit) => {
                let _ = tokio::time::timeout(LINGER, say_goodbye(self.client)).await;
                exit
            }
            End::Left | End::Silent if to_the_end => {
                drop(self.client);
                hear_out(self.program, &mut outbox, &mut self.unpack).await
            }
            End::Left | End::Silent => None,
        }
    }

    /// Copies both ways until one side is done.
    async fn copy(&mut self, early: Bytes, input: Option<Input>, outbox: &mut Outbox) -> End {
        let (hear, mut tell) = self.client.split();
        let (mut listen, mut speak) = self.program.split();
        let closing = input.as_ref().is_some_and(|input| input.close);
        let mut typing = input.is_some();
        let input = async {
            match input {
                Some(input) => type_in(early, hear, &mut speak, input, outbox).await,
                None => End::Silent,
            }
        };
        let output = read_out(&mut listen, &mut tell, &mut self.unpack);
        tokio::pin!(input, output);
        loop {
            tokio::select! {
                end = &mut output => return end,
                end = &mut input, if typing => match end {
                    End::Silent if closing => typing = false,
                    // Its program takes no more: its output still counts.
                    End::Program(_) => typing = false,
                    end => return end,
                },
                () = self.departure.wait() => return End::Left,
            }
        }
    }
}

/// Client to program.
async fn type_in(
    early: Bytes,
    mut hear: ReadHalf<'_>,
    speak: &mut WriteHalf<'_>,
    input: Input,
    outbox: &mut Outbox,
) -> End {
    let mut scanner: Option<Scanner> = input.keys.map(Keys::scanner);
    let mut buffer = vec![0; BUFFER];
    let mut piece = early.to_vec();
    loop {
        let mut detach = false;
        if let Some(scanner) = &mut scanner {
            let scan = scanner.scan(&piece);
            (piece, detach) = (scan.typed, scan.detach);
        }
        // An empty frame would be the end of input.
        if !piece.is_empty() {
            outbox.put(&piece);
        }
        if outbox.flush(speak).await.is_err() {
            return End::Program(None);
        }
        if detach {
            return End::Left;
        }
        match hear.read(&mut buffer).await {
            Ok(0) => break,
            Ok(len) => piece = buffer[..len].to_vec(),
            Err(_) => return End::Left,
        }
    }
    let rest = scanner.map(|mut scanner| scanner.rest()).unwrap_or_default();
    if !rest.is_empty() {
        outbox.put(&rest);
    }
    if input.close {
        outbox.put(b"");
    }
    match outbox.flush(speak).await {
        Ok(()) => End::Silent,
        Err(_) => End::Program(None),
    }
}

/// Program to client.
async fn read_out(listen: &mut ReadHalf<'_>, tell: &mut WriteHalf<'_>, unpack: &mut Unpack) -> End {
    let mut buffer = vec![0; BUFFER];
    let mut out = Vec::with_capacity(BUFFER);
    loop {
        let len = listen.read(&mut buffer).await.unwrap_or(0);
        if len == 0 {
            return End::Program(None);
        }
        let heard = heard(unpack.feed(&buffer[..len], &mut out));
        if tell.write_all(&out).await.is_err() {
            return End::Left;
        }
        out.clear();
        if let Heard::End(exit) = heard {
            return End::Program(exit);
        }
    }
}

/// What a monitor's replies mean for a session.
enum Heard {
    /// It goes on.
    More,
    /// It is over.
    End(Option<Exit>),
}

fn heard(replies: Result<Vec<Reply>, crate::unpack::Malformed>) -> Heard {
    let replies = match replies {
        Ok(replies) => replies,
        Err(error) => {
            tracing::error!(%error, "a monitor sent what it should not");
            return Heard::End(None);
        }
    };
    for reply in replies {
        match reply {
            Reply::Ended(exit) => return Heard::End(Some(exit)),
            Reply::Failed(_) => return Heard::End(None),
            Reply::Ok | Reply::State { .. } | Reply::Started { .. } => {}
        }
    }
    Heard::More
}

/// Listens to a program whose client has left, until its end. Its standard
/// input ends with that client.
async fn hear_out(
    mut program: UnixStream,
    outbox: &mut Outbox,
    unpack: &mut Unpack,
) -> Option<Exit> {
    let (mut listen, mut speak) = program.split();
    outbox.put(b"");
    let mut buffer = vec![0; BUFFER];
    let mut ignored = Vec::new();
    let mut speaking = true;
    loop {
        tokio::select! {
            _ = outbox.flush(&mut speak), if speaking => speaking = false,
            len = listen.read(&mut buffer) => {
                let len = len.unwrap_or(0);
                if len == 0 {
                    return None;
                }
                if let Heard::End(exit) = heard(unpack.feed(&buffer[..len], &mut ignored)) {
                    return exit;
                }
                ignored.clear();
            }
        }
    }
}

/// Ends our side and reads what the client still sends, until it closes: to
/// close with input unread would reset the connection, and a client would
/// report that instead of the program's end.
async fn say_goodbye(mut client: UnixStream) {
    if client.shutdown().await.is_err() {
        return;
    }
    let mut buffer = vec![0; 4096];
    while let Ok(1..) = client.read(&mut buffer).await {}
}
