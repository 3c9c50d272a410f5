//! The figures of a preview against the assignments themselves.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::live::{self, MAX_VARIANTS, MAX_WEIGHT};
use crate::split::rendezvous::{self, Draw};

const KEYS: usize = 100_000;

fn name(variant: usize) -> String {
    format!("v{variant}")
}

fn weights(values: &[u64], seed: &str) -> Weights {
    let variant = |(index, weight)| json!({"name": name(index), "cluster": "c", "weight": weight});
    let variants: Vec<_> = values.iter().enumerate().map(variant).collect();
    let config: live::Split = serde_json::from_value(json!({"seed": seed, "variants": variants})).unwrap();
    Weights::of_file(&"shop".parse().unwrap(), &config)
}

/// Who has each of the keys, by the code that requests go through.
fn assigned(weights: &Weights) -> Vec<Option<usize>> {
    let names: Vec<_> = (0..weights.values().len()).map(name).collect();
    let owner = |key: usize| {
        let key = format!("user-{key}");
        let candidates = names.iter().map(String::as_str).zip(weights.rates().iter().copied());
        rendezvous::choose(&mut Draw::new(weights.seed.as_bytes(), key.as_bytes()), candidates)
    };
    (0..KEYS).map(owner).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn part(count: usize) -> f64 {
    count as f64 / KEYS as f64
}

/// Compares every pair; `points` is the difference allowed, as a share.
fn compare(before: &[Option<usize>], after: &[Option<usize>], variants: usize, said: &[Move], points: f64) {
    let mut counts = vec![vec![0_usize; variants]; variants];
    for (from, to) in before.iter().zip(after) {
        counts[from.unwrap()][to.unwrap()] += 1;
    }
    for (from, to) in pairs(variants).filter(|(from, to)| from != to) {
        let said = said.iter().find(|m| (m.from, m.to) == (from, to)).map_or(0.0, |m| m.share);
        let seen = part(counts[from][to]);
        assert!((said - seen).abs() < points, "{from} -> {to}: said {said}, seen {seen}");
        assert!(said > 0.0 || seen == 0.0, "{from} -> {to}: {seen} moved where nothing may");
    }
}

/// What leaves a variant and what comes to it is the difference of its shares.
fn balances(before: &Weights, after: &Weights) {
    let said = moves(before, after);
    for (variant, (old, new)) in before.shares().into_iter().zip(after.shares()).enumerate() {
        let leaves: f64 = said.iter().filter(|m| m.from == variant).map(|m| m.share).sum();
        let comes: f64 = said.iter().filter(|m| m.to == variant).map(|m| m.share).sum();
        assert!(
            (old - leaves - (new - comes)).abs() < 1e-12,
            "{variant}: {old} - {leaves} != {new} - {comes}"
        );
        assert!(leaves <= old + 1e-12 && comes <= new + 1e-12);
    }
    assert!(said.windows(2).all(|pair| pair[0].share >= pair[1].share), "largest first");
    assert!(said.iter().all(|m| m.from != m.to && m.share > 0.0 && m.share <= 1.0));
}

#[test]
fn what_is_said_is_what_moves() {
    let cases: &[(&[u64], &[u64], Option<f64>)] = &[
        (&[80, 10, 10], &[60, 20, 20], Some(0.2)),
        (&[40, 30, 30], &[40, 0, 30], Some(0.3)),
        (&[40, 0, 30], &[40, 30, 30], Some(0.3)),
        (&[90, 10], &[10, 90], Some(0.8)),
        (&[1, 0], &[0, 1], Some(1.0)),
        (&[1, 2, 3], &[10, 20, 30], Some(0.0)),
        (&[0, 1, 0], &[0, 1, 1], Some(0.5)),
        (&[50, 30, 15, 5], &[5, 15, 30, 50], None),
        (&[50, 30, 20], &[30, 32, 38], None),
        (&[1, 1, 1, 0], &[0, 2, 1, 1], None),
        (&[999_999, 1], &[1, 999_999], None),
        (&[7, 0, 0, 2, 9, 1], &[1, 3, 0, 2, 0, 5], None),
        (&[MAX_WEIGHT, 1, 500_000_000], &[1, MAX_WEIGHT, 500_000_000], None),
    ];
    for (old, new, total) in cases {
        let (before, after) = (weights(old, "s"), weights(new, "s"));
        let said = moves(&before, &after);
        compare(&assigned(&before), &assigned(&after), old.len(), &said, 0.005);
        balances(&before, &after);
        if let Some(total) = total {
            assert!((moved(&before, &after) - total).abs() < 1e-12, "{old:?} -> {new:?}: {said:?}");
        }
    }
}

#[test]
fn with_another_seed_the_two_are_independent() {
    let (before, after) = (weights(&[80, 15, 5], "s"), weights(&[60, 20, 20], "t"));
    let said = moves(&before, &after);
    compare(&assigned(&before), &assigned(&after), 3, &said, 0.005);
    balances(&before, &after);
    assert!((moved(&before, &after) - (1.0 - 0.8 * 0.6 - 0.15 * 0.2 - 0.05 * 0.2)).abs() < 1e-12);
    let stays = weights(&[1, 0], "t");
    assert_eq!(moves(&weights(&[3, 0], "s"), &stays), [], "one variant has all, whatever the seed");
}

#[test]
fn nothing_moves_from_or_to_a_drained_split() {
    let (some, none) = (weights(&[1, 2], "s"), weights(&[0, 0], "s"));
    for (before, after) in [(&some, &none), (&none, &some), (&none, &none), (&some, &some)] {
        assert_eq!(moves(before, after), []);
    }
}

#[test]
fn a_share_that_is_tiny_is_still_right() {
    let (before, after) = (weights(&[MAX_WEIGHT, 0], "s"), weights(&[MAX_WEIGHT, 1], "s"));
    let due = 1.0 / 1_000_000_001.0;
    assert!((moved(&before, &after) / due - 1.0).abs() < 1e-9, "{:?}", moves(&before, &after));
}

#[test]
fn the_largest_split_is_quick() {
    let ramp = |by: u64| (1..=MAX_VARIANTS as u64).map(|n| n * n * by % 97).collect::<Vec<_>>();
    let (before, after) = (weights(&ramp(31), "s"), weights(&ramp(59), "s"));
    balances(&before, &after);
    assert!(moves(&before, &after).len() > 1000);
}

/// The draws of keys for up to six variants under the seed `s`: hashing them for each case would take
/// most of the time.
fn hashes() -> &'static [[u64; 6]] {
    static HASHES: OnceLock<Vec<[u64; 6]>> = OnceLock::new();
    HASHES.get_or_init(|| {
        let of = |key: usize| {
            let key = format!("user-{key}");
            let mut draw = Draw::new(b"s", key.as_bytes());
            std::array::from_fn(|variant| draw.hash(&name(variant)))
        };
        (0..KEYS).map(of).collect()
    })
}

