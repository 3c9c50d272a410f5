//! Weighted rendezvous hashing: which variant a key belongs to.
//!
//! Each variant draws a number in (0, 1) from the hash of seed, key and its name; the one with the
//! largest `weight / -ln(number)` has the key. `-ln` of a uniform number is exponentially distributed,
//! and of independent exponentials with rates `w`, each is the smallest with probability `w / sum w`
//! (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005).
//!
//! Why this and not `hash % total`, as Envoy does: a variant's score does not depend on the others.
//! So a change of weights moves keys only from variants whose share falls to those whose share
//! grows, going back restores every key, and no table has to be shared between nodes. The bad side:
//! the cost grows with the number of variants, one hash and one logarithm each.
//!
//! What is hashed is published (`vectors.md`), so that others can compute it: it never changes.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Inputs up to this length are hashed in one go from the stack; it is where xxh3 changes to its
/// long form.
const SHORT: usize = 240;

/// A key under a seed, ready for the names of variants.
#[derive(Debug)]
pub struct Draw<'a> {
    seed: &'a [u8],
    key: &'a [u8],
    /// `seed 00 key 00`, if there is room for it.
    short: [u8; SHORT],
    used: usize,
}

/// The candidate with the highest score among those of a weight above zero. None: there is none.
/// `candidates`: name and weight of each.
pub fn choose<'n>(draw: &mut Draw<'_>, candidates: impl Iterator<Item = (&'n str, f64)>) -> Option<usize> {
    let mut best = None;
    let mut highest = 0.0;
    for (index, (name, weight)) in candidates.enumerate() {
        if weight > 0.0 {
            let hash = draw.hash(name);
            if is_beaten(weight, hash, highest) {
                continue;
            }
            let score = score(weight, hash);
            if score > highest {
                (best, highest) = (Some(index), score);
            }
        }
    }
    best
}

/// The number in (0, 1) that a hash stands for: its upper 52 bits and a half, so that neither end is
/// met and every value is exact.
pub fn unit(hash: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
    let bits = (hash >> 12) as f64;
    (bits + 0.5) / (1_u64 << 52) as f64
}

/// What variants compete by.
pub fn score(weight: f64, hash: u64) -> f64 {
    weight / -unit(hash).ln()
}

/// Whether a score is surely below another one, without the logarithm that it takes to know it. For u in
/// (0, 1), `-ln(u)` is at least `2 (1 - u) / (1 + u)`, and hardly more where scores are high. The margin
/// is a thousand times what rounding can do.
fn is_beaten(weight: f64, hash: u64, highest: f64) -> bool {
    const MARGIN: f64 = 1.0 + 1e-12;
    let unit = unit(hash);
    weight * (1.0 + unit) * MARGIN < highest * 2.0 * (1.0 - unit)
}

// === impl Draw ===

impl<'a> Draw<'a> {
    /// Prepares what all variants have in common.
    pub fn new(seed: &'a [u8], key: &'a [u8]) -> Self {
        let mut draw = Self { seed, key, short: [0; SHORT], used: SHORT };
        let used = seed.len() + key.len() + 2;
        if used < SHORT {
            draw.short[..seed.len()].copy_from_slice(seed);
            draw.short[seed.len() + 1..used - 1].copy_from_slice(key);
            draw.used = used;
        }
        draw
    }

    /// The hash of seed, key and a variant's name, a zero byte between them. None of the three can
    /// hold one.
    pub fn hash(&mut self, variant: &str) -> u64 {
        let end = self.used + variant.len();
        if end <= SHORT {
            self.short[self.used..end].copy_from_slice(variant.as_bytes());
            return xxh3_64(&self.short[..end]);
        }
        let mut hasher = Xxh3::new();
        for part in [self.seed, b"\0", self.key, b"\0", variant.as_bytes()] {
            hasher.update(part);
        }
        hasher.digest()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_hash_gives_an_end_of_the_interval() {
        for hash in [0, 1, u64::MAX, u64::MAX - 1, 1 << 63] {
            let unit = unit(hash);
            assert!(unit > 0.0 && unit < 1.0, "{hash}: {unit}");
            assert!(score(1e9, hash).is_finite() && score(1.0, hash) > 0.0);
        }
    }

    proptest! {
        /// What is passed over would not have won.
        #[test]
        fn a_short_cut_never_changes_who_wins(
            draws in prop::collection::vec((1_u32..1000, prop_oneof![any::<u64>(), 0_u64..9, u64::MAX - 9..]), 2..8),
        ) {
            let mut highest = 0.0;
            for (weight, hash) in draws {
                let (weight, score) = (f64::from(weight), score(f64::from(weight), hash));
                prop_assert!(!is_beaten(weight, hash, score), "nobody is beaten by itself");
                prop_assert!(!is_beaten(weight, hash, highest) || score < highest);
                highest = f64::max(highest, score);
            }
        }
    }

    #[test]
    fn long_inputs_hash_like_short_ones() {
        for length in 0..600 {
            let key = vec![b'k'; length];
            let whole = [b"seed\0", key.as_slice(), b"\0", b"control"].concat();
            assert_eq!(Draw::new(b"seed", &key).hash("control"), xxh3_64(&whole), "{length}");
        }
    }
}
