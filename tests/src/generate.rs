//! Requests that no client would make, from a seed.
//!
//! Every operation of the contract, of the engine's own and of none; queries,
//! bodies, media types and names that are right, nearly right and hostile.
//! The same seed makes the same requests. They are bounded: nothing in them
//! names a file of the machine that could be made or written, and what would
//! wait does so for a second at most.

mod bodies;

use crate::{ask::Request, contract, tar};
use serde_json::{Map, Value, json};

/// Numbers from a seed: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    ///
    /// # Panics
    /// If that is nothing.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).expect("less than a usize")
    }

    /// True so many times out of a hundred.
    pub fn often(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Methods, known and not.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "NONESUCH", "get"];

/// Of the engine's own operations, and of none.
const OTHERS: [&str; 22] = [
    "GET /cofferdam/audit",
    "GET /containers/{id}/audit",
    "GET /containers/{id}/why",
    "GET /containers/{id}/filter?allow=keyctl",
    "POST /cofferdam/check",
    "POST /cofferdam/collect?dry=1",
    "POST /cofferdam/images/{name}/pin",
    "POST /cofferdam/images/{name}/unpin",
    "GET /cofferdam/root/{name}",
    "GET /cofferdam/manifest/{name}",
    "GET /cofferdam/referrers/{name}",
    "POST /networks/{id}/update",
    "GET /",
    "GET /nonesuch",
    "GET /containers",
    "GET /containers/{id}",
    "POST /containers/{id}/nonesuch",
    "GET /images/{name}",
    "DELETE /images/",
    "POST /exec/{id}",
    "GET /swarm/nonesuch",
    "POST /plugins/{name}/nonesuch",
];

/// Names of what there is, and of what there is not.
const NAMES: [&str; 16] = [
    "alive",
    "ended",
    "made",
    "busybox",
    "busybox:latest",
    "net",
    "vol",
    "bridge",
    "host",
    "none",
    "nonesuch",
    "a",
    "0",
    "sha256:0",
    "other",
    "fresh",
];

/// Texts that something may stumble over; none begins like a path that could
/// be made.
const HOSTILE: [&str; 34] = [
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "a\r\nX-Y: z",
    "..",
    "../..",
    "./",
    "%",
    "%00",
    "%s%n",
    "'",
    "\"",
    "{}",
    "[]",
    "null",
    "\u{202e}",
    "\u{fffd}",
    "\u{e9}\u{4e2d}",
    "-1",
    "0",
    "1e9",
    "0x10",
    "9223372036854775808",
    "18446744073709551616",
    "NaN",
    "true",
    ":",
    "a:b:c:d",
    "=",
    "a=b=c",
    "*",
    "(((((",
];

const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "-0",
    "+1",
    "1.5",
    "65536",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "x",
    "",
];

/// What a query may hold: the name, and values beside the hostile ones.
const QUERIES: [(&str, &[&str]); 61] = [
    ("all", &["1", "0", "true", "x"]),
    ("limit", &NUMBERS),
    ("size", &["1", "0"]),
    ("before", &NAMES),
    ("since", &["0", "1", "-1", "1.5", "2020-01-01T00:00:00Z", "10m"]),
    ("until", &["0", "1", "9999999999", "10m"]),
    ("name", &NAMES),
    ("platform", &["linux/amd64", "linux", "windows", "linux/arm/v7/x"]),
    ("signal", &["KILL", "SIGTERM", "9", "0", "65", "-1", "RTMIN+1", "NOPE"]),
    ("condition", &["not-running", "next-exit", "removed", "x"]),
    ("stdout", &["1", "0"]),
    ("stderr", &["1", "0"]),
    ("stdin", &["1"]),
    ("stream", &["1", "0"]),
    ("logs", &["1"]),
    ("follow", &["0", "1"]),
    ("timestamps", &["1"]),
    ("details", &["1"]),
    ("tail", &["all", "0", "1", "-1", "99999999999999999999"]),
    ("detachKeys", &["ctrl-a", "a,b", "ctrl-", "ctrl-1"]),
    ("one-shot", &["1"]),
    ("h", &NUMBERS),
    ("w", &NUMBERS),
    ("force", &["1", "0"]),
    ("v", &["1"]),
    ("link", &["1"]),
    (
        "path",
        &[
            "/",
            "/etc",
            "/etc/passwd",
            "/tmp",
            "/nonesuch",
            "etc",
            "/../..",
            "/proc/self/mem",
            "/dev/null",
        ],
    ),
    ("noOverwriteDirNonDir", &["1"]),
    ("copyUIDGID", &["1"]),
    ("ps_args", &["aux", "-ef", "-o pid", "--nonesuch", "-p 1"]),
    ("container", &NAMES),
    ("repo", &["made/it", "UPPER", "a//b", "x:1"]),
    ("tag", &["1", "latest", "-x", "a/b"]),
    ("comment", &["c"]),
    ("author", &["a"]),
    ("pause", &["0"]),
    ("changes", &["ENV A=1", "FROM x", "CMD [", "LABEL a=b"]),
    ("names", &NAMES),
    ("fromSrc", &["-"]),
    ("noprune", &["1"]),
    ("shared-size", &["1"]),
    ("digests", &["1"]),
    ("term", &["x"]),
    ("type", &["container", "image", "volume", "x"]),
    ("dockerfile", &["Dockerfile", "nonesuch", "../x"]),
    ("fromImage", &["127.0.0.1:1/x", "UPPER"]),
    ("t", &["0", "1", "x"]),
    ("q", &["1"]),
    ("nocache", &["1"]),
    ("rm", &["1"]),
    ("buildargs", &["{}", "{\"A\":\"1\"}", "{\"A\":null}", "[", "{\"A\":1}"]),
    ("labels", &["{}", "{\"a\":\"b\"}", "[1]"]),
    ("target", &["a", "nonesuch"]),
    ("shmsize", &NUMBERS),
    ("memory", &NUMBERS),
    ("cpushares", &NUMBERS),
    ("cpusetcpus", &["0", "4000", "x"]),
    ("extrahosts", &["a:1.2.3.4"]),
    ("networkmode", &["none", "host", "nonesuch"]),
    ("scope", &["local", "swarm"]),
    ("id", &NAMES),
];

