//! Shares of a whole number: how many of `total` slots each weight gets.

/// Splits `total` by weight: the whole part of each share, then one more to those with the largest
/// remainders (ties: the earlier one). None that has a weight gets nothing, as long as there are
/// slots enough: what that costs is taken from the largest. The sum is `total`, or 0 if all weights
/// are.
pub fn quotas(weights: &[u32], total: usize) -> Vec<usize> {
    let sum: u128 = weights.iter().map(|&w| u128::from(w)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let share = |w: u32| u128::from(w) * total as u128;
    let mut quotas: Vec<_> =
        weights.iter().map(|&w| ((share(w) / sum) as usize).max(usize::from(w > 0))).collect();
    let given: usize = quotas.iter().sum();
    let mut order: Vec<_> = (0..weights.len()).collect();
    if given <= total {
        order.sort_by_key(|&i| (std::cmp::Reverse(share(weights[i]) % sum), i));
        // Fewer than one a weight are left, as each remainder is less than one slot.
        order.into_iter().take(total - given).for_each(|i| quotas[i] += 1);
    } else {
        order.sort_by_key(|&i| (std::cmp::Reverse(quotas[i]), i));
        shrink(&mut quotas, &order, given - total);
    }
    quotas
}

/// Takes `excess` away, one each in turn, from the largest first; down to 1, and where that does
/// not do, to 0.
fn shrink(quotas: &mut [usize], order: &[usize], mut excess: usize) {
    for floor in [1, 0] {
        loop {
            let before = excess;
            for &i in order {
                if excess > 0 && quotas[i] > floor {
                    quotas[i] -= 1;
                    excess -= 1;
                }
            }
            if excess == before || excess == 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn remainders_and_the_least_share() {
        assert_eq!(quotas(&[5, 3, 1], 9), [5, 3, 1]);
        assert_eq!(quotas(&[1, 1, 1], 10), [4, 3, 3]);
        assert_eq!(quotas(&[65535, 1, 1], 10), [8, 1, 1]);
        assert_eq!(quotas(&[1, 1, 1], 2).iter().sum::<usize>(), 2);
        assert_eq!(quotas(&[0, 0], 10), [0, 0]);
        assert_eq!(quotas(&[], 10), [0; 0]);
    }

    proptest! {
        #[test]
        fn the_sum_holds_and_nobody_is_left_out(
            weights in prop::collection::vec(1u32..=65535, 1..200), total in 200usize..5000,
        ) {
            let quotas = quotas(&weights, total);
            prop_assert_eq!(quotas.iter().sum::<usize>(), total);
            prop_assert!(quotas.iter().all(|&q| q > 0));
        }
    }
}
