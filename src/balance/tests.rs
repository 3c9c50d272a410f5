//! What holds under every policy, and what holds under both that hash.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::balance::testing::{address, assert_shares, endpoint, endpoints, tally};
use crate::endpoint::{Registry, Standing};

const ALL: [Policy; 5] =
    [Policy::RoundRobin, Policy::Random, Policy::LeastRequest, Policy::RingHash, Policy::Maglev];
const HASHING: [Policy; 2] = [Policy::RingHash, Policy::Maglev];

/// A well mixed key, as `HashPolicy` makes.
fn key(i: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes())
}

fn build(policy: Policy, of: &[(u32, Registry)]) -> Balancer {
    let endpoint = |(i, &(weight, registry))| endpoint(address(i), weight, registry);
    Balancer::new(policy, of.iter().enumerate().map(endpoint).collect())
}

/// All that 2,000 picks with different keys choose, and whether each said panic.
fn chosen(balancer: &Balancer, tried: &[SocketAddr]) -> (HashSet<usize>, HashSet<bool>) {
    let mut rng = fastrand::Rng::with_seed(5);
    let choices = (0..2000).filter_map(|i| balancer.pick(Some(key(i)), tried, &mut rng));
    choices.map(|choice| (choice.index, choice.panic)).unzip()
}

fn owners(balancer: &Balancer, keys: u64) -> Vec<SocketAddr> {
    let mut rng = fastrand::Rng::with_seed(5);
    let owner = |i| balancer.pick(Some(key(i)), &[], &mut rng).unwrap().index;
    (0..keys).map(owner).map(|index| balancer.endpoints()[index].member.address).collect()
}

fn drain_all(endpoints: &[Endpoint], on: impl Fn(usize) -> bool) {
    for (i, endpoint) in endpoints.iter().enumerate() {
        endpoint.state.drain(on(i));
    }
}

fn moved(before: &[SocketAddr], after: &[SocketAddr]) -> usize {
    before.iter().zip(after).filter(|(a, b)| a != b).count()
}

#[test]
fn nobody_usable_is_none() {
    use Registry::{Critical, Maintenance, Passing};
    for policy in ALL {
        for of in [&[][..], &[(0, Passing), (0, Passing)], &[(1, Maintenance), (0, Critical)]] {
            assert!(chosen(&build(policy, of), &[]).0.is_empty(), "{policy:?} {of:?}");
        }
        let drained = build(policy, &[(1, Passing)]);
        assert_eq!(chosen(&drained, &[]), ([0].into(), [false].into()));
        drained.endpoints()[0].state.drain(true);
        assert!(chosen(&drained, &[]).0.is_empty(), "{policy:?}");
        drained.endpoints()[0].state.drain(false);
        assert_eq!(chosen(&drained, &[]).0, [0].into());
    }
}

#[test]
fn below_half_all_but_the_withdrawn_are_used() {
    use Registry::{Critical, Maintenance, Passing, Warning};
    for policy in ALL {
        let half = [(1, Passing), (1, Warning), (1, Critical), (1, Critical), (1, Maintenance), (0, Passing)];
        let balancer = build(policy, &half);
        assert_eq!(chosen(&balancer, &[]), ([0, 1].into(), [false].into()), "{policy:?}");
        balancer.endpoints()[1].state.drain(true); // one of three is left
        assert_eq!(chosen(&balancer, &[]), ([0, 2, 3].into(), [true].into()), "{policy:?}");
        balancer.endpoints()[2].state.drain(true); // one of two
        assert_eq!(chosen(&balancer, &[]), ([0].into(), [false].into()), "{policy:?}");
        balancer.endpoints()[0].state.drain(true); // none of one
        assert_eq!(chosen(&balancer, &[]), ([3].into(), [true].into()), "{policy:?}");
    }
}

#[test]
fn what_was_tried_is_not_used_again() {
    use Registry::{Critical, Passing};
    for policy in ALL {
        let balancer = build(policy, &[(9, Passing), (1, Passing), (1, Critical), (5, Passing)]);
        assert_eq!(chosen(&balancer, &[address(0)]).0, [1, 3].into(), "{policy:?}");
        assert_eq!(chosen(&balancer, &[address(0), address(3)]).0, [1].into(), "{policy:?}");
        let all = [address(3), address(0), address(1)];
        assert!(chosen(&balancer, &all).0.is_empty(), "{policy:?}: the critical one is no way out");
    }
}

