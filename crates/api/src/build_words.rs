//! What a build tells a client of the classic builder, in its words.
//!
//! Stages are built at the same time and told one after the other: what a
//! later one says waits until those before it have ended.

use crate::registries::Progress;
use engine::{BuildClient, BuildError, BuildSaid, Built, Credentials, StagePlan};
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::SyncSender;

/// Red, as Docker paints what a program says on its standard error.
const RED: (&str, &str) = ("\u{1b}[91m", "\u{1b}[0m");

/// One object of the answer.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Line {
    Stream {
        stream: String,
    },
    Aux {
        aux: Id,
    },
    Failure {
        #[serde(rename = "errorDetail")]
        detail: Detail,
        error: String,
    },
    Progress(serde_json::Value),
}

#[derive(Serialize)]
pub struct Id {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Serialize)]
pub struct Detail {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    message: String,
}

/// The client, as the builder knows it.
pub struct Client {
    said: SyncSender<BuildSaid>,
    known: BTreeMap<String, Credentials>,
    secrets: BTreeMap<String, Vec<u8>>,
}

impl Client {
    /// Passes on what is said; `known` are its credentials, by registry.
    pub fn new(
        said: SyncSender<BuildSaid>,
        known: BTreeMap<String, Credentials>,
        secrets: BTreeMap<String, Vec<u8>>,
    ) -> Self {
        Self { said, known, secrets }
    }
}

impl BuildClient for Client {
    fn said(&self, said: BuildSaid) {
        // It fails when nobody listens any more; the build is called off then.
        let _ = self.said.send(said);
    }

    fn credentials(&self, registry: &str) -> Credentials {
        let hub = ["https://index.docker.io/v1/", "index.docker.io", "docker.io"];
        let names: &[&str] = if registry == "docker.io" { &hub } else { &[registry] };
        let found = self.known.iter().find(|(name, _)| {
            let bare = name.trim_start_matches("https://").trim_start_matches("http://");
            names
                .iter()
                .any(|wanted| *wanted == name.as_str() || *wanted == bare.trim_end_matches('/'))
        });
        found.map(|(_, known)| known.clone()).unwrap_or_default()
    }

    fn secret(&self, id: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.secrets.get(id).cloned())
    }

    fn ssh(&self, _: &str) -> Result<Option<UnixStream>, String> {
        Ok(None)
    }
}

/// Bytes of one step's output that may wait, as BuildKit has it …
const STEP: usize = 2 << 20;
/// … and of all that waits of a build.
const BUILD: usize = 32 << 20;
/// What is counted for each piece beside its bytes.
const PIECE: usize = 128;
const CLIPPED: &str = "\n[output clipped, log limit 2MiB reached]\n";

/// What is kept back, within a bound: programs say as much as they like.
#[derive(Default)]
struct Held {
    said: Vec<BuildSaid>,
}

/// How much is kept back of a build.
#[derive(Default)]
struct Room {
    all: usize,
    steps: BTreeMap<(usize, usize), usize>,
}

impl Held {
    /// Keeps what fits.
    fn push(&mut self, said: BuildSaid, room: &mut Room) {
        match said {
            BuildSaid::Output { stage, step, stderr, bytes } => {
                let open = match self.said.last_mut() {
                    Some(BuildSaid::Output { stage: a, step: b, stderr: c, bytes })
                        if (*a, *b, *c) == (stage, step, stderr) =>
                    {
                        Some(bytes)
                    }
                    _ => None,
                };
                let beside = if open.is_some() { 0 } else { PIECE };
                let Some(bytes) = room.take((stage, step), bytes, beside) else { return };
                if let Some(before) = open {
                    before.extend(bytes);
                    return;
                }
                self.said.push(BuildSaid::Output { stage, step, stderr, bytes });
            }
            // How far a download has come is no news any more.
            said @ BuildSaid::Pull { .. } => {
                if room.all + PIECE <= BUILD {
                    room.all += PIECE;
                    self.said.push(said);
                }
            }
            // A few for each step, and these have a bound.
            said => self.said.push(said),
        }
    }
}

impl Room {
    /// What of a step's output may be kept; of the first that does not fit,
    /// words in its place.
    fn take(&mut self, step: (usize, usize), mut bytes: Vec<u8>, beside: usize) -> Option<Vec<u8>> {
        let taken = self.steps.entry(step).or_default();
        if *taken > STEP {
            return None;
        }
        let room = (STEP - *taken).min(BUILD.saturating_sub(self.all));
        let wanted = bytes.len() + beside;
        if wanted <= room {
            *taken += wanted;
            self.all += wanted;
            return Some(bytes);
        }
        self.all += room;
        *taken = STEP + 1;
        bytes.truncate(room.saturating_sub(beside));
        bytes.extend_from_slice(CLIPPED.as_bytes());
        Some(bytes)
    }
}

/// How far the telling has come.
#[derive(Default)]
pub struct Told {
    stages: Vec<StagePlan>,
    total: usize,
    args: usize,
    /// The stage that is being told.
    front: usize,
    waiting: BTreeMap<usize, Held>,
    room: Room,
    /// Nothing is told before the end.
    quiet: bool,
    kept: Held,
    ended: Vec<usize>,
    last: String,
    tags: Vec<String>,
    begun: bool,
}

