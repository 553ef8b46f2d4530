//! An engine beyond the network: who it is, and who we are.

use crate::{
    error::{Error, Outcome},
    place::host_and_port,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use std::{
    env, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Of Docker's API with TLS, at IANA.
const PORT: u16 = 2376;
/// For the engine to answer and to prove who it is.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was said of certificates: flags, else variables, else Docker's places.
#[derive(Clone, Debug, Default)]
pub struct Papers {
    /// `--tlsverify`, or `DOCKER_TLS_VERIFY`.
    pub verify: bool,
    /// `--tlscacert`
    pub ca: PathBuf,
    /// `--tlscert`
    pub cert: PathBuf,
    /// `--tlskey`
    pub key: PathBuf,
}

impl Papers {
    /// Those of a folder, to be used.
    pub fn within(folder: &Path) -> Self {
        let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| folder.join(name));
        Self { verify: true, ca, cert, key }
    }

    /// Completes what was said.
    pub fn new(verify: Option<bool>, named: [Option<PathBuf>; 3]) -> Self {
        let said = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let home = || PathBuf::from(said("HOME").unwrap_or_default()).join(".docker");
        let folder = said("DOCKER_CERT_PATH").map(PathBuf::from);
        let folder = folder.or_else(|| said("DOCKER_CONFIG").map(PathBuf::from));
        let folder = folder.unwrap_or_else(home);
        let [ca, cert, key] = named;
        Self {
            verify: verify.unwrap_or_else(|| said("DOCKER_TLS_VERIFY").is_some()),
            ca: ca.unwrap_or_else(|| folder.join("ca.pem")),
            cert: cert.unwrap_or_else(|| folder.join("cert.pem")),
            key: key.unwrap_or_else(|| folder.join("key.pem")),
        }
    }
}

/// An engine beyond the network.
#[derive(Clone, Debug)]
pub struct Tls {
    host: String,
    port: u16,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Takes `HOST[:PORT]`.
    ///
    /// # Errors
    /// It is none, or certificates are missing.
    pub fn new(address: &str, papers: &Papers) -> Outcome<Self> {
        let wrong = || Error::Unfit(format!("\"tcp://{address}\" is not tcp://HOST[:PORT]"));
        let (host, port) = host_and_port(address).ok_or_else(wrong)?;
        if !papers.verify {
            return Err(Error::Unfit(format!(
                "cannot speak to tcp://{address} without certificates, since who is heard there \
                 is root: add --tlsverify (or DOCKER_TLS_VERIFY=1), with ca.pem, cert.pem and \
                 key.pem in DOCKER_CERT_PATH"
            )));
        }
        let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
        let config = Arc::new(config(papers)?);
        Ok(Self { host, port: port.unwrap_or(PORT), name, config })
    }

    /// Connects, and makes sure that it is who it should be.
    ///
    /// # Errors
    /// Nobody answers, or somebody else does.
    pub async fn connect(&self) -> Outcome<TlsStream<Kept>> {
        let at = || format!("tcp://{}:{}", self.host, self.port);
        let dial = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            let connector = TlsConnector::from(Arc::clone(&self.config));
            connector.connect(self.name.clone(), Kept(stream)).await
        };
        let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut));
        let stream = timeout(PATIENCE, dial).await.unwrap_or_else(late);
        stream.map_err(|source| Error::Unreachable { at: at(), source })
    }
}

fn config(papers: &Papers) -> Outcome<ClientConfig> {
    let wrong = |what: &'static str, path: &Path, why: String| {
        Error::Unfit(format!("cannot use {what} of {}: {why}", path.display()))
    };
    let certificates = |path: &Path| {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong("the certificates", path, error.to_string()))
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(&papers.ca)? {
        let added = roots.add(authority);
        added.map_err(|error| wrong("an authority", &papers.ca, error.to_string()))?;
    }
    let key = PrivateKeyDer::from_pem_file(&papers.key)
        .map_err(|error| wrong("the key", &papers.key, error.to_string()))?;
    let own = |error: rustls::Error| wrong("the certificate", &papers.cert, error.to_string());
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(own)?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&papers.cert)?, key)
        .map_err(own)
}

/// A connection whose half-close is said by TLS alone: as long as TCP is open
/// both ways, the engine can tell who waits from who has left.
#[derive(Debug)]
pub struct Kept(TcpStream);

impl AsyncRead for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
