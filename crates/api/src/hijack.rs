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

use crate::detach::Keys;
use crate::socket::Departure;
use crate::talk::{Hearing, Outbox, Talk, hear_out, say_goodbye};
use crate::unpack::frame;
use crate::websocket;
use bytes::Bytes;
use spec::wire::{Exit, Kind};
use std::fmt;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

/// Milliseconds that a client may take to read the head of a response.
const HEAD_PATIENCE: u32 = 100;

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
    /// The client speaks in frames, of a WebSocket.
    pub framed: bool,
    /// Told how it ended, before the client sees the end; the program is
    /// listened to until then, whatever the client does. May block.
    pub ended: Option<Ended>,
}

/// Told how an exec session ended; `None` if its monitor broke off.
pub type Ended = Box<dyn FnOnce(Option<Exit>) + Send>;

/// Where a program's streams come from.
pub enum Program {
    /// The connection comes when the program starts; or never, if the sender
    /// goes.
    Awaited(oneshot::Receiver<StdStream>),
    /// It is started when the client has its head, as clients expect: some
    /// read the head through a buffer and lose what comes with it. Why it
    /// cannot is told in the stream. May block.
    Start(Box<dyn FnOnce() -> Result<Option<StdStream>, String> + Send>),
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
    pub async fn serve(mut self, mut client: UnixStream, mut early: Bytes) {
        if self.framed {
            let head = std::mem::take(&mut self.head);
            if client.write_all(head.as_bytes()).await.is_err() {
                return self.abandon().await;
            }
            let Ok(unframed) = websocket::unframed(client, std::mem::take(&mut early)) else {
                return self.abandon().await;
            };
            client = unframed;
        }
        let Ok(departure) = Departure::of(&client) else { return self.abandon().await };
        if !self.greet(&mut client).await {
            return self.abandon().await;
        }
        let awaited = matches!(self.program, Program::Awaited(_));
        let program = tokio::select! {
            biased;
            program = self.program.connect() => program,
            // A start that has begun is not given up.
            () = departure.wait(), if awaited => return self.abandon().await,
        };
        has_read(&client).await;
        let (exit, client) = match program {
            Ok(Some(program)) => {
                let hearing = Hearing::new(self.raw);
                let talk = Talk { client, program, departure, hearing };
                talk.run(early, self.input, self.ended.is_some()).await
            }
            Ok(None) => (None, Some(client)),
            Err(why) => {
                let line = format!("{why}\r\n").into_bytes();
                let bytes = if self.raw { line } else { frame(Kind::Stdout, &line) };
                // If the client has left, there is nobody to tell.
                let _ = client.write_all(&bytes).await;
                say_goodbye(client).await;
                return;
            }
        };
        // Before the client sees the end: its next question is how it ended.
        if let Some(ended) = self.ended {
            tell(ended, exit).await;
        }
        if let Some(client) = client {
            say_goodbye(client).await;
        }
    }

    /// The client is gone before it was served.
    pub async fn abandon(mut self) {
        if let Some(ended) = self.ended {
            let exit = match self.program.connect().await {
                Ok(Some(program)) => {
                    let mut outbox = Outbox::default();
                    if self.input.is_some_and(|input| input.close) {
                        outbox.put(b"");
                    }
                    hear_out(program, &mut outbox, &mut Hearing::new(true)).await
                }
                Ok(None) => None,
                // It never began, and there is nobody to tell why.
                Err(_) => return,
            };
            tell(ended, exit).await;
        }
    }

    /// Sends the head and what goes before the program's own streams.
    async fn greet(&mut self, client: &mut UnixStream) -> bool {
        if client.write_all(self.head.as_bytes()).await.is_err() {
            return false;
        }
        if let Some(mut replay) = self.replay.take() {
            has_read(client).await;
            while let Some(Ok(piece)) = replay.recv().await {
                if client.write_all(&piece).await.is_err() {
                    return false;
                }
            }
        }
        true
    }
}

