//! The pause before another try.
//!
//! Full jitter: any time between nothing and a bound that doubles with each try. Requests that failed
//! together are spread over the whole of it, which relieves an endpoint more than longer pauses that
//! all end at once.

use std::time::Duration;

/// The bounds of the pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
}

// === impl Backoff ===

impl Backoff {
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// The longest pause after so many tries: the base, doubled for each after the first.
    pub fn bound(self, tries: u32) -> Duration {
        let doubled = 1u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(doubled).min(self.max)
    }

    /// The pause after so many tries. `dice` is even over 0 to 1.
    pub fn pause(self, tries: u32, dice: f64) -> Duration {
        self.bound(tries).mul_f64(dice.clamp(0.0, 1.0))
    }
}
