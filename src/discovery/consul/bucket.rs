//! A token bucket: how often one service may be asked. A burst goes at once (a deploy registers
//! many instances within a second), steady churn is slowed to the refill rate, so that a flapping
//! check cannot make us a load on Consul.

use std::time::{Duration, Instant};

/// The burst and the refill of DESIGN section 5, for one service.
const SERVICE: (u32, f64) = (10, 5.0);

/// Those for the folder of the fleet's weights. It is one for all routes, written by people and by
/// shifts that run side by side, and each reading is small: what matters is that no node is late.
const DOCUMENTS: (u32, f64) = (50, 20.0);

/// Tokens, taken one a request.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    burst: f64,
    per_second: f64,
    /// Negative: promised to callers that wait.
    tokens: f64,
    at: Option<Instant>,
}

// === impl Bucket ===

impl Bucket {
    pub(super) fn new(burst: u32, per_second: f64) -> Self {
        Self { burst: f64::from(burst), per_second, tokens: f64::from(burst), at: None }
    }

    /// The one of a watched service.
    pub(super) fn service() -> Self {
        Self::new(SERVICE.0, SERVICE.1)
    }

    /// The one of the folder of the fleet's weights.
    pub(super) fn documents() -> Self {
        Self::new(DOCUMENTS.0, DOCUMENTS.1)
    }

    /// Takes a token and says how long to wait before it counts.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.tokens = passed.as_secs_f64().mul_add(self.per_second, self.tokens).min(self.burst) - 1.0;
        Duration::from_secs_f64((-self.tokens).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_of_ten_then_five_a_second() {
        let (mut bucket, now) = (Bucket::service(), tokio::time::Instant::now().into_std());
        assert!((0..10).all(|_| bucket.take(now).is_zero()));
        assert_eq!(bucket.take(now), Duration::from_millis(200));
        assert_eq!(bucket.take(now), Duration::from_millis(400));
        assert!(bucket.take(now + Duration::from_secs(1)).is_zero());
        assert!((0..10).all(|_| bucket.take(now + Duration::from_secs(60)).is_zero()));
        assert!(!bucket.take(now + Duration::from_secs(60)).is_zero());
    }

    proptest! {
        /// In any stretch of time no more than burst + rate x time go through.
        #[test]
        fn the_rate_holds(gaps in prop::collection::vec(0_u64..500, 1..200)) {
            let start = tokio::time::Instant::now().into_std();
            let (mut bucket, mut now, mut sent) = (Bucket::service(), start, 0.0);
            for gap in gaps {
                now += Duration::from_millis(gap);
                now += bucket.take(now);
                sent += 1.0;
                prop_assert!(sent <= 5.0f64.mul_add((now - start).as_secs_f64(), 10.0) + 0.001);
            }
        }
    }
}
