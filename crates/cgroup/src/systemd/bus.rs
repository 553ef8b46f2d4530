//! A connection to systemd: calls, their answers, and the ends of jobs.
//!
//! ```text
//! connect ─▶ "AUTH EXTERNAL uid", "BEGIN" ─▶ "OK" ─▶ [Hello, AddMatch] ─▶ calls
//! ```
//!
//! "BEGIN" goes out before "OK" is there, as systemd's own library has it: a
//! call that systemd reads together with "BEGIN" it leaves lying until it
//! reads something more.
//!
//! systemd listens on a socket of its own for root, where there is nobody in
//! between and no name to take, and on the system's message bus, where there
//! are others: what claims to come from systemd is believed only if it comes
//! from the one who has answered.
//!
//! Source: D-Bus Specification 0.43, "Authentication Protocol" and "Message
//! Bus"; `org.freedesktop.systemd1(5)`.

use super::{
    Error,
    wire::{self, HEAD, Kind, Message, Method, Value},
};
use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

/// systemd's own socket.
const PRIVATE: &str = "/run/systemd/private";
/// The system's message bus.
const SYSTEM: &str = "/run/dbus/system_bus_socket";

/// How long one request may take. runc waits as long for a job.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest line while the two greet one another, in bytes.
const LONGEST_LINE: usize = 512;

const BUS: &str = "org.freedesktop.DBus";
const ENDS: &str = "type='signal',sender='org.freedesktop.systemd1',\
                    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// An open connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Ends of jobs that came while an answer was waited for.
    ended: Vec<Ended>,
}

/// A job is done, or will not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    sender: String,
    job: String,
    /// `done`, `failed`, `timeout`, …
    pub result: String,
}

/// What a call brought, and who says so.
#[derive(Debug)]
pub(super) struct Answer {
    sender: String,
    pub arguments: Vec<Value>,
}

impl Bus {
    /// Connects to systemd itself, or to the system's bus where its own
    /// socket is not there.
    pub fn connect() -> Result<Self, Error> {
        let reach = |path: &'static str| {
            UnixStream::connect(path).map_err(|source| Error::Connect { path, source })
        };
        let uid = rustix::process::geteuid().as_raw();
        if let Ok(stream) = reach(PRIVATE) {
            return Self::greet(stream, uid, false);
        }
        Self::greet(reach(SYSTEM)?, uid, true)
    }

    /// Says who we are; on a bus, for whom we listen too.
    pub fn greet(stream: UnixStream, uid: u32, bus: bool) -> Result<Self, Error> {
        let mut own = Self { stream, serial: 0, ended: Vec::new() };
        let end = Instant::now() + PATIENCE;
        let digits: String = uid.to_string().bytes().map(|b| format!("{b:02x}")).collect();
        own.send(format!("\0AUTH EXTERNAL {digits}\r\nBEGIN\r\n").as_bytes(), end)?;
        let line = own.line(end)?;
        if !line.starts_with("OK ") {
            return Err(Error::Refused(line));
        }
        if bus {
            let path = "/org/freedesktop/DBus";
            let method = |member| Method { destination: BUS, path, interface: BUS, member };
            own.call(method("Hello"), &[])?;
            own.call(method("AddMatch"), &[Value::text(ENDS)])?;
        }
        Ok(own)
    }

    /// Calls and waits for the answer.
    pub fn call(&mut self, method: Method, arguments: &[Value]) -> Result<Answer, Error> {
        let end = Instant::now() + PATIENCE;
        self.serial += 1;
        let serial = self.serial;
        self.ended.clear();
        self.send(&wire::call(serial, method, arguments), end)?;
        loop {
            let message = self.receive(end)?;
            if message.answers != Some(serial) {
                self.ended.extend(ended(&message)?);
                continue;
            }
            let arguments = message.arguments()?;
            match message.kind {
                Kind::Return => return Ok(Answer { sender: message.sender, arguments }),
                Kind::Error => {
                    let text = match arguments.into_iter().next() {
                        Some(Value::Text(text)) => text,
                        _ => message.error.clone(),
                    };
                    return Err(Error::Answer { name: message.error, text });
                }
                _ => {}
            }
        }
    }

    /// Waits for the end of the job that the answer to a call named.
    pub fn wait(&mut self, answer: Answer) -> Result<Ended, Error> {
        let Some(Value::Path(job)) = answer.arguments.into_iter().next() else {
            return Err(wire::Malformed("it names no job").into());
        };
        let same = |ended: &Ended| ended.job == job && ended.sender == answer.sender;
        let end = Instant::now() + PATIENCE;
        let early = std::mem::take(&mut self.ended);
        if let Some(found) = early.into_iter().find(same) {
            return Ok(found);
        }
        loop {
            let message = self.receive(end)?;
            if let Some(found) = ended(&message)?.filter(same) {
                return Ok(found);
            }
        }
    }

    fn receive(&mut self, end: Instant) -> Result<Message, Error> {
        let mut bytes = vec![0; HEAD];
        self.fill(&mut bytes, end)?;
        let head = bytes.first_chunk().expect("as long as this");
        let rest = Message::rest(head)?;
        bytes.resize(HEAD + rest, 0);
        self.fill(&mut bytes[HEAD..], end)?;
        Ok(Message::parse(&bytes)?)
    }

    /// The one line of the greeting, without its end. Byte by byte: on its own
    /// socket systemd tells everybody everything, as soon as it has let them in.
    fn line(&mut self, end: Instant) -> Result<String, Error> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            if line.len() >= LONGEST_LINE {
                return Err(wire::Malformed("a line without an end").into());
            }
            self.fill(&mut byte, end)?;
            line.push(byte[0]);
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).map_err(|_| wire::Malformed("a line is not UTF-8").into())
    }

    fn send(&mut self, mut bytes: &[u8], end: Instant) -> Result<(), Error> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(left(end)?)).map_err(Error::Talk)?;
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if patient(&error) => {}
                Err(error) => return Err(Error::Talk(error)),
            }
        }
        Ok(())
    }

    fn fill(&mut self, mut bytes: &mut [u8], end: Instant) -> Result<(), Error> {
        while !bytes.is_empty() {
            self.stream.set_read_timeout(Some(left(end)?)).map_err(Error::Talk)?;
            match self.stream.read(bytes) {
                Ok(0) => return Err(Error::Talk(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => bytes = &mut bytes[count..],
                Err(error) if patient(&error) => {}
                Err(error) => return Err(Error::Talk(error)),
            }
        }
        Ok(())
    }
}

/// Time that is left; never zero, which would mean for ever.
fn left(end: Instant) -> Result<Duration, Error> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(Error::TimedOut(PATIENCE.as_secs())) } else { Ok(left) }
}