const FILTER_KEYS: [&str; 22] = [
    "label",
    "label!",
    "name",
    "id",
    "status",
    "exited",
    "health",
    "before",
    "since",
    "ancestor",
    "volume",
    "network",
    "publish",
    "expose",
    "dangling",
    "driver",
    "type",
    "until",
    "reference",
    "event",
    "is-task",
    "zzz",
];

const MEDIA: [&str; 9] = [
    "application/json",
    "application/json; charset=utf-8",
    "APPLICATION/JSON",
    "text/plain",
    "",
    "application/x-tar",
    "application/jsonx",
    "json",
    "\u{e9}/;;,",
];

/// Makes requests.
pub struct Generator {
    dice: Dice,
    operations: Vec<String>,
}

impl Generator {
    /// All that follow are this seed's.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut operations = contract::operations();
        operations.extend(OTHERS.map(str::to_owned));
        Self { dice: Dice(seed), operations }
    }

    /// Makes the next request: its version, and the rest.
    ///
    /// # Panics
    /// If the contract names an operation without a path.
    pub fn make(&mut self) -> (u16, Request) {
        let operation = self.operations[self.dice.below(self.operations.len())].clone();
        let (method, pattern) = operation.split_once(' ').expect("a method and a path");
        let method = if self.dice.often(3) { self.dice.pick(&METHODS) } else { method };
        let path = self.path(pattern);
        let target = self.target(pattern, &path);
        let mut request = Request::of(method, &target);
        self.body(pattern, &mut request);
        if pattern.ends_with("/attach") || pattern.ends_with("/start") || self.dice.often(2) {
            request = request.header("Connection", "Upgrade").header("Upgrade", "tcp");
        }
        if self.dice.often(3) {
            let value = self.dice.pick(&["e30=", "x", "eyJhIjoxfQ==", ""]).to_owned();
            request = request.header("X-Registry-Auth", &value);
        }
        let version = 24 + u16::try_from(self.dice.below(28)).expect("small");
        (version, request)
    }

    fn path(&mut self, pattern: &str) -> String {
        let parts = pattern.split('?').next().unwrap_or_default().split('/').map(|part| {
            if !part.starts_with('{') {
                return part.to_owned();
            }
            if self.dice.often(80) {
                self.dice.pick(&NAMES).to_owned()
            } else {
                escaped(&self.text())
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// A text to stumble over.
    fn text(&mut self) -> String {
        match self.dice.below(40) {
            0 => "x".repeat(5_000),
            1 => "../".repeat(500),
            2 => "%00".repeat(100),
            3 => "\u{10ffff}".repeat(300),
            _ => self.dice.pick(&HOSTILE).to_owned(),
        }
    }

    fn target(&mut self, pattern: &str, path: &str) -> String {
        let mut pairs = Vec::new();
        // What waits for a program's end says for how long.
        if pattern.ends_with("/stop") || pattern.ends_with("/restart") {
            pairs.push(format!("t={}", self.dice.pick(&["0", "1", "x", "0"])));
        }
        for _ in 0..self.dice.below(5) {
            let (name, values) = QUERIES[self.dice.below(QUERIES.len())];
            if name == "t" && !pairs.is_empty() {
                continue;
            }
            let value =
                if self.dice.often(70) { self.dice.pick(values).to_owned() } else { self.text() };
            pairs.push(format!("{name}={}", escaped(&value)));
        }
        pairs.extend(self.usual(pattern).map(str::to_owned));
        if self.dice.often(25) {
            let filters = self.filters();
            pairs.push(format!("filters={}", escaped(&filters)));
        }
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
    }

    /// Without which an operation is refused before anything else is looked
    /// at.
    fn usual(&mut self, pattern: &str) -> Option<&'static str> {
        let usual = match pattern.rsplit('/').next()? {
            "archive" => "path=/tmp",
            "logs" => "stdout=1",
            "attach" => "stream=1&stdout=1",
            "resize" => "h=10&w=10",
            "commit" => "container=alive",
            "rename" => "name=other",
            "tag" => "repo=made/it",
            "get" => "names=busybox",
            _ => return None,
        };
        self.dice.often(70).then_some(usual)
    }

    fn filters(&mut self) -> String {
        if self.dice.often(10) {
            return self.text();
        }
        let mut map = Map::new();
        for _ in 0..=self.dice.below(2) {
            let key = self.dice.pick(&FILTER_KEYS).to_owned();
            let value = match self.dice.below(4) {
                0 => self.text(),
                1 => self.dice.pick(&NUMBERS).to_owned(),
                _ => self.dice.pick(&NAMES).to_owned(),
            };
            let values = match self.dice.below(5) {
                0 => json!({ value: true }),
                1 => json!({ value: 1 }),
                2 => json!(value),
                _ => json!([value]),
            };
            map.insert(key, values);
        }
        Value::Object(map).to_string()
    }

    fn body(&mut self, pattern: &str, request: &mut Request) {
        let (kind, mut bytes) = if bodies::takes_an_archive(pattern) {
            let mut archive = tar::of(&[
                ("Dockerfile", self.dice.pick(&bodies::DOCKERFILES)),
                ("manifest.json", "[{}]"),
            ]);
            if self.dice.often(40) {
                let at = self.dice.below(archive.len());
                archive[at] ^= 0x41;
            }
            ("application/x-tar", archive)
        } else if let Some(mut value) = bodies::of(pattern) {
            for _ in 0..self.dice.below(4) {
                self.mutate(&mut value);
            }
            ("application/json", value.to_string().into_bytes())
        } else if self.dice.often(10) {
            ("application/json", self.text().into_bytes())
        } else {
            return;
        };
        match self.dice.below(50) {
            0 => bytes = "[".repeat(100_000).into_bytes(),
            1 => bytes = "{\"a\":".repeat(50_000).into_bytes(),
            2 => bytes.truncate(bytes.len() / 2),
            3 => bytes.extend(b"{}"),
            4 => bytes = vec![0; 1 << 16],
            5 => bytes.clear(),
            6 => bytes = vec![0xff; 100],
            _ => {}
        }
        let kind = if self.dice.often(5) { self.dice.pick(&MEDIA) } else { kind };
        if self.dice.often(97) {
            request.headers.push(("Content-Type".into(), kind.to_owned()));
            request.body = Some(bytes);
        }
    }

    /// Changes one thing somewhere in a value.
    fn mutate(&mut self, value: &mut Value) {
        let deeper = self.dice.often(75);
        match value {
            Value::Object(map) if deeper && !map.is_empty() => {
                let keys: Vec<String> = map.keys().cloned().collect();
                let key = &keys[self.dice.below(keys.len())];
                match self.dice.below(12) {
                    0 => drop(map.remove(key)),
                    1 => drop(map.insert(key.to_uppercase(), json!(1))),
                    2 => drop(map.insert(self.text(), json!({}))),
                    _ if bodies::is_a_path_of_the_host(key) => {}
                    _ => self.mutate(&mut map[key]),
                }
            }
            Value::Array(list) if deeper && !list.is_empty() => {
                let at = self.dice.below(list.len());
                match self.dice.below(8) {
                    0 => drop(list.remove(at)),
                    1 => list.push(list[at].clone()),
                    2 => *list = vec![list[at].clone(); 500],
                    _ => self.mutate(&mut list[at]),
                }
            }
            other => *other = self.value(),
        }
    }

    fn value(&mut self) -> Value {
        match self.dice.below(14) {
            0 => Value::Null,
            1 => json!(true),
            2 => {
                json!(self.dice.pick(&[&-1, &0, &1, &i64::MIN, &i64::MAX, &65_536, &4_294_967_296]))
            }
            3 => json!(u64::MAX),
            4 => json!(1.5e300),
            5 => json!([]),
            6 => json!({}),
            7 => json!([null]),
            8 => json!({ self.text(): self.text() }),
            9 => json!([self.text(), 1, {}]),
            10 => json!("x".repeat(200_000)),
            11 => json!(self.dice.pick(&NAMES)),
            _ => json!(self.text()),
        }
    }
}

/// Percent-encoded: everything but letters, digits and a few signs.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' | b':' => {
                out.push(byte.into());
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_requests_again() {
        let lines = |seed| {
            let mut generator = Generator::new(seed);
            (0..100).map(|_| format!("{:?}", generator.make())).collect::<Vec<_>>()
        };
        assert_eq!(lines(7), lines(7));
        assert_ne!(lines(7), lines(8));
    }

    #[test]
    fn a_target_is_one_word() {
        let mut generator = Generator::new(1);
        for _ in 0..2_000 {
            let (_, request) = generator.make();
            assert!(request.target.bytes().all(|byte| byte.is_ascii_graphic()), "{request:?}");
        }
    }
}
