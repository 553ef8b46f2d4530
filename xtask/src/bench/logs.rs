//! Logs: what it costs a program to be listened to, and its readers to read.
//!
//! A program writes a million lines of 100 bytes by each driver that keeps a
//! file, and by none; then they are read back, whole and from a time near the
//! end on.

use super::{
    contender::{Contender, Kind},
    rows::shuffled,
    statistics::{self, Samples, Target, Verdicts},
};
use anyhow::{Context as _, Result};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Rounds of each measurement: one takes seconds where others are slow.
const ROUNDS: usize = 7;
/// Nothing of it is to be rotated away.
const WHOLE: [&str; 2] = ["--log-opt", "max-size=10g"];
/// A million lines of 100 bytes, their newlines counted.
const TALK: &str = "yes $(head -c 99 /dev/zero | tr '\\0' x) | head -n 1000000";
/// Writing may take so many times what it takes without a log.
const WRITTEN: f64 = 1.2;
/// Reading all of it back.
const READ: Duration = Duration::from_secs(1);
/// Reading what was said in the last seconds: the CLI's start and 20 ms.
const SOUGHT: Duration = Duration::from_millis(40);

/// Measures and prints it.
pub fn print(all: &[Contender], verdicts: &mut Verdicts) -> Result<()> {
    let able: Vec<&Contender> =
        all.iter().filter(|c| !matches!(c.kind, Kind::Floor | Kind::OursByDocker)).collect();
    for driver in ["json-file", "local"] {
        write(&able, driver, verdicts)?;
    }
    read(&able, verdicts)
}

/// The driver beside none, of everybody who has it.
fn write(able: &[&Contender], driver: &'static str, verdicts: &mut Verdicts) -> Result<()> {
    let mut pairs = Vec::new();
    for contender in able {
        for driver in [driver, "none"] {
            // Podman's json-file is another name of its own format.
            if contender.name != "podman" || driver != "local" {
                pairs.push((*contender, driver));
            }
        }
    }
    let mut samples: Vec<Samples> =
        pairs.iter().map(|(c, driver)| Samples::of(&format!("{}, {driver}", c.name))).collect();
    for round in 0..=ROUNDS {
        for at in shuffled(pairs.len()) {
            let (contender, driver) = pairs[at];
            // Only standard error is listened to: no client paces it.
            let said = ["--rm", "-a", "stderr", "--log-driver", driver];
            let options = if driver == "none" { &[][..] } else { &WHOLE };
            let talk = ["busybox", "sh", "-c", TALK];
            let all = contender.run_words(&[&said[..], options, &talk].concat());
            let (wall, cpu) = timed(contender, &all)?;
            if round > 0 {
                samples[at].wall.push(wall);
                samples[at].cpu.push(cpu);
            }
        }
    }
    let ratio = Target::Ratio { who: "cofferdam, none", wall: Some(WRITTEN), cpu: None };
    let title = format!("logs: 1,000,000 lines of 100 bytes written, {driver}");
    statistics::print(&title, &samples, &[ratio], verdicts);
    Ok(())
}

fn read(able: &[&Contender], verdicts: &mut Verdicts) -> Result<()> {
    // Two runs, so that a time between them can be asked for.
    let script = format!("if [ -e /said ]; then echo over; else {TALK}; touch /said; fi");
    for contender in able {
        let said = [&["-d", "--name", "talker"], &WHOLE[..], &["busybox", "sh", "-c", &script]];
        contender.say_all(&[contender.run_words(&said.concat())], 1)?;
        contender.say(&["wait", "talker"])?;
    }
    let between = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is wrong")?;
    let between = format!("{}.{:09}", between.as_secs(), between.subsec_nanos());
    for contender in able {
        contender.say(&["start", "talker"])?;
        contender.say(&["wait", "talker"])?;
    }
    for (title, said, most) in [
        ("logs: 1,000,000 lines of 100 bytes read", &["logs", "talker"][..], READ),
        ("logs: the last line of 1,000,000, by --tail", &["logs", "--tail", "1", "talker"], SOUGHT),
        (
            "logs: the last line of 1,000,001, by --since",
            &["logs", "--since", &between, "talker"],
            SOUGHT,
        ),
    ] {
        let mut samples: Vec<Samples> = able.iter().map(|c| Samples::of(&c.name)).collect();
        for round in 0..=ROUNDS {
            for at in shuffled(able.len()) {
                let (wall, cpu) = timed(able[at], &able[at].words(said))?;
                if round > 0 {
                    samples[at].wall.push(wall);
                    samples[at].cpu.push(cpu);
                }
            }
        }
        let target = Target::Most { who: "cofferdam", wall: most };
        statistics::print(title, &samples, &[target], verdicts);
    }
    for contender in able {
        contender.say(&["rm", "-f", "talker"])?;
    }
    Ok(())
}

/// Wall and CPU time of one command.
fn timed(contender: &Contender, said: &[String]) -> Result<(Duration, Duration)> {
    let used = contender.meter.settled()?;
    let wall = contender.say_all(&[said.to_vec()], 1)?;
    Ok((wall, contender.meter.settled()?.saturating_sub(used)))
}
