//! Answers as people read them: Docker's columns, sizes and times.

use crate::error::{Error, Outcome};
use serde_json::Value;
use std::fmt::Write as _;
use template::Template;

/// A list of like things.
pub struct Listing<'a> {
    /// The default columns: header and the field that it shows.
    pub columns: &'a [(&'a str, &'a str)],
    /// Further fields with headers, for `--format "table …"`.
    pub more: &'a [(&'a str, &'a str)],
    /// One object a row.
    pub rows: Vec<Value>,
}

impl Listing<'_> {
    /// Lays it out by `--format`.
    ///
    /// # Errors
    /// If the format is no template.
    pub fn text(&self, format: Option<&str>) -> Outcome<String> {
        match format {
            None | Some("table" | "") => Ok(self.table()),
            Some("json") => Ok(self.rows.iter().fold(String::new(), |mut text, row| {
                let _ = writeln!(text, "{}", template::shown(row));
                text
            })),
            Some(format) => match format.strip_prefix("table") {
                Some(template) => self.custom(template.trim()),
                None => self.lines(format),
            },
        }
    }

    fn table(&self) -> String {
        let header = self.columns.iter().map(|(header, _)| (*header).to_owned()).collect();
        let mut lines: Vec<Vec<String>> = vec![header];
        for row in &self.rows {
            lines.push(self.columns.iter().map(|(_, field)| plain(&row[*field])).collect());
        }
        columns(10, &lines)
    }

    fn lines(&self, template: &str) -> Outcome<String> {
        let template = Template::of_row(template)?;
        let mut text = String::new();
        for row in &self.rows {
            text.push_str(&template.fill(row)?);
            text.push('\n');
        }
        Ok(text)
    }

    fn custom(&self, template: &str) -> Outcome<String> {
        let all = self.columns.iter().chain(self.more);
        let headers: serde_json::Map<_, _> =
            all.map(|(header, field)| ((*field).to_owned(), Value::from(*header))).collect();
        let template = Template::of_row(template)?;
        let mut lines = vec![cells(&template.heading(&Value::Object(headers))?)];
        for row in &self.rows {
            lines.push(cells(&template.fill(row)?));
        }
        Ok(columns(10, &lines))
    }
}

fn cells(line: &str) -> Vec<String> {
    line.split('\t').map(str::to_owned).collect()
}

/// A value as a cell.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Cells three apart and so wide at least; Docker's tables have 10, `top` 20.
pub fn columns(least: usize, lines: &[Vec<String>]) -> String {
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let length = |text: &String| text.chars().count();
    let widths: Vec<usize> = (0..count)
        .map(|n| lines.iter().filter_map(|line| line.get(n)).map(length).max().unwrap_or(0))
        .map(|widest| (widest + 3).max(least))
        .collect();
    let mut text = String::new();
    for line in lines {
        for (n, cell) in line.iter().enumerate() {
            if n + 1 == line.len() {
                text.push_str(cell);
            } else {
                let _ = write!(text, "{cell:width$}", width = widths[n]);
            }
        }
        text.push('\n');
    }
    text
}

/// One document, filled into a template or as indented JSON.
///
/// # Errors
/// If the format is no template.
pub fn document(value: &Value, format: Option<&str>) -> Outcome<String> {
    match format {
        None | Some("") => Ok(indented(value)),
        Some("json") => Ok(format!("{value}\n")),
        Some(template) => Ok(Template::new(template)?.fill(value)? + "\n"),
    }
}

/// JSON indented by four spaces, as Docker's `inspect`.
pub fn indented(value: &Value) -> String {
    let mut bytes = Vec::new();
    let style = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, style);
    let written = serde::Serialize::serialize(value, &mut writer);
    written.expect("JSON to memory");
    bytes.push(b'\n');
    String::from_utf8(bytes).expect("JSON is text")
}

/// The same of JSON as the engine wrote it, its fields in their order.
pub fn reindented(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("    ", depth));
    };
    let mut chars = json.trim().chars().peekable();
    while let Some(c) = chars.next() {
        if quoted {
            text.push(c);
            (quoted, escaped) = (escaped || c != '"', !escaped && c == '\\');
            continue;
        }
        match c {
            '{' | '[' => {
                text.push(c);
                while chars.next_if(|next| next.is_whitespace()).is_some() {}
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(end);
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c if c.is_whitespace() => {}
            c => {
                quoted = c == '"';
                text.push(c);
            }
        }
    }
    text.push('\n');
    text
}

