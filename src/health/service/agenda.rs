//! Which target is due next: one heap and one timer for all of them.
//!
//! Targets that are due at the same moment go in the order in which they were entered, so that one
//! that waits for its turn under the limit is never overtaken by one that came later.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

use super::targets::Id;

/// The targets by the time they are due.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<(Instant, u64, Id)>>,
    entered: u64,
}

// === impl Agenda ===

impl Agenda {
    pub(super) fn enter(&mut self, id: Id, due: Instant) {
        self.heap.push(Reverse((due, self.entered, id)));
        self.entered += 1;
    }

    /// Takes the first that is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Id> {
        let Reverse((due, ..)) = self.heap.peek()?;
        if *due > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, id))| id)
    }

    /// When the first is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((due, ..))| *due)
    }
}

/// A span with 10 % jitter, so that many nodes, and the targets of one, do not probe in step.
pub(super) fn jittered(span: Duration, rng: &mut fastrand::Rng) -> Duration {
    span.mul_f64(0.9 + 0.2 * rng.f64())
}
