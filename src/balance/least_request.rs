//! The less busy of two random choices.
//!
//! Two *different* endpoints are drawn by weight, and the one with fewer requests in flight per
//! weight is taken; on a tie the first, so that an idle cluster is shared exactly by weight. Two
//! choices and not all: the best of all would be chosen by every worker and every proxy at once,
//! before its count can show it. Different ones, because with two endpoints, drawing the same twice
//! would send the busier one a quarter of the requests whatever it does.
//!
//! The bad side: an endpoint that fails fast is never busy and draws traffic. Outlier detection is
//! the cure for that.

use crate::balance::alias::Alias;
use crate::balance::field::{Ask, Draw, Field};
use crate::endpoint::Endpoint;

/// The table that both choices are drawn from.
#[derive(Debug)]
pub struct LeastRequest {
    alias: Alias,
}

// === impl LeastRequest ===

impl Draw for LeastRequest {
    const KEYED: bool = false;

    fn build(field: &Field) -> Self {
        Self { alias: Alias::new(&field.weights()) }
    }

    fn draw(&self, ask: &Ask<'_>, _key: Option<u64>, rng: &mut fastrand::Rng) -> Option<usize> {
        let first = ask.sample(&self.alias, None, rng)?;
        if ask.alone() {
            return Some(first);
        }
        let Some(second) = ask.sample(&self.alias, Some(first), rng) else {
            return Some(first);
        };
        Some(if ask.at(first).zip(ask.at(second)).is_some_and(|(a, b)| busier(a, b)) {
            second
        } else {
            first
        })
    }
}

/// Whether `a` has more in flight per weight than `b`. Multiplied out: no division, and no
/// overflow.
fn busier(a: &Endpoint, b: &Endpoint) -> bool {
    let load =
        |e: &Endpoint, other: &Endpoint| u64::from(e.state.in_flight()) * u64::from(other.member.weight);
    load(a, b) > load(b, a)
}

#[cfg(test)]
mod tests {
    use crate::balance::Balancer;
    use crate::balance::testing::{address, assert_shares, endpoints, tally};
    use crate::config::live::Policy;

    fn count(balancer: &Balancer, picks: usize) -> Vec<u64> {
        let mut rng = fastrand::Rng::with_seed(11);
        tally(balancer.endpoints().len(), picks, || balancer.pick(None, &[], &mut rng).unwrap().index)
    }

    #[test]
    fn equal_load_is_shared_by_weight() {
        let weights = [5, 3, 1, 10];
        let balancer = Balancer::new(Policy::LeastRequest, endpoints(&weights));
        assert_shares(&count(&balancer, 50_000), &weights, 0.001);
        let leases: Vec<_> = balancer
            .endpoints()
            .iter()
            .flat_map(|e| (0..2 * e.member.weight).map(|_| e.state.lease()))
            .collect();
        assert_shares(&count(&balancer, 50_000), &weights, 0.001);
        drop(leases);
        balancer.endpoints()[3].state.drain(true);
        assert_shares(&count(&balancer, 50_000), &[5, 3, 1, 0], 0.001);
    }

    #[test]
    fn the_busier_of_two_gets_nothing() {
        let balancer = Balancer::new(Policy::LeastRequest, endpoints(&[65535, 1]));
        let lease = balancer.endpoints()[0].state.lease();
        assert_eq!(count(&balancer, 1000), [0, 1000]);
        drop(lease);
        assert!(count(&balancer, 1000)[0] > 990);
        let _lease = balancer.endpoints()[1].state.lease();
        let mut rng = fastrand::Rng::with_seed(1);
        let choice = balancer.pick(None, &[address(0)], &mut rng).unwrap();
        assert_eq!(choice.index, 1, "busy, but the only one left");
    }

    #[test]
    fn load_is_measured_per_weight() {
        let balancer = Balancer::new(Policy::LeastRequest, endpoints(&[10, 1]));
        let endpoints = balancer.endpoints().clone();
        let _nine: Vec<_> = (0..9).map(|_| endpoints[0].state.lease()).collect();
        let _one = endpoints[1].state.lease();
        assert_eq!(count(&balancer, 100), [100, 0], "9 of 10 is less than 1 of 1");
    }

    /// Requests that stay: two choices keep the fullest close to the mean; one choice would not.
    #[test]
    fn held_requests_level_out() {
        let balancer = Balancer::new(Policy::LeastRequest, endpoints(&[1; 20]));
        let mut rng = fastrand::Rng::with_seed(3);
        let _leases: Vec<_> = (0..2000)
            .map(|_| {
                let choice = balancer.pick(None, &[], &mut rng).unwrap();
                balancer.endpoints()[choice.index].state.lease()
            })
            .collect();
        let most = balancer.endpoints().iter().map(|e| e.state.in_flight()).max().unwrap();
        assert!(most <= 104, "{most} for a mean of 100");
    }
}
