//! What a probe looks at that starts no program: a port, a page, a socket.
//!
//! All of them are the container's own. Addresses are numbers, since a name
//! would be looked up by somebody, and have to be the container's when the
//! probe is made; a path is followed below its root.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Longest path and page, in bytes: `PATH_MAX` of Linux.
const LONGEST: usize = 4096;
/// Of HTTP.
const HTTP_PORT: u16 = 80;

/// One of the three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Somebody accepts connections.
    Tcp(SocketAddr),
    /// Somebody answers that all is well.
    Http {
        /// Where.
        at: SocketAddr,
        /// As the server is called.
        host: String,
        /// With its query.
        page: String,
    },
    /// Somebody listens on the socket at this path.
    Unix(String),
}

impl Target {
    /// By the first word of a health check's test, and the one behind it; none
    /// if that word means no probe.
    ///
    /// # Errors
    /// What is wrong with it, and what is right.
    pub fn parse(words: &[String]) -> Option<Result<Self, String>> {
        let (kind, rest) = words.split_first()?;
        let read: fn(&str) -> Result<Self, String> = match kind.as_str() {
            "TCP" => tcp,
            "HTTP" => http,
            "UNIX" => unix,
            _ => return None,
        };
        Some(match rest {
            [word] => read(word),
            _ => Err(format!("a health check of {kind} takes one word, not {}", rest.len())),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) | Self::Http { at, .. } => at.fmt(f),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

/// `PORT` or `ADDRESS:PORT`.
fn tcp(word: &str) -> Result<Target, String> {
    let refused = || {
        format!(
            "cannot probe {word:?}: use PORT or ADDRESS:PORT, with an address of the container's \
             in numbers"
        )
    };
    let text = if word.contains(':') { word.to_owned() } else { format!(":{word}") };
    place(&text, None).map(Target::Tcp).ok_or_else(refused)
}

/// `[http://][ADDRESS][:PORT][/PAGE]`.
fn http(word: &str) -> Result<Target, String> {
    let refused = |why: &str| format!("cannot probe {word:?}: {why}");
    if word.starts_with("https://") {
        return Err(refused(
            "TLS is not spoken: use --health-tcp, or a program of the image with --health-cmd",
        ));
    }
    // What ends a line would begin another one of the request.
    if word.len() > LONGEST || !word.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("it holds a blank or what is no ASCII, or is longer than 4096 bytes"));
    }
    let rest = word.strip_prefix("http://").unwrap_or(word);
    let (place_text, page) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let wanted =
        || refused("use [http://]ADDRESS:PORT/PAGE, with an address of the container's in numbers");
    if page.contains('#') {
        return Err(wanted());
    }
    let at = place(place_text, Some(HTTP_PORT)).ok_or_else(wanted)?;
    let host = if place_text.starts_with("localhost") {
        place_text.to_owned()
    } else if at.port() == HTTP_PORT {
        bracketed(at.ip())
    } else {
        at.to_string()
    };
    let page = if page.starts_with('/') { page.to_owned() } else { format!("/{page}") };
    Ok(Target::Http { at, host, page })
}

/// An absolute path.
fn unix(word: &str) -> Result<Target, String> {
    if !word.starts_with('/') || word.contains('\0') || word.len() > LONGEST {
        return Err(format!(
            "cannot probe {word:?}: use the absolute path of a socket in the container, of at \
             most 4096 bytes"
        ));
    }
    Ok(Target::Unix(word.to_owned()))
}

/// `ADDRESS:PORT`, where no address is the loopback's.
fn place(text: &str, port: Option<u16>) -> Option<SocketAddr> {
    let local = Ipv4Addr::LOCALHOST.to_string();
    let text = match text.strip_prefix("localhost") {
        Some(rest) => format!("{local}{rest}"),
        None if text.starts_with(':') => format!("{local}{text}"),
        None => text.to_owned(),
    };
    let at = text.parse().ok().or_else(|| {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let address: IpAddr = match bare {
            Some(address) => IpAddr::V6(address.parse().ok()?),
            None => IpAddr::V4(text.parse().ok()?),
        };
        Some(SocketAddr::new(address, port?))
    })?;
    let at = SocketAddr::new(at.ip().to_canonical(), at.port());
    let odd = at.ip().is_unspecified() || at.ip().is_multicast() || at.port() == 0;
    (!odd).then_some(at)
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, word: &str) -> Result<Target, String> {
        Target::parse(&[kind.to_owned(), word.to_owned()]).expect("a probe")
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_port_is_the_loopbacks_unless_it_says_otherwise() {
        for word in ["80", ":80", "localhost:80", "127.0.0.1:80", "[::ffff:127.0.0.1]:80"] {
            assert_eq!(parse("TCP", word), Ok(Target::Tcp(at("127.0.0.1:80"))), "{word}");
        }
        assert_eq!(parse("TCP", "[::1]:80"), Ok(Target::Tcp(at("[::1]:80"))));
        for bad in ["", "0", "x", "65536", "web:80", "0.0.0.0:80", "224.0.0.1:80", "127.0.0.1", ":"]
        {
            assert!(parse("TCP", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_is_asked_of_who_it_names() {
        let read = |word: &str| match parse("HTTP", word) {
            Ok(Target::Http { at, host, page }) => format!("{at} {host} {page}"),
            other => format!("{other:?}"),
        };
        assert_eq!(read(":8080/well?now"), "127.0.0.1:8080 127.0.0.1:8080 /well?now");
        assert_eq!(read("http://localhost"), "127.0.0.1:80 localhost /");
        assert_eq!(read("http://[::1]/a"), "[::1]:80 [::1] /a");
        assert_eq!(read("10.0.0.2:81?q"), "10.0.0.2:81 10.0.0.2:81 /?q");
        for bad in ["https://x", "http://web/", ":80/a b", ":80/\r\nX: y", ":80/#a", "/a", "a@b:1"]
        {
            assert!(parse("HTTP", bad).is_err(), "{bad}");
        }
        assert!(parse("HTTP", "https://127.0.0.1").expect_err("TLS").contains("--health-cmd"));
    }

    #[test]
    fn a_socket_has_an_absolute_path() {
        assert_eq!(parse("UNIX", "/run/a b"), Ok(Target::Unix("/run/a b".into())));
        for bad in ["", "run/a", "@a", "/a\0b"] {
            assert!(parse("UNIX", bad).is_err(), "{bad}");
        }
        assert!(parse("UNIX", &format!("/{}", "x".repeat(LONGEST))).is_err());
    }

    #[test]
    fn other_words_are_no_probes_and_a_probe_has_one() {
        assert!(Target::parse(&["CMD".into(), "80".into()]).is_none());
        assert!(Target::parse(&[]).is_none());
        assert!(matches!(Target::parse(&["TCP".into()]), Some(Err(_))));
        assert!(matches!(Target::parse(&["TCP".into(), "1".into(), "2".into()]), Some(Err(_))));
    }
}
