//! Medians, ratios, the table that shows them, and what is to be reached.

use std::time::Duration;

/// One contender's samples.
pub struct Samples {
    /// Who.
    pub name: String,
    /// Wall time of each round.
    pub wall: Vec<Duration>,
    /// CPU time of each round, all processes.
    pub cpu: Vec<Duration>,
}

impl Samples {
    /// None yet.
    pub fn of(name: &str) -> Self {
        Self { name: name.into(), wall: Vec::new(), cpu: Vec::new() }
    }
}

/// What our time is to be, at most.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// So many times that of another.
    Ratio { who: &'static str, wall: Option<f64>, cpu: Option<f64> },
    /// So long, by one of ours.
    Most { who: &'static str, wall: Duration },
}

/// What became of the targets, over all rows.
#[derive(Default)]
pub struct Verdicts {
    pub held: usize,
    pub missed: Vec<String>,
}

impl Verdicts {
    /// Files one and prints it.
    pub fn file(&mut self, title: &str, text: &str, holds: bool) {
        if holds {
            self.held += 1;
            println!("  {text}: held");
        } else {
            self.missed.push(format!("{title}: {text}"));
            println!("  {text}: MISSED");
        }
    }
}

/// The middle; of an even number the mean of the two.
pub fn median(samples: &[Duration]) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => Duration::ZERO,
        n if n % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2,
    }
}

/// Prints one measurement. The first row is what the others are compared
/// with: it takes so much of their time.
pub fn print(title: &str, all: &[Samples], targets: &[Target], verdicts: &mut Verdicts) {
    let Some(first) = all.first() else { return };
    println!("\n{title} (median of {})", first.wall.len());
    println!(
        "  {:26} {:>9} {:>9} {:>9} {:>12} {:>12}",
        "", "wall ms", "fastest", "CPU ms", "ours, wall", "ours, CPU"
    );
    let (wall, cpu) = (median(&first.wall), median(&first.cpu));
    for samples in all {
        let (own_wall, own_cpu) = (median(&samples.wall), median(&samples.cpu));
        println!(
            "  {:26} {:>9.2} {:>9.2} {:>9.2} {:>10.3} × {:>10.3} ×",
            samples.name,
            milliseconds(own_wall),
            milliseconds(samples.wall.iter().min().copied().unwrap_or_default()),
            milliseconds(own_cpu),
            ratio(wall, own_wall),
            ratio(cpu, own_cpu),
        );
    }
    for target in targets {
        judge(title, *target, all, verdicts);
    }
}

fn judge(title: &str, target: Target, all: &[Samples], verdicts: &mut Verdicts) {
    let by_name = |who: &str| all.iter().find(|samples| samples.name == who);
    match target {
        Target::Ratio { who, wall, cpu } => {
            let (Some(other), Some(ours)) = (by_name(who), all.first()) else { return };
            let kinds =
                [("wall", wall, &ours.wall, &other.wall), ("CPU", cpu, &ours.cpu, &other.cpu)];
            for (kind, bound, ours, other) in kinds {
                let Some(bound) = bound else { continue };
                let found = ratio(median(ours), median(other));
                let text = format!("{kind} {found:.3} × {who}, to be ≤ {bound} ×");
                verdicts.file(title, &text, found <= bound);
            }
        }
        Target::Most { who, wall } => {
            let Some(samples) = by_name(who) else { return };
            let found = median(&samples.wall);
            let text = format!(
                "{who} {:.1} ms, to be ≤ {:.0} ms",
                milliseconds(found),
                milliseconds(wall)
            );
            verdicts.file(title, &text, found <= wall);
        }
    }
}

fn ratio(ours: Duration, other: Duration) -> f64 {
    ours.as_secs_f64() / other.as_secs_f64()
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[ms(3), ms(1), ms(2)]), ms(2));
        assert_eq!(median(&[ms(4), ms(1), ms(2), ms(3)]), Duration::from_micros(2500));
        assert_eq!(median(&[]), Duration::ZERO);
    }

    #[test]
    fn a_target_is_judged_by_medians_and_an_absent_peer_is_not_judged() {
        let samples = |name: &str, wall| Samples {
            wall: vec![ms(wall); 3],
            cpu: vec![ms(wall); 3],
            ..Samples::of(name)
        };
        let all = [samples("ours", 10), samples("docker", 90)];
        let mut verdicts = Verdicts::default();
        let ratio = |who, wall| Target::Ratio { who, wall: Some(wall), cpu: None };
        let targets = [ratio("docker", 0.2), ratio("docker", 0.1), ratio("podman", 0.1)];
        print("a row", &all, &targets, &mut verdicts);
        assert_eq!((verdicts.held, verdicts.missed.len()), (1, 1));
        assert!(verdicts.missed[0].contains("wall 0.111 × docker"), "{:?}", verdicts.missed);
    }
}
