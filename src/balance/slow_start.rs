//! How much of its share an endpoint gets while it warms up.
//!
//! The share grows in a straight line from [`LEAST`] to all of it over the window, as Envoy's does
//! with an aggression of 1. It is worked out by the task that watches endpoints and kept in their
//! [`State`](crate::endpoint::State), so that a pick needs no clock; a pick that draws an endpoint
//! rejects it with the probability of what it lacks, and draws among the others ([`REDRAWS`] times
//! at most: where all are new, they are all taken after that).
//!
//! The bad side: the share is of what the policy would have given it, so in a cluster of two whose
//! other endpoint is overloaded nothing comes faster.

use std::time::Duration;

/// The share at the start, in percent.
pub const LEAST: u8 = 10;

/// How often a pick draws again.
pub const REDRAWS: usize = 2;

/// The share after so long, in percent.
pub fn share(elapsed: Duration, window: Duration) -> u8 {
    if elapsed >= window {
        return 100;
    }
    let percent = elapsed.as_nanos() * 100 / window.as_nanos();
    u8::try_from(percent).unwrap_or(100).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_from_a_tenth_to_all() {
        let window = Duration::from_secs(30);
        let at = |millis| share(Duration::from_millis(millis), window);
        assert_eq!([0, 1, 3000, 15_000, 29_999, 30_000, u64::MAX].map(at), [10, 10, 10, 50, 99, 100, 100]);
        assert!((0..30_000).is_sorted_by_key(at));
        assert_eq!(share(Duration::ZERO, Duration::ZERO), 100);
    }
}
