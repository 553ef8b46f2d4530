//! The little of HTTP that a probe speaks: one question, and the head of one
//! answer. Who answers may be hostile: what is kept has an end, nothing is
//! followed, and of the body no more is read than comes along.
//!
//! Source: RFC 9112.

/// Longest head of an answer, all interim ones before it included, in bytes.
pub(crate) const LONGEST_HEAD: usize = 16 << 10;

/// What is sent.
pub(crate) fn question(host: &str, page: &str) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "GET {page} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Cofferdam/{version}\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

/// What has come of an answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    heard: Vec<u8>,
    /// Where the head begins that is being read: behind those of 1xx.
    from: usize,
    /// Where the line begins that is being read.
    line: usize,
    /// Up to where line ends were looked for: one that sends bytes one by one
    /// is not to have all of them looked at each time.
    searched: usize,
}

/// What an answer came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// 200 to 399.
    pub well: bool,
    /// Its first line, and what of its body came along; or what is wrong.
    pub words: String,
}

impl Said {
    fn wrong(words: impl Into<String>) -> Self {
        Self { well: false, words: words.into() }
    }
}

impl Answer {
    /// Takes in more of it; says what it came to, once that is known.
    pub fn hear(&mut self, bytes: &[u8]) -> Option<Said> {
        self.heard.extend_from_slice(bytes);
        loop {
            let end = self.end_of_head();
            let head = &self.heard[self.from..];
            let no_http = || Some(Said::wrong(format!("this is no HTTP: {}", shown(head))));
            if !begins_as_http(head) {
                return no_http();
            }
            let Some(end) = end else {
                let words = format!("the head of its answer is longer than {LONGEST_HEAD} bytes");
                return (self.heard.len() > LONGEST_HEAD).then(|| Said::wrong(words));
            };
            let Some(status) = status(head) else {
                return no_http();
            };
            if (100..200).contains(&status) {
                // Not the answer yet.
                self.from = end;
                continue;
            }
            let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            let body = String::from_utf8_lossy(&self.heard[end..]);
            let words = if body.is_empty() { line } else { format!("{line}\n{body}") };
            return Some(Said { well: (200..400).contains(&status), words });
        }
    }

    /// Behind the empty line.
    fn end_of_head(&mut self) -> Option<usize> {
        while let Some(at) = self.heard[self.searched..].iter().position(|byte| *byte == b'\n') {
            let end = self.searched + at;
            let empty = matches!(&self.heard[self.line..end], b"" | b"\r");
            (self.line, self.searched) = (end + 1, end + 1);
            if empty {
                return Some(end + 1);
            }
        }
        self.searched = self.heard.len();
        None
    }

    /// It has ended.
    pub fn ended(&self) -> Said {
        let words = if self.heard.is_empty() {
            "it closed the connection and said nothing".to_owned()
        } else {
            format!("its answer ended within the head: {}", shown(&self.heard[self.from..]))
        };
        Said { well: false, words }
    }
}

/// As far as there is anything.
fn begins_as_http(head: &[u8]) -> bool {
    head.iter().zip(b"HTTP/1.").all(|(found, wanted)| found == wanted)
}

/// Of `HTTP/1.1 200 OK`.
fn status(head: &[u8]) -> Option<u16> {
    let digits = head.get(b"HTTP/1.".len()..)?;
    let [minor, b' ', a, b, c, after, ..] = digits else { return None };
    let number = [a, b, c];
    let sound = minor.is_ascii_digit()
        && number.iter().all(|digit| digit.is_ascii_digit())
        && matches!(after, b' ' | b'\r' | b'\n');
    sound.then(|| number.iter().fold(0, |all, digit| all * 10 + u16::from(**digit - b'0')))
}

/// The beginning, for people.
fn shown(bytes: &[u8]) -> String {
    let few = &bytes[..bytes.len().min(80)];
    few.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(pieces: &[&[u8]]) -> Option<Said> {
        let mut answer = Answer::default();
        pieces.iter().find_map(|piece| answer.hear(piece))
    }

    #[test]
    fn an_answer_is_judged_by_its_status_once_its_head_is_there() {
        let said = hear(&[b"HTTP/1.1 20", b"0 OK\r\nA: b\r\n", b"\r\nfine"]).expect("whole");
        assert_eq!((said.well, said.words.as_str()), (true, "HTTP/1.1 200 OK\nfine"));
        assert_eq!(hear(&[b"HTTP/1.1 200 OK\r\nA: b\r\n"]), None);
        for (status, well) in [("204", true), ("302", true), ("399", true), ("404", false)] {
            let head = format!("HTTP/1.0 {status} \n\n");
            assert_eq!(hear(&[head.as_bytes()]).expect("whole").well, well, "{status}");
        }
    }

    #[test]
    fn what_comes_before_the_answer_is_not_the_answer() {
        let early = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\n\r\n";
        assert_eq!(hear(&[early]).map(|said| said.words), Some("HTTP/1.1 500 No".into()));
        let endless = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        let said = hear(&endless.chunks(100).collect::<Vec<_>>()).expect("an end");
        assert!(!said.well && said.words.contains("longer than"), "{said:?}");
    }

    #[test]
    fn nobody_can_make_it_listen_for_ever() {
        let line = b"X: y\r\n".repeat(100);
        let mut answer = Answer::default();
        assert_eq!(answer.hear(b"HTTP/1.1 200 OK\r\n"), None);
        let said = (0..1000).find_map(|_| answer.hear(&line)).expect("an end");
        assert!(!said.well && answer.heard.len() <= LONGEST_HEAD + line.len(), "{said:?}");
    }

    #[test]
    fn what_is_no_http_is_told_and_not_taken_for_an_answer() {
        let redis = hear(&[b"-ERR unknown command\r\n"]).expect("at once");
        assert_eq!(redis.words, "this is no HTTP: -ERR unknown command\\r\\n");
        for odd in ["HTTP/2 200\n\n", "HTTP/1.1 2000\n\n", "HTTP/1.1 2\n\n", "HTTP/1.1  200 \n\n"] {
            assert!(!hear(&[odd.as_bytes()]).expect("at once").well, "{odd:?}");
        }
        assert!(!Answer::default().ended().well);
    }

    #[test]
    fn a_question_is_one_request() {
        let text = String::from_utf8(question("127.0.0.1:80", "/a?b")).expect("text");
        assert!(text.starts_with("GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"), "{text}");
        assert!(
            text.ends_with("Connection: close\r\n\r\n") && text.matches("\r\n\r\n").count() == 1
        );
    }
}
