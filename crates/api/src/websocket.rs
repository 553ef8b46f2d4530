//! A WebSocket (RFC 6455) in place of the bare stream of `attach`: browsers
//! have no other. What comes in its frames is the program's input, of text or
//! not; what the program writes, both streams in one, goes out in frames that
//! are not text.
//!
//! ```text
//!   client ─ frames ─▶ inward ─ bytes ─▶ (a pair of sockets) ─▶ hijack
//!          ◀─ frames ─ outward ◀─ bytes ─
//! ```
//! It ends when either side does; a client that leaves is missed even while
//! the program takes nothing of what it has sent.

use crate::call::Call;
use crate::error::Error;
use crate::server;
use crate::socket::Departure;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sha1::{Digest as _, Sha1};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// What proves that the server speaks the protocol: section 1.3.
const PROOF: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// For the client to answer the last frame; and for what it has sent to be
/// taken, when it has left.
const FAREWELL: Duration = Duration::from_secs(5);
/// Bytes of the program's that go into one frame.
const PIECE: usize = 32 << 10;

// Kinds of frames: section 5.2.
const MORE: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// Longest payload of the last three.
const SHORT: u64 = 125;
/// The first byte of a frame that is a whole message.
const WHOLE: u8 = 0x80;

/// Status line and headers of the answer to a client's hello.
///
/// # Errors
/// 400 if it is none.
pub fn head(call: &Call) -> Result<String, Error> {
    let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    let upgrades = header("Upgrade").is_some_and(|word| word.eq_ignore_ascii_case("websocket"));
    let key = header("Sec-WebSocket-Key").filter(|_| upgrades);
    let key =
        key.ok_or_else(|| Error::bad("a WebSocket is wanted here: not a websocket handshake"))?;
    if header("Sec-WebSocket-Version") != Some("13") {
        return Err(Error::bad("unsupported Sec-WebSocket-Version: 13 is wanted"));
    }
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        accepted(key)
    );
    for (name, value) in server::words(call.engine.options().experimental) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    Ok(head)
}

fn accepted(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{PROOF}")))
}

/// Takes the frames off: what is written to the socket that it gives goes to
/// the client in frames, and what the client sends comes without. `early` is
/// what it has sent already.
///
/// # Errors
/// There are no more descriptors.
pub fn unframed(client: UnixStream, early: Bytes) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    let departure = Departure::of(&client)?;
    tokio::spawn(async move {
        let (from_client, to_client) = client.into_split();
        let (from_program, to_program) = ours.into_split();
        let (pings, asked) = mpsc::channel(1);
        let early = io::Cursor::new(early);
        let inward = inward(BufReader::new(early.chain(from_client)), to_program, pings);
        tokio::pin!(inward);
        tokio::select! {
            // It has left, or does not speak the protocol.
            _ = &mut inward => {}
            () = departure.wait() => {
                let _ = tokio::time::timeout(FAREWELL, inward).await;
            }
            said = outward(from_program, to_client, asked) => {
                if said.is_ok() {
                    let _ = tokio::time::timeout(FAREWELL, inward).await;
                }
            }
        }
    });
    Ok(theirs)
}

/// Payload of the client's frames, until it closes.
async fn inward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    pings: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    loop {
        let (first, second) = (from.read_u8().await?, from.read_u8().await?);
        let mut left = match second & 0x7f {
            126 => from.read_u16().await?.into(),
            127 => from.read_u64().await?,
            short => short.into(),
        };
        let kind = first & 0x0f;
        // No extension was agreed on, clients mask, and what is not data is
        // short and whole: sections 5.1 to 5.5.
        let control = kind >= CLOSE && (left > SHORT || first & WHOLE == 0);
        if first & 0x70 != 0 || second & 0x80 == 0 || control {
            return Err(wrong());
        }
        let mut mask = [0; 4];
        from.read_exact(&mut mask).await?;
        match kind {
            CLOSE => return Ok(()),
            MORE | TEXT | BINARY | PING | PONG => {}
            _ => return Err(wrong()),
        }
        let mut said = Vec::new();
        let mut mask = mask.into_iter().cycle();
        while left > 0 {
            let mut piece = [0; 4096];
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let read = from.read(&mut piece[..most]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
            let piece = &mut piece[..read];
            for (byte, mask) in piece.iter_mut().zip(&mut mask) {
                *byte ^= mask;
            }
            if kind >= CLOSE {
                said.extend_from_slice(piece);
            } else {
                to.write_all(piece).await?;
            }
        }
        if kind == PING && pings.send(said).await.is_err() {
            return Ok(());
        }
    }
}

