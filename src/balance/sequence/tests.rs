use proptest::prelude::*;

use super::*;

fn counts(sequence: &[u32], len: usize) -> Vec<usize> {
    let mut counts = vec![0; len];
    sequence.iter().for_each(|&p| counts[p as usize] += 1);
    counts
}

/// The longest run of a position, over the end of the cycle too.
fn run(sequence: &[u32], position: u32) -> usize {
    let (mut longest, mut current) = (0, 0);
    for &p in sequence.iter().chain(sequence) {
        current = if p == position { current + 1 } else { 0 };
        longest = longest.max(current);
    }
    longest.min(sequence.len())
}

fn assert_runs(weights: &[u32]) {
    let sequence = smooth(weights);
    let turns = counts(&sequence, weights.len());
    for (p, &own) in turns.iter().enumerate() {
        let others = sequence.len() - own;
        if others > 0 {
            let run = run(&sequence, p as u32);
            assert!(run <= own.div_ceil(others), "{weights:?} {sequence:?}: {run} of {p}");
        }
    }
}

#[test]
fn known_orders() {
    assert!(smooth(&[]).is_empty());
    assert!(smooth(&[0, 0]).is_empty());
    assert_eq!(*smooth(&[7]), [0]);
    assert_eq!(*smooth(&[3, 3, 3]), [0, 1, 2]);
    assert_eq!(*smooth(&[5, 3, 1]), [1, 0, 1, 0, 1, 0, 2, 0, 0]);
    assert_eq!(*smooth(&[0, 2, 1, 0]), [2, 1, 1]);
    assert_eq!(*smooth(&[2, 2, 1]), [0, 1, 0, 1, 2]);
}

#[test]
fn no_run_is_longer_than_the_ratio() {
    for weights in [
        &[5, 1][..],
        &[5, 3, 1],
        &[4, 3, 1],
        &[5, 1, 1, 1, 1, 1],
        &[49, 49, 2],
        &[65535, 65534, 3],
        &[7, 7, 7, 1],
        &[12, 17, 14, 33],
    ] {
        assert_runs(weights);
    }
}

#[test]
fn long_weights_are_rounded() {
    let sequence = smooth(&[65535, 65534, 1]);
    assert_eq!(sequence.len(), LIMIT);
    assert_eq!(counts(&sequence, 3), [32768, 32767, 1]);
    let weights: Vec<u32> = (0..10_000).map(|i| 1 + i * 6).collect();
    let sequence = smooth(&weights);
    assert_eq!(sequence.len(), 80_000);
    assert!(counts(&sequence, weights.len()).iter().all(|&c| c > 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn runs_and_counts(weights in prop::collection::vec(1u32..=60, 1..20)) {
        assert_runs(&weights);
        let divisor = weights.iter().fold(0, |a, &b| gcd(a, b));
        let turns: Vec<_> = weights.iter().map(|&w| (w / divisor) as usize).collect();
        prop_assert_eq!(counts(&smooth(&weights), weights.len()), turns);
    }

    /// At no time is anybody two turns ahead of its share, or behind it.
    #[test]
    fn shares_hold_at_every_moment(weights in prop::collection::vec(1u32..=60, 1..20)) {
        let sequence = smooth(&weights);
        let mut seen = vec![0; weights.len()];
        let turns = counts(&sequence, weights.len());
        for (at, &p) in sequence.iter().enumerate() {
            seen[p as usize] += 1;
            for (q, &count) in seen.iter().enumerate() {
                let due = (at + 1) as f64 * turns[q] as f64 / sequence.len() as f64;
                prop_assert!((count as f64 - due).abs() < 2.0, "{:?} at {}: {} {}", sequence, at, count, due);
            }
        }
    }
}
