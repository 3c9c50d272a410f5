use std::collections::HashSet;

use proptest::prelude::*;

use crate::balance::Balancer;
use crate::balance::testing::{address, endpoints, tally};
use crate::config::live::Policy;

fn balancer(weights: &[u32]) -> Balancer {
    Balancer::new(Policy::RoundRobin, endpoints(weights))
}

fn count(balancer: &Balancer, picks: usize, seed: u64) -> Vec<u64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    tally(balancer.endpoints().len(), picks, || balancer.pick(None, &[], &mut rng).unwrap().index)
}

#[test]
fn ten_thousand_picks_over_5_3_1() {
    let seen = count(&balancer(&[5, 3, 1]), 10_000, 1);
    for (seen, share) in seen.iter().zip([5.0, 3.0, 1.0]) {
        let due = 10_000.0 * share / 9.0;
        assert!((*seen as f64 - due).abs() < due * 0.02, "{seen} for {due}");
    }
}

#[test]
fn equal_weights_rotate() {
    let balancer = balancer(&[100; 7]);
    let mut rng = fastrand::Rng::with_seed(1);
    let picks: Vec<_> = (0..21).map(|_| balancer.pick(None, &[], &mut rng).unwrap().index).collect();
    for window in picks.windows(7) {
        assert_eq!(window.iter().collect::<HashSet<_>>().len(), 7, "{picks:?}");
    }
}

#[test]
fn processes_start_at_different_places() {
    let first =
        |seed| balancer(&[1; 100]).pick(None, &[], &mut fastrand::Rng::with_seed(seed)).unwrap().index;
    assert!((0..20).map(first).collect::<HashSet<_>>().len() > 10);
}

/// The dead one's share is everybody's, by weight, not its successor's.
#[test]
fn the_rest_share_by_weight_exactly() {
    let balancer = balancer(&[5, 3, 1, 4]);
    balancer.endpoints()[3].state.drain(true);
    assert_eq!(count(&balancer, 9000, 1), [5000, 3000, 1000, 0]);
    balancer.endpoints()[0].state.drain(true);
    assert_eq!(count(&balancer, 4000, 1), [0, 3000, 1000, 0]);
}

#[test]
fn a_dead_heavyweight_leaves_the_rest_equal() {
    let balancer = balancer(&[65535, 1, 1, 1]);
    balancer.endpoints()[0].state.drain(true);
    let seen = count(&balancer, 3000, 1);
    assert!(seen[0] == 0 && seen[1..].iter().all(|&s| (900..1100).contains(&s)), "{seen:?}");
}

#[test]
fn what_was_tried_is_skipped() {
    let balancer = balancer(&[5, 1]);
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..20 {
        assert_eq!(balancer.pick(None, &[address(0)], &mut rng).unwrap().index, 1);
    }
    assert_eq!(balancer.pick(None, &[address(0), address(1)], &mut rng), None);
}

/// No turn is dealt twice, whichever threads take them.
#[test]
fn threads_share_one_cycle() {
    let balancer = balancer(&[5, 3, 1]);
    let seen = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|seed| {
                scope.spawn({
                    let balancer = &balancer;
                    move || count(balancer, 9000, seed)
                })
            })
            .collect();
        let mut sum = [0; 3];
        for worker in workers {
            sum.iter_mut().zip(worker.join().unwrap()).for_each(|(sum, seen)| *sum += seen);
        }
        sum
    });
    assert_eq!(seen, [20_000, 12_000, 4_000]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Over whole cycles shares are exact for any small weights, and with any of them drained.
    #[test]
    fn shares_are_exact(
        weights in prop::collection::vec(1u32..=20, 2..12), dead: prop::sample::Index, seed: u64,
    ) {
        let balancer = balancer(&weights);
        let cycle: u32 = weights.iter().sum();
        let exact: Vec<_> = weights.iter().map(|&w| 10 * u64::from(w)).collect();
        prop_assert_eq!(&count(&balancer, 10 * cycle as usize, seed), &exact);
        let dead = dead.index(weights.len());
        balancer.endpoints()[dead].state.drain(true);
        let seen = count(&balancer, 10 * (cycle - weights[dead]) as usize, seed);
        for (i, &seen) in seen.iter().enumerate() {
            prop_assert_eq!(seen, if i == dead { 0 } else { exact[i] });
        }
    }
}

/// Half of the requests meet the dead one of two, not all of them.
#[test]
fn a_second_try_takes_no_turn() {
    let balancer = balancer(&[1, 1]);
    let dead = balancer.endpoints()[0].member.address;
    let mut rng = fastrand::Rng::with_seed(1);
    let mut met = 0;
    for _ in 0..1000 {
        if balancer.pick(None, &[], &mut rng).unwrap().index == 0 {
            met += 1;
            assert_eq!(balancer.pick(None, &[dead], &mut rng).unwrap().index, 1);
        }
    }
    assert_eq!(met, 500);
}
