//! Client and program, connected: bytes one way, frames the other.

use crate::detach::{Keys, Scanner};
use crate::hijack::Input;
use crate::socket::Departure;
use crate::unpack::{Unpack, frame};
use bytes::Bytes;
use spec::wire::{Exit, Kind, Reply};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};

/// Bytes moved at a time.
const BUFFER: usize = 32 * 1024;
/// How long a client may take to close after the program has ended.
const LINGER: Duration = Duration::from_secs(10);

/// Frames on their way to a program: what a cancelled write leaves over is
/// still there to be sent.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Adds a frame; an empty one is the end of input.
    pub fn put(&mut self, payload: &[u8]) {
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
pub struct Talk {
    /// Whoever asked.
    pub client: UnixStream,
    /// A monitor's connection.
    pub program: UnixStream,
    /// Of the client.
    pub departure: Departure,
    /// What the monitor says.
    pub hearing: Hearing,
}

impl Talk {
    /// Copies until one side is done; `to_the_end` listens to the program
    /// even when the client has left. Returns the client if it has not.
    pub async fn run(
        mut self,
        early: Bytes,
        input: Option<Input>,
        to_the_end: bool,
    ) -> (Option<Exit>, Option<UnixStream>) {
        let mut outbox = Outbox::default();
        let closing = input.as_ref().is_some_and(|input| input.close);
        let end = self.copy(early, input, &mut outbox).await;
        match end {
            End::Program(exit) => (exit, Some(self.client)),
            End::Left | End::Silent if to_the_end => {
                // The watch holds the socket as well.
                drop((self.client, self.departure));
                if closing {
                    outbox.put(b"");
                }
                (hear_out(self.program, &mut outbox, &mut self.hearing).await, None)
            }
            End::Left | End::Silent => (None, None),
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
        let output = read_out(&mut listen, &mut tell, &mut self.hearing);
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
async fn read_out(
    listen: &mut ReadHalf<'_>,
    tell: &mut WriteHalf<'_>,
    hearing: &mut Hearing,
) -> End {
    let mut buffer = vec![0; BUFFER];
    let mut out = Vec::with_capacity(BUFFER);
    while let Heard::More = hearing.heard {
        let len = listen.read(&mut buffer).await.unwrap_or(0);
        hearing.take(&buffer[..len], &mut out);
        if tell.write_all(&out).await.is_err() {
            return End::Left;
        }
        out.clear();
    }
    End::Program(hearing.exit())
}

/// What a monitor has said so far. It outlives the client, so that an end
/// which was read while the client left is not lost.
pub struct Hearing {
    unpack: Unpack,
    heard: Heard,
}

/// Is there more to come?
#[derive(Clone, Debug)]
enum Heard {
    /// It goes on.
    More,
    /// It is over; without an exit if the monitor broke off.
    End(Option<Exit>),
}

impl Hearing {
    /// Nothing heard yet; `raw` output goes without frames.
    pub fn new(raw: bool) -> Self {
        Self { unpack: Unpack::new(raw), heard: Heard::More }
    }

    fn exit(&self) -> Option<Exit> {
        match &self.heard {
            Heard::End(exit) => exit.clone(),
            Heard::More => None,
        }
    }

    /// Takes what was read; nothing means that the monitor broke off.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if bytes.is_empty() {
            self.heard = Heard::End(None);
            return;
        }
        let replies = match self.unpack.feed(bytes, out) {
            Ok(replies) => replies,
            Err(error) => {
                tracing::error!(%error, "a monitor sent what it should not");
                self.heard = Heard::End(None);
                return;
            }
        };
        for reply in replies {
            match reply {
                Reply::Ended(exit) => self.heard = Heard::End(Some(exit)),
                Reply::Failed(_) => self.heard = Heard::End(None),
                Reply::Ok | Reply::State { .. } | Reply::Started { .. } | Reply::Log { .. } => {}
            }
        }
    }
}

/// Listens to a program whose client has left, until its end, and sends it
/// what is still to be sent.
pub async fn hear_out(
    mut program: UnixStream,
    outbox: &mut Outbox,
    hearing: &mut Hearing,
) -> Option<Exit> {
    let (mut listen, mut speak) = program.split();
    let mut buffer = vec![0; BUFFER];
    let mut ignored = Vec::new();
    let mut speaking = true;
    while let Heard::More = hearing.heard {
        tokio::select! {
            _ = outbox.flush(&mut speak), if speaking => speaking = false,
            len = listen.read(&mut buffer) => {
                hearing.take(&buffer[..len.unwrap_or(0)], &mut ignored);
                ignored.clear();
            }
        }
    }
    hearing.exit()
}

/// Ends our side and reads what the client still sends, until it closes or
/// has taken too long: to close with input unread would reset the connection,
/// and a client would report that instead of the program's end.
pub async fn say_goodbye(mut client: UnixStream) {
    if client.shutdown().await.is_err() {
        return;
    }
    let mut buffer = vec![0; 4096];
    let rest = async { while let Ok(1..) = client.read(&mut buffer).await {} };
    // Late or not, it is closed now.
    let _ = tokio::time::timeout(LINGER, rest).await;
}
