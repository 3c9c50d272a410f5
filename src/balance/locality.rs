//! Near endpoints before far ones.
//!
//! The endpoints of a cluster stand on two sides, each with a balancer of its own, and the rule of
//! [`priority`] shares the requests between them: all stay near as long as 5 in 7 of the near ones are
//! available, and what is missing goes far. On either side only those that are available are used. A
//! try whose side has nobody left for it goes to the other one.
//!
//! Where both sides together cannot carry everything, nearness is given up: the cluster is balanced as
//! a whole, with its panic mode, as it is where all endpoints are near or none is.
//!
//! The bad side: the near side gets everything however small it is. With one near endpoint and ninety
//! far ones, that one serves alone.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::balance::{Balancer, Choice, Mode};
use crate::endpoint::Endpoint;
use crate::priority;

/// The two sides of a cluster.
#[derive(Debug)]
pub struct Locality {
    /// The near one, the far one.
    sides: [Side; 2],
}

#[derive(Debug)]
struct Side {
    balancer: Balancer,
    /// The cluster's index of each endpoint.
    indexes: Box<[usize]>,
    /// How many endpoints there would be if all were available.
    listed: u32,
}

// === impl Locality ===

impl Locality {
    /// Puts each endpoint on its side. None: one of the sides would be empty.
    pub fn new(
        endpoints: &[Endpoint],
        near: impl Fn(&Endpoint) -> bool,
        balancer: impl Fn(Arc<[Endpoint]>) -> Balancer,
    ) -> Option<Self> {
        let side = |is_near: bool| {
            let own = || endpoints.iter().enumerate().filter(|(_, e)| near(e) == is_near);
            Side {
                listed: own().map(|(_, e)| u32::from(e.member.weight > 0)).sum(),
                indexes: own().map(|(index, _)| index).collect(),
                balancer: balancer(own().map(|(_, e)| e.clone()).collect()),
            }
        };
        let sides = [side(true), side(false)];
        sides.iter().all(|side| side.listed > 0).then_some(Self { sides })
    }

    /// Picks an endpoint that is available. None: there is none, or too few to prefer anybody.
    pub fn pick(&self, tried: &[SocketAddr], rng: &mut fastrand::Rng) -> Option<Choice> {
        let near = self.sides[0].score(rng);
        let first = if near >= 1.0 {
            0
        } else {
            let scores = [near, self.sides[1].score(rng)];
            if !priority::enough(&scores) {
                return None;
            }
            priority::choose(&scores, rng.f64())?
        };
        let [first, other] = [&self.sides[first], &self.sides[1 - first]];
        first.pick(tried, rng).or_else(|| other.pick(tried, rng))
    }

    /// How many are available, as far as the censuses know.
    pub fn available(&self, rng: &mut fastrand::Rng) -> u32 {
        self.sides.iter().map(|side| side.balancer.available(rng)).sum()
    }
}

// === impl Side ===

impl Side {
    fn score(&self, rng: &mut fastrand::Rng) -> f64 {
        priority::score(self.balancer.available(rng), self.listed)
    }

    fn pick(&self, tried: &[SocketAddr], rng: &mut fastrand::Rng) -> Option<Choice> {
        let choice = self.balancer.pick_in(Mode::Available, None, tried, rng)?;
        Some(Choice { index: *self.indexes.get(choice.index)?, ..choice })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing::{address, endpoints, tally};
    use crate::config::live::Policy;

    /// The first `near` of `count` are near.
    fn sides(near: usize, count: usize, policy: Policy) -> (Option<Locality>, Arc<[Endpoint]>) {
        let all = endpoints(&vec![1; count]);
        let first: Vec<_> = (0..near).map(address).collect();
        let is_near = |e: &Endpoint| first.contains(&e.member.address);
        (Locality::new(&all, is_near, |own| Balancer::new(policy, own)), all)
    }

    #[test]
    fn a_side_that_is_empty_is_no_side() {
        assert!(sides(0, 3, Policy::Random).0.is_none());
        assert!(sides(3, 3, Policy::Random).0.is_none());
        assert!(sides(1, 3, Policy::Random).0.is_some());
    }

    #[test]
    fn the_near_ones_serve_while_they_can_and_the_far_ones_take_what_is_missing() {
        for policy in [Policy::RoundRobin, Policy::Random, Policy::LeastRequest] {
            let (locality, all) = sides(10, 14, policy);
            let locality = locality.unwrap();
            let mut rng = fastrand::Rng::with_seed(5);
            let mut near = |picks: usize| {
                // What the censuses have not seen yet.
                (0..200).for_each(|_| {
                    locality.pick(&[], &mut rng);
                });
                let seen = tally(14, picks, || locality.pick(&[], &mut rng).unwrap().index);
                seen[..10].iter().sum::<u64>() as f64 / picks as f64
            };
            assert_eq!(near(2000), 1.0);
            all[..2].iter().for_each(|e| {
                e.state.drain(true);
            });
            assert_eq!(near(2000), 1.0, "8 of 10");
            all[..4].iter().for_each(|e| {
                e.state.drain(true);
            });
            assert!((near(10_000) - 0.84).abs() < 0.02, "6 of 10, {policy:?}");
            all[..10].iter().for_each(|e| {
                e.state.drain(true);
            });
            assert_eq!(near(2000), 0.0);
            all[..10].iter().for_each(|e| {
                e.state.drain(false);
            });
            assert_eq!(near(2000), 1.0);
        }
    }

    #[test]
    fn too_few_on_both_sides_prefer_nobody() {
        let (locality, all) = sides(2, 4, Policy::RoundRobin);
        let locality = locality.unwrap();
        let mut rng = fastrand::Rng::with_seed(5);
        all[1..].iter().for_each(|e| {
            e.state.drain(true);
        });
        assert_eq!(locality.pick(&[], &mut rng), None, "0.7 and 0");
        all[2].state.drain(false);
        assert!(locality.pick(&[], &mut rng).is_some(), "0.7 and 0.7");
        let choice = locality.pick(&[address(0)], &mut rng).unwrap();
        assert_eq!((choice.index, choice.panic), (2, false), "the other side is asked");
    }
}
