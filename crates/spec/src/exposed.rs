//! Ports as `EXPOSE` names them.

/// Text that names no ports. It goes after the caller's "invalid", which
/// Docker writes with one letter or the other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPort {
    /// Of no number, or of a range that ends before it begins.
    #[error("containerPort: {0}")]
    Number(String),
    /// Neither TCP nor UDP nor SCTP.
    #[error("proto: {0}")]
    Protocol(String),
}

/// `80`, `80/udp`, `8000-8010/tcp`, one by one with the protocol.
///
/// # Errors
/// [`BadPort`].
pub fn exposed(text: &str) -> Result<Vec<String>, BadPort> {
    let bad = || BadPort::Number(text.to_owned());
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(&*protocol, "tcp" | "udp" | "sctp") {
        return Err(BadPort::Protocol(protocol));
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let first: u16 = first.parse().map_err(|_| bad())?;
    let last: u16 = last.parse().map_err(|_| bad())?;
    if first > last {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_named_one_by_one() {
        assert_eq!(exposed("80"), Ok(vec!["80/tcp".into()]));
        assert_eq!(exposed("80-81/UDP"), Ok(vec!["80/udp".into(), "81/udp".into()]));
    }

    #[test]
    fn what_names_no_port_is_refused_by_its_name() {
        let words = |text: &str| exposed(text).err().map(|bad| bad.to_string());
        assert_eq!(words("x").as_deref(), Some("containerPort: x"));
        assert_eq!(words("9-8").as_deref(), Some("containerPort: 9-8"));
        assert_eq!(words("1/x").as_deref(), Some("proto: x"));
    }
}
