//! What confinement costs: the same container with each layer taken off, at
//! its start, in a program that does nothing but call the kernel, and in one
//! that opens many files.
//!
//! A layer that only the mandatory systems of other kernels bring (SELinux,
//! AppArmor) is not measured here.

use super::{
    contender::{Contender, Kind},
    host::Scratch,
    images::said,
    rows::shuffled,
    statistics::{Samples, Verdicts, median, milliseconds},
};
use anyhow::{Context as _, Result};
use std::time::Duration;

/// So much more may a program take that calls the kernel much.
const MORE: f64 = 1.02;
/// And so much a start.
const START: Duration = Duration::from_micros(1500);

/// A way to be confined less.
struct Without {
    title: &'static str,
    words: &'static [&'static str],
    /// Which of [`ALL`] differs from it in this layer alone.
    beside: usize,
}

/// Landlock has no switch of its own: it gives way to who may mount.
const ALL: [Without; 6] = [
    Without { title: "confined in every way", words: &[], beside: 0 },
    Without {
        title: "without seccomp",
        words: &["--security-opt", "seccomp=unconfined"],
        beside: 0,
    },
    Without {
        title: "without Landlock, seccomp",
        words: &["--security-opt", "seccomp=unconfined", "--cap-add", "SYS_ADMIN"],
        beside: 1,
    },
    Without { title: "with the host's users", words: &["--userns", "host"], beside: 0 },
    Without {
        title: "with all kernel paths",
        words: &["--security-opt", "systempaths=unconfined"],
        beside: 0,
    },
    Without {
        title: "without any of these",
        words: &[
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "systempaths=unconfined",
            "--userns",
            "host",
            "--cap-add",
            "SYS_ADMIN",
        ],
        beside: 0,
    },
];

/// What is run, how often in a row, and in how many rounds.
struct Work {
    title: &'static str,
    program: &'static [&'static str],
    in_a_row: u32,
    rounds: usize,
}

const START_OF: Work = Work {
    title: "layers: start of a container",
    program: &["layers", "true"],
    in_a_row: 10,
    rounds: 25,
};
const CALLS: [Work; 2] = [
    Work {
        title: "layers: read and write of single bytes, two million times",
        program: &["layers", "dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=2000000"],
        in_a_row: 1,
        rounds: 11,
    },
    Work {
        title: "layers: ten looks through 10,000 files",
        program: &[
            "layers",
            "sh",
            "-c",
            "for i in 0 1 2 3 4 5 6 7 8 9; do grep -r needle /tree; done; true",
        ],
        in_a_row: 1,
        rounds: 11,
    },
];

/// Measures and prints all of it.
pub fn print(all: &[Contender], scratch: &Scratch, verdicts: &mut Verdicts) -> Result<()> {
    let ours = all.iter().find(|c| c.kind == Kind::Ours).context("we take part")?;
    image(ours, scratch)?;
    let samples = measure(ours, &START_OF)?;
    show(&START_OF, &samples);
    let cost = median(&samples[0].wall).saturating_sub(median(&samples[ALL.len() - 1].wall));
    let text = format!(
        "all of them {:.2} ms of a start, to be ≤ {:.1} ms",
        milliseconds(cost),
        milliseconds(START)
    );
    verdicts.file(START_OF.title, &text, cost <= START);
    for work in &CALLS {
        let samples = measure(ours, work)?;
        show(work, &samples);
        for (at, without) in ALL.iter().enumerate().skip(1) {
            let found = cost_of(&samples, at);
            let text = format!("{}: {found:.3} × the CPU, to be ≤ {MORE} ×", without.title);
            verdicts.file(work.title, &text, found <= MORE);
        }
    }
    ours.say(&["rmi", "layers"]).map(drop)
}

/// `busybox`, with many small files in a directory.
fn image(ours: &Contender, scratch: &Scratch) -> Result<()> {
    let root = scratch.0.join("rootfs");
    let script = "for a in dd grep; do ln -sf busybox bin/$a; done; mkdir tree; \
                  for d in $(seq 100); do mkdir tree/$d; for f in $(seq 100); do \
                  echo hay $d $f > tree/$d/$f; done; done; tar -cf ../layers.tar .; rm -r tree";
    said("sh", &["-ec", script], &root)?;
    let tar = scratch.0.join("layers.tar");
    ours.say(&["import", &tar.display().to_string(), "layers"]).map(drop)
}

/// All ways of one work, interleaved.
fn measure(ours: &Contender, work: &Work) -> Result<Vec<Samples>> {
    let mut samples: Vec<Samples> = ALL.iter().map(|one| Samples::of(one.title)).collect();
    for round in 0..=work.rounds {
        for at in shuffled(ALL.len()) {
            let words = [&["--rm"], ALL[at].words, work.program].concat();
            let command = ours.run_words(&words);
            let used = ours.meter.settled()?;
            let wall = ours.say_all(&vec![command; work.in_a_row as usize], 1)?;
            let cpu = ours.meter.settled()?.saturating_sub(used);
            if round > 0 {
                samples[at].wall.push(wall / work.in_a_row);
                samples[at].cpu.push(cpu / work.in_a_row);
            }
        }
    }
    Ok(samples)
}

/// With the layer, as so many times of without it, in CPU time.
fn cost_of(samples: &[Samples], without: usize) -> f64 {
    let with = median(&samples[ALL[without].beside].cpu);
    with.as_secs_f64() / median(&samples[without].cpu).as_secs_f64()
}

fn show(work: &Work, samples: &[Samples]) {
    println!("\n{} (median of {})", work.title, work.rounds);
    println!("  {:26} {:>9} {:>9} {:>12}", "", "wall ms", "CPU ms", "costs, CPU");
    for (at, one) in samples.iter().enumerate() {
        println!(
            "  {:26} {:>9.2} {:>9.2} {:>10.3} ×",
            one.name,
            milliseconds(median(&one.wall)),
            milliseconds(median(&one.cpu)),
            cost_of(samples, at)
        );
    }
}
