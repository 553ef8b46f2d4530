//! Clients that come over the network: TLS with a certificate on both sides,
//! or nothing.
//!
//! ```text
//!   client ═══ TLS over TCP ═══▶ ferry ─── a pair of unix sockets ───▶ connection
//! ```
//!
//! Behind the ferry a client is like any other, half-closed and leaving as
//! any other: its `close_notify` is a half-close, and an end without one is
//! leaving, never the end of its input, since anybody on the way can cut a
//! line. The engine's own sockets do not pass here.

use crate::socket::Departure;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncWriteExt as _, copy, sink},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a client may take to prove who it is.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many may be about to do so; the rest wait to be accepted.
pub const HANDSHAKES: usize = 128;
/// Silence after which a client is asked whether it is there, and that between
/// questions; after so many without an answer it has left.
const QUIET: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(10);
const QUESTIONS: u32 = 4;
/// Between two words in the log about who was not let in.
const TOLD: Duration = Duration::from_secs(10);
/// For a client to take what was said last, and to leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// Who may come in, and who we are: paths of PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Papers {
    /// Authorities by which clients are known.
    pub ca: PathBuf,
    /// Ours, with those between it and its authority.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Why there is no listening over the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is not there, or not what it should be.
    #[error("cannot read {what} from {}", path.display())]
    Read {
        /// "certificates", "the key".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// There is none in it.
    #[error("there are no certificates in {}", .0.display())]
    Empty(PathBuf),
    /// An authority's certificate makes no sense.
    #[error("cannot use an authority of {}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// Nobody could be known by these.
    #[error("cannot know clients by {}", path.display())]
    Clients {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: VerifierBuilderError,
    },
    /// Certificate and key do not belong together, or make no sense.
    #[error("cannot use the certificate {} with its key", path.display())]
    Own {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
}

/// One that was let in.
pub type Client = TlsStream<TcpStream>;

/// Knows clients by their certificates, and shows its own.
#[derive(Clone)]
pub struct Porter(TlsAcceptor);

impl Porter {
    /// Reads the papers.
    ///
    /// # Errors
    /// One of them is missing or makes no sense.
    pub fn new(papers: &Papers) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for authority in certificates(&papers.ca)? {
            let path = papers.ca.clone();
            roots.add(authority).map_err(|source| Error::Authority { path, source })?;
        }
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|source| Error::Clients { path: papers.ca.clone(), source })?;
        let key = PrivateKeyDer::from_pem_file(&papers.key).map_err(|source| Error::Read {
            what: "the key",
            path: papers.key.clone(),
            source,
        })?;
        let own = |source| Error::Own { path: papers.cert.clone(), source };
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(own)?
            .with_client_cert_verifier(clients)
            .with_single_cert(certificates(&papers.cert)?, key)
            .map_err(own)?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Lets a client in that proves who it is in time.
    ///
    /// # Errors
    /// It does not, or speaks no TLS at all.
    pub async fn admit(&self, stream: TcpStream) -> io::Result<Client> {
        stream.set_nodelay(true)?;
        set_socket_keepalive(&stream, true)?;
        set_tcp_keepidle(&stream, QUIET)?;
        set_tcp_keepintvl(&stream, AGAIN)?;
        set_tcp_keepcnt(&stream, QUESTIONS)?;
        timeout(HANDSHAKE, self.0.accept(stream)).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "it did not say who it is in time"))
        })
    }
}

/// Those who were not let in: anybody can knock, and each is not to be a line
/// of the log.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<(Option<Instant>, u64)>);

impl Refusals {
    /// One more, at `now`: how many there were since the last that was told, if
    /// this one is to be told.
    pub fn told(&self, now: Instant) -> Option<u64> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, untold) = *kept;
        if last.is_some_and(|last| now.duration_since(last) < TOLD) {
            *kept = (last, untold.saturating_add(1));
            return None;
        }
        *kept = (Some(now), 0);
        Some(untold)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |source| Error::Read { what: "certificates", path: path.to_owned(), source };
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect();
    let all = all.map_err(wrong)?;
    if all.is_empty() { Err(Error::Empty(path.to_owned())) } else { Ok(all) }
}

/// Carries bytes both ways until both have ended, or the client has left.
///
/// # Errors
/// The line broke off, or was cut.
pub async fn ferry(client: Client, ours: UnixStream) -> io::Result<()> {
    let departure = Departure::of(client.get_ref().0)?;
    let (mut from, mut to) = tokio::io::split(client);
    let (mut read, mut write) = ours.into_split();
    let inward = async {
        match copy(&mut from, &mut write).await {
            // The engine hears no more: what it said may still be on its way.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                copy(&mut from, &mut sink()).await?;
            }
            carried => {
                carried?;
                write.shutdown().await?;
            }
        }
        departure.wait().await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    };
    let outward = async {
        copy(&mut read, &mut to).await?;
        to.shutdown().await
    };
    // When either returns all is over: what we have to say has been said, or
    // there is nobody who listens.
    tokio::select! { ended = inward => ended, ended = outward => ended }?;
    // A line that is closed with something unread in it is torn down, and with
    // it what the client has not read yet.
    let _ = timeout(FAREWELL, copy(&mut from, &mut sink())).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knocks_often_is_told_of_now_and_then() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.told(begun), Some(0));
        for _ in 0..1000 {
            assert_eq!(refusals.told(begun + TOLD / 2), None);
        }
        assert_eq!(refusals.told(begun + TOLD), Some(1000));
        assert_eq!(refusals.told(begun + TOLD), None);
    }
}