impl Told {
    /// One that tells everything at the end, and only what has failed.
    pub fn quiet() -> Self {
        Self { quiet: true, ..Self::default() }
    }

    /// Takes in what happened; gives what is to be said now.
    pub fn take(&mut self, said: BuildSaid) -> Vec<Line> {
        if self.quiet {
            self.begun = true;
            self.kept.push(said, &mut self.room);
            return Vec::new();
        }
        self.told(said)
    }

    fn told(&mut self, said: BuildSaid) -> Vec<Line> {
        self.begun = true;
        let stage = match &said {
            BuildSaid::Plan { .. } | BuildSaid::Warning { .. } | BuildSaid::Tagged { .. } => {
                return self.tell(said);
            }
            BuildSaid::StageEnded { stage } => {
                self.ended.push(*stage);
                return if *stage == self.front {
                    let mut lines = self.aux();
                    lines.extend(self.go_on());
                    lines
                } else {
                    Vec::new()
                };
            }
            BuildSaid::Began { stage, .. }
            | BuildSaid::Cached { stage, .. }
            | BuildSaid::Triggers { stage, .. }
            | BuildSaid::Pull { stage, .. }
            | BuildSaid::Running { stage, .. }
            | BuildSaid::Output { stage, .. }
            | BuildSaid::Removed { stage, .. }
            | BuildSaid::Ended { stage, .. }
            | BuildSaid::Failed { stage, .. } => *stage,
        };
        if stage == self.front {
            return self.tell(said);
        }
        self.waiting.entry(stage).or_default().push(said, &mut self.room);
        Vec::new()
    }

    /// The next stage's turn.
    fn go_on(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        loop {
            self.front += 1;
            for said in self.waiting.remove(&self.front).unwrap_or_default().said {
                lines.extend(self.tell(said));
            }
            if !self.ended.contains(&self.front) {
                return lines;
            }
            lines.extend(self.aux());
        }
    }

    /// What still waits when the build has ended.
    pub fn rest(&mut self) -> Vec<Line> {
        let kept = std::mem::take(&mut self.kept).said;
        // It has been within the bound already.
        self.room = Room::default();
        let mut lines: Vec<Line> = kept.into_iter().flat_map(|said| self.told(said)).collect();
        let waiting = std::mem::take(&mut self.waiting);
        let waiting = waiting.into_values().flat_map(|held| held.said);
        lines.extend(waiting.flat_map(|said| self.tell(said)));
        lines
    }

    /// Whether anything was said.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    fn aux(&self) -> Vec<Line> {
        if self.last.is_empty() {
            return Vec::new();
        }
        vec![Line::Aux { aux: Id { id: self.last.clone() } }]
    }

    fn tell(&mut self, said: BuildSaid) -> Vec<Line> {
        let text = match said {
            BuildSaid::Plan { args, stages } => {
                self.args = args.len();
                self.total = self.args + stages.iter().map(|s| s.steps.len()).sum::<usize>();
                self.stages = stages;
                let total = self.total;
                let step = |(at, arg): (usize, &engine::StepPlan)| {
                    self.stream(format!("Step {}/{total} : {}\n", at + 1, arg.text))
                };
                return args.iter().enumerate().map(step).collect();
            }
            BuildSaid::Began { stage, step } => {
                let before: usize = self.stages[..stage].iter().map(|s| s.steps.len()).sum();
                let number = self.args + before + step + 1;
                let text = &self.stages[stage].steps[step].text;
                format!("Step {number}/{} : {text}\n", self.total)
            }
            BuildSaid::Cached { .. } => " ---> Using cache\n".into(),
            BuildSaid::Triggers { count, .. } => {
                let s = if count == 1 { "" } else { "s" };
                format!("# Executing {count} build trigger{s}\n")
            }
            BuildSaid::Pull { said, .. } => {
                let line = serde_json::to_value(Progress::of(&said));
                return line.into_iter().map(Line::Progress).collect();
            }
            BuildSaid::Running { container, .. } => {
                format!(" ---> Running in {}\n", container.short())
            }
            BuildSaid::Output { stderr, bytes, .. } => {
                let text = String::from_utf8_lossy(&bytes);
                if stderr { format!("{}{text}{}", RED.0, RED.1) } else { text.into_owned() }
            }
            BuildSaid::Removed { container, .. } => {
                format!(" ---> Removed intermediate container {}\n", container.short())
            }
            BuildSaid::Ended { id, .. } => {
                let line = format!(" ---> {}\n", short(&id));
                self.last = id;
                line
            }
            BuildSaid::Warning { text } => format!("{text}\n"),
            BuildSaid::Tagged { name } => {
                self.tags.push(name);
                return Vec::new();
            }
            BuildSaid::StageEnded { .. } | BuildSaid::Failed { .. } => return Vec::new(),
        };
        vec![self.stream(text)]
    }

    /// Some text.
    #[allow(clippy::unused_self)]
    pub fn stream(&self, stream: String) -> Line {
        Line::Stream { stream }
    }

    /// How it ends well.
    pub fn done(&self, built: &Built) -> Vec<Line> {
        let mut lines = vec![self.stream(format!("Successfully built {}\n", short(&built.id)))];
        let tagged = |name: &String| self.stream(format!("Successfully tagged {name}\n"));
        lines.extend(self.tags.iter().map(tagged));
        lines
    }

    /// How it ends otherwise.
    #[allow(clippy::unused_self)]
    pub fn failure(&self, error: &BuildError, dockerfile: &str) -> Line {
        let mut message = error.message.clone();
        if let Some(line) = error.line.filter(|_| !message.contains("on line")) {
            message = format!("{message} ({dockerfile}:{line})");
        }
        Line::Failure {
            detail: Detail { code: error.code, message: message.clone() },
            error: message,
        }
    }
}

fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::StepPlan;

    fn plan(stages: usize) -> BuildSaid {
        let step = |text: &str| StepPlan { text: text.into(), line: 1 };
        let stage = |index| StagePlan {
            index,
            name: None,
            steps: vec![step("FROM a"), step("RUN b")],
            needs: Vec::new(),
        };
        BuildSaid::Plan { args: vec![step("ARG x")], stages: (0..stages).map(stage).collect() }
    }

    fn text(lines: Vec<Line>) -> String {
        let one = |line: Line| match line {
            Line::Stream { stream } => stream,
            Line::Aux { aux } => format!("[{}]\n", aux.id),
            Line::Failure { error, .. } => error,
            Line::Progress(value) => value.to_string(),
        };
        lines.into_iter().map(one).collect()
    }

    #[test]
    fn stages_are_told_one_after_the_other_whichever_is_faster() {
        let mut told = Told::default();
        let mut out = text(told.take(plan(2)));
        for said in [
            BuildSaid::Began { stage: 0, step: 0 },
            BuildSaid::Began { stage: 1, step: 0 },
            BuildSaid::Ended { stage: 1, step: 0, id: "sha256:bb".into() },
            BuildSaid::StageEnded { stage: 1 },
            BuildSaid::Ended { stage: 0, step: 0, id: "sha256:aa".into() },
            BuildSaid::StageEnded { stage: 0 },
        ] {
            out += &text(told.take(said));
        }
        assert_eq!(
            out,
            "Step 1/5 : ARG x\nStep 2/5 : FROM a\n ---> aa\n[sha256:aa]\n\
             Step 4/5 : FROM a\n ---> bb\n[sha256:bb]\n"
        );
    }

    #[test]
    fn what_waits_has_a_bound_however_much_a_program_says() {
        let output = |stage, step, stderr, len| BuildSaid::Output {
            stage,
            step,
            stderr,
            bytes: vec![b'x'; len],
        };
        for mut told in [Told::default(), Told::quiet()] {
            told.take(plan(40));
            told.take(BuildSaid::Began { stage: 1, step: 1 });
            for _ in 0..5000 {
                assert_eq!(text(told.take(output(1, 1, false, 1024))), "");
            }
            // Single bytes, each on the other stream, cost more than a byte.
            for n in 0..200_000 {
                told.take(output(2, 1, n % 2 == 0, 1));
            }
            let pieces = |held: &Held| held.said.len();
            let held = told.waiting.values().map(pieces).sum::<usize>() + pieces(&told.kept);
            assert!(held < 20_000, "{held} pieces");
            for stage in 3..40 {
                told.take(output(stage, 1, false, 4 << 20));
            }
            let said = text(told.rest());
            assert!(said.len() < BUILD + (1 << 20), "{} bytes", said.len());
            assert!(said.len() > BUILD / 2, "{} bytes", said.len());
            assert!(said.contains(CLIPPED), "it is told");
        }
    }

    #[test]
    fn what_waits_is_told_when_the_build_fails() {
        let mut told = Told::default();
        told.take(plan(2));
        told.take(BuildSaid::Began { stage: 1, step: 1 });
        assert_eq!(text(told.rest()), "Step 5/5 : RUN b\n");
        let error = BuildError {
            message: "it failed".into(),
            code: Some(3),
            line: Some(7),
            kind: engine::Kind::Invalid,
        };
        let line = serde_json::to_string(&told.failure(&error, "Dockerfile")).expect("json");
        let expected = r#"{"errorDetail":{"code":3,"message":"it failed (Dockerfile:7)"},"error":"it failed (Dockerfile:7)"}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn credentials_are_found_by_every_name_of_a_registry() {
        let known = |name: &str| {
            let who = Credentials { username: "me".into(), ..Credentials::default() };
            let (said, _) = std::sync::mpsc::sync_channel(1);
            Client::new(said, [(name.to_owned(), who)].into(), BTreeMap::new())
        };
        let asked = |name: &str, registry: &str| known(name).credentials(registry).username;
        assert_eq!(asked("https://index.docker.io/v1/", "docker.io"), "me");
        assert_eq!(asked("localhost:5000", "localhost:5000"), "me");
        assert_eq!(asked("https://r.example/", "r.example"), "me");
        assert_eq!(asked("r.example", "docker.io"), "");
    }
}
