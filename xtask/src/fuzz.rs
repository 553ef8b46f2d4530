//! `cargo xtask fuzz`: the parsers of what strangers write, given what nobody
//! would. Each target of `fuzz/` runs for a fixed number of inputs, from the
//! same seeds and the same dice, so that it goes wrong for everybody or for
//! nobody; with `--for SECONDS` it goes on, with other dice each time.
//!
//! LibFuzzer needs no nightly compiler: the counters that it is guided by come
//! from a pass of LLVM that a stable one can be told to run. Sanitizers it does
//! without; what is fuzzed has no unsafe code of ours.

use crate::{root, run};
use anyhow::{Context as _, Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Targets, and inputs of each: ten seconds or so.
const TARGETS: [(&str, u32); 5] = [
    ("tar", 20_000),
    ("manifest", 200_000),
    ("config", 200_000),
    ("dockerfile", 100_000),
    ("reference", 500_000),
];

/// What makes a compiler count which branches are taken, for libFuzzer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares \
                     -Ccodegen-units=1 --cfg fuzzing";

/// `[--for SECONDS] [TARGET…]`.
pub fn fuzz(words: &[&str]) -> Result<()> {
    let (seconds, chosen) = match words {
        ["--for", seconds, chosen @ ..] => {
            (Some(seconds.parse::<u32>().context("seconds are a number")?), chosen)
        }
        chosen => (None, chosen),
    };
    if let Some(unknown) = chosen.iter().find(|word| TARGETS.iter().all(|(name, _)| name != *word))
    {
        bail!("no target {unknown}: there are {}", TARGETS.map(|(name, _)| name).join(", "));
    }
    let programs = build()?;
    for (name, runs) in
        TARGETS.iter().filter(|(name, _)| chosen.is_empty() || chosen.contains(name))
    {
        target(&programs, name, *runs, seconds)?;
    }
    Ok(())
}

/// Builds all targets; says where they are.
fn build() -> Result<PathBuf> {
    let host = crate::host()?;
    let folder = root().join("target/fuzz");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--locked", "--release", "--quiet", "--target", &host]);
    command.arg("--target-dir").arg(&folder).current_dir(root().join("fuzz"));
    // In place of those of the workspace: libFuzzer is linked dynamically.
    run(command.env("RUSTFLAGS", FLAGS))?;
    Ok(folder.join(host).join("release"))
}

fn target(programs: &Path, name: &str, runs: u32, seconds: Option<u32>) -> Result<()> {
    let found = root().join("target/fuzz/found").join(name);
    let corpus = match seconds {
        // What was found in earlier runs is where the next one begins.
        Some(_) => found.join("corpus"),
        None => found.join("corpus-of-one-run"),
    };
    if seconds.is_none() {
        let _ = fs::remove_dir_all(&corpus);
    }
    fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let mut command = Command::new(programs.join(name));
    command.arg(&corpus).arg(root().join("fuzz/seeds").join(name));
    command.arg(format!("-artifact_prefix={}/", found.display()));
    // An input that takes so long, or so much, is found too.
    command.args(["-timeout=10", "-rss_limit_mb=1024", "-max_len=8192", "-print_final_stats=0"]);
    command.arg("-verbosity=0");
    match seconds {
        Some(seconds) => command.arg(format!("-max_total_time={seconds}")),
        None => command.args([format!("-runs={runs}"), "-seed=1".into()]),
    };
    // Layers are unpacked in memory.
    let scratch = PathBuf::from(format!("/dev/shm/cofferdam-fuzz-{}", std::process::id()));
    fs::create_dir(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let begun = std::time::Instant::now();
    let ended = run(command.env("TMPDIR", &scratch));
    let _ = fs::remove_dir_all(&scratch);
    ended.with_context(|| format!("{name} went wrong; the input is in {}", found.display()))?;
    println!("fuzz {name}: nothing found, {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}
