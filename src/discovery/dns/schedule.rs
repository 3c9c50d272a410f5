//! When to ask again. Pure: the caller sleeps.
//!
//! After an answer: its TTL, not below the operator's floor (Consul's TTL is 0) and not above five
//! minutes (a TTL of a day would pin a cluster to addresses that are long gone). After a failure:
//! exponential back-off with full jitter, so that many clusters and many proxies do not come back
//! to a resolver at the same moment.

use std::time::Duration;

/// No TTL is believed beyond this, unless the operator's floor is above it.
const CAP: Duration = Duration::from_secs(300);

/// Below this a floor of 0 would be a loop without a pause.
const LOWEST_FLOOR: Duration = Duration::from_millis(100);

const BACK_OFF_FIRST: Duration = Duration::from_millis(250);
const BACK_OFF_MOST: Duration = Duration::from_secs(10);

/// The floor to use for the `min_ttl` of the file.
pub(super) fn floor(min_ttl: Duration) -> Duration {
    min_ttl.max(LOWEST_FLOOR)
}

/// The pause after an answer: at least the TTL (capped) and the floor, up to 10 % more. The jitter
/// only adds, so that the question never comes while a cache in between still holds the old answer.
pub(super) fn next(ttl: Duration, floor: Duration, rng: &mut fastrand::Rng) -> Duration {
    let base = ttl.min(CAP).max(floor);
    base + base.mul_f64(0.1 * rng.f64())
}

/// The pause after failure number `failures` in a row (the first is 0): anything up to 250 ms, 500
/// ms, ... 10 s.
pub(super) fn back_off(failures: u32, rng: &mut fastrand::Rng) -> Duration {
    let ceiling = BACK_OFF_FIRST.saturating_mul(1 << failures.min(10)).min(BACK_OFF_MOST);
    ceiling.mul_f64(rng.f64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_ttl_of_zero_waits_for_the_floor_and_a_long_one_for_the_cap() {
        let rng = &mut fastrand::Rng::with_seed(1);
        let within = |pause: Duration, base: Duration| pause >= base && pause <= base.mul_f64(1.1);
        assert!(within(next(Duration::ZERO, SECOND, rng), SECOND));
        assert!(within(next(60 * SECOND, SECOND, rng), 60 * SECOND));
        assert!(within(next(86_400 * SECOND, SECOND, rng), CAP));
        assert!(
            within(next(SECOND, 600 * SECOND, rng), 600 * SECOND),
            "the operator's floor wins over the cap"
        );
        assert_eq!(floor(Duration::ZERO), LOWEST_FLOOR);
    }

    #[test]
    fn the_back_off_doubles_to_ten_seconds_and_uses_its_whole_range() {
        let rng = &mut fastrand::Rng::with_seed(7);
        for (failures, ceiling) in [(0, 250), (1, 500), (4, 4_000), (6, 10_000), (u32::MAX, 10_000)] {
            let ceiling = Duration::from_millis(ceiling);
            let drawn: Vec<_> = (0..1_000).map(|_| back_off(failures, rng)).collect();
            assert!(drawn.iter().all(|d| *d <= ceiling));
            assert!(drawn.iter().any(|d| *d < ceiling / 10) && drawn.iter().any(|d| *d > ceiling * 9 / 10));
        }
    }

    proptest! {
        #[test]
        fn a_pause_is_never_below_the_floor_nor_far_above_the_cap(ttl: u32, floor in 100u64..1_000_000, seed: u64) {
            let (ttl, floor) = (Duration::from_secs(ttl.into()), Duration::from_millis(floor));
            let pause = next(ttl, floor, &mut fastrand::Rng::with_seed(seed));
            prop_assert!(pause >= floor);
            prop_assert!(pause <= CAP.max(floor).mul_f64(1.1));
        }
    }
}
