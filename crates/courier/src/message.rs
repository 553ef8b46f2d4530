//! A syslog message, byte for byte as Docker's driver spells it.
//!
//! Source: RFC 3164, RFC 5424, RFC 5425; moby's `daemon/logger/syslog` and
//! the formatters of `srslog` that it names.

use jiff::{Timestamp, tz::TimeZone};
use spec::log::{Address, Format, Syslog};

/// Severities. Source: RFC 5424, 6.2.1.
const ERROR: u8 = 3;
const INFO: u8 = 6;

/// Spells one container's messages.
#[derive(Debug)]
pub struct Speller {
    facility: u8,
    format: Format,
    tag: String,
    host: String,
    pid: u32,
    /// Each is preceded by its length: RFC 5425.
    counted: bool,
    zone: TimeZone,
}

impl Speller {
    pub fn of(wish: &Syslog, host: String, pid: u32, zone: TimeZone) -> Self {
        let newer = matches!(wish.format, Format::Rfc5424 | Format::Rfc5424Micro);
        Self {
            facility: wish.facility,
            format: wish.format,
            tag: wish.tag.clone(),
            host,
            pid,
            counted: newer && matches!(wish.address, Address::Tls(_)),
            zone,
        }
    }

    /// Appends a message; `time` is in nanoseconds since the epoch.
    pub fn spell(&self, out: &mut Vec<u8>, stderr: bool, time: u64, text: &[u8]) {
        let priority = self.facility * 8 + if stderr { ERROR } else { INFO };
        let Self { tag, host, pid, .. } = self;
        let head = match self.format {
            Format::Unix => format!("<{priority}>{} {tag}[{pid}]: ", self.time(time, "%b %e %T")),
            Format::Rfc3164 => {
                format!("<{priority}>{} {host} {tag}[{pid}]: ", self.time(time, "%b %e %T"))
            }
            Format::Rfc5424 => {
                let time = self.time(time, "%FT%T%:z");
                format!("<{priority}>1 {time} {host} {tag} {pid} {tag} - ")
            }
            Format::Rfc5424Micro => {
                let time = self.time(time, "%FT%T%.6f%:z");
                format!("<{priority}>1 {time} {host} {tag} {pid} {tag} - ")
            }
        };
        if self.counted {
            out.extend_from_slice(format!("{} ", head.len() + text.len() + 1).as_bytes());
        }
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(text);
        out.push(b'\n');
    }

    fn time(&self, nanos: u64, how: &str) -> String {
        let stamp = Timestamp::from_nanosecond(nanos.into()).unwrap_or(Timestamp::UNIX_EPOCH);
        let text = stamp.to_zoned_datetime(self.zone.clone()).strftime(how).to_string();
        // As Go spells an offset of nothing.
        match text.strip_suffix("+00:00") {
            Some(rest) => format!("{rest}Z"),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::log::Tls;

    const NOW: u64 = 1_764_662_400_123_456_789;

    fn spelt(format: Format, address: Address, stderr: bool) -> String {
        let tag = "web".to_owned();
        let wish = Syslog { address, facility: 3, format, tag, tls: Tls::default(), user: 0 };
        let speller = Speller::of(&wish, "box".into(), 7, TimeZone::UTC);
        let mut out = Vec::new();
        speller.spell(&mut out, stderr, NOW, b"hello");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn each_format_is_dockers() {
        let of = |format| spelt(format, Address::Local, false);
        assert_eq!(of(Format::Unix), "<30>Dec  2 08:00:00 web[7]: hello\n");
        assert_eq!(of(Format::Rfc3164), "<30>Dec  2 08:00:00 box web[7]: hello\n");
        assert_eq!(of(Format::Rfc5424), "<30>1 2025-12-02T08:00:00Z box web 7 web - hello\n");
        assert_eq!(
            of(Format::Rfc5424Micro),
            "<30>1 2025-12-02T08:00:00.123456Z box web 7 web - hello\n"
        );
    }

    #[test]
    fn standard_error_is_an_error() {
        assert!(spelt(Format::Unix, Address::Local, true).starts_with("<27>"));
    }

    #[test]
    fn over_tls_a_message_says_how_long_it_is() {
        let address = || Address::Tls("x:1".into());
        let message = "<30>1 2025-12-02T08:00:00Z box web 7 web - hello\n";
        assert_eq!(
            spelt(Format::Rfc5424, address(), false),
            format!("{} {message}", message.len())
        );
        assert!(spelt(Format::Rfc3164, address(), false).starts_with('<'));
    }

    #[test]
    fn the_hosts_zone_is_told() {
        let address = Address::Local;
        let (format, tag) = (Format::Rfc5424, String::new());
        let wish = Syslog { address, facility: 0, format, tag, tls: Tls::default(), user: 0 };
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let mut out = Vec::new();
        Speller::of(&wish, String::new(), 1, zone).spell(&mut out, false, NOW, b"");
        assert!(String::from_utf8_lossy(&out).contains("T10:00:00+02:00"));
    }
}
