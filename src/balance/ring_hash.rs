//! A key's endpoint on a ketama ring: Pingora's own (`selection::Consistent`), which is nginx's.
//!
//! An endpoint has 160 points a weight unit, and a key belongs to the next point on the ring. An
//! unusable endpoint's keys go to the points that follow; everybody else's stay.
//!
//! What is ours are the units. Taken as they are, weights of 65535 would be 84 MB an endpoint; so
//! the ring is bounded to [`limit`] units in all, and weights are scaled down to that. Each
//! endpoint rounds its scaled weight at an offset of its own, taken from its address: as a cluster
//! grows, endpoints change their units one by one, and there is no size at which all do and every
//! key moves. Weights of 1 to a few are not scaled, and their ring is nginx's.
//!
//! The bad sides: with 160 points the shares of equal endpoints differ by some 8 % (maglev: under 1
//! %); scaled weights of large clusters are coarse (1,000 endpoints: 8 units each, within a
//! sixteenth; beyond 8,192 hardly weighted); 8 bytes a point, so 1.3 MB for 1,000 endpoints of
//! weight 1, and 13 MB for 10,000. Points on the same spot (some hundreds in the largest rings)
//! fall to either, by the sort of the Rust release. No more than 65,536 endpoints are on the ring,
//! as Pingora numbers them in 16 bits; the others would get no keys.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::consistent::KetamaHashing;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};

use crate::balance::alias::Alias;
use crate::balance::field::{Ask, Draw, Field, address_hash};
use crate::balance::selection::inet;

/// The most endpoints Pingora's ring tells apart.
const MAX_ENDPOINTS: usize = 1 << 16;

/// Sets the rounding apart from other uses of the address's hash.
const SEED: u64 = 0x7469_6465_7269_6e67;

/// The ring, and what keyless requests draw from.
pub struct RingHash {
    ring: Arc<KetamaHashing>,
    alias: Alias,
}

/// A position, as a backend on the ring carries it.
#[derive(Clone, Copy)]
struct Position(usize);

// === impl RingHash ===

impl Draw for RingHash {
    const KEYED: bool = true;

    fn build(field: &Field) -> Self {
        let weights = field.weights();
        let addresses: Vec<_> = field.iter().map(|e| e.member.address).collect();
        let offset = |i: usize| address_hash(addresses[i], SEED) as u32;
        let backend = |(position, units): (usize, u32)| {
            let mut backend =
                Backend { addr: inet(addresses[position]), weight: units as usize, ext: Default::default() };
            backend.ext.insert(Position(position));
            backend
        };
        let backends: BTreeSet<_> =
            units(&weights, offset).into_iter().enumerate().take(MAX_ENDPOINTS).map(backend).collect();
        Self { ring: Arc::new(KetamaHashing::build(&backends)), alias: Alias::new(&weights) }
    }

    fn draw(&self, ask: &Ask<'_>, key: Option<u64>, rng: &mut fastrand::Rng) -> Option<usize> {
        let Some(key) = key else {
            return ask.sample(&self.alias, None, rng);
        };
        let mut points = self.ring.iter(&key.to_le_bytes());
        for _ in 0..ask.budget() {
            let Some(&Position(position)) = points.next().and_then(|backend| backend.ext.get()) else {
                break;
            };
            if ask.usable(position) {
                return Some(position);
            }
        }
        ask.rendezvous(key)
    }
}

impl fmt::Debug for RingHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingHash").field("alias", &self.alias).finish_non_exhaustive()
    }
}

/// The most units (of 160 points) a ring of `count` endpoints has: eight an endpoint, within 2,048
/// and 8,192; but one each at least.
fn limit(count: usize) -> u64 {
    (count as u64).saturating_mul(8).clamp(2048, 8192).max(count as u64)
}

/// The units by position, at least 1 each. `offset`: where, as a fraction of 2^32, a position's
/// rounding turns.
fn units(weights: &[u32], offset: impl Fn(usize) -> u32) -> Vec<u32> {
    let sum: u64 = weights.iter().map(|&w| u64::from(w)).sum();
    let limit = limit(weights.len());
    if sum <= limit {
        return weights.to_vec();
    }
    let scaled = |w: u32| ((u128::from(w) * u128::from(limit)) << 32) / u128::from(sum);
    let round = |(i, &w): (usize, &u32)| ((scaled(w) + u128::from(offset(i))) >> 32).max(1) as u32;
    weights.iter().enumerate().map(round).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_weights_are_nginx_s() {
        assert_eq!(units(&[1, 2, 1000], |_| u32::MAX), [1, 2, 1000]);
    }

    #[test]
    fn large_weights_are_bounded_and_change_one_by_one() {
        let offset = |i: usize| address_hash(crate::balance::testing::address(i), SEED) as u32;
        let of = |count: usize| units(&vec![100; count], offset);
        for count in [1, 2, 100, 1000, 8192, 10_000] {
            let units = units(&vec![65535; count], offset);
            let sum: u64 = units.iter().map(|&u| u64::from(u)).sum();
            assert!(sum <= limit(count) + limit(count) / 16 + 1, "{count}: {sum}");
            assert!(units.iter().max().unwrap() - units.iter().min().unwrap() <= 1);
        }
        for count in 1100..1200 {
            let (before, after) = (of(count), of(count + 1));
            let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert!(changed < count / 20, "{count}: {changed}");
        }
    }
}
