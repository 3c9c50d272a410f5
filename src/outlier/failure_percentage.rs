//! Ejects who fails at least a fixed share of its requests, however the others do.
//!
//! The bad side: a fault that all share makes outliers of all; the limit of ejections keeps half of
//! them in, but which half is chance.

use crate::config::live::FailurePercentage;

/// Who is to be ejected, by place in `windows`: successes and failures of each endpoint. The worst
/// first, so that they are out when the limit is reached.
pub fn outliers(rules: &FailurePercentage, windows: &[(u32, u32)]) -> Vec<usize> {
    let share = |index: usize| {
        let (ok, failed) = windows[index];
        f64::from(failed) / (f64::from(ok) + f64::from(failed))
    };
    let is_outlier = |&(ok, failed): &(u32, u32)| {
        let (failed, requests) = (u64::from(failed), u64::from(ok) + u64::from(failed));
        requests > 0
            && requests >= u64::from(rules.minimum_requests)
            && failed * 100 >= requests * u64::from(rules.threshold)
    };
    let mut found: Vec<usize> =
        windows.iter().enumerate().filter(|(_, w)| is_outlier(w)).map(|(index, _)| index).collect();
    found.sort_by(|&a, &b| share(b).total_cmp(&share(a)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_decides_and_the_worst_come_first() {
        let rules = FailurePercentage { threshold: 85, minimum_requests: 50 };
        let windows = [(15, 85), (16, 84), (0, 49), (0, 50), (0, 0), (1000, 0)];
        assert_eq!(outliers(&rules, &windows), [3, 0]);
        let any = FailurePercentage { threshold: 1, minimum_requests: 0 };
        assert_eq!(outliers(&any, &windows), [2, 3, 0, 1]);
        assert_eq!(outliers(&rules, &[(0, u32::MAX), (u32::MAX, u32::MAX)]), [0]);
    }
}
