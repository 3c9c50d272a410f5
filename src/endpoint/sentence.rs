//! What is left of an endpoint's ejection, where it can be read and handed on.
//!
//! The task that follows ejections knows it exactly and notes it here at each look, so another
//! process can be told without asking that task; and what another process knew is left here for it
//! to take up. Neither is looked at by a request.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::endpoint::Standing;

/// How often it was ejected lately, and how long it still is.
#[derive(Debug, Default)]
pub struct Sentence {
    times: AtomicU32,
    /// In milliseconds.
    left: AtomicU32,
    /// One more than the [`Standing`] that another process left; 0: it has been taken up.
    handed: AtomicU8,
}

// === impl Sentence ===

impl Sentence {
    /// Notes what holds now.
    pub fn note(&self, times: u32, left: Duration) {
        self.times.store(times, Relaxed);
        self.left.store(u32::try_from(left.as_millis()).unwrap_or(u32::MAX), Relaxed);
    }

    /// What holds, as of the last look.
    pub fn read(&self) -> (u32, Duration) {
        (self.times.load(Relaxed), Duration::from_millis(self.left.load(Relaxed).into()))
    }

    /// Leaves what another process knew to whoever follows ejections.
    pub(super) fn hand(&self, standing: Standing, times: u32, left: Duration) {
        self.note(times, left);
        self.handed.store(standing as u8 + 1, Relaxed);
    }

    /// Takes up what another process left, once.
    pub fn take(&self) -> Option<(Standing, u32, Duration)> {
        // Read first: of nearly all, nothing was left.
        if self.handed.load(Relaxed) == 0 {
            return None;
        }
        let standing = match self.handed.swap(0, Relaxed) {
            0 => return None,
            1 => Standing::In,
            2 => Standing::Ejected,
            _ => Standing::Returning,
        };
        let (times, left) = self.read();
        Some((standing, times, left))
    }
}
