//! Each request anywhere, by weight: an [`Alias`] table.
//!
//! No state is shared, so it costs the same on any number of cores, and any number of proxies add
//! up to the same shares. The bad side: by chance alone, load is less even than under round robin.
//!
//! Why not Pingora's `selection::Random` (`Weighted<Random>`): it lists each backend as often as
//! its weight says, two bytes each, so 1,000 backends of weight 65535 are 131 MB; its modulo
//! divides by zero when all weights are 0; and after an unhealthy first choice it goes on without
//! weights.

use crate::balance::alias::Alias;
use crate::balance::field::{Ask, Draw, Field};

/// The table.
#[derive(Debug)]
pub struct Random {
    alias: Alias,
}

// === impl Random ===

impl Draw for Random {
    const KEYED: bool = false;

    fn build(field: &Field) -> Self {
        Self { alias: Alias::new(&field.weights()) }
    }

    fn draw(&self, ask: &Ask<'_>, _key: Option<u64>, rng: &mut fastrand::Rng) -> Option<usize> {
        ask.sample(&self.alias, None, rng)
    }
}

#[cfg(test)]
mod tests {
    use crate::balance::Balancer;
    use crate::balance::testing::{assert_shares, endpoints, tally};
    use crate::config::live::Policy;

    #[test]
    fn shares_are_by_weight_with_and_without_the_dead() {
        let weights = [5, 3, 1, 65, 10, 0, 7];
        let balancer = Balancer::new(Policy::Random, endpoints(&weights));
        let mut rng = fastrand::Rng::with_seed(7);
        let mut count = || tally(7, 50_000, || balancer.pick(None, &[], &mut rng).unwrap().index);
        assert_shares(&count(), &weights, 0.001);
        balancer.endpoints()[3].state.drain(true);
        let seen = count();
        assert_eq!(seen[3], 0);
        assert_shares(&seen, &[5, 3, 1, 0, 10, 0, 7], 0.001);
    }

    #[test]
    fn where_nearly_all_weight_is_dead_the_rest_still_share_by_weight() {
        let weights = [65535, 1, 2, 3];
        let balancer = Balancer::new(Policy::Random, endpoints(&weights));
        balancer.endpoints()[0].state.drain(true);
        let mut rng = fastrand::Rng::with_seed(7);
        let seen = tally(4, 20_000, || balancer.pick(None, &[], &mut rng).unwrap().index);
        assert_shares(&seen, &[0, 1, 2, 3], 0.001);
    }
}
