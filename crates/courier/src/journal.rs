//! The host's journal, in its own protocol.
//!
//! Source: systemd's `JOURNAL_NATIVE_PROTOCOL.md`; the fields are those of
//! moby's `daemon/logger/journald`.

use crate::{
    Line, Rest,
    confine::{self, Keeps},
    link::Link,
    of,
};
use rustix::{
    fs::{MemfdFlags, SealFlags},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use spec::stamp::Stamp;
use std::{
    fs::File,
    io::{self, IoSlice, Write as _},
    mem::MaybeUninit,
    os::{fd::AsFd, unix::net::UnixDatagram},
};

/// Where it listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The journal, and what all entries of this container have in common.
pub struct Journal {
    /// Spelt.
    fields: Vec<u8>,
    /// Names this life of the log.
    epoch: String,
    /// Of the last entry.
    ordinal: u64,
    socket: Option<(UnixDatagram, Link)>,
    rest: Rest,
}

impl Journal {
    /// Connects. Whoever takes a dead one's place comes without a connection,
    /// too.
    pub fn open(fields: &[(String, String)], again: bool) -> io::Result<Self> {
        let mut text = Vec::new();
        for (key, value) in fields {
            field(&mut text, key, value.as_bytes());
        }
        // It is to be told who writes, and that is root.
        confine::confine(Keeps::Root)?;
        let epoch = epoch()?;
        let mut journal =
            Self { fields: text, epoch, ordinal: 0, socket: None, rest: Rest::default() };
        match connect() {
            Ok(socket) => journal.socket = Some(socket),
            Err(error) if again => drop(journal.rest.tried::<()>(Err(error))),
            Err(error) => {
                let words = format!("journald is not enabled on this host: {error}");
                return Err(io::Error::new(error.kind(), words));
            }
        }
        Ok(journal)
    }

    /// Says how many could not be told.
    pub fn tell(&mut self, lines: &[Line<'_>]) -> u64 {
        let mut dropped = 0;
        for line in lines {
            self.ordinal += 1;
            let entry = self.spell(line);
            if !self.send(&entry) {
                dropped += 1;
            }
        }
        dropped
    }

    fn spell(&self, line: &Line<'_>) -> Vec<u8> {
        let record = line.record;
        let mut entry = self.fields.clone();
        field(&mut entry, "PRIORITY", if record.stderr { b"3" } else { b"6" });
        field(&mut entry, "MESSAGE", line.text);
        field(&mut entry, "SYSLOG_TIMESTAMP", Stamp::short(record.time).as_bytes());
        field(&mut entry, "CONTAINER_LOG_EPOCH", self.epoch.as_bytes());
        field(&mut entry, "CONTAINER_LOG_ORDINAL", self.ordinal.to_string().as_bytes());
        if record.ordinal > 0 {
            let id = format!("{:016x}", record.time);
            field(&mut entry, "CONTAINER_PARTIAL_ID", id.as_bytes());
            let number = record.ordinal.to_string();
            field(&mut entry, "CONTAINER_PARTIAL_ORDINAL", number.as_bytes());
            let last = record.whole.to_string();
            field(&mut entry, "CONTAINER_PARTIAL_LAST", last.as_bytes());
            if !record.whole {
                field(&mut entry, "CONTAINER_PARTIAL_MESSAGE", b"true");
            }
        }
        entry
    }

    fn send(&mut self, entry: &[u8]) -> bool {
        for _ in 0..2 {
            if self.socket.is_none() && self.rest.is_over() {
                self.socket = self.rest.tried(connect());
            }
            let Some((socket, link)) = &mut self.socket else { return false };
            let sent = match link.message(entry) {
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) =>
                {
                    send_file(socket, entry)
                }
                sent => sent,
            };
            match sent {
                Ok(()) => return true,
                Err(error) => {
                    eprintln!("the journal is lost: {error}");
                    self.socket = None;
                }
            }
        }
        false
    }
}

fn connect() -> io::Result<(UnixDatagram, Link)> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SOCKET)?;
    let link = Link::over(socket.try_clone()?)?;
    Ok((socket, link))
}

/// What is too large for a message goes as a file that nobody can change.
fn send_file(socket: &UnixDatagram, entry: &[u8]) -> io::Result<()> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("journal-entry", flags)?);
    file.write_all(entry)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [file.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(socket, &[IoSlice::new(&[])], &mut control, SendFlags::NOSIGNAL).map_err(of)?;
    Ok(())
}

/// Appends a field: as a line, or with its length where it has lines itself.
fn field(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn epoch() -> io::Result<String> {
    let mut bytes = [0; 32];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes[..got].iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::log::Record;

    #[test]
    fn an_entry_is_lines_and_what_has_lines_has_a_length() {
        let mut fields = Vec::new();
        field(&mut fields, "A", b"b");
        field(&mut fields, "C", b"d\ne");
        assert_eq!(fields, b"A=b\nC\n\x03\0\0\0\0\0\0\0d\ne\n");
    }

    #[test]
    fn a_part_of_a_line_says_which() {
        let journal = Journal {
            fields: b"X=y\n".to_vec(),
            epoch: "e".into(),
            ordinal: 4,
            socket: None,
            rest: Rest::default(),
        };
        let record = Record { len: 2, stderr: true, whole: false, ordinal: 2, time: 1_500_000_000 };
        let entry = journal.spell(&Line { record, text: b"hi" });
        let want = "X=y\nPRIORITY=3\nMESSAGE=hi\nSYSLOG_TIMESTAMP=1970-01-01T00:00:01.5Z\n\
                    CONTAINER_LOG_EPOCH=e\nCONTAINER_LOG_ORDINAL=4\n\
                    CONTAINER_PARTIAL_ID=0000000059682f00\nCONTAINER_PARTIAL_ORDINAL=2\n\
                    CONTAINER_PARTIAL_LAST=false\nCONTAINER_PARTIAL_MESSAGE=true\n";
        assert_eq!(String::from_utf8(entry).expect("text"), want);
    }
}
