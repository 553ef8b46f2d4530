//! What is measured: the rows of the table, and how each is asked for.

use super::{
    contender::{Contender, Kind},
    statistics::{Samples, Target},
};
use anyhow::Result;
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    time::Duration,
};

/// Rounds of a measurement; the median needs at least 20.
pub const ROUNDS: usize = 25;
/// Commands that follow one another without a pause.
const IN_A_ROW: u32 = 10;
/// Long enough for the grace periods of the kernel that a command before has
/// begun to be over, so that none is had for nothing.
const PAUSE: Duration = Duration::from_millis(250);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `run --rm busybox true`, [`IN_A_ROW`] times without a pause; the time of one
    Run,
    /// The same once, after a pause
    RunAlone,
    /// `exec C true`
    Exec,
    /// `stop`, of a container started for it
    Stop,
    /// So many of the first, eight at a time
    RunMany(usize),
    /// So many of `run -d`, so many at a time, by us; they are removed untimed
    Start(usize, usize),
    /// `build` of COPY and five RUN, of which nothing is known
    Build,
    /// The same, of which all is
    BuildAgain,
    /// By BuildKit's door: COPY of 5,000 files, of which the client has sent
    /// none
    Files,
    /// The same, of which it has sent all
    FilesAgain,
}

/// One row of the table.
pub struct Row {
    pub title: &'static str,
    pub verb: Verb,
    pub rounds: usize,
    pub targets: &'static [Target],
}

const fn versus(who: &'static str, wall: f64, cpu: f64) -> Target {
    Target::Ratio { who, wall: Some(wall), cpu: Some(cpu) }
}

const fn wall(who: &'static str, wall: f64) -> Target {
    Target::Ratio { who, wall: Some(wall), cpu: None }
}

/// The table.
pub const ROWS: [Row; 10] = [
    Row {
        title: "run --rm busybox true, back to back",
        verb: Verb::Run,
        rounds: ROUNDS,
        targets: &[
            versus("docker", 0.1, 0.1),
            versus("podman", 0.125, 0.125),
            wall("floor", 3.0),
            Target::Most { who: "cofferdam by docker's CLI", wall: Duration::from_millis(75) },
        ],
    },
    Row {
        title: "run --rm busybox true, alone",
        verb: Verb::RunAlone,
        rounds: ROUNDS,
        targets: &[wall("floor", 1.5)],
    },
    Row { title: "exec C true", verb: Verb::Exec, rounds: ROUNDS, targets: &[wall("docker", 0.1)] },
    Row {
        title: "stop of a program that ends on SIGTERM",
        verb: Verb::Stop,
        rounds: ROUNDS,
        targets: &[wall("docker", 0.1)],
    },
    Row {
        title: "50 × run --rm busybox true, 8 at a time",
        verb: Verb::RunMany(50),
        rounds: 20,
        targets: &[Target::Most { who: "cofferdam", wall: Duration::from_millis(600) }],
    },
    Row {
        title: "50 × run -d busybox sleep, 8 at a time",
        verb: Verb::Start(50, 8),
        rounds: 20,
        targets: &[Target::Most { who: "cofferdam", wall: Duration::from_millis(600) }],
    },
    Row {
        title: "build of COPY and 5 RUN, uncached",
        verb: Verb::Build,
        rounds: 20,
        targets: &[wall("docker", 0.25)],
    },
    Row {
        title: "build of COPY and 5 RUN, cached",
        verb: Verb::BuildAgain,
        rounds: 20,
        targets: &[Target::Most { who: "cofferdam", wall: Duration::from_millis(50) }],
    },
    Row {
        title: "buildx build of COPY of 5,000 files, uncached",
        verb: Verb::Files,
        rounds: 20,
        targets: &[wall("docker", 1.0)],
    },
    Row {
        title: "buildx build of COPY of 5,000 files, cached",
        verb: Verb::FilesAgain,
        rounds: 20,
        targets: &[wall("docker", 1.0)],
    },
];

impl Verb {
    /// Whether a contender can be asked for it.
    fn suits(self, contender: &Contender) -> bool {
        match self {
            Self::Run | Self::RunAlone => true,
            // Docker's CLI asks for BuildKit where it is not told otherwise.
            // Podman's raises limits, which a machine may forbid.
            Self::Build | Self::BuildAgain => {
                !matches!(contender.kind, Kind::Floor | Kind::OursByDocker)
                    && contender.name != "podman"
            }
            Self::Files | Self::FilesAgain => {
                contender.name == "docker" || contender.kind == Kind::OursByDocker
            }
            Self::Exec | Self::Stop => contender.kind != Kind::Floor,
            Self::RunMany(_) => !matches!(contender.kind, Kind::Floor | Kind::OursByDocker),
            Self::Start(..) => matches!(contender.kind, Kind::Ours | Kind::OursBefore),
        }
    }

    /// Carries it out; gives the time of it alone.
    fn act(self, contender: &Contender) -> Result<Duration> {
        match self {
            Self::Run => contender.say_all(&vec![run(contender); IN_A_ROW as usize], 1),
            Self::RunAlone => contender.say_all(&[run(contender)], 1),
            Self::Exec => contender.say(&["exec", "idle", "true"]),
            Self::Stop => contender.say(&["stop", "ending"]),
            Self::RunMany(many) => contender.say_all(&vec![run(contender); many], 8),
            Self::Start(many, workers) => start(contender, many, workers),
            Self::Build => contender.say(&["build", "-q", "--no-cache", &context()?]),
            Self::BuildAgain => contender.say(&["build", "-q", &context()?]),
            Self::Files | Self::FilesAgain => contender.buildx(&["build", "-q", &many_files()?]),
        }
    }

