//! A smooth order of turns: each position as often as its weight says, and its turns spread over
//! the whole.
//!
//! Two ways, by the heaviest weight:
//! - It has at least half of the turns: it and all others together are dealt out evenly, like the
//!   pixels of a line. Between two turns of others it then gets the same number of turns, give or
//!   take one: no run is longer than the ratio of its weight to that of all others, rounded up. So
//!   5:1:1 is `2113111` and not `1111123`, and 5:3:1 is `212121311`.
//! - Nobody has half: turns have windows, the k-th of q turns falls between k/q and (k+1)/q of the
//!   whole, and among those whose window is open the one that closes first is next ("earliest
//!   deadline first"). Nobody gets two turns in a row, the last and the first of the cycle
//!   included.
//!
//! The length is the sum of the weights divided by their greatest common divisor, as long as that
//! is at most [`LIMIT`] (or eight an endpoint); beyond that weights are rounded to so many turns,
//! at least one each. The bad side: a weight of 1 beside 65535s gets more than its due, and with
//! 10,000 different weights a share is off by up to a tenth.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::balance::quota::quotas;

/// The longest sequence for up to 8,192 endpoints: 256 KiB.
pub const LIMIT: usize = 65_536;

/// Turns of one cycle, as positions. Empty if no weight is above 0.
pub fn smooth(weights: &[u32]) -> Box<[u32]> {
    let divisor = weights.iter().fold(0, |a, &b| gcd(a, b)).max(1);
    let sum: u64 = weights.iter().map(|&w| u64::from(w / divisor)).sum();
    let limit = LIMIT.max(weights.len().saturating_mul(8));
    let turns = if sum <= limit as u64 {
        weights.iter().map(|&w| (w / divisor) as usize).collect()
    } else {
        quotas(weights, limit)
    };
    arrange(turns).into()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn arrange(mut turns: Vec<usize>) -> Vec<u32> {
    let len: usize = turns.iter().sum();
    let heaviest = (0..turns.len()).max_by_key(|&i| (turns[i], Reverse(i)));
    match heaviest {
        Some(heaviest) if turns[heaviest] * 2 >= len => {
            let own = std::mem::take(&mut turns[heaviest]);
            let mut others = by_deadline(&turns, false).into_iter();
            let is_own = |at: usize| (at + 1) * own / len > at * own / len;
            let turn = |at| if is_own(at) { Some(heaviest as u32) } else { others.next() };
            (0..len).filter_map(turn).collect()
        }
        _ => {
            let mut sequence = by_deadline(&turns, true);
            part(&mut sequence);
            sequence
        }
    }
}

/// Earliest deadline first. `apart`: not the same twice in a row, where that can be had.
fn by_deadline(turns: &[usize], apart: bool) -> Vec<u32> {
    let len: usize = turns.iter().sum();
    // (when its window opens, position, which of its turns) and (when it closes, ...)
    let mut closed: BinaryHeap<_> =
        (0..turns.len()).filter(|&i| turns[i] > 0).map(|i| Reverse((0, i, 0))).collect();
    let mut open = BinaryHeap::new();
    let mut sequence: Vec<u32> = Vec::with_capacity(len);
    while sequence.len() < len {
        while let Some(&Reverse((opens, i, k))) = closed.peek()
            && (opens <= sequence.len() || open.is_empty())
        {
            closed.pop();
            open.push(Reverse((((k + 1) * len).div_ceil(turns[i]), i, k)));
        }
        let Some(mut next) = open.pop() else {
            break; // not reached: there are `len` turns in all
        };
        if apart
            && sequence.last().is_some_and(|&last| last as usize == next.0.1)
            && let Some(other) = open.pop()
        {
            open.push(next);
            next = other;
        }
        let Reverse((_, i, k)) = next;
        sequence.push(i as u32);
        if k + 1 < turns[i] {
            closed.push(Reverse(((k + 1) * len / turns[i], i, k + 1)));
        }
    }
    sequence
}

/// Parts neighbours that are the same (few, most over the end of the cycle) by moving one of them
/// to the nearest place between two others. There is one as long as nobody has half of the turns.
fn part(sequence: &mut [u32]) {
    let len = sequence.len();
    for at in 0..len {
        let own = sequence[at];
        if own != sequence[(at + 1) % len] {
            continue;
        }
        let fits = |&to: &usize| sequence[to - 1] != own && sequence[to] != own;
        match (1..len).filter(fits).min_by_key(|&to| to.abs_diff(at)) {
            Some(to) if to <= at => sequence[to..=at].rotate_right(1),
            Some(to) => sequence[at..to].rotate_left(1),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
