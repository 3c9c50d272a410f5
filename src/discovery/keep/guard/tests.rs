use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::endpoint::Registry;

const SEC: Duration = Duration::from_secs(1);

fn set(ports: impl IntoIterator<Item = u16>) -> Members {
    Members::new(ports.into_iter().map(|port| Member {
        address: ([127, 0, 0, 1], port).into(),
        weight: 1,
        registry: Registry::Passing,
        labels: Arc::default(),
    }))
}

fn ports(guard: &Guard) -> Vec<u16> {
    guard.served().unwrap().iter().map(|m| m.address.port()).collect()
}

/// A guard that serves `ports`, and a time.
fn serving(ports: impl IntoIterator<Item = u16>) -> (Guard, Instant) {
    let now = tokio::time::Instant::now().into_std();
    let mut guard = Guard::new(Rules::default());
    guard.answer(set(ports), Quality::Good, now).unwrap();
    (guard, now)
}

#[test]
fn the_first_answer_is_served_even_if_empty() {
    let (guard, _) = serving([]);
    assert_eq!((ports(&guard), guard.held(), guard.due()), (vec![], 0, None));
}

#[test]
fn an_empty_answer_is_held_for_thirty_seconds() {
    let (mut guard, now) = serving([1, 2]);
    assert_eq!(guard.answer(set([]), Quality::Good, now), None);
    assert_eq!((ports(&guard), guard.held(), guard.due()), (vec![1, 2], 2, Some(now + 30 * SEC)));
    assert_eq!(guard.tick(now + 29 * SEC), None);
    let change = guard.tick(now + 30 * SEC).unwrap();
    assert_eq!((change.removed, change.members.len()), (2, 0));
}

#[test]
fn an_instance_that_comes_back_ends_the_hold() {
    let (mut guard, now) = serving([1]);
    guard.answer(set([]), Quality::Good, now);
    let change = guard.answer(set([1, 3]), Quality::Good, now + SEC).unwrap();
    assert_eq!((change.added, change.removed, guard.held(), guard.due()), (1, 0, 0, None));
}

#[test]
fn after_an_empty_answer_a_small_set_applies_at_once() {
    let (mut guard, now) = serving([1]);
    guard.answer(set([]), Quality::Good, now);
    guard.answer(set([3]), Quality::Good, now + SEC).unwrap();
    assert_eq!(ports(&guard), [3]);
}

#[test]
fn a_shrink_is_held_for_ten_seconds_and_a_small_removal_is_not() {
    let (mut guard, now) = serving(1..=10);
    guard.answer(set(1..=5), Quality::Good, now).unwrap();
    assert_eq!(ports(&guard).len(), 5, "half is not more than half");
    assert_eq!(guard.answer(set([1]), Quality::Good, now), None);
    assert_eq!(guard.due(), Some(now + 10 * SEC));
    guard.tick(now + 10 * SEC).unwrap();
    assert_eq!(ports(&guard), [1]);
}

#[test]
fn a_rollout_that_replaces_all_is_not_a_shrink() {
    let (mut guard, now) = serving(1..=8);
    guard.answer(set(11..=18), Quality::Good, now).unwrap();
    assert_eq!(ports(&guard), (11..=18).collect::<Vec<_>>());
}

#[test]
fn a_degraded_source_removes_nothing_and_a_good_answer_settles_it() {
    let (mut guard, now) = serving(1..=4);
    let change = guard.answer(set([1, 2, 3, 9]), Quality::Degraded, now).unwrap();
    assert_eq!((change.added, change.removed, guard.due()), (1, 0, None));
    assert_eq!(guard.tick(now + 1000 * SEC), None);
    guard.answer(set([1, 2, 3, 9]), Quality::Good, now + 1000 * SEC).unwrap();
    assert_eq!(ports(&guard), [1, 2, 3, 9]);
}

#[test]
fn holds_count_from_the_first_absence() {
    let (mut guard, now) = serving([1]);
    guard.answer(set([]), Quality::Degraded, now);
    guard.answer(set([]), Quality::Good, now + 20 * SEC);
    assert_eq!(guard.due(), Some(now + 30 * SEC));
    guard.answer(set([]), Quality::Good, now + 40 * SEC).unwrap();
    assert_eq!(ports(&guard), [0_u16; 0]);
}

#[test]
fn no_hold_ends_while_the_source_is_silent() {
    let (mut guard, now) = serving([1]);
    guard.answer(set([]), Quality::Good, now);
    guard.lost();
    assert_eq!((guard.due(), guard.tick(now + 100 * SEC)), (None, None));
    guard.unchanged(now + 101 * SEC).unwrap();
    assert!(ports(&guard).is_empty());
}

