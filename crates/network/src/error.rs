//! Why something on the network could not be had.

use crate::wish::{Endpoint, Published};
use std::{io, net::IpAddr};

/// What went wrong; [`source`](std::error::Error::source) holds the cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a step.
    #[error("cannot {doing} {object}")]
    Host {
        /// A bare verb phrase: "create bridge".
        doing: &'static str,
        /// What it was done to.
        object: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another container holds the port.
    ///
    /// In Docker's words: clients and their tests look for them.
    #[error("{}Bind for {} failed: port is already allocated", context(.endpoint.as_deref()), socket(.host_ip, *.host_port))]
    PortTaken {
        /// `NAME (ID)` of the endpoint that asked.
        endpoint: Option<String>,
        /// The address asked for.
        host_ip: IpAddr,
        /// The port asked for.
        host_port: u16,
    },
    /// A program on the host holds the port, or the address is not the host's.
    #[error("{}failed to bind host port for {}: {}", context(.endpoint.as_deref()), binding(.published, *.to), words(.source))]
    PortBusy {
        /// `NAME (ID)` of the endpoint that asked.
        endpoint: Option<String>,
        /// What was to be published.
        published: Published,
        /// The container's address.
        to: IpAddr,
        /// What the kernel said to a trial.
        source: io::Error,
    },
    /// Every port of a range is taken.
    #[error("{}all ports are allocated", context(.endpoint.as_deref()))]
    PortsExhausted {
        /// `NAME (ID)` of the endpoint that asked.
        endpoint: Option<String>,
    },
    /// The wish makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// An interface of that name exists, and somebody else made it.
    #[error("interface {0} exists and is not this engine's: remove it or choose another name")]
    Foreign(String),
}

/// What a caller may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is at fault.
    Invalid,
    /// Something else has what was asked for.
    Conflict,
    /// The machine failed us.
    Host,
}

impl Error {
    /// Sorts the error for callers.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Host { .. } => Kind::Host,
            Self::PortTaken { .. }
            | Self::PortBusy { .. }
            | Self::PortsExhausted { .. }
            | Self::Foreign(_) => Kind::Conflict,
            Self::Invalid(_) => Kind::Invalid,
        }
    }

    /// Names the endpoint that asked for a port.
    #[must_use]
    pub(crate) fn of(mut self, asker: &Endpoint) -> Self {
        match &mut self {
            Self::PortTaken { endpoint, .. }
            | Self::PortBusy { endpoint, .. }
            | Self::PortsExhausted { endpoint } => {
                *endpoint = Some(format!("{} ({})", asker.name, asker.id));
            }
            Self::Host { .. } | Self::Invalid(_) | Self::Foreign(_) => {}
        }
        self
    }
}

/// Adds the step and its object where they are known: at the call.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str, object: &str) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, object: &str) -> Result<T, Error> {
        self.map_err(|source| Error::Host { doing, object: object.to_owned(), source })
    }
}

fn context(endpoint: Option<&str>) -> String {
    endpoint.map_or_else(String::new, |endpoint| {
        format!("driver failed programming external connectivity on endpoint {endpoint}: ")
    })
}

fn socket(ip: &IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(*ip, port).to_string()
}

fn binding(published: &Published, to: IpAddr) -> String {
    let from = socket(&published.host_ip, published.host_port);
    let to = socket(&to, published.container_port);
    format!("{from}:{to}/{}", published.proto)
}

/// Go's words for the common cases, since clients compare them.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Proto;
    use std::net::Ipv4Addr;

    #[test]
    fn conflicts_are_told_in_dockers_words() {
        let endpoint = Some("web (0a1b)".to_owned());
        let host_ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let taken = Error::PortTaken { endpoint: endpoint.clone(), host_ip, host_port: 80 };
        assert_eq!(
            taken.to_string(),
            "driver failed programming external connectivity on endpoint web (0a1b): \
             Bind for 0.0.0.0:80 failed: port is already allocated"
        );
        let busy = Error::PortBusy {
            endpoint: None,
            published: Published {
                proto: Proto::Tcp,
                host_ip,
                host_port: 80,
                container_port: 81,
                count: 1,
            },
            to: IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2)),
            source: io::ErrorKind::AddrInUse.into(),
        };
        assert_eq!(
            busy.to_string(),
            "failed to bind host port for 0.0.0.0:80:172.17.0.2:81/tcp: address already in use"
        );
    }
}
