use std::sync::Arc;

use proptest::prelude::*;

use super::budget::Limit;
use super::*;
use crate::config::live::RetryOn;
use crate::config::value::Span;
use crate::endpoint::Pool;

fn config(attempts: u8, on: &[RetryOn]) -> live::Retry {
    live::Retry { attempts, on: on.to_vec(), ..live::Retry::default() }
}

/// A GET that was tried once and has a second left.
const GET: Progress = Progress {
    tries: 1,
    left: Some(Duration::from_secs(1)),
    idempotent: true,
    replayable: true,
    retry_after: None,
};

const POST: Progress = Progress { idempotent: false, ..GET };

#[test]
fn the_default_is_one_more_try_where_it_is_safe() {
    let retry = Retry::compile(None);
    let again = |failure, so_far: &Progress| retry.pause(failure, so_far, 0.5).is_some();
    assert!(again(Failure::Connect, &GET) && again(Failure::Connect, &POST));
    assert!(again(Failure::Reset, &GET) && !again(Failure::Reset, &POST));
    assert!(!again(Failure::Timeout, &GET) && !again(Failure::Status(503), &GET));
    assert!(again(Failure::Connect, &Progress { tries: CONNECT_TRIES - 1, ..POST }));
    assert!(!again(Failure::Connect, &Progress { tries: CONNECT_TRIES, ..GET }));
    assert!(!again(Failure::Reset, &Progress { tries: 2, ..GET }));
    let said = Retry::compile(Some(&config(2, &[RetryOn::ConnectFailure])));
    assert_eq!(said.pause(Failure::Connect, &Progress { tries: 2, ..GET }, 0.5), None);
    assert!(!again(Failure::Connect, &Progress { replayable: false, ..GET }));
}

#[test]
fn what_may_have_arrived_is_repeated_only_on_the_operators_word() {
    let mut config =
        config(3, &[RetryOn::Reset, RetryOn::ServerError, RetryOn::TooManyRequests, RetryOn::Timeout]);
    let failures = [Failure::Reset, Failure::Status(500), Failure::Status(429), Failure::Timeout];
    for allowed in [false, true] {
        config.non_idempotent = allowed;
        let retry = Retry::compile(Some(&config));
        for failure in failures {
            assert_eq!(retry.pause(failure, &POST, 0.5).is_some(), allowed, "{failure:?}");
            assert!(retry.pause(failure, &GET, 0.5).is_some());
        }
    }
}

#[test]
fn only_the_first_lost_connection_is_tried_again_at_once() {
    let retry = Retry::compile(Some(&config(3, &[RetryOn::ConnectFailure, RetryOn::Reset])));
    assert_eq!(retry.pause(Failure::Connect, &GET, 1.0), Some(Duration::ZERO));
    assert_eq!(retry.pause(Failure::Reset, &GET, 1.0), Some(Duration::from_millis(25)));
    let second = Progress { tries: 2, ..GET };
    assert_eq!(retry.pause(Failure::Connect, &second, 1.0), Some(Duration::from_millis(50)));
}

#[test]
fn a_pause_that_does_not_fit_is_not_begun() {
    let retry = Retry::compile(Some(&config(3, &[RetryOn::Reset])));
    let with = |left| retry.pause(Failure::Reset, &Progress { left, ..GET }, 1.0);
    assert_eq!(with(Some(Duration::from_millis(25))), None);
    assert_eq!(with(Some(Duration::from_millis(26))), Some(Duration::from_millis(25)));
    assert_eq!(with(None), Some(Duration::from_millis(25)));
}

#[test]
fn retry_after_is_waited_for_if_asked_and_short() {
    let mut config = config(3, &[RetryOn::TooManyRequests]);
    let after = |retry: &Retry, seconds, left| {
        let retry_after = Some(Duration::from_secs(seconds));
        let so_far = Progress { retry_after, left: Some(Duration::from_secs(left)), ..GET };
        retry.pause(Failure::Status(429), &so_far, 1.0).map(|pause| pause.as_millis())
    };
    assert_eq!(after(&Retry::compile(Some(&config)), 60, 15), Some(25), "not asked to look at it");
    config.respect_retry_after = true;
    let retry = Retry::compile(Some(&config));
    assert_eq!(after(&retry, 2, 15), Some(2025));
    assert_eq!(after(&retry, 10, 15), Some(10_025));
    assert_eq!(after(&retry, 11, 15), None, "too long to wait for");
    assert_eq!(after(&retry, 5, 5), None, "longer than the request has");
}

