//! Which share of the keys would move from where to where under new weights: what `preview` says.
//!
//! The figures are exact, not sampled. Under [`rendezvous`](crate::split::rendezvous) hashing variant
//! `v` draws `E_v`, exponentially distributed with mean 1, and the least `E_v / w_v` has the key. Take
//! a key that `i` has under the weights `w` and `j` has under `w'`, and let `r` be how many times
//! later `j` finishes afterwards than `i` did before. That `i` lost its key means `r <= w_i / w'_i`;
//! that `j` did not have it means `r >= w_j / w'_j`. Every other `k` must be later than both, so
//!
//! ```text
//! P(i -> j) = w_i w'_j * integral of dr / C(r)^2 from w_j/w'_j to w_i/w'_i,
//! C(r) = sum over all k of max(w_k, w'_k r)
//! ```
//!
//! and nothing at all moves if the bounds are the other way round: keys go only from variants that
//! lose to those that gain against them. `C` does not depend on `i` and `j`, for within the bounds
//! the maximum is `w_i` for the one and `w'_j r` for the other. It is piecewise linear, so that its
//! integral up to each bound is a short sum, and each pair costs one subtraction.
//!
//! Worth knowing of the figures: with two variants, or if all that lose do so in one proportion and
//! so do all that gain, no scheme could move fewer keys. Else a little more moves than the shares
//! themselves differ by, since a variant in the middle gives to some and takes from others.
//!
//! It is about keys as many as there may be. The share of a site's *requests* that moves is another
//! one, since clients differ in how much they ask for.

use crate::split::Weights;

/// Keys that change variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Move {
    /// Index of the variant that has them before.
    pub from: usize,
    /// Index of the variant that has them after.
    pub to: usize,
    /// Of all keys, 0 to 1.
    pub share: f64,
}

/// What moves when weights change, largest share first. Empty if either is drained: nobody is
/// assigned then. Weights of two seeds have nothing to do with each other, so most keys move.
pub fn moves(before: &Weights, after: &Weights) -> Vec<Move> {
    if before.total() <= 0.0 || after.total() <= 0.0 {
        return Vec::new();
    }
    let mut moves = if before.seed == after.seed {
        related(before.rates(), after.rates())
    } else {
        independent(&before.shares(), &after.shares())
    };
    moves.retain(|step| step.from != step.to && step.share > 0.0);
    moves.sort_by(|a, b| b.share.total_cmp(&a.share));
    moves
}

/// The share of all keys that change variant, 0 to 1.
pub fn moved(before: &Weights, after: &Weights) -> f64 {
    moves(before, after).iter().map(|step| step.share).sum()
}

fn independent(before: &[f64], after: &[f64]) -> Vec<Move> {
    pairs(before.len()).map(|(from, to)| Move { from, to, share: before[from] * after[to] }).collect()
}

fn related(before: &[f64], after: &[f64]) -> Vec<Move> {
    // Weights are whole numbers that `f64` holds, so that equal ratios are equal here too.
    let ratios: Vec<f64> = before.iter().zip(after).map(|(before, after)| before / after).collect();
    let reach = reach(before, after, &ratios);
    let share = |from: usize, to: usize| before[from] * after[to] * (reach[from] - reach[to]);
    pairs(before.len())
        .filter(|(from, to)| ratios[*from] > ratios[*to])
        .map(|(from, to)| Move { from, to, share: share(from, to) })
        .collect()
}

/// The integral of `1 / C(r)^2` from 0 to each variant's ratio, which may be infinite. A variant
/// without weight on both sides has none (its ratio is NaN), and 0 here.
fn reach(before: &[f64], after: &[f64], ratios: &[f64]) -> Vec<f64> {
    let mut ends: Vec<f64> = ratios.iter().copied().filter(|ratio| !ratio.is_nan()).collect();
    ends.sort_by(f64::total_cmp);
    ends.dedup();
    let mut reach = vec![0.0; ratios.len()];
    let (mut from, mut sum) = (0.0, 0.0);
    for to in ends {
        // On the way from one bound to the next, C is `flat + rising * r`.
        let over = |rates: &[f64], side: &dyn Fn(f64) -> bool| -> f64 {
            rates.iter().zip(ratios).filter(|(_, ratio)| side(**ratio)).map(|(rate, _)| rate).sum()
        };
        let (flat, rising) = (over(before, &|ratio| ratio > from), over(after, &|ratio| ratio <= from));
        sum += piece(flat, rising, from, to);
        for (reach, _) in reach.iter_mut().zip(ratios).filter(|(_, ratio)| **ratio == to) {
            *reach = sum;
        }
        from = to;
    }
    reach
}

/// The integral of `1 / (flat + rising * r)^2`, in the form that does not subtract what is almost
/// equal. `rising` is above 0 where `to` is infinite: some variant has a weight afterwards.
fn piece(flat: f64, rising: f64, from: f64, to: f64) -> f64 {
    let at = |r: f64| flat + rising * r;
    if to.is_infinite() { 1.0 / (rising * at(from)) } else { (to - from) / (at(from) * at(to)) }
}

fn pairs(variants: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..variants).flat_map(move |from| (0..variants).map(move |to| (from, to)))
}

#[cfg(test)]
mod tests;