/// The program's bytes in frames, and answers to pings between them.
async fn outward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut asked: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        tokio::select! {
            Some(said) = asked.recv() => to.write_all(&frame(PONG, &said)).await?,
            read = from.read(&mut piece) => match read? {
                0 => break,
                read => to.write_all(&frame(BINARY, &piece[..read])).await?,
            },
        }
    }
    // 1000: all is said.
    to.write_all(&frame(CLOSE, &1000_u16.to_be_bytes())).await
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![WHOLE | kind];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..=125), _) => frame.push(len),
        (_, Ok(len)) => {
            frame.push(126);
            frame.extend(len.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a client writes it.
    fn masked(kind: u8, payload: &[u8]) -> Vec<u8> {
        const MASK: [u8; 4] = [1, 2, 3, 250];
        let mut text = frame(kind, &[]);
        let mut whole = frame(kind, payload);
        text.truncate(1);
        whole[1] |= 0x80;
        let head = whole.len() - payload.len();
        text.extend_from_slice(&whole[1..head]);
        text.extend_from_slice(&MASK);
        text.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        text
    }

    async fn read(from: &mut UnixStream, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes).await.expect("it comes");
        bytes
    }

    #[test]
    fn a_hello_is_answered_as_the_standard_says() {
        // The example of section 1.3.
        assert_eq!(accepted("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[tokio::test]
    async fn frames_go_both_ways_and_pings_are_answered() {
        let (mut client, server) = UnixStream::pair().expect("sockets");
        let early = masked(TEXT, b"early ").into();
        let mut program = unframed(server, early).expect("sockets");
        client.write_all(&masked(BINARY, &vec![7; 70_000])).await.expect("sent");
        client.write_all(&masked(PING, b"there?")).await.expect("sent");
        client.write_all(&masked(MORE, b"!")).await.expect("sent");
        assert_eq!(read(&mut program, 6).await, b"early ");
        assert_eq!(read(&mut program, 70_000).await, vec![7; 70_000]);
        assert_eq!(read(&mut client, 8).await, frame(PONG, b"there?"));
        assert_eq!(read(&mut program, 1).await, b"!");
        program.write_all(&[9; 300]).await.expect("sent");
        assert_eq!(read(&mut client, 304).await, frame(BINARY, &[9; 300]));
        drop(program);
        assert_eq!(read(&mut client, 4).await, [0x88, 2, 0x03, 0xe8]);
    }

    #[tokio::test]
    async fn who_leaves_is_missed_by_a_program_that_takes_nothing() {
        let (mut client, server) = UnixStream::pair().expect("sockets");
        let program = unframed(server, Bytes::new()).expect("sockets");
        let end = Departure::of(&program).expect("watched");
        // More than all sockets on its way hold.
        let long = masked(BINARY, &vec![7; 16 << 20]);
        let sent = tokio::time::timeout(Duration::from_secs(1), client.write_all(&long)).await;
        assert!(sent.is_err(), "nobody takes it");
        drop(client);
        tokio::time::timeout(4 * FAREWELL, end.wait()).await.expect("its end is passed on");
    }

    #[tokio::test]
    async fn who_closes_or_does_not_speak_the_protocol_is_cut_off() {
        let unmasked = frame(TEXT, b"x");
        let long = masked(PING, &[0; 126]);
        let mut extended = masked(TEXT, b"x");
        extended[0] |= 0x40;
        for bytes in [masked(CLOSE, &[]), unmasked, long, extended, masked(3, b"x")] {
            let (mut client, server) = UnixStream::pair().expect("sockets");
            let mut program = unframed(server, Bytes::new()).expect("sockets");
            client.write_all(&bytes).await.expect("sent");
            assert_eq!(program.read(&mut [0]).await.expect("an end"), 0, "{bytes:?}");
        }
    }
}
