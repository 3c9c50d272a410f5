//! Smooth weighted round robin: a precomputed [`sequence`](crate::balance::sequence) and one shared
//! cursor.
//!
//! Every proposal takes a turn off the cursor, also one that turns out unusable. So over a cycle
//! each usable endpoint gets exactly the turns that are its own, and those of a dead one are not
//! its successor's gain: the cycle is just shorter. This holds across threads, as no turn is dealt
//! twice.
//!
//! A second try takes no turn but one by chance, with the same shares. Were it to take the next
//! one, then with two endpoints of which one is dead each request would use up a pair of turns, and
//! meet the dead one first for ever.
//!
//! The bad sides: all cores write the cursor's cache line at each pick (some tens of nanoseconds
//! when all are busy); and each process counts for itself, so many proxies with few requests each
//! come closer to random.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::balance::field::{Ask, Draw, Field};
use crate::balance::sequence;

/// The turns of a cycle and how many were taken.
#[derive(Debug)]
pub struct RoundRobin {
    sequence: Box<[u32]>,
    cursor: Cursor,
}

/// On a cache line of its own: what is beside it is only read.
#[derive(Debug)]
#[repr(align(64))]
struct Cursor(AtomicUsize);

/// No pick was made yet.
const UNSTARTED: usize = usize::MAX;

// === impl RoundRobin ===

impl RoundRobin {
    /// The position whose turn it is. The first pick starts anywhere, so that a fleet does not
    /// march in step, and the first endpoint is not the favourite of frequent rebuilds.
    fn turn(&self, rng: &mut fastrand::Rng) -> Option<usize> {
        let len = self.sequence.len();
        if len == 0 {
            return None;
        }
        if self.cursor.0.load(Relaxed) == UNSTARTED {
            // Lost to another thread's start: as good.
            let _ = self.cursor.0.compare_exchange(UNSTARTED, rng.usize(..len), Relaxed, Relaxed);
        }
        let turn = self.cursor.0.fetch_add(1, Relaxed) % len;
        self.sequence.get(turn).map(|&position| position as usize)
    }
}

impl RoundRobin {
    /// The position of a turn that nobody takes.
    fn chance(&self, rng: &mut fastrand::Rng) -> Option<usize> {
        rng.choice(self.sequence.iter()).map(|&position| position as usize)
    }
}

impl Draw for RoundRobin {
    const KEYED: bool = false;

    fn build(field: &Field) -> Self {
        Self { sequence: sequence::smooth(&field.weights()), cursor: Cursor(AtomicUsize::new(UNSTARTED)) }
    }

    fn draw(&self, ask: &Ask<'_>, _key: Option<u64>, rng: &mut fastrand::Rng) -> Option<usize> {
        for _ in 0..ask.budget() {
            let position = if ask.again() { self.chance(rng)? } else { self.turn(rng)? };
            if ask.usable(position) {
                return Some(position);
            }
        }
        ask.scan(None, |_| 1.0 - rng.f64())
    }
}

#[cfg(test)]
mod tests;
