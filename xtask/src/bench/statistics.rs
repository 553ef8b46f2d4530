//! Medians and ratios, and the table that shows them.

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

/// Prints one measurement.
pub fn print(title: &str, all: &[Samples]) {
    println!("\n{title} (median of {} rounds)", all.first().map_or(0, |s| s.wall.len()));
    println!(
        "  {:28} {:>10} {:>10} {:>10} {:>8} {:>8}",
        "", "wall ms", "fastest", "CPU ms", "× wall", "× CPU"
    );
    let Some(first) = all.first() else { return };
    let (wall, cpu) = (median(&first.wall), median(&first.cpu));
    for samples in all {
        let (own_wall, own_cpu) = (median(&samples.wall), median(&samples.cpu));
        println!(
            "  {:28} {:>10.2} {:>10.2} {:>10.2} {:>8.2} {:>8.2}",
            samples.name,
            milliseconds(own_wall),
            milliseconds(samples.wall.iter().min().copied().unwrap_or_default()),
            milliseconds(own_cpu),
            own_wall.as_secs_f64() / wall.as_secs_f64(),
            own_cpu.as_secs_f64() / cpu.as_secs_f64(),
        );
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let ms = |n| Duration::from_millis(n);
        assert_eq!(median(&[ms(3), ms(1), ms(2)]), ms(2));
        assert_eq!(median(&[ms(4), ms(1), ms(2), ms(3)]), Duration::from_micros(2500));
        assert_eq!(median(&[]), Duration::ZERO);
    }
}
