//! How long to leave a failing agent alone: 250 ms doubled each time up to 10 s, of which a random
//! part is waited (full jitter), so that a fleet of proxies does not come back in step. Some errors
//! know better and set a minimum.

use std::time::Duration;

use crate::consul::{Error, Pause};

const BASE: Duration = Duration::from_millis(250);
const MAX: Duration = Duration::from_secs(10);

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff(u32);

// === impl Backoff ===

impl Backoff {
    /// One more failure: how long to wait.
    pub(crate) fn next(&mut self, rng: &mut fastrand::Rng) -> Duration {
        let ceiling = BASE.saturating_mul(1 << self.0.min(10)).min(MAX);
        self.0 = self.0.saturating_add(1);
        ceiling.mul_f64(rng.f64())
    }

    /// As [`Backoff::next`], with the minimum that the error asks for; above it some jitter.
    pub(crate) fn after(&mut self, error: &Error, rng: &mut fastrand::Rng) -> Duration {
        let jittered = self.next(rng);
        match error.pause() {
            Pause::Backoff => jittered,
            Pause::AtLeast(least) => jittered.max(least + least.mul_f64(rng.f64() / 10.0)),
        }
    }

    /// It works again.
    pub(crate) fn reset(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_ten_seconds_and_starts_anew() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut backoff = Backoff::default();
        let mut longest = Duration::ZERO;
        for n in 0..1000_u32 {
            let wait = backoff.next(&mut rng);
            assert!(wait <= BASE * 2_u32.pow(n.min(6)) && wait <= MAX);
            longest = longest.max(wait);
        }
        assert!(longest > MAX.mul_f64(0.9));
        backoff.reset();
        assert!(backoff.next(&mut rng) <= BASE);
    }

    #[test]
    fn some_errors_set_a_minimum() {
        let mut rng = fastrand::Rng::with_seed(7);
        let ten = Duration::from_secs(10);
        for _ in 0..100 {
            let wait = Backoff::default().after(&Error::status(403, "", None), &mut rng);
            assert!(wait >= ten && wait <= ten.mul_f64(1.1));
            let wait = Backoff::default().after(&Error::Config(String::new()), &mut rng);
            assert!(wait >= 3 * ten);
        }
    }
}
