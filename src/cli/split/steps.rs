//! The weights between two ends, step by step: pure numbers.
//!
//! What moves evenly is the *share*, since that is what requests feel: from 900/100 to 1/1, weights
//! that went straight would leave the shares where they are until the very end. So both ends are
//! brought to one sum first, and made larger by a power of ten where whole numbers are too coarse:
//! the variant that moves most goes through at least 100 values, and no fewer than there are steps.
//! A power of ten, so that 860/140 still reads as 86 and 14 per cent.
//!
//! Both ends are exact, as they serve and as they were asked for. Between them every weight goes one
//! way only; the sum may be off by half of one for each variant, which is under half a per cent of a
//! share. The bad side: the last step changes the scale (500/500 to 50/50), which moves nothing.

use crate::config::live::MAX_WEIGHT;

/// The variant that moves most goes through at least as many values.
const SMOOTH: u128 = 100;

/// A way from some weights to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    from: Vec<u64>,
    to: Vec<u64>,
    /// The same two ends with one sum.
    start: Vec<u128>,
    end: Vec<u128>,
    steps: u32,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPath {
    /// All weights of one end are 0: there is no share to move from, or to.
    EmptyStart,
    EmptyEnd,
    /// It is there already.
    Same,
}

// === impl Path ===

impl Path {
    /// The way in so many steps, at least one. Both ends are of the same variants, in one order.
    pub(super) fn new(from: &[u64], to: &[u64], steps: u32) -> Result<Self, NoPath> {
        let sum = |weights: &[u64]| weights.iter().map(|weight| u128::from(*weight)).sum::<u128>();
        let (have, want) = (sum(from), sum(to));
        match () {
            () if have == 0 => return Err(NoPath::EmptyStart),
            () if want == 0 => return Err(NoPath::EmptyEnd),
            () if from == to => return Err(NoPath::Same),
            () => {}
        }
        let common = have / divisor(have, want) * want;
        let raised = |weights: &[u64], sum: u128| -> Vec<u128> {
            weights.iter().map(|weight| u128::from(*weight) * (common / sum)).collect()
        };
        let (mut start, mut end) = (raised(from, have), raised(to, want));
        let limit = u128::from(MAX_WEIGHT);
        let largest = start.iter().chain(&end).copied().max().unwrap_or(1).max(1);
        let farthest = start.iter().zip(&end).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
        let needed = SMOOTH.max(steps.into());
        let mut factor = 1;
        while farthest * factor < needed && largest * factor * 10 <= limit {
            factor *= 10;
        }
        for weight in start.iter_mut().chain(&mut end) {
            *weight = if largest > limit { rounded(*weight * limit, largest) } else { *weight * factor };
        }
        // Where no share moves there is nothing to go through.
        let steps = if farthest == 0 { 1 } else { steps.max(1) };
        Ok(Self { from: from.to_vec(), to: to.to_vec(), start, end, steps })
    }

    pub(super) fn steps(&self) -> u32 {
        self.steps
    }

    /// The weights after a step: those of the start after 0, those of the end after the last.
    pub(super) fn at(&self, step: u32) -> Vec<u64> {
        if step == 0 {
            return self.from.clone();
        }
        if step >= self.steps {
            return self.to.clone();
        }
        let (done, left) = (u128::from(step), u128::from(self.steps - step));
        let between = |(start, end): (&u128, &u128)| {
            let weight = rounded(start * left + end * done, self.steps.into());
            // Between two weights, which both fit.
            u64::try_from(weight).unwrap_or(MAX_WEIGHT)
        };
        self.start.iter().zip(&self.end).map(between).collect()
    }
}

