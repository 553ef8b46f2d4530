//! A file from anywhere on the web: `ADD https://…`, a build's `remote`.

use crate::Error;
use reqwest::{Url, blocking::ClientBuilder};
use std::{
    io::{self, Read, Write},
    sync::mpsc::{self, RecvTimeoutError, SyncSender},
    time::Duration,
};

/// Until somebody answers.
const CONNECT: Duration = Duration::from_secs(30);
/// Without a byte.
const SILENCE: Duration = Duration::from_mins(1);
/// How often it is asked whether the file is wanted still.
const GLANCE: Duration = Duration::from_millis(200);
/// Pieces that may wait for the receiver.
const AHEAD: usize = 2;
/// How much is handed on at a time.
const PIECE: usize = 128 << 10;
const DOING: &str = "download";

/// Fetches `address` into `into`; says its last name, if it has one.
/// `stop` is asked a few times a second, whatever the other end does or not:
/// the waiting is a thread's of its own, which ends with its next piece, or
/// after a minute without one.
///
/// # Errors
/// It is not to be had; it was called off; the receiver failed.
pub fn download(
    address: &str,
    into: &mut dyn Write,
    stop: &dyn Fn() -> bool,
) -> Result<String, Error> {
    let (pieces, fetched) = mpsc::sync_channel(AHEAD);
    let wanted = address.to_owned();
    let fetch = move || {
        let done = fetch(&wanted, &pieces);
        // It fails when nobody waits any more.
        let _ = pieces.send(done.map(Piece::End));
    };
    let thread = std::thread::Builder::new().name("download".into()).spawn(fetch);
    let broken = |e: io::Error| Error::Invalid(format!("cannot download {address}: {e}"));
    thread.map_err(broken)?;
    loop {
        if stop() {
            return Err(Error::Left);
        }
        match fetched.recv_timeout(GLANCE) {
            Ok(piece) => match piece? {
                Piece::Bytes(bytes) => into.write_all(&bytes).map_err(broken)?,
                Piece::End(name) => return Ok(name),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(broken(io::ErrorKind::BrokenPipe.into()));
            }
        }
    }
}

/// Some of a file, or the name that it has.
enum Piece {
    Bytes(Vec<u8>),
    End(String),
}

/// Hands a file over piece by piece; its name.
fn fetch(address: &str, pieces: &SyncSender<Result<Piece, Error>>) -> Result<String, Error> {
    let url: Url =
        address.parse().map_err(|e| Error::Invalid(format!("{address:?} is no address: {e}")))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let reach = |source| Error::Reach { doing: DOING, registry: host.clone(), source };
    let client = ClientBuilder::new()
        .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        // For the head of the answer, and for each piece.
        .timeout(SILENCE)
        .tcp_user_timeout(SILENCE)
        .redirect(reqwest::redirect::Policy::limited(10))
        .build()
        .map_err(reach)?;
    let mut answer = client.get(url.clone()).send().map_err(reach)?;
    if !answer.status().is_success() {
        return Err(Error::Answer {
            doing: DOING,
            registry: host,
            status: answer.status().as_u16(),
            words: address.to_owned(),
        });
    }
    let name = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let name = name.to_owned();
    let mut buffer = vec![0; PIECE];
    loop {
        let broken = |e: io::Error| Error::Invalid(format!("cannot download {address}: {e}"));
        match answer.read(&mut buffer).map_err(broken)? {
            0 => return Ok(name),
            len => {
                pieces.send(Ok(Piece::Bytes(buffer[..len].to_vec()))).map_err(|_| Error::Left)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::TcpListener,
        sync::atomic::{AtomicBool, Ordering},
    };

    #[test]
    fn a_silent_server_does_not_keep_one_who_leaves() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = format!("http://{}/f", listener.local_addr().expect("an address"));
        let begun = AtomicBool::new(false);
        let (leave, left) = mpsc::channel();
        std::thread::scope(|scope| {
            let begun = &begun;
            scope.spawn(move || {
                let (mut caller, _) = listener.accept().expect("a caller");
                let mut asked = [0; 4];
                caller.read_exact(&mut asked).expect("a request");
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome";
                caller.write_all(head).expect("a listener");
                begun.store(true, Ordering::SeqCst);
                // Nothing more comes, and the connection stays.
                left.recv().expect("the end");
            });
            let stop = || begun.load(Ordering::SeqCst);
            let done = download(&address, &mut Vec::new(), &stop);
            leave.send(()).expect("the server");
            assert!(matches!(done, Err(Error::Left)), "{done:?}");
        });
    }
}