#[test]
fn explicit_words_count_at_once_even_if_degraded() {
    let (mut guard, now) = serving([1, 2]);
    let mut said: Vec<_> = set([1, 2]).to_vec();
    said[0].registry = Registry::Maintenance;
    said[1].weight = 7;
    let change = guard.answer(said.clone().into(), Quality::Degraded, now).unwrap();
    assert_eq!((change.changed, change.members), (2, said.into()));
}

fn at(ports: impl IntoIterator<Item = u16>) -> Vec<SocketAddr> {
    set(ports).iter().map(|m| m.address).collect()
}

#[test]
fn what_is_named_as_something_else_goes_at_once() {
    for quality in [Quality::Good, Quality::Degraded] {
        let (mut guard, now) = serving([1, 2]);
        let change = guard.answer_except(set([]), &at([1, 2, 9]), quality, now).unwrap();
        assert_eq!((change.removed, guard.held(), ports(&guard)), (2, 0, vec![]));
    }
}

#[test]
fn what_is_not_named_is_held_beside_what_moved() {
    let (mut guard, now) = serving([1, 2]);
    guard.answer_except(set([]), &at([1]), Quality::Good, now).unwrap();
    assert_eq!((ports(&guard), guard.due()), (vec![2], Some(now + 30 * SEC)));
    // And a hold ends when the answer names it as something else.
    guard.answer_except(set([]), &at([1, 2]), Quality::Good, now + SEC).unwrap();
    assert_eq!((ports(&guard), guard.held()), (vec![], 0));
}

#[test]
fn what_moved_is_no_part_of_a_shrink() {
    let (mut guard, now) = serving(1..=10);
    guard.answer_except(set([1]), &at(2..=10), Quality::Good, now).unwrap();
    assert_eq!((ports(&guard), guard.held()), (vec![1], 0));
    let (mut guard, now) = serving(1..=10);
    guard.answer_except(set([1]), &at(2..=5), Quality::Good, now).unwrap();
    assert_eq!((ports(&guard), guard.held()), (vec![1, 6, 7, 8, 9, 10], 5));
}

#[test]
fn holds_can_be_off() {
    let (mut guard, now) = serving(1..=9);
    guard.set_rules(Rules { empty_hold: Duration::ZERO, max_removal_percent: 100, ..Rules::default() });
    guard.answer(set([1]), Quality::Good, now).unwrap();
    guard.answer(set([]), Quality::Good, now).unwrap();
    assert!(ports(&guard).is_empty());
}

#[test]
fn a_hold_can_be_for_ever() {
    let (mut guard, now) = serving([1]);
    guard.set_rules(Rules { empty_hold: Duration::MAX, ..Rules::default() });
    guard.answer(set([]), Quality::Good, now);
    assert_eq!((guard.held(), guard.due(), guard.unchanged(now + 1000 * SEC)), (1, None, None));
}

#[test]
fn a_set_from_disk_is_judged_like_any_other() {
    let now = tokio::time::Instant::now().into_std();
    let mut guard = Guard::new(Rules::default());
    guard.restore(set([1, 2]));
    assert_eq!(guard.answer(set([]), Quality::Good, now), None);
    assert_eq!(guard.answer(set([1, 2]), Quality::Good, now), None);
    guard.answer(set([2]), Quality::Good, now).unwrap();
    assert_eq!(ports(&guard), [2]);
}

proptest! {
    /// Whatever comes: what the last answer names is served as it says; a held member was served
    /// before; and some time after a good answer exactly that answer is served.
    #[test]
    fn holds_keep_but_never_invent(
        answers in prop::collection::vec((prop::collection::btree_set(1_u16..12, 0..12), 0_u8..4, 0_u64..40, prop::collection::btree_set(1_u16..12, 0..4)), 1..30),
    ) {
        let (mut guard, mut now) = serving([]);
        for (ports_said, what, seconds, moved) in answers {
            now += SEC * u32::try_from(seconds).unwrap();
            let before = guard.served().cloned().unwrap();
            let said = set(ports_said);
            let elsewhere = at(moved);
            match what {
                0 => { guard.answer_except(said.clone(), &elsewhere, Quality::Degraded, now); }
                1 => { guard.answer_except(said.clone(), &elsewhere, Quality::Good, now); }
                2 => { guard.tick(now); continue; }
                _ => { guard.lost(); continue; }
            }
            let served = guard.served().unwrap();
            prop_assert!(said.iter().all(|m| served.contains(m)));
            prop_assert!(served.iter().all(|m| said.contains(m) || before.contains(m)));
            prop_assert!(served.iter().all(|m| said.contains(m) || !elsewhere.contains(&m.address)));
            prop_assert_eq!(served.len(), said.len() + guard.held());
        }
        guard.answer(set([1, 2]), Quality::Good, now);
        guard.tick(now + 31 * SEC);
        prop_assert_eq!(ports(&guard), vec![1, 2]);
    }
}
