//! Draws by weight in constant time: Walker's alias method, built as Vose does it.
//!
//! Eight bytes an endpoint, whatever the weights. Probabilities are exact to 2^-32 of a column.

/// The table: a draw takes a column at random, and from it its owner or the owner's alias.
#[derive(Debug)]
pub struct Alias(Box<[Column]>);

#[derive(Clone, Copy, Debug)]
struct Column {
    /// The owner is drawn where 32 random bits are below this, else the alias.
    owner: u32,
    alias: u32,
}

// === impl Alias ===

impl Alias {
    /// Builds the table. Weights of 0 are never drawn; all of them 0 make an empty table.
    pub fn new(weights: &[u32]) -> Self {
        let total: u128 = weights.iter().map(|&w| u128::from(w)).sum();
        if total == 0 {
            return Self(Box::new([]));
        }
        // In units in which every column holds `total`.
        let count = weights.len() as u128;
        let mut left: Vec<u128> = weights.iter().map(|&w| u128::from(w) * count).collect();
        let mut columns: Vec<_> =
            (0..).zip(weights).map(|(own, _)| Column { owner: u32::MAX, alias: own }).collect();
        let (mut small, mut large): (Vec<_>, Vec<_>) = (0..left.len()).partition(|&i| left[i] < total);
        while let (Some(&poor), Some(&rich)) = (small.last(), large.last()) {
            small.pop();
            columns[poor] = Column { owner: ((left[poor] << 32) / total) as u32, alias: rich as u32 };
            left[rich] -= total - left[poor];
            if left[rich] < total {
                large.pop();
                small.push(rich);
            }
        }
        // What is left over is full: sums are exact, so `small` is empty by now.
        Self(columns.into())
    }

    /// A position by weight; None only if the table is empty.
    pub fn sample(&self, rng: &mut fastrand::Rng) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        let bits = rng.u64(..);
        let position = (((bits >> 32) * self.0.len() as u64) >> 32) as usize;
        let column = self.0.get(position)?;
        // A full column is its own alias, so that its threshold, one short of full, does not
        // matter.
        Some(if (bits as u32) < column.owner { position } else { column.alias as usize })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::testing::{assert_shares, tally};

    #[test]
    fn nothing_to_draw() {
        let mut rng = fastrand::Rng::with_seed(1);
        assert_eq!(Alias::new(&[]).sample(&mut rng), None);
        assert_eq!(Alias::new(&[0, 0]).sample(&mut rng), None);
        assert_eq!(Alias::new(&[65535]).sample(&mut rng), Some(0));
    }

    #[test]
    fn a_weight_of_zero_is_never_drawn() {
        let alias = Alias::new(&[0, 65535, 1, 0]);
        let mut rng = fastrand::Rng::with_seed(1);
        let seen = tally(4, 1_000_000, || alias.sample(&mut rng).unwrap());
        assert_eq!((seen[0], seen[3]), (0, 0));
        assert!((3..=35).contains(&seen[2]), "{seen:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn shares_are_by_weight(weights in prop::collection::vec(1u32..=100, 1..40), seed: u64) {
            let alias = Alias::new(&weights);
            let mut rng = fastrand::Rng::with_seed(seed);
            let seen = tally(weights.len(), 20_000, || alias.sample(&mut rng).unwrap());
            assert_shares(&seen, &weights, 1e-9);
        }
    }
}
