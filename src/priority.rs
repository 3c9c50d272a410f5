//! How requests are shared between a place that should serve them and those that stand in for it:
//! clusters and their `failover`, the near and the far endpoints of one cluster.
//!
//! Each place has a *score*: the share of its endpoints that are available, times 1.4, at most 1. The
//! first place keeps everything as long as its score is 1, so up to two in seven of its endpoints may
//! be gone before anything moves: the rest can carry that much. Below, what is missing goes to the next
//! place, by *its* score, and so on. Where all scores together stay below 1, they are scaled up: every
//! request goes somewhere. Where all are 0 there is no answer, and the caller has a last resort.
//!
//! What is drained counts as missing: it is capacity that is not there, whoever took it away.
//!
//! The bad side: a score is about numbers of endpoints. It knows nothing of their weights or of what
//! they can carry, and a place with one endpoint has the score 0 or 1 and nothing between.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::live::MAX_FAILOVER;

/// The first and those that may stand in for it.
pub const PLACES: usize = 1 + MAX_FAILOVER;

/// How much an endpoint is trusted to carry, in fifths of its share: 1.4 times. A whole number, so that
/// people see 0.84 where 0.84 is meant.
const FIFTHS: u64 = 7;

/// Keeps the numbers of keys apart from those that the hashing policies make of them.
const SEED: u64 = 0x7072_696f_7269_7479;

/// The score of a place: from 0 to 1.
pub fn score(available: u32, listed: u32) -> f64 {
    if listed == 0 {
        return 0.0;
    }
    let (carried, due) = (FIFTHS * u64::from(available), 5 * u64::from(listed));
    if carried >= due { 1.0 } else { carried as f64 / due as f64 }
}

/// Whether the places together can carry everything, so that none must use who is not available.
pub fn enough(scores: &[f64]) -> bool {
    scores.iter().sum::<f64>() >= 1.0
}

/// The place of a request, whose `unit` is evenly spread over [0, 1). None: nobody can serve.
///
/// The first place has the units from 0 up to its share: as a share grows again, those come back that
/// had left.
pub fn choose(scores: &[f64], unit: f64) -> Option<usize> {
    let mut point = unit * scores.iter().sum::<f64>().min(1.0);
    for (place, score) in scores.iter().enumerate() {
        if point < *score {
            return Some(place);
        }
        point -= score;
    }
    // Lost in rounding.
    scores.iter().rposition(|score| *score > 0.0)
}

/// The share of each place. All are 0 if nobody can serve.
pub fn shares(scores: &[f64]) -> Vec<f64> {
    let total = scores.iter().sum::<f64>().min(1.0);
    let mut left = 1.0_f64;
    let share = |score: &f64| {
        let share = if total > 0.0 { (score / total).min(left) } else { 0.0 };
        left -= share;
        share
    };
    scores.iter().map(share).collect()
}

/// The unit of a key: always the same, so that a key stays where it is while the shares do.
pub fn unit(key: u64) -> f64 {
    // The upper 53 bits: exact, and never 1.
    (xxh3_64_with_seed(&key.to_le_bytes(), SEED) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests;