/// To be tried again, as long as there is time.
fn patient(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// Whether systemd runs this machine.
///
/// Source: `sd_booted(3)`.
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// What a message says of the end of a job, if it does.
fn ended(message: &Message) -> Result<Option<Ended>, Error> {
    let ours = message.kind == Kind::Signal
        && message.interface == "org.freedesktop.systemd1.Manager"
        && message.member == "JobRemoved";
    if !ours {
        return Ok(None);
    }
    match &message.arguments()?[..] {
        [Value::Uint32(_), Value::Path(job), Value::Text(_), Value::Text(result)] => {
            let (sender, job, result) = (message.sender.clone(), job.clone(), result.clone());
            Ok(Some(Ended { sender, job, result }))
        }
        _ => Err(wire::Malformed("the end of a job has other parts").into()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{wire::tests::written, *};
    use std::thread::{self, JoinHandle};

    const METHOD: Method =
        Method { destination: "d", path: "/p", interface: "i", member: "StartTransientUnit" };

    /// A peer that reads the greeting, says `hello`, reads one call and sends
    /// the messages; what it read is its result.
    pub fn peer(
        hello: impl Into<Vec<u8>>,
        says: Vec<Vec<u8>>,
    ) -> (UnixStream, JoinHandle<Vec<u8>>) {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let hello = hello.into();
        let peer = thread::spawn(move || {
            let mut greeting = vec![0; "\0AUTH EXTERNAL 30\r\nBEGIN\r\n".len()];
            far.read_exact(&mut greeting).expect("a greeting");
            far.write_all(&hello).expect("room");
            let mut call = vec![0; HEAD];
            // Whoever was refused has gone.
            if far.read_exact(&mut call).is_ok() {
                let rest = Message::rest(call.first_chunk().expect("longer")).expect("a call");
                call.resize(HEAD + rest, 0);
                far.read_exact(&mut call[HEAD..]).expect("a whole call");
                for bytes in says {
                    far.write_all(&bytes).expect("room");
                }
            }
            call
        });
        (near, peer)
    }

    fn answer(sender: &str, job: &str) -> Vec<u8> {
        let fields = [(5, Value::Uint32(1)), (7, Value::text(sender))];
        written(2, &fields, &[Value::Path(job.into())])
    }

    fn removed(sender: &str, job: &str, result: &str) -> Vec<u8> {
        let fields = [
            (1, Value::Path("/org/freedesktop/systemd1".into())),
            (2, Value::text("org.freedesktop.systemd1.Manager")),
            (3, Value::text("JobRemoved")),
            (7, Value::text(sender)),
        ];
        let (job, unit) = (Value::Path(job.into()), Value::text("a.scope"));
        written(4, &fields, &[Value::Uint32(1), job, unit, Value::text(result)])
    }

    fn outcome(says: Vec<Vec<u8>>) -> Result<String, Error> {
        let (near, peer) = peer("OK 1234\r\n", says);
        let mut bus = Bus::greet(near, 0, false)?;
        let outcome = bus.call(METHOD, &[]).and_then(|answer| bus.wait(answer));
        peer.join().expect("the peer lives");
        outcome.map(|ended| ended.result)
    }

    #[test]
    fn the_end_of_a_job_is_waited_for() {
        let says = vec![answer(":1.1", "/j/1"), removed(":1.1", "/j/1", "done")];
        assert_eq!(outcome(says).expect("a result"), "done");
    }

    #[test]
    fn a_job_may_end_before_its_answer_is_there() {
        let says = vec![removed(":1.1", "/j/1", "failed"), answer(":1.1", "/j/1")];
        assert_eq!(outcome(says).expect("a result"), "failed");
    }

    #[test]
    fn the_ends_of_other_jobs_are_passed_over() {
        let says = vec![
            answer(":1.1", "/j/1"),
            removed(":1.1", "/j/2", "failed"),
            removed(":1.1", "/j/1", "done"),
        ];
        assert_eq!(outcome(says).expect("a result"), "done");
    }

    #[test]
    fn who_has_not_answered_is_not_believed() {
        let says = vec![
            removed(":1.66", "/j/1", "done"),
            answer(":1.1", "/j/1"),
            removed(":1.66", "/j/1", "done"),
            removed(":1.1", "/j/1", "timeout"),
        ];
        assert_eq!(outcome(says).expect("a result"), "timeout");
    }

    #[test]
    fn what_was_told_before_anything_was_asked_is_no_part_of_the_greeting() {
        let news = removed(":1.1", "/j/1", "failed");
        let hello = [b"OK 1234\r\n".to_vec(), news.repeat(20)].concat();
        let says = vec![answer(":1.1", "/j/1"), removed(":1.1", "/j/1", "done")];
        let (near, peer) = peer(hello, says);
        let mut bus = Bus::greet(near, 0, false).expect("a greeting");
        bus.call(METHOD, &[]).expect("an answer");
        peer.join().expect("the peer lives");
    }

    #[test]
    fn a_refusal_is_told_in_its_own_words() {
        let fields = [(4, Value::text("a.b.UnitExists")), (5, Value::Uint32(1))];
        let refused = outcome(vec![written(3, &fields, &[Value::text("It is there.")])]);
        let Err(Error::Answer { name, text }) = refused else { panic!("{refused:?}") };
        assert_eq!((name.as_str(), text.as_str()), ("a.b.UnitExists", "It is there."));
    }

    #[test]
    fn a_peer_that_goes_is_an_error() {
        assert!(matches!(outcome(Vec::new()), Err(Error::Talk(_))));
        let half = answer(":1.1", "/j/1")[..20].to_vec();
        assert!(matches!(outcome(vec![half]), Err(Error::Talk(_))));
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(matches!(outcome(vec![vec![b'x'; 64]]), Err(Error::Malformed(_))));
        let other = written(2, &[(5, Value::Uint32(1))], &[Value::text("no job")]);
        assert!(matches!(outcome(vec![other]), Err(Error::Malformed(_))));
    }

    #[test]
    fn who_is_not_let_in_is_told() {
        let (near, peer) = peer("REJECTED EXTERNAL\r\n", Vec::new());
        let refused = Bus::greet(near, 0, false).expect_err("must refuse");
        assert_eq!(refused.to_string(), "systemd does not let us in: \"REJECTED EXTERNAL\"");
        peer.join().expect("the peer lives");
    }

    #[test]
    fn a_greeting_has_an_end() {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        far.write_all(&[b'O'; 2 * LONGEST_LINE]).expect("room");
        assert!(matches!(Bus::greet(near, 0, false), Err(Error::Malformed(_))));
    }
}
