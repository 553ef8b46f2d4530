//! What it costs to give a container that runs one more interface and to take
//! it away again.
//!
//! Beside the kernel's own cost: the same requests by a program that decides
//! and keeps nothing (`floor attach`, `floor detach`), each a process as a
//! client's command is; and, since what is promised is the engine's part, both
//! again by no more than one client (`floor swing`, and ours by its API). And
//! with a thousand containers on the network beside ten, on a guarded bridge and
//! on a routed network, where a start of one more is measured too.

use super::Kept;
use crate::bench::{
    contender::{Contender, Kind},
    host::Host,
    rows::shuffled,
    statistics::{Samples, Verdicts, median, milliseconds},
};
use anyhow::{Context as _, Result};
use std::{io::Read as _, path::Path, process::Stdio, time::Duration};

/// Rounds beside the floor, and how often in a row in each.
const ROUNDS: usize = 20;
const IN_A_ROW: u32 = 10;
/// CPU time beyond the floor's.
const BEYOND: Duration = Duration::from_millis(3);

/// Few and many containers, in turns; how often each is measured in a turn.
const FEW: usize = 10;
const MANY: usize = 1000;
const TURNS: usize = 3;
const SAMPLES: usize = 5;
/// What many may cost.
const GROWTH: f64 = 1.2;

/// What is measured together.
enum Doing {
    Commands(Commands),
    /// Asked of the API itself.
    Asks(Vec<[String; 2]>),
}

type Commands = Vec<Vec<String>>;

/// One sample: wall and CPU time, by one of `many` alike.
fn sample(contender: &Contender, doing: &Doing, many: u32) -> Result<(Duration, Duration)> {
    let used = contender.meter.settled()?;
    let wall = match doing {
        Doing::Commands(commands) => contender.say_all(commands, 1)?,
        Doing::Asks(asks) => contender.post_all(asks)?,
    };
    let cpu = contender.meter.settled()?.saturating_sub(used);
    Ok((wall / many, cpu / many))
}

/// To a network and away from it, again and again.
fn to_and_fro(contender: &Contender, network: &str) -> Commands {
    let word = |what| contender.words(&["network", what, network, "spare"]);
    (0..IN_A_ROW).flat_map(|_| [word("connect"), word("disconnect")]).collect()
}

/// The same without a client to be started each time.
fn to_and_fro_by_api(network: &str) -> Vec<[String; 2]> {
    let body = r#"{"Container":"spare"}"#;
    let ask = |what| [format!("/v1.51/networks/{network}/{what}"), body.to_owned()];
    (0..IN_A_ROW).flat_map(|_| [ask("connect"), ask("disconnect")]).collect()
}

fn idle(contender: &Contender, name: &str, networks: &[&str]) -> Vec<String> {
    let networks = networks.iter().flat_map(|network| ["--network", network]);
    let words = ["-d", "--name", name].into_iter().chain(networks);
    contender.run_words(&words.chain(["busybox", "sleep", "100000"]).collect::<Vec<_>>())
}

/// Measures and prints an engine's beside the kernel's own.
pub fn beside_the_floor(
    all: &[Contender],
    host: &Host,
    floor: &Path,
    verdicts: &mut Verdicts,
) -> Result<()> {
    let title = "attach and detach of one container";
    let engines =
        all.iter().filter(|c| matches!(c.kind, Kind::Ours | Kind::OursBefore | Kind::Peer));
    let kernel = all.iter().find(|c| c.kind == Kind::Floor).context("the floor takes part")?;
    let mut keeper = host.command("unshare");
    keeper.args(["--net", "sh", "-c", "echo ready; exec cat"]);
    let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    keeper.stdout.as_mut().context("piped")?.read_exact(&mut [0; 6])?;
    let (pid, program) = (keeper.id().to_string(), floor.display().to_string());
    let _kept = Kept(keeper);
    let word = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    kernel.say_all(&[word(&[&program, "wire"])], 1)?;
    let pair = [word(&[&program, "attach", &pid]), word(&[&program, "detach"])];
    let mut acts: Vec<(&Contender, Doing, Samples)> = Vec::new();
    for engine in engines {
        // It has a network already, which stays its way out: the first by name.
        engine.say(&["network", "create", "attached0"])?;
        engine.say(&["network", "create", "attached1"])?;
        engine.say_all(&[idle(engine, "spare", &["attached0"])], 1)?;
        if engine.kind == Kind::Ours {
            let asks = Doing::Asks(to_and_fro_by_api("attached1"));
            acts.push((engine, asks, Samples::of("cofferdam, by its API")));
        }
        let commands = Doing::Commands(to_and_fro(engine, "attached1"));
        acts.push((engine, commands, Samples::of(&engine.name)));
    }
    let again = (0..IN_A_ROW).flat_map(|_| pair.clone()).collect();
    acts.push((kernel, Doing::Commands(again), Samples::of("floor")));
    let swing = vec![word(&[&program, "swing", &pid, &IN_A_ROW.to_string()])];
    acts.push((kernel, Doing::Commands(swing), Samples::of("floor, one process")));
    // One round more, which warms caches and is not counted.
    for round in 0..=ROUNDS {
        for at in shuffled(acts.len()) {
            let (contender, doing, samples) = &mut acts[at];
            let (wall, cpu) = sample(contender, doing, IN_A_ROW)?;
            if round > 0 {
                samples.wall.push(wall);
                samples.cpu.push(cpu);
            }
        }
    }
    let by_command = |doing: &Doing| matches!(doing, Doing::Commands(_));
    for (engine, ..) in
        acts.iter().filter(|(c, doing, _)| c.kind != Kind::Floor && by_command(doing))
    {
        engine.say(&["rm", "-f", "spare"])?;
        engine.say(&["network", "rm", "attached0", "attached1"])?;
    }
    let samples: Vec<Samples> = acts.into_iter().map(|(.., samples)| samples).collect();
    crate::bench::statistics::print(title, &samples, &[], verdicts);
    let (ours, floor) = (median(&samples[0].cpu), samples.last().context("the floor's")?);
    let beyond = ours.saturating_sub(median(&floor.cpu));
    let text = format!(
        "{:.2} ms of CPU beyond the floor, to be ≤ {:.0} ms",
        milliseconds(beyond),
        milliseconds(BEYOND)
    );
    verdicts.file(title, &text, beyond <= BEYOND);
    Ok(())
}

