//! Ejects who succeeds clearly less than the others: below the mean of the success rates by so many
//! standard deviations.
//!
//! The mean moves with the cluster, so a fault that all share ejects nobody. The bad side: with few
//! endpoints one bad one draws the mean towards itself and widens the deviation; of n equal ones the
//! only bad one is at most sqrt(n - 1) deviations away, which is why there is a least number of them
//! (5: 2.0, with the default of 1.9 below it).

use crate::config::live::SuccessRate;

/// Who is to be ejected, by place in `windows`: successes and failures of each endpoint.
pub fn outliers(rules: &SuccessRate, windows: &[(u32, u32)]) -> Vec<usize> {
    let rate = |&(ok, failed): &(u32, u32)| f64::from(ok) / (f64::from(ok) + f64::from(failed));
    let enough = |window: &(u32, u32)| {
        let requests = window.0.saturating_add(window.1);
        requests > 0 && requests >= rules.minimum_requests
    };
    let known: Vec<(usize, f64)> =
        windows.iter().enumerate().filter(|(_, w)| enough(w)).map(|(i, w)| (i, rate(w))).collect();
    if known.is_empty() || known.len() < rules.minimum_endpoints as usize {
        return Vec::new();
    }
    let count = known.len() as f64;
    let mean = known.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = known.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
    let limit = mean - rules.deviations * variance.sqrt();
    // Where all are alike, rounding must not make one of them an outlier.
    known.into_iter().filter(|(_, rate)| *rate < limit - 1e-9).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_fails_more_is_found() {
        let rules = SuccessRate::default();
        let mut windows = vec![(100, 0); 4];
        windows.push((80, 20));
        assert_eq!(outliers(&rules, &windows), [4]);
        assert_eq!(outliers(&rules, &windows[1..]), [0; 0], "four are too few");
        windows[0] = (99, 0);
        assert_eq!(outliers(&rules, &windows), [0; 0], "one of the five has not enough requests");
    }

    #[test]
    fn a_fault_of_all_ejects_nobody() {
        let rules = SuccessRate::default();
        for window in [(0, 300), (100, 200), (300, 0), (1, 299)] {
            assert_eq!(outliers(&rules, &[window; 7]), [0; 0]);
        }
        assert_eq!(outliers(&SuccessRate { minimum_requests: 0, ..rules }, &[(0, 0); 9]), [0; 0]);
    }

    #[test]
    fn nobody_above_the_mean_is_ever_ejected() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let windows: Vec<_> = (0..rng.usize(0..30)).map(|_| (rng.u32(0..300), rng.u32(0..300))).collect();
            let rules =
                SuccessRate { minimum_requests: 100, minimum_endpoints: 3, deviations: rng.f64() * 2.0 };
            let out = outliers(&rules, &windows);
            let enough: Vec<_> = windows.iter().filter(|w| w.0 + w.1 >= 100).collect();
            let rate = |w: &(u32, u32)| f64::from(w.0) / f64::from(w.0 + w.1);
            let mean = enough.iter().map(|w| rate(w)).sum::<f64>() / enough.len() as f64;
            assert!(out.iter().all(|&i| rate(&windows[i]) < mean));
            assert!(out.is_empty() || out.len() < enough.len());
        }
    }
}