/// Beyond what the census counts in each pick: a blow takes out 600 of 1,000, and later all come
/// back.
#[test]
fn large_clusters_find_their_mode() {
    for policy in ALL {
        let balancer = Balancer::new(policy, endpoints(&[1; 1000]));
        let mut rng = fastrand::Rng::with_seed(5);
        let mut pick = |i| balancer.pick(Some(key(i)), &[], &mut rng).unwrap();
        let drain = |range: std::ops::Range<usize>, on| {
            drain_all(&balancer.endpoints()[range], |_| on);
        };
        drain(0..990, true);
        assert!(
            (0..3000).all(|i| pick(i).index >= 990 && !pick(i).panic),
            "{policy:?}: the drained do not count"
        );
        drain(990..1000, true);
        assert_eq!(balancer.pick(Some(1), &[], &mut rng), None);
        drain(0..1000, false);
        let seen: HashSet<_> =
            (0..20_000).map(|i| balancer.pick(Some(key(i)), &[], &mut rng).unwrap().index).collect();
        assert!(seen.len() > 990, "{policy:?}: {}", seen.len());
    }
}

#[test]
fn mass_failure_in_a_large_cluster_is_panic_at_once_where_nothing_else_is_left() {
    for policy in ALL {
        let mut of = vec![(1, Registry::Critical); 99];
        of.push((1, Registry::Passing));
        let balancer = build(policy, &of);
        assert!(balancer.pick(Some(1), &[], &mut fastrand::Rng::with_seed(1)).unwrap().panic);
    }
}

#[test]
fn ten_thousand_endpoints_with_the_largest_weights() {
    for policy in ALL {
        let balancer = Balancer::new(policy, endpoints(&[65535; 10_000]));
        assert!(chosen(&balancer, &[]).0.len() > 1500, "{policy:?}");
    }
}

#[test]
fn without_a_key_hashing_policies_are_random_by_weight() {
    for policy in HASHING {
        let balancer = Balancer::new(policy, endpoints(&[5, 3, 1]));
        let mut rng = fastrand::Rng::with_seed(5);
        let seen = tally(3, 20_000, || balancer.pick(None, &[], &mut rng).unwrap().index);
        assert_shares(&seen, &[5, 3, 1], 0.001);
    }
}

#[test]
fn keys_are_shared_by_weight() {
    for (policy, within) in [(Policy::RingHash, 0.2), (Policy::Maglev, 0.03)] {
        for weights in [&[1; 10][..], &[5, 3, 1, 1], &[65535, 32768, 16384]] {
            let balancer = Balancer::new(policy, endpoints(weights));
            let mut i = 0;
            let mut rng = fastrand::Rng::with_seed(5);
            let seen = tally(weights.len(), 100_000, || {
                i += 1;
                balancer.pick(Some(key(i)), &[], &mut rng).unwrap().index
            });
            let total: u32 = weights.iter().sum();
            for (&seen, &weight) in seen.iter().zip(weights) {
                let due = 100_000.0 * f64::from(weight) / f64::from(total);
                assert!((seen as f64 - due).abs() < due * within, "{policy:?} {weights:?}: {seen} for {due}");
            }
        }
    }
}

#[test]
fn the_order_of_the_endpoints_does_not_matter() {
    for policy in HASHING {
        let weights: Vec<u32> = (0..50).map(|i| 1 + i % 7).collect();
        let forth = endpoints(&weights);
        let back: Arc<[Endpoint]> = endpoints(&weights).iter().rev().cloned().collect();
        let (forth, back) = (Balancer::new(policy, forth), Balancer::new(policy, back));
        assert_eq!(owners(&forth, 100_000), owners(&back, 100_000), "{policy:?}");
        for i in [3, 17, 20] {
            forth.endpoints()[i].state.drain(true);
            back.endpoints()[49 - i].state.drain(true);
        }
        assert_eq!(owners(&forth, 20_000), owners(&back, 20_000), "{policy:?}");
    }
}

