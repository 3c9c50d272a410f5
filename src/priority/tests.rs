use proptest::prelude::*;

use super::*;

fn assert_near(seen: &[f64], due: &[f64]) {
    assert!(seen.len() == due.len() && seen.iter().zip(due).all(|(a, b)| (a - b).abs() < 1e-9), "{seen:?}");
}

#[test]
fn by_the_book() {
    assert_near(&[score(8, 10), score(6, 10), score(0, 10), score(0, 0)], &[1.0, 0.84, 0.0, 0.0]);
    assert_near(&[score(5, 7), score(72, 100)], &[1.0, 1.0]);
    assert_near(&shares(&[1.0, 1.0]), &[1.0, 0.0]);
    assert_near(&shares(&[0.84, 1.0]), &[0.84, 0.16]);
    assert_near(&shares(&[0.42, 0.28, 1.0]), &[0.42, 0.28, 0.30]);
    assert_near(&shares(&[0.42, 0.28]), &[0.6, 0.4]);
    assert_near(&shares(&[0.0, 0.28]), &[0.0, 1.0]);
    assert_near(&shares(&[0.0, 0.0]), &[0.0, 0.0]);
    assert_eq!(choose(&[0.0, 0.0], 0.5), None);
    assert_eq!(choose(&[0.0, 0.3], 0.0), Some(1));
    assert!(enough(&[0.84, 0.2]) && !enough(&[0.42, 0.28]));
}

#[test]
fn units_of_keys_are_even_and_their_own() {
    let units: Vec<f64> = (0..10_000).map(unit).collect();
    let below = |x: f64| units.iter().filter(|unit| **unit < x).count();
    assert!((8200..8600).contains(&below(0.84)), "{}", below(0.84));
    assert!((900..1100).contains(&below(0.1)) && below(1.0) == 10_000);
}

fn scores() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((0u32..=20, 0u32..=20).prop_map(|(a, more)| score(a, a + more)), 1..=PLACES)
}

proptest! {
    #[test]
    fn shares_sum_to_one_unless_nobody_is_there(scores in scores()) {
        let sum: f64 = shares(&scores).iter().sum();
        let due = if scores.iter().all(|score| *score == 0.0) { 0.0 } else { 1.0 };
        prop_assert!((sum - due).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn who_has_nobody_gets_nothing(scores in scores(), unit in 0.0..1.0_f64) {
        if let Some(place) = choose(&scores, unit) {
            prop_assert!(scores[place] > 0.0);
        } else {
            prop_assert!(scores.iter().all(|score| *score == 0.0));
        }
    }

    /// A better place never gets less, and those after it never more.
    #[test]
    fn monotone(scores in scores(), place in 0usize..PLACES, more in 0.0..1.0_f64) {
        let place = place % scores.len();
        let mut better = scores.clone();
        better[place] = (better[place] + more).min(1.0);
        let (before, after) = (shares(&scores), shares(&better));
        prop_assert!(after[place] >= before[place] - 1e-9);
        for later in place + 1..scores.len() {
            prop_assert!(after[later] <= before[later] + 1e-9);
        }
    }

    /// A unit that the first place has, it keeps as its score grows.
    #[test]
    fn the_first_place_keeps_whom_it_has(scores in scores(), more in 0.0..1.0_f64, unit in 0.0..1.0_f64) {
        let mut better = scores.clone();
        better[0] = (better[0] + more).min(1.0);
        if choose(&scores, unit) == Some(0) {
            prop_assert_eq!(choose(&better, unit), Some(0));
        }
    }

    #[test]
    fn choices_come_by_share(scores in scores()) {
        let due = shares(&scores);
        let mut seen = vec![0.0; scores.len()];
        for step in 0..1000 {
            if let Some(place) = choose(&scores, (f64::from(step) + 0.5) / 1000.0) {
                seen[place] += 0.001;
            }
        }
        for (seen, due) in seen.iter().zip(&due) {
            prop_assert!((seen - due).abs() < 0.0021, "{seen} {due}");
        }
    }
}
