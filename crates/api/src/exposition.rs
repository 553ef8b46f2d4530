//! Figures as text, as Prometheus reads them: its own format of version 0.0.4,
//! and OpenMetrics 1.0 for who asks for that.
//!
//! A family is begun by its first sample, so that none is empty, and its
//! samples stand together. What labels hold may come from anybody.
//!
//! Source: "Exposition formats" of Prometheus' documentation; the OpenMetrics
//! specification, 1.0.0.

use std::fmt::{Display, Write as _};

/// How it is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`.
    Text,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It grows; its samples end in `_total`, which is not part of its name here.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Its samples are `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// Name, kind and a sentence for people.
#[derive(Clone, Copy, Debug)]
pub struct Family(pub &'static str, pub Kind, pub &'static str);

/// Labels, spelt once for the many samples that bear them.
#[derive(Clone, Debug, Default)]
pub struct Labels(String);

/// Nanoseconds, which are told in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub u64);

/// The page under the pen.
#[derive(Debug)]
pub struct Page {
    format: Format,
    text: String,
    /// The family that has begun.
    family: &'static str,
}

impl Format {
    /// What a client wants that sends this `Accept`: OpenMetrics if it names
    /// that, whatever weights there are, as Prometheus' own libraries answer.
    pub fn wanted(accept: &str) -> Self {
        let named = accept.split(',').any(|range| {
            let mut words = range.split(';').map(str::trim);
            let kind = words.next().unwrap_or_default();
            kind.eq_ignore_ascii_case("application/openmetrics-text")
                && !words.any(|word| matches!(word, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        });
        if named { Self::OpenMetrics } else { Self::Text }
    }

    /// Its media type.
    pub fn media(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Labels {
    /// Names are ours, values are anybody's.
    pub fn of(labels: &[(&str, &str)]) -> Self {
        let mut all = Self::default();
        for (name, value) in labels {
            all.add(name, value);
        }
        all
    }

    /// The same with more.
    pub fn and(&self, labels: &[(&str, &str)]) -> Self {
        let mut all = self.clone();
        for (name, value) in labels {
            all.add(name, value);
        }
        all
    }

    fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(name);
        self.0.push_str("=\"");
        for letter in value.chars() {
            match letter {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
        self.0.push('"');
    }
}

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:09}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl Page {
    /// An empty one.
    pub fn new(format: Format) -> Self {
        Self { format, text: String::new(), family: "" }
    }

    /// One sample of a counter or gauge.
    pub fn sample(&mut self, family: Family, labels: &Labels, value: impl Display) {
        let suffix = if family.1 == Kind::Counter { "_total" } else { "" };
        self.line(family, suffix, labels, value);
    }

    /// One sample of a histogram. `within` goes up to its last bound.
    pub fn histogram(
        &mut self,
        family: Family,
        labels: &Labels,
        within: impl Iterator<Item = (Seconds, u64)>,
        (count, sum): (u64, Seconds),
    ) {
        for (bound, count) in within {
            let mut bound = bound.to_string();
            if !bound.contains('.') {
                // As a number that may have a part: OpenMetrics insists.
                bound.push_str(".0");
            }
            self.line(family, "_bucket", &labels.and(&[("le", &bound)]), count);
        }
        self.line(family, "_bucket", &labels.and(&[("le", "+Inf")]), count);
        self.line(family, "_sum", labels, sum);
        self.line(family, "_count", labels, count);
    }

    /// The whole text.
    pub fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn line(&mut self, family: Family, suffix: &str, labels: &Labels, value: impl Display) {
        if self.family != family.0 {
            self.begin(family);
        }
        let written = if labels.0.is_empty() {
            writeln!(self.text, "{}{suffix} {value}", family.0)
        } else {
            writeln!(self.text, "{}{suffix}{{{}}} {value}", family.0, labels.0)
        };
        written.expect("a string takes all");
    }

    fn begin(&mut self, Family(name, kind, help): Family) {
        self.family = name;
        let word = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // There a counter's own name is that of its samples.
        let whole = match (self.format, kind) {
            (Format::Text, Kind::Counter) => "_total",
            _ => "",
        };
        let text = &mut self.text;
        let written = writeln!(text, "# HELP {name}{whole} {help}")
            .and_then(|()| writeln!(text, "# TYPE {name}{whole} {word}"));
        let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit));
        let written = written.and_then(|()| match (self.format, unit) {
            (Format::OpenMetrics, Some(unit)) => writeln!(text, "# UNIT {name} {unit}"),
            _ => Ok(()),
        });
        written.expect("a string takes all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITED: Family = Family("waited_seconds", Kind::Counter, "How long.");
    const TOOK: Family = Family("took_seconds", Kind::Histogram, "How long each.");

    #[test]
    fn a_counter_is_spelt_as_either_format_wants_it() {
        let page = |format| {
            let mut page = Page::new(format);
            page.sample(WAITED, &Labels::of(&[("a", "1")]), Seconds(1_500_000_000));
            page.sample(WAITED, &Labels::of(&[("a", "2")]), Seconds(2_000_000_000));
            page.end()
        };
        let samples = "waited_seconds_total{a=\"1\"} 1.5\nwaited_seconds_total{a=\"2\"} 2\n";
        let head = "# HELP waited_seconds_total How long.\n# TYPE waited_seconds_total counter\n";
        assert_eq!(page(Format::Text), format!("{head}{samples}"));
        let head = "# HELP waited_seconds How long.\n# TYPE waited_seconds counter\n\
                    # UNIT waited_seconds seconds\n";
        assert_eq!(page(Format::OpenMetrics), format!("{head}{samples}# EOF\n"));
    }

    #[test]
    fn a_value_of_a_label_ends_where_it_ends() {
        let labels = Labels::of(&[("name", "a\"} 1\nb\\ü")]).and(&[("le", "")]);
        assert_eq!(labels.0, "name=\"a\\\"} 1\\nb\\\\ü\",le=\"\"");
    }

    #[test]
    fn a_histogram_has_buckets_a_sum_and_a_count() {
        let mut page = Page::new(Format::Text);
        let within = [(Seconds(5_000_000), 1), (Seconds(1_000_000_000), 2)];
        let all = (3, Seconds(31_000_000_000));
        page.histogram(TOOK, &Labels::default(), within.into_iter(), all);
        let text = page.end();
        let samples: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            samples,
            [
                "took_seconds_bucket{le=\"0.005\"} 1",
                "took_seconds_bucket{le=\"1.0\"} 2",
                "took_seconds_bucket{le=\"+Inf\"} 3",
                "took_seconds_sum 31",
                "took_seconds_count 3",
            ]
        );
    }

    #[test]
    fn open_metrics_comes_to_who_names_it() {
        let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4";
        assert_eq!(Format::wanted(of_prometheus), Format::OpenMetrics);
        for accept in ["", "*/*", "text/plain", "application/openmetrics-text;q=0"] {
            assert_eq!(Format::wanted(accept), Format::Text, "{accept}");
        }
    }
}