#[test]
fn the_nearest_limit_counts() {
    let own = Budget { percent: 50, min: 1 };
    assert_eq!(Limit::choose(None, None).of(100), 20);
    assert_eq!(Limit::choose(None, None).of(1), 3);
    assert_eq!(Limit::choose(None, Some(7)).of(100), 7);
    assert_eq!(Limit::choose(None, Some(0)).of(100), 0);
    assert_eq!(Limit::choose(Some(own), Some(7)).of(100), 50);
}

proptest! {
    #[test]
    fn pauses_stay_within_their_bounds(
        base in 0u64..5_000, max in 0u64..60_000, tries in 0u32..200, dice in 0.0f64..=1.0,
    ) {
        let backoff = Backoff::new(Duration::from_millis(base), Duration::from_millis(max));
        let pause = backoff.pause(tries, dice);
        let doubled = u128::from(base) << tries.saturating_sub(1).min(40);
        prop_assert!(pause <= backoff.bound(tries));
        prop_assert!(pause.as_millis() <= doubled.min(u128::from(max)));
        prop_assert!(backoff.bound(tries) <= backoff.bound(tries + 1));
    }

    #[test]
    fn no_pause_outlives_the_request(
        attempts in 1u8..=10, tries in 1u32..12, left in 0u64..20_000,
        after in proptest::option::of(0u64..100), base in 1u64..2_000, dice in 0.0f64..=1.0,
        status in 400u16..600,
    ) {
        let config = live::Retry {
            attempts,
            on: vec![RetryOn::ServerError, RetryOn::TooManyRequests],
            backoff: live::Backoff { base: Span::millis(base), max: Span::secs(3) },
            respect_retry_after: true,
            ..live::Retry::default()
        };
        let left = Duration::from_millis(left);
        let so_far =
            Progress { tries, left: Some(left), retry_after: after.map(Duration::from_secs), ..GET };
        if let Some(pause) = Retry::compile(Some(&config)).pause(Failure::Status(status), &so_far, dice) {
            prop_assert!(pause < left && tries < u32::from(attempts));
            prop_assert!(pause >= so_far.retry_after.unwrap_or_default());
        }
    }

    /// Whatever comes and goes in whatever order, the tries after the first on their way are never
    /// more than the budget was when the last of them was let in.
    #[test]
    fn a_budget_is_never_exceeded(
        percent in 0u8..=100, min in 0u32..6, steps in proptest::collection::vec(0u8..4, 0..300),
    ) {
        let (budget, pool) = (Budget { percent, min }, Arc::new(Pool::default()));
        let (mut requests, mut retries) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                0 => requests.extend(pool.request(u32::MAX)),
                1 => drop(requests.pop()),
                2 => {
                    let limit = budget.limit(pool.requests());
                    let before = pool.retries();
                    let permit = pool.retry(limit);
                    prop_assert_eq!(permit.is_some(), before < limit);
                    retries.extend(permit);
                    prop_assert!(pool.retries() <= limit.max(before));
                }
                _ => drop(retries.pop()),
            }
            prop_assert_eq!(pool.retries() as usize, retries.len());
        }
    }

    /// What is saved adds nothing in the long run: retries are at most their share of the requests, or
    /// what may be on its way at once.
    #[test]
    fn savings_are_spent_once(percent in 1u8..=100, steps in proptest::collection::vec(any::<bool>(), 0..400)) {
        let (budget, pool) = (Budget { percent, min: 0 }, Arc::new(Pool::default()));
        let price = budget.price().unwrap_or(u32::MAX);
        let (mut requests, mut paid) = (0u32, 0u32);
        for request in steps {
            if request {
                drop(pool.request(1));
                requests += 1;
            } else {
                paid += u32::from(pool.spend(price));
            }
            prop_assert!(paid * 100 <= requests * u32::from(percent));
        }
    }
}