    /// How many times it is done, of which the time of one is told.
    fn times(self) -> u32 {
        if self == Self::Run { IN_A_ROW } else { 1 }
    }

    /// What has to be there before a round, outside of the time.
    fn before(self, contender: &Contender) -> Result<()> {
        match self {
            Self::RunAlone => std::thread::sleep(PAUSE),
            Self::Stop => {
                let script = "trap 'exit 0' TERM; : > /tmp/up; while :; do sleep 1 & wait; done";
                let said = ["-d", "--name", "ending", "busybox", "sh", "-c", script];
                contender.say_all(&[contender.run_words(&said)], 1)?;
                contender.until(&["exec", "ending", "test", "-e", "/tmp/up"])?;
            }
            // So that all of it is known.
            Self::BuildAgain => drop(contender.say(&["build", "-q", &context()?])?),
            Self::Files => drop(contender.buildx(&["prune", "--force", "--all"])?),
            Self::FilesAgain => drop(contender.buildx(&["build", "-q", &many_files()?])?),
            _ => {}
        }
        Ok(())
    }

    fn after(self, contender: &Contender) -> Result<()> {
        match self {
            Self::Stop => contender.say(&["rm", "-f", "ending"]).map(drop),
            Self::Start(many, _) => remove(contender, many),
            _ => Ok(()),
        }
    }
}

/// The directory of what is built, made if it is not there.
fn context() -> Result<String> {
    let dir = std::env::temp_dir().join(format!("cofferdam-bench-{}/context", std::process::id()));
    if !dir.exists() {
        std::fs::create_dir_all(dir.join("files"))?;
        for n in 0..50 {
            std::fs::write(dir.join(format!("files/{n}")), vec![b'x'; 10 << 10])?;
        }
        let steps: String = (1..=5).map(|n| format!("RUN echo {n} > /{n}\n")).collect();
        std::fs::write(
            dir.join("Dockerfile"),
            format!("FROM busybox\nCOPY files /files\n{steps}"),
        )?;
    }
    Ok(dir.display().to_string())
}

/// The same of a context of many small files.
fn many_files() -> Result<String> {
    let dir = std::env::temp_dir().join(format!("cofferdam-bench-{}/many", std::process::id()));
    if !dir.exists() {
        for n in 0..5000 {
            let place = dir.join(format!("files/{}", n % 50));
            std::fs::create_dir_all(&place)?;
            std::fs::write(place.join(n.to_string()), format!("{n} ").repeat(200))?;
        }
        std::fs::write(dir.join("Dockerfile"), "FROM busybox\nCOPY files /files\n")?;
    }
    Ok(dir.display().to_string())
}

fn run(contender: &Contender) -> Vec<String> {
    if contender.kind == Kind::Floor {
        return contender.words(&[]);
    }
    contender.run_words(&["--rm", "busybox", "true"])
}

/// Starts idle containers `many0`, `many1`, …
pub fn start(contender: &Contender, many: usize, workers: usize) -> Result<Duration> {
    let one = |n: usize| {
        contender.run_words(&["-d", "--name", &format!("many{n}"), "busybox", "sleep", "100000"])
    };
    contender.say_all(&(0..many).map(one).collect::<Vec<_>>(), workers)
}

/// Removes them.
pub fn remove(contender: &Contender, many: usize) -> Result<()> {
    let names: Vec<String> = (0..many).map(|n| format!("many{n}")).collect();
    let some = |names: &[String]| {
        let mut all = contender.words(&["rm", "-f"]);
        all.extend(names.iter().cloned());
        all
    };
    contender.say_all(&names.chunks(25).map(some).collect::<Vec<_>>(), 2).map(drop)
}

/// Measures one row of all contenders, interleaved.
pub fn measure(row: &Row, all: &[Contender]) -> Result<Vec<Samples>> {
    let able: Vec<&Contender> = all.iter().filter(|c| row.verb.suits(c)).collect();
    if row.verb == Verb::Exec {
        let idle = ["-d", "--name", "idle", "busybox", "sleep", "100000"];
        for contender in able.iter().filter(|c| c.kind != Kind::OursByDocker) {
            contender.say_all(&[contender.run_words(&idle)], 1)?;
        }
    }
    let mut samples: Vec<Samples> = able.iter().map(|c| Samples::of(&c.name)).collect();
    // One round more, which warms caches and is not counted.
    for round in 0..=row.rounds {
        for at in shuffled(able.len()) {
            let contender = able[at];
            row.verb.before(contender)?;
            let used = contender.meter.settled()?;
            let wall = row.verb.act(contender)?;
            let cpu = contender.meter.settled()?.saturating_sub(used);
            row.verb.after(contender)?;
            if round > 0 {
                samples[at].wall.push(wall / row.verb.times());
                samples[at].cpu.push(cpu / row.verb.times());
            }
        }
    }
    if row.verb == Verb::Exec {
        for contender in able.iter().filter(|c| c.kind != Kind::OursByDocker) {
            contender.say(&["rm", "-f", "idle"])?;
        }
    }
    Ok(samples)
}

/// 0..n in an order of chance.
pub fn shuffled(n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        let chance = RandomState::new().build_hasher().finish();
        let other = usize::try_from(chance % (last as u64 + 1)).unwrap_or(0);
        order.swap(last, other);
    }
    order
}
