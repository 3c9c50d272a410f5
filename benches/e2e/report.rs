//! The table: medians with the least and the most, and ratios to the floor within each round.

use crate::spread::Spread;
use crate::subject::Subject;
use crate::{Result, Sample};

/// Prints the table. The first subject is the floor.
pub(crate) fn print(subjects: &[Subject], samples: &[Vec<Sample>]) -> Result<()> {
    let floor = samples.first().ok_or("nothing was measured")?;
    println!(
        "\n{:<18} {:>22} {:>7} {:>22} {:>9} {:>7} {:>7} {:>7}",
        "", "CPU us/request", "kernel", "ratio to bare", "req/s", "p50 us", "p99 us", "RSS MB"
    );
    for (subject, samples) in subjects.iter().zip(samples) {
        let ratios = samples.iter().zip(floor).map(|(sample, floor)| sample.cpu / floor.cpu);
        let cpu = Spread::of(samples.iter().map(|s| s.cpu)).ok_or("no round was run")?;
        let ratio = Spread::of(ratios).ok_or("no round was run")?;
        let median = |of: fn(&Sample) -> f64| Spread::of(samples.iter().map(of)).map_or(0.0, |s| s.median);
        println!(
            "{:<18} {:>22} {:>7.1} {:>22} {:>9.0} {:>7.0} {:>7.0} {:>7.1}",
            subject.name,
            cpu.text(1),
            median(|s| s.kernel),
            ratio.text(3),
            median(|s| s.seen.per_second),
            median(|s| s.seen.p50),
            median(|s| s.seen.p99),
            subject.process.resident()? as f64 / 1e6,
        );
    }
    println!(
        "\nmedian (min-max) over {} rounds; ratios within a round; everything else medians",
        floor.len()
    );
    Ok(())
}