#[test]
fn removing_one_of_ten_moves_few_keys() {
    for policy in HASHING {
        let whole = endpoints(&[1; 10]);
        let rest: Arc<[Endpoint]> =
            whole.iter().filter(|e| e.member.address != address(4)).cloned().collect();
        let before = owners(&Balancer::new(policy, whole), 100_000);
        let after = owners(&Balancer::new(policy, rest), 100_000);
        let moved = moved(&before, &after);
        assert!(moved < 15_000, "{policy:?}: {moved}");
    }
}

#[test]
fn a_dead_one_s_keys_move_and_no_others_and_spread_by_weight() {
    for policy in HASHING {
        let weights = [2, 1, 1, 1, 5, 1, 1, 1, 1, 1];
        let balancer = Balancer::new(policy, endpoints(&weights));
        let before = owners(&balancer, 100_000);
        balancer.endpoints()[4].state.drain(true);
        let after = owners(&balancer, 100_000);
        let mut takers = std::collections::HashMap::new();
        for (old, new) in before.iter().zip(&after) {
            if *old == address(4) {
                *takers.entry(*new).or_insert(0) += 1;
            } else {
                assert_eq!(old, new, "{policy:?}");
            }
        }
        let dead: i32 = takers.values().sum();
        for (i, weight) in weights.into_iter().enumerate().filter(|&(i, _)| i != 4) {
            let share = f64::from(takers[&address(i)]) / f64::from(dead) * 10.0 / f64::from(weight);
            assert!((0.5..1.6).contains(&share), "{policy:?}: {i} takes {share} of its due");
        }
        balancer.endpoints()[4].state.drain(false);
        assert_eq!(owners(&balancer, 100_000), before, "back as it was");
    }
}

/// A rising cluster of large weights crosses the ring's bound; no step moves everything.
#[test]
fn a_ring_grows_in_small_steps() {
    let weights = [100; 90];
    let all = endpoints(&weights);
    let of = |count: usize| owners(&Balancer::new(Policy::RingHash, all[..count].into()), 10_000);
    let mut before = of(75);
    for count in 76..=90 {
        let after = of(count);
        assert!(moved(&before, &after) < 500, "{count}: {}", moved(&before, &after));
        before = after;
    }
}

#[test]
fn threads_may_pick_while_states_flip() {
    for policy in ALL {
        let balancer = Balancer::new(policy, endpoints(&[3; 40]));
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let balancer = &balancer;
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(seed);
                    for i in 0..5000 {
                        let flip = rng.usize(..20);
                        balancer.endpoints()[flip].state.drain(rng.bool());
                        let choice = balancer.pick(Some(key(i)), &[address(39)], &mut rng).unwrap();
                        assert!(choice.index < 39);
                    }
                });
            }
        });
        drain_all(balancer.endpoints(), |i| i != 7);
        assert_eq!(chosen(&balancer, &[]), ([7].into(), [false].into()), "{policy:?}");
    }
}