#[expect(clippy::cast_precision_loss, reason = "for people: three digits are shown")]
fn scaled(bytes: u64, step: f64, units: &[&str], digits: i32) -> String {
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= step && unit + 1 < units.len() {
        size /= step;
        unit += 1;
    }
    // As C's %g: so many significant digits, no trailing zeros.
    let whole = if size >= 1.0 { size.log10().floor() + 1.0 } else { 1.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few digits")]
    let decimals = (f64::from(digits) - whole).max(0.0) as usize;
    let mut number = format!("{size:.decimals$}");
    if number.contains('.') {
        number.truncate(number.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{number}{}", units[unit])
}

/// Powers of 1000, three digits: `72.8MB`.
pub fn size(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"], 3)
}

/// Powers of 1000, four digits, as totals are: `1.982MB`.
pub fn total(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"], 4)
}

/// Powers of 1024, four digits: `1.944GiB`.
pub fn binary_size(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4)
}

/// Seconds, roughly, in Docker's words.
pub fn ago(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    let text = match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, ..60, _) => format!("{minutes} minutes"),
        (.., 1) => "About an hour".to_owned(),
        (.., ..48) => format!("{hours} hours"),
        (.., ..336) => format!("{} days", hours / 24),
        (.., ..1440) => format!("{} weeks", hours / 24 / 7),
        (.., ..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    };
    text + " ago"
}

/// Seconds between a moment of the API (seconds since the epoch) and now.
pub fn since(epoch: i64) -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second().saturating_sub(epoch)).unwrap_or(0)
}

/// Seconds since the epoch as Docker's lists show them:
/// `2026-01-31 12:00:00 +0000 UTC`.
pub fn day(epoch: i64) -> String {
    jiff::Timestamp::from_second(epoch)
        .map(|at| at.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string())
        .unwrap_or_default()
}

/// The same of an RFC 3339 date, fractions kept.
pub fn stamp(date: &str) -> String {
    match date.parse::<jiff::Timestamp>() {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string(),
        Err(_) => date.to_owned(),
    }
}

/// The first 12 digits of an identifier, without its algorithm.
pub fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

/// Writes to the output; a reader that has left (`| head`) ends us quietly.
///
/// # Errors
/// For any other failure to write.
pub fn print(text: &str) -> Outcome<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(141),
        other => other.map_err(|source| Error::Host {
            doing: "write",
            what: "the output".into(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_keep_their_order_and_texts_their_signs() {
        let json = r#"[{"b":"x, {\"y\": [1]\\","a":[],"c":{},"d":[1,null]}]"#;
        let value: Value = serde_json::from_str(json).expect("JSON");
        let text = reindented(json);
        assert_eq!(serde_json::from_str::<Value>(&text).expect("still JSON"), value);
        assert!(text.starts_with("[\n    {\n        \"b\": \"x, {"), "{text}");
        // Sorted, it is what the other way gives.
        assert_eq!(reindented(&value.to_string()), indented(&value));
    }

    #[test]
    fn sizes_are_dockers() {
        assert_eq!(size(0), "0B");
        assert_eq!(size(1_240_000), "1.24MB");
        assert_eq!(size(72_800_000), "72.8MB");
        assert_eq!(size(999), "999B");
        assert_eq!(total(1_982_357), "1.982MB");
        assert_eq!(binary_size(2_087_354_105), "1.944GiB");
        assert_eq!(binary_size(512 << 20), "512MiB");
    }

    #[test]
    fn times_are_dockers() {
        assert_eq!(day(1_700_000_000), "2023-11-14 22:13:20 +0000 UTC");
        assert_eq!(stamp("2023-11-14T22:13:20.5Z"), "2023-11-14 22:13:20.5 +0000 UTC");
        assert_eq!(ago(0), "Less than a second ago");
        assert_eq!(ago(59), "59 seconds ago");
        assert_eq!(ago(61), "About a minute ago");
        assert_eq!(ago(3600), "About an hour ago");
        assert_eq!(ago(3 * 24 * 3600), "3 days ago");
        assert_eq!(ago(15 * 24 * 3600), "2 weeks ago");
    }

    #[test]
    fn a_table_has_dockers_widths() {
        let rows = vec![json!({"ID": "ab", "Image": "busybox:latest"})];
        let list =
            Listing { columns: &[("CONTAINER ID", "ID"), ("IMAGE", "Image")], more: &[], rows };
        assert_eq!(
            list.text(None).expect("plain"),
            "CONTAINER ID   IMAGE\nab             busybox:latest\n"
        );
        assert_eq!(list.text(Some("{{.ID}}")).expect("template"), "ab\n");
        assert_eq!(
            list.text(Some("table {{.Image}}\t{{.ID}}")).expect("template"),
            "IMAGE            CONTAINER ID\nbusybox:latest   ab\n"
        );
        assert_eq!(
            list.text(Some("json")).expect("json"),
            "{\"ID\":\"ab\",\"Image\":\"busybox:latest\"}\n"
        );
    }
}