/// One thing that is measured with few and with many.
struct Act {
    title: &'static str,
    doing: Doing,
    many: u32,
    few: Samples,
    crowd: Samples,
}

/// Measures and prints what many containers add.
pub fn in_a_crowd(ours: &Contender, verdicts: &mut Verdicts) -> Result<()> {
    let title = "network with a thousand containers";
    ours.say(&["network", "create", "--subnet", "10.93.0.0/16", "crowd"])?;
    ours.say(&["network", "create", "--driver", "routed", "--subnet", "10.94.0.0/16", "lines"])?;
    ours.say(&["network", "create", "apart"])?;
    ours.say_all(&[idle(ours, "spare", &["apart"])], 1)?;
    let names: Vec<String> = (0..MANY).map(|n| format!("many{n}")).collect();
    let start = |names: &[String]| {
        let one = |name: &String| idle(ours, name, &["crowd", "lines"]);
        ours.say_all(&names.iter().map(one).collect::<Vec<_>>(), 8)
    };
    let remove = |names: &[String]| {
        let some = |names: &[String]| {
            let words: Vec<&str> = names.iter().map(String::as_str).collect();
            ours.words(&[&["rm", "-f"], &words[..]].concat())
        };
        ours.say_all(&names.chunks(25).map(some).collect::<Vec<_>>(), 2)
    };
    let one_more = |network| {
        let one = [idle(ours, "more", &[network]), ours.words(&["rm", "-f", "more"])];
        (0..IN_A_ROW).flat_map(|_| one.clone()).collect::<Commands>()
    };
    let act = |title, commands| Act {
        title,
        doing: Doing::Commands(commands),
        many: IN_A_ROW,
        few: Samples::of("few"),
        crowd: Samples::of("many"),
    };
    let mut acts = [
        act("attach and detach, bridge", to_and_fro(ours, "crowd")),
        act("attach and detach, routed", to_and_fro(ours, "lines")),
        act("start and end, bridge", one_more("crowd")),
        act("start and end, routed", one_more("lines")),
    ];
    start(&names[..FEW])?;
    for _ in 0..TURNS {
        measure(ours, &mut acts, |act| &mut act.few)?;
        start(&names[FEW..])?;
        measure(ours, &mut acts, |act| &mut act.crowd)?;
        remove(&names[FEW..])?;
    }
    remove(&names[..FEW])?;
    ours.say(&["rm", "-f", "spare"])?;
    ours.say(&["network", "rm", "apart", "crowd", "lines"])?;
    println!("\n{title}, beside {FEW} (median of {})", TURNS * SAMPLES);
    for act in acts {
        for (kind, few, crowd) in
            [("CPU", &act.few.cpu, &act.crowd.cpu), ("wall", &act.few.wall, &act.crowd.wall)]
        {
            let (few, crowd) = (median(few), median(crowd));
            let ratio = crowd.as_secs_f64() / few.as_secs_f64();
            let text = format!(
                "{}: {kind} {:.2} ms, of {FEW} {:.2} ms: {ratio:.2} ×, to be ≤ {GROWTH} ×",
                act.title,
                milliseconds(crowd),
                milliseconds(few)
            );
            verdicts.file(title, &text, ratio <= GROWTH);
        }
    }
    Ok(())
}

/// One round more than is counted.
fn measure(
    ours: &Contender,
    acts: &mut [Act],
    samples: impl Fn(&mut Act) -> &mut Samples,
) -> Result<()> {
    for round in 0..=SAMPLES {
        for at in shuffled(acts.len()) {
            let (wall, cpu) = sample(ours, &acts[at].doing, acts[at].many)?;
            if round > 0 {
                let samples = samples(&mut acts[at]);
                samples.wall.push(wall);
                samples.cpu.push(cpu);
            }
        }
    }
    Ok(())
}
