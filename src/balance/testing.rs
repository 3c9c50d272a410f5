//! Helpers for the tests of balancing: endpoints, counting, and a chi-square test.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::endpoint::{Endpoint, Member, Registry, State};

/// Endpoints 10.0.x.y:80 with the given weights.
pub(crate) fn endpoints(weights: &[u32]) -> Arc<[Endpoint]> {
    let endpoint = |(i, &weight): (usize, &u32)| endpoint(address(i), weight, Registry::Passing);
    weights.iter().enumerate().map(endpoint).collect()
}

pub(crate) fn address(i: usize) -> SocketAddr {
    ([10, (i >> 16) as u8, (i >> 8) as u8, i as u8], 80).into()
}

pub(crate) fn endpoint(address: SocketAddr, weight: u32, registry: Registry) -> Endpoint {
    let member = Member { address, weight, registry, labels: Arc::default() };
    Endpoint { member, state: Arc::new(State::default()), probed: false }
}

/// How often each of `len` indexes comes in `picks` picks.
pub(crate) fn tally(len: usize, picks: usize, mut pick: impl FnMut() -> usize) -> Vec<u64> {
    let mut seen = vec![0; len];
    (0..picks).for_each(|_| seen[pick()] += 1);
    seen
}

/// Panics if what was seen does not fit the weights: chi-square below significance `p`.
#[track_caller]
pub(crate) fn assert_shares(seen: &[u64], weights: &[u32], p: f64) {
    let found = chi_square(seen, weights);
    assert!(found > p, "p = {found}: {seen:?} for {weights:?}");
}

/// The probability of a deviation at least as large as that of `seen` from shares by weight.
pub(crate) fn chi_square(seen: &[u64], weights: &[u32]) -> f64 {
    let picks: u64 = seen.iter().sum();
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    let cells = seen.iter().zip(weights).filter(|&(_, &w)| w > 0);
    let part = |(&seen, &w): (&u64, &u32)| {
        let due = picks as f64 * f64::from(w) / total;
        (seen as f64 - due).powi(2) / due
    };
    let freedom = cells.clone().count() - 1;
    if freedom == 0 { 1.0 } else { upper_gamma(freedom as f64 / 2.0, cells.map(part).sum::<f64>() / 2.0) }
}

/// The regularised upper incomplete gamma function Q(a, x): by its series below a + 1, by its
/// continued fraction above.
fn upper_gamma(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-15 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return 1.0 - front * sum;
    }
    // Evaluated from far inside outwards: x + (1-a)/(1 + 1/(x + (2-a)/(1 + 2/(x + ...
    let fraction = (1..=2000).rev().fold(x, |inner, n| {
        let n = f64::from(n);
        x + (n - a) / (1.0 + n / inner)
    });
    front / fraction
}

/// By Stirling's series, after shifting the argument above 10.
fn ln_gamma(x: f64) -> f64 {
    let shift: f64 = (0..10).map(|i| (x + f64::from(i)).ln()).sum();
    let y = x + 10.0;
    let tail = 1.0 / (12.0 * y) - 1.0 / (360.0 * y.powi(3)) + 1.0 / (1260.0 * y.powi(5));
    (y - 0.5) * y.ln() - y + (2.0 * std::f64::consts::PI).ln() / 2.0 + tail - shift
}

#[test]
fn chi_square_meets_the_printed_tables() {
    // Critical values at p = 0.05 and 0.001 for 1, 10 and 100 degrees of freedom.
    for (freedom, x, p) in [
        (1.0, 3.841, 0.05),
        (1.0, 10.828, 0.001),
        (10.0, 18.307, 0.05),
        (10.0, 29.588, 0.001),
        (100.0, 124.342, 0.05),
        (100.0, 82.358, 0.9),
    ] {
        let found = upper_gamma(freedom / 2.0, x / 2.0);
        assert!((found / p - 1.0).abs() < 2e-3, "{freedom} {x}: {found} for {p}");
    }
}