fn registry() -> impl Strategy<Value = Registry> {
    prop_oneof![
        4 => Just(Registry::Passing),
        1 => Just(Registry::Warning),
        2 => Just(Registry::Critical),
        1 => Just(Registry::Maintenance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// The rules of who is used, against a model that counts, for clusters that the census counts
    /// exactly.
    #[test]
    fn picks_keep_the_rules(
        of in prop::collection::vec((prop_oneof![Just(0u32), 1u32..4, Just(65535)], registry()), 0..9),
        drained in prop::collection::vec(any::<bool>(), 8), tried in 0usize..8, seed: u64,
    ) {
        for policy in ALL {
            let balancer = build(policy, &of);
            let endpoints = balancer.endpoints();
            drain_all(endpoints, |i| drained[i]);
            let present = endpoints.iter().filter(|e| !e.withdrawn()).count();
            let available = endpoints.iter().filter(|e| e.available()).count();
            let panic = available * 2 < present;
            let may = |e: &Endpoint| {
                (if panic { !e.withdrawn() } else { e.available() }) && e.member.address != address(tried)
            };
            let mut rng = fastrand::Rng::with_seed(seed);
            for _ in 0..40 {
                let key = rng.u64(..);
                match balancer.pick(Some(key), &[address(tried)], &mut rng) {
                    Some(choice) => {
                        prop_assert!(may(&endpoints[choice.index]), "{:?} {:?}", policy, choice);
                        prop_assert_eq!(choice.panic, panic);
                    }
                    None => prop_assert!(!endpoints.iter().any(may), "{:?}", policy),
                }
            }
        }
    }
}

#[test]
fn a_slow_start_takes_its_part_of_a_share_and_no_other_policy_has_one() {
    for policy in [Policy::RoundRobin, Policy::LeastRequest] {
        let balancer = Balancer::new(policy, endpoints(&[1; 10])).slow_start(true);
        let state = &balancer.endpoints()[3].state;
        let count = |balancer: &Balancer| {
            let mut rng = fastrand::Rng::with_seed(5);
            tally(10, 100_000, || balancer.pick(None, &[], &mut rng).unwrap().index)
        };
        for percent in [10, 50, 90] {
            state.set_share(percent);
            let seen = count(&balancer);
            let due = 100_000.0 * f64::from(percent) / f64::from(900 + u32::from(percent));
            let found = seen[3] as f64;
            assert!((found / due - 1.0).abs() < 0.1, "{policy:?} {percent} %: {found}, due {due}");
        }
        // All alike: nobody is held back against the others.
        balancer.endpoints().iter().for_each(|e| e.state.set_share(10));
        assert_shares(&count(&balancer), &[1; 10], 0.0001);
        // The only one that is left takes all.
        let others: Vec<_> = (0..10).filter(|i| *i != 3).map(address).collect();
        let mut rng = fastrand::Rng::with_seed(5);
        assert_eq!(balancer.pick(None, &others, &mut rng).unwrap().index, 3);
        let others = balancer.endpoints().iter().filter(|e| e.member.address != address(3));
        others.for_each(|e| _ = e.state.drain(true));
        assert_eq!(count(&balancer)[3], 100_000);
    }
    let random = Balancer::new(Policy::Random, endpoints(&[1; 2])).slow_start(true);
    random.endpoints()[0].state.set_share(10);
    let mut rng = fastrand::Rng::with_seed(5);
    assert_shares(&tally(2, 10_000, || random.pick(None, &[], &mut rng).unwrap().index), &[1, 1], 0.001);
}

#[test]
fn a_second_try_goes_to_who_has_not_failed_if_there_is_one() {
    for policy in [Policy::RoundRobin, Policy::Random, Policy::LeastRequest, Policy::Maglev] {
        let balancer = Balancer::new(policy, endpoints(&[1; 6]));
        let all = balancer.endpoints().clone();
        (1..5).for_each(|i| _ = all[i].state.failed());
        let mut rng = fastrand::Rng::with_seed(5);
        let mut again = || balancer.pick(Some(7), &[address(0)], &mut rng).map(|choice| choice.index);
        (0..100).for_each(|_| assert_eq!(again(), Some(5), "{policy:?}"));
        all[5].state.failed();
        (0..100).for_each(|_| assert!((1..6).contains(&again().unwrap())));
        (1..6).for_each(|i| all[i].state.succeeded());
        assert!(all[5].state.turn(Standing::In, Standing::Ejected));
        assert!(all[5].state.turn(Standing::Ejected, Standing::Returning));
        (0..100).for_each(|_| assert_ne!(again(), Some(5), "nobody's second try is a trial"));
    }
}

#[test]
fn full_endpoints_get_nothing_and_are_not_down() {
    for policy in [Policy::RoundRobin, Policy::Random, Policy::LeastRequest, Policy::RingHash, Policy::Maglev]
    {
        let balancer = Balancer::new(policy, endpoints(&[1, 1, 1])).limited(Some(2));
        let mut rng = fastrand::Rng::with_seed(7);
        let mut leases = Vec::new();
        for key in 0..6 {
            assert!(!balancer.full() || key >= 2);
            let choice = balancer.pick(Some(key), &[], &mut rng).unwrap();
            assert!(!choice.panic && !choice.none);
            leases.push(balancer.endpoints()[choice.index].state.lease());
        }
        assert!(balancer.endpoints().iter().all(|e| e.state.in_flight() == 2), "{policy:?}");
        assert!(balancer.pick(Some(1), &[], &mut rng).is_none() && balancer.full());
        leases.pop();
        assert!(balancer.pick(Some(1), &[], &mut rng).is_some());
    }
}
