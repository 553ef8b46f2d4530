//! The options of `syslog`.

use super::options::flag;
use crate::Refusal;
use spec::log::{Address, Format, Syslog, Tls};
use std::collections::BTreeMap;

/// What only this driver has.
pub const OPTIONS: [&str; 7] = [
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
];

/// By number. Source: RFC 5424, 6.2.1, and the words of `syslog(3)`.
const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];
/// Unless another one is asked for: `daemon`.
const DAEMON: u8 = 3;
/// Source: RFC 5426, 3.3; Docker takes it for streams, too.
const PORT: u16 = 514;

/// `user` is whom the courier becomes.
pub fn read(options: &BTreeMap<String, String>, tag: String, user: u32) -> Result<Syslog, Refusal> {
    let option = |key: &str| options.get(key).map_or("", String::as_str);
    let path = |key: &str| match option(key) {
        "" => Ok(String::new()),
        path if path.starts_with('/') => Ok(path.to_owned()),
        path => Err(Refusal::invalid(format!("{key} is not an absolute path: {path}"))),
    };
    let skip = option("syslog-tls-skip-verify");
    Ok(Syslog {
        address: address(option("syslog-address"))?,
        facility: facility(option("syslog-facility"))?,
        format: match option("syslog-format") {
            "" => Format::Unix,
            "rfc3164" => Format::Rfc3164,
            "rfc5424" => Format::Rfc5424,
            "rfc5424micro" => Format::Rfc5424Micro,
            _ => return Err(Refusal::invalid("Invalid syslog format")),
        },
        tag,
        tls: Tls {
            ca: path("syslog-tls-ca-cert")?,
            cert: path("syslog-tls-cert")?,
            key: path("syslog-tls-key")?,
            // Docker takes any word for yes.
            skip_verify: !skip.is_empty() && flag("syslog-tls-skip-verify", skip).unwrap_or(true),
        },
        user,
    })
}

fn address(text: &str) -> Result<Address, Refusal> {
    if text.is_empty() {
        return Ok(Address::Local);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Refusal::invalid(format!(
            "syslog-address should be in form proto://address, got {text}"
        )));
    };
    if matches!(scheme, "unix" | "unixgram") {
        if !rest.starts_with('/') {
            return Err(Refusal::invalid(format!(
                "syslog-address is not an absolute path: {rest}"
            )));
        }
        let path = rest.to_owned();
        return Ok(if scheme == "unix" { Address::Unix(path) } else { Address::Unixgram(path) });
    }
    let to = host(rest.trim_end_matches('/')).ok_or_else(|| {
        Refusal::invalid(format!("syslog-address names no host and port: {text}"))
    })?;
    match scheme {
        "udp" => Ok(Address::Udp(to)),
        "tcp" => Ok(Address::Tcp(to)),
        "tcp+tls" => Ok(Address::Tls(to)),
        _ => Err(Refusal::invalid(format!("unsupported scheme: '{scheme}'"))),
    }
}

/// `HOST[:PORT]` with a port.
fn host(text: &str) -> Option<String> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            (
                format!("[{address}]"),
                rest.strip_prefix(':').or(Some(rest).filter(|r| r.is_empty()))?,
            )
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name.to_owned(), port),
            None => (text.to_owned(), ""),
        },
    };
    let port = if port.is_empty() { PORT } else { port.parse().ok()? };
    (!name.is_empty() && !name.contains(['/', '@', '?'])).then(|| format!("{name}:{port}"))
}

fn facility(text: &str) -> Result<u8, Refusal> {
    if text.is_empty() {
        return Ok(DAEMON);
    }
    let by_name = FACILITIES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    by_name
        .or_else(|| text.parse().ok().filter(|number| *number <= 23))
        .ok_or_else(|| Refusal::invalid("invalid syslog facility"))
}