fn assigned_by_hashes(weights: &Weights) -> Vec<Option<usize>> {
    let owner = |hashes: &[u64; 6]| {
        let scores = weights.rates().iter().zip(hashes).map(|(w, h)| rendezvous::score(*w, *h));
        let scores = scores.enumerate().filter(|(variant, _)| weights.rates()[*variant] > 0.0);
        scores.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(variant, _)| variant)
    };
    hashes().iter().map(owner).collect()
}

/// Weights as people give them: 0, small, one in a million.
fn any_weight() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 4 => 1_u64..100, 1 => 1_u64..=MAX_WEIGHT]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_weights_move_what_is_said(
        pairs in prop::collection::vec((any_weight(), any_weight()), 2..=6)
    ) {
        let (old, new): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        prop_assume!(old.iter().any(|w| *w > 0) && new.iter().any(|w| *w > 0));
        let (before, after) = (weights(&old, "s"), weights(&new, "s"));
        balances(&before, &after);
        // Half a point is three standard deviations at worst, which random cases do meet.
        let said = moves(&before, &after);
        compare(&assigned_by_hashes(&before), &assigned_by_hashes(&after), old.len(), &said, 0.0075);
    }
}

proptest! {
    #[test]
    fn any_weights_balance(pairs in prop::collection::vec((any_weight(), any_weight()), 1..=20)) {
        let (old, new): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        prop_assume!(old.iter().any(|w| *w > 0) && new.iter().any(|w| *w > 0));
        let (before, after) = (weights(&old, "s"), weights(&new, "s"));
        balances(&before, &after);
        let back = moved(&after, &before);
        prop_assert!((moved(&before, &after) - back).abs() < 1e-12, "the way back moves the same keys");
    }
}