/// Waits, within a bound, until the client has taken what it was sent: some
/// clients read the head of a response through a buffer, then go on with the
/// bare socket and lose what the buffer holds beyond it.
async fn has_read(client: &UnixStream) {
    for _ in 0..HEAD_PATIENCE {
        if sys::socket::unread(client.as_fd()).is_ok_and(|bytes| bytes == 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// On a thread of its own, since the engine may have to wait.
async fn tell(ended: Ended, exit: Option<Exit>) {
    if tokio::task::spawn_blocking(move || ended(exit)).await.is_err() {
        tracing::error!("the end of an exec session could not be told");
    }
}

impl Program {
    async fn connect(&mut self) -> Result<Option<UnixStream>, String> {
        let program = match self {
            Self::Awaited(program) => program.await.ok(),
            Self::Start(_) => {
                let Self::Start(start) = std::mem::replace(self, Self::Unwanted) else {
                    return Ok(None);
                };
                let started = tokio::task::spawn_blocking(start).await;
                started.unwrap_or_else(|_| Err("the start met a fault in the engine".into()))?
            }
            Self::Unwanted => None,
        };
        let Some(program) = program else { return Ok(None) };
        let ours = program.set_nonblocking(true).and_then(|()| UnixStream::from_std(program));
        ours.map(Some).map_err(|error| format!("cannot reach the program: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::wire::{Frame, Reply};
    use tokio::io::AsyncReadExt as _;

    const BOUND: Duration = Duration::from_secs(10);
    const HEAD: &str = "HTTP/1.1 101 UPGRADED\r\n\r\n";

    /// A served session, with the test at both of its ends.
    struct Session {
        client: UnixStream,
        monitor: UnixStream,
        exit: oneshot::Receiver<Option<Exit>>,
    }

    /// How the session is to be.
    #[derive(Clone, Copy, Default)]
    struct Kit {
        raw: bool,
        close: bool,
        exec: bool,
        early: &'static [u8],
    }

    async fn session(kit: Kit) -> Session {
        let (mut client, ours) = UnixStream::pair().expect("socketpair");
        let (monitor, program) = UnixStream::pair().expect("socketpair");
        let (deliver, awaited) = oneshot::channel();
        let program = program.into_std().expect("a stream");
        deliver.send(program).expect("the receiver is here");
        let (tell, exit) = oneshot::channel();
        let ended: Ended = Box::new(move |exit| {
            let _ = tell.send(exit);
        });
        let hijack = Hijack {
            framed: false,
            head: HEAD.into(),
            replay: None,
            program: Program::Awaited(awaited),
            input: Some(Input { close: kit.close, keys: kit.raw.then(Keys::default) }),
            raw: kit.raw,
            ended: kit.exec.then_some(ended),
        };
        tokio::spawn(hijack.serve(ours, Bytes::from_static(kit.early)));
        let mut head = vec![0; HEAD.len()];
        client.read_exact(&mut head).await.expect("the head");
        assert_eq!(head, HEAD.as_bytes());
        Session { client, monitor, exit }
    }

    impl Session {
        /// The next frame that reaches the program; `None` when its end is
        /// closed.
        async fn typed(&mut self) -> Option<Vec<u8>> {
            let mut header = [0; 8];
            let read = self.monitor.read_exact(&mut header);
            tokio::time::timeout(BOUND, read).await.expect("in time").ok()?;
            let frame = Frame::from_bytes(header).expect("a frame");
            assert_eq!(frame.kind, Kind::Stdin);
            let mut payload = vec![0; frame.len as usize];
            self.monitor.read_exact(&mut payload).await.expect("its payload");
            Some(payload)
        }

        async fn says(&mut self, kind: Kind, payload: &[u8]) {
            self.monitor.write_all(&frame(kind, payload)).await.expect("written");
        }

        async fn ends(&mut self, code: u8) {
            let ended = Reply::Ended(Exit { code, oom: false, at: 1, dropped: 0 });
            self.says(Kind::Control, &serde_json::to_vec(&ended).expect("json")).await;
        }

        /// All that the client still gets.
        async fn read(&mut self) -> Vec<u8> {
            let mut all = Vec::new();
            let read = self.client.read_to_end(&mut all);
            tokio::time::timeout(BOUND, read).await.expect("in time").expect("no reset");
            all
        }
    }

    #[tokio::test]
    async fn what_was_sent_with_the_request_is_typed_first() {
        let mut session = session(Kit { close: true, early: b"early ", ..Kit::default() }).await;
        assert_eq!(session.typed().await.expect("a frame"), b"early ");
        session.client.write_all(b"bird").await.expect("written");
        assert_eq!(session.typed().await.expect("a frame"), b"bird");
    }

    #[tokio::test]
    async fn a_half_close_is_the_end_of_input_and_output_goes_on() {
        let mut session = session(Kit { close: true, ..Kit::default() }).await;
        session.client.shutdown().await.expect("half-closed");
        assert_eq!(session.typed().await.expect("a frame"), b"");
        session.says(Kind::Stdout, b"after").await;
        session.ends(0).await;
        assert_eq!(session.read().await, frame(Kind::Stdout, b"after"));
    }

    #[tokio::test]
    async fn a_half_close_leaves_a_program_whose_input_stays_open() {
        let mut session = session(Kit::default()).await;
        session.client.shutdown().await.expect("half-closed");
        assert_eq!(session.typed().await, None, "the connection is closed, the input is not");
        assert_eq!(session.read().await, b"");
    }

    #[tokio::test]
    async fn the_detach_keys_leave_and_are_not_typed() {
        let mut session = session(Kit { raw: true, ..Kit::default() }).await;
        session.client.write_all(b"ls\x10\x11").await.expect("written");
        assert_eq!(session.typed().await.expect("a frame"), b"ls");
        assert_eq!(session.typed().await, None);
        assert_eq!(session.read().await, b"");
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_missed_only_by_its_connection() {
        let mut session = session(Kit { close: true, ..Kit::default() }).await;
        drop(std::mem::replace(&mut session.client, UnixStream::pair().expect("pair").0));
        // Its input ends; nothing else is said.
        let mut said = Vec::new();
        while let Some(payload) = session.typed().await {
            said.extend(payload);
        }
        assert_eq!(said, b"");
    }

    #[tokio::test]
    async fn an_exec_session_is_heard_to_its_end_without_its_client() {
        let mut session = session(Kit { close: true, exec: true, ..Kit::default() }).await;
        session.says(Kind::Stdout, b"lost").await;
        drop(std::mem::replace(&mut session.client, UnixStream::pair().expect("pair").0));
        session.says(Kind::Stdout, b"unheard").await;
        session.ends(7).await;
        let exit = tokio::time::timeout(BOUND, &mut session.exit).await.expect("in time");
        assert_eq!(exit.expect("told").map(|exit| exit.code), Some(7));
    }

    #[tokio::test]
    async fn a_terminal_that_is_left_stays_open() {
        let mut session = session(Kit { raw: true, exec: true, ..Kit::default() }).await;
        session.client.write_all(b"\x10\x11").await.expect("written");
        assert_eq!(session.read().await, b"");
        session.ends(0).await;
        assert_eq!(session.typed().await, None, "not even an end was typed");
    }

    #[tokio::test]
    async fn the_end_is_known_before_the_client_sees_it() {
        let mut session = session(Kit { close: true, exec: true, ..Kit::default() }).await;
        session.ends(3).await;
        assert_eq!(session.read().await, b"");
        let exit = session.exit.try_recv().expect("told by now");
        assert_eq!(exit.map(|exit| exit.code), Some(3));
    }

    #[tokio::test]
    async fn a_program_that_ends_with_input_unread_resets_nobody() {
        let mut session = session(Kit { close: true, ..Kit::default() }).await;
        // More than any buffer holds, so that some is still unread.
        let (hear, mut type_on) = session.client.into_split();
        let typist = tokio::spawn(async move {
            let _ = type_on.write_all(&vec![b'y'; 8 << 20]).await;
            type_on
        });
        session.monitor.write_all(&frame(Kind::Stdout, b"enough")).await.expect("written");
        let ended = Reply::Ended(Exit { code: 0, oom: false, at: 1, dropped: 0 });
        let ended = serde_json::to_vec(&ended).expect("json");
        session.monitor.write_all(&frame(Kind::Control, &ended)).await.expect("written");
        let mut hear = hear;
        let mut all = Vec::new();
        let read = hear.read_to_end(&mut all);
        tokio::time::timeout(BOUND, read).await.expect("in time").expect("no reset");
        assert_eq!(all, frame(Kind::Stdout, b"enough"));
        tokio::time::timeout(BOUND, typist).await.expect("in time").expect("no panic");
    }

    #[tokio::test]
    async fn a_program_that_could_not_start_is_told_of_in_its_stream() {
        let (mut client, ours) = UnixStream::pair().expect("socketpair");
        let hijack = Hijack {
            framed: false,
            head: String::new(),
            replay: None,
            program: Program::Start(Box::new(|| Err("no".into()))),
            input: None,
            raw: false,
            ended: None,
        };
        tokio::spawn(hijack.serve(ours, Bytes::new()));
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.expect("read");
        assert_eq!(all, frame(Kind::Stdout, b"no\r\n"));
    }
}