/// The greatest common divisor.
fn divisor(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// A division to the nearest whole number.
fn rounded(value: u128, by: u128) -> u128 {
    (value + by / 2) / by
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(from: &[u64], to: &[u64], steps: u32) -> Path {
        Path::new(from, to, steps).unwrap()
    }

    #[test]
    fn it_goes_through_what_lies_between_and_ends_exactly() {
        let path = path(&[90, 10], &[50, 50], 10);
        let all: Vec<_> = (0..=10).map(|step| path.at(step)).collect();
        assert_eq!(all[0], [90, 10]);
        assert_eq!(all[1], [860, 140]);
        assert_eq!(all[5], [700, 300]);
        assert_eq!(all[9], [540, 460]);
        assert_eq!(all[10], [50, 50]);
        assert_eq!(path.at(11), [50, 50], "there is nothing behind the end");
    }

    #[test]
    fn it_is_the_share_that_moves_evenly() {
        let uneven = path(&[900, 100], &[1, 1], 4);
        assert_eq!([1, 2, 3].map(|step| uneven.at(step)), [[800, 200], [700, 300], [600, 400]]);
        let over = path(&[1, 0], &[0, 1], 4);
        assert_eq!([1, 2, 3].map(|step| over.at(step)), [[75, 25], [50, 50], [25, 75]]);
    }

    #[test]
    fn more_steps_than_hundred_have_a_value_each() {
        let path = path(&[1, 0], &[0, 1], 600);
        let all: Vec<_> = (0..=600).map(|step| path.at(step)).collect();
        assert!(all.windows(2).all(|two| two[0] != two[1]));
    }

    #[test]
    fn there_is_no_way_from_nothing_or_to_nothing() {
        assert_eq!(Path::new(&[0, 0], &[1, 1], 5), Err(NoPath::EmptyStart));
        assert_eq!(Path::new(&[1, 1], &[0, 0], 5), Err(NoPath::EmptyEnd));
        assert_eq!(Path::new(&[1, 1], &[1, 1], 5), Err(NoPath::Same));
        let same_shares = path(&[1, 1], &[50, 50], 5);
        assert_eq!((same_shares.steps(), same_shares.at(1)), (1, vec![50, 50]), "one step is enough");
    }

    fn ends() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
        let weight = || prop_oneof![0..=100_u64, 0..=MAX_WEIGHT, Just(0), Just(MAX_WEIGHT)];
        (1..=64_usize).prop_flat_map(move |n| {
            let some = || prop::collection::vec(weight(), n);
            (some(), some()).prop_filter("both have a share to move", |(a, b)| {
                a.iter().sum::<u64>() > 0 && b.iter().sum::<u64>() > 0 && a != b
            })
        })
    }

    proptest! {
        #[test]
        fn ends_are_exact_and_everything_between_is_between((from, to) in ends(), steps in 1..2000_u32) {
            let path = path(&from, &to, steps);
            prop_assert_eq!(&path.at(0), &from);
            prop_assert_eq!(&path.at(path.steps()), &to);
            let inner: Vec<_> = (1..path.steps()).map(|step| path.at(step)).collect();
            for weights in &inner {
                prop_assert!(weights.iter().all(|weight| *weight <= MAX_WEIGHT));
                prop_assert!(weights.iter().any(|weight| *weight > 0));
            }
            for variant in 0..from.len() {
                let up = inner.windows(2).all(|two| two[0][variant] <= two[1][variant]);
                let down = inner.windows(2).all(|two| two[0][variant] >= two[1][variant]);
                prop_assert!(up || down, "variant {} turns round", variant);
            }
        }

        #[test]
        fn shares_go_straight((from, to) in ends(), steps in 2..200_u32) {
            let path = path(&from, &to, steps);
            #[expect(clippy::cast_precision_loss)]
            let share = |weights: &[u64], i: usize| weights[i] as f64 / weights.iter().sum::<u64>() as f64;
            for step in 1..path.steps() {
                let part = f64::from(step) / f64::from(path.steps());
                let weights = path.at(step);
                for i in 0..from.len() {
                    let due = share(&from, i) * (1.0 - part) + share(&to, i) * part;
                    // Each of n weights may be half a unit off, of a sum that is 100 or more.
                    #[expect(clippy::cast_precision_loss)]
                    let off = (from.len() as f64 + 1.0) / 2.0 / weights.iter().sum::<u64>().max(100) as f64;
                    prop_assert!((share(&weights, i) - due).abs() <= off + 1e-9, "{weights:?}, {i}: {due}");
                }
            }
        }
    }
}
