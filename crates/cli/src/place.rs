//! Where an engine is, and the line to it.
//!
//! ```text
//!   unix://PATH              its socket
//!   tcp://HOST[:PORT]        TLS, with a certificate on both sides; never
//!                            anything else, since who is heard is root
//!   ssh://[USER@]HOST[:PORT] what `system dial-stdio` there leads to, by ssh(1)
//! ```
//!
//! A context is a name for one of them.

mod named;

use crate::{
    credentials::Config,
    daemon,
    error::{Error, Outcome},
    ssh::Ssh,
    tls::{Papers, Tls},
};
use named::{Meant, Said};
use std::{
    env::{self, VarError},
    path::{Path, PathBuf},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
};

/// Where the engine listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/cofferdam/cofferdam.sock";

/// A line, whatever it is made of. Its shutdown is a half-close: what comes
/// back still comes.
pub trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// Where an engine is.
#[derive(Clone, Debug)]
pub enum Place {
    /// Its socket.
    Socket(PathBuf),
    /// Beyond the network.
    Tcp(Tls),
    /// Behind a secure shell.
    Ssh(Ssh),
}

impl Place {
    /// The one that is meant by flags, variables and `config.json`.
    ///
    /// # Errors
    /// As [`Place::new`]; there is no such context, or what says which one is
    /// meant cannot be read.
    pub fn chosen(host: Option<&str>, context: Option<&str>, papers: &Papers) -> Outcome<Self> {
        let (host_variable, context_variable) = (said("DOCKER_HOST")?, said("DOCKER_CONTEXT")?);
        let said = Said {
            host,
            context,
            host_variable: host_variable.as_deref(),
            context_variable: context_variable.as_deref(),
            current: None,
        };
        // Who names an engine needs no `config.json`, and may not be able to
        // read the one that HOME leads to.
        if let Some(Meant::Address(address)) = said.first()? {
            return Self::new(address, papers);
        }
        let config = Config::read()?;
        match (Said { current: config.current_context(), ..said }).meant()? {
            Meant::Address(address) => Self::new(address, papers),
            Meant::Context(name) => named::find(config.folder(), name),
        }
    }

    /// Takes an address, or the default socket if it is empty.
    ///
    /// # Errors
    /// For an address of another kind, and for one of the network without
    /// certificates.
    pub fn new(host: &str, papers: &Papers) -> Outcome<Self> {
        if host.is_empty() {
            return Ok(Self::Socket(DEFAULT_SOCKET.into()));
        }
        match host.split_once("://") {
            Some(("unix", path)) => Ok(Self::Socket(path.into())),
            Some(("tcp", rest)) => Tls::new(rest, papers).map(Self::Tcp),
            Some(("ssh", rest)) => Ssh::new(rest).map(Self::Ssh),
            _ => Err(Error::Unfit(format!(
                "cannot use the host {host:?}: unix://PATH, tcp://HOST[:PORT] or \
                 ssh://[USER@]HOST[:PORT] is wanted"
            ))),
        }
    }

    /// Does an engine of this machine listen, without one being started for
    /// it? Nobody is waited for who may be far away.
    pub fn is_answered(&self) -> bool {
        match self {
            Self::Socket(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
            Self::Tcp(_) | Self::Ssh(_) => false,
        }
    }

    /// A line to it. Where the default socket is dead, an engine is started.
    ///
    /// # Errors
    /// Nobody answers, or it is not who it should be.
    pub async fn connect(&self) -> Outcome<Box<dyn Line>> {
        match self {
            Self::Socket(path) => Ok(Box::new(socket(path).await?)),
            Self::Tcp(tls) => Ok(Box::new(tls.connect().await?)),
            Self::Ssh(ssh) => Ok(Box::new(ssh.connect()?)),
        }
    }
}

/// A variable.
fn said(name: &'static str) -> Outcome<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(value)) => {
            Err(Error::Unfit(format!("{name} is no text: {}", value.display())))
        }
    }
}

async fn socket(path: &Path) -> Outcome<UnixStream> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(stream),
        Err(source) => daemon::start_for(path, source).await,
    }
}

/// `HOST[:PORT]`, where the host may be an IPv6 address in brackets.
pub fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.trim_end_matches('/');
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = if port.is_empty() { None } else { Some(port.parse().ok()?) };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let host = |text: &str| host_and_port(text);
        assert_eq!(host("h"), Some(("h".into(), None)));
        assert_eq!(host("h:1/"), Some(("h".into(), Some(1))));
        assert_eq!(host("[::1]:2376"), Some(("::1".into(), Some(2376))));
        assert_eq!(host("[::1]"), Some(("::1".into(), None)));
        for wrong in ["", ":1", "h:x", "[::1]x", "h:70000"] {
            assert_eq!(host(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_engine_beyond_the_network_takes_certificates() {
        let none = Papers::default();
        let refused = Place::new("tcp://h:2375", &none).expect_err("plaintext").to_string();
        assert!(refused.contains("--tlsverify"), "{refused}");
        assert!(Place::new("http://h", &none).is_err());
        let Ok(Place::Socket(path)) = Place::new("unix:///x", &none) else { panic!("a path") };
        assert_eq!(path, Path::new("/x"));
    }
}
