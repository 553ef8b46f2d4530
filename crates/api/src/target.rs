//! What stands behind the method in a request's first line.
//!
//! Docker's server takes a query with bare quotes, as people type it for
//! curl: `?filters={"name":["web"]}`. The parser of URIs that we use does not
//! and would hang up with an empty 400. So on their way in such quotes become
//! a sign of the same length that it lets pass and nobody writes bare, and
//! quotes again when the query is read.

/// What stands for a bare quote in a query.
const STAND_IN: u8 = b'`';

/// Follows the bytes of a connection through the first line of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstLine {
    /// A request may begin here.
    #[default]
    Begins,
    /// Before the question mark.
    Path,
    /// Behind it.
    Query,
    /// Headers and body, which are left alone.
    Over,
}

impl FirstLine {
    /// Changes the quotes in what has come.
    pub fn pass(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *self = match (*self, *byte) {
                (Self::Over, _) => return,
                // A method; the rest of a body seldom looks like one.
                (Self::Begins, b'A'..=b'Z') => Self::Path,
                (Self::Begins, b'\r' | b'\n') => Self::Begins,
                (Self::Begins, _) | (Self::Path, b'\n') | (Self::Query, b'\n' | b' ') => Self::Over,
                (Self::Path, b'?') => Self::Query,
                (Self::Path, _) => Self::Path,
                (Self::Query, quote) => {
                    if quote == b'"' {
                        *byte = STAND_IN;
                    }
                    Self::Query
                }
            };
        }
    }
}

/// The query as the client wrote it.
pub fn query(text: &str) -> String {
    text.replace(char::from(STAND_IN), "\"")
}

/// A path without the empty steps that careless joining makes.
pub fn path(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for step in text.split('/').filter(|step| !step.is_empty()) {
        path.push('/');
        path.push_str(step);
    }
    if path.is_empty() || (text.ends_with('/') && text.len() > 1) {
        path.push('/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a request that comes in these pieces.
    fn passed(pieces: &[&str]) -> String {
        let mut line = FirstLine::default();
        let mut all = Vec::new();
        for piece in pieces {
            let mut bytes = piece.as_bytes().to_vec();
            line.pass(&mut bytes);
            all.extend(bytes);
        }
        String::from_utf8(all).expect("text")
    }

    #[test]
    fn quotes_in_a_query_pass_the_parser_and_come_back() {
        let line =
            passed(&["GET /a?filters={\"n\":[\"", "x\"]} HTTP/1.1\r\nH: \"v\"\r\n\r\n\"body\""]);
        assert_eq!(line, "GET /a?filters={`n`:[`x`]} HTTP/1.1\r\nH: \"v\"\r\n\r\n\"body\"");
        assert!("/a?filters={`n`:[`x`]}".parse::<hyper::Uri>().is_ok());
        assert_eq!(query("filters={`n`:[`x`]}"), "filters={\"n\":[\"x\"]}");
    }

    #[test]
    fn what_is_no_query_is_left_alone() {
        for text in ["GET /a\"b HTTP/1.1\r\nX: ?\"\r\n", "{\"json\":\"?\"}", "\r\n{\"?\":\"?\"}"] {
            assert_eq!(passed(&[text]), text);
        }
    }

    #[test]
    fn empty_steps_of_a_path_mean_nothing() {
        assert_eq!(path("//containers//json"), "/containers/json");
        assert_eq!(
            (path("/"), path("/_ping"), path("/a/")),
            ("/".into(), "/_ping".into(), "/a/".into())
        );
    }
}
