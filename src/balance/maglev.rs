//! A key's endpoint from a table of 65,537 slots, filled as Google's Maglev does.
//!
//! Each endpoint has its own random order of the slots, made of two hashes of its address with
//! fixed seeds. They take turns, each taking the next slot of its order that is still free, until
//! each has its share by weight. The same members make the same table in any process on any
//! machine. A change of the members moves the keys it must, and some few per cent more, as takers
//! later in line are pushed aside. A pick is one hash already made and one load.
//!
//! While an endpoint is unusable its keys go on through the table in steps that depend on the key:
//! they spread over all others by weight, and nobody else's keys move.
//!
//! The bad sides against the ring: a few more keys move when members change, and 128 KiB a cluster
//! however small. A share is a whole number of slots, so with 10,000 endpoints (6 or 7 slots each)
//! equal ones differ by a sixth, and beyond 65,536 some have none.

use crate::balance::alias::Alias;
use crate::balance::field::{Ask, Draw, Field, address_hash};
use crate::balance::quota::quotas;

/// Prime, so that every step through the table meets every slot.
pub const SLOTS: usize = 65_537;

const OFFSET_SEED: u64 = 0x7469_6465_6f66_6673;
const STEP_SEED: u64 = 0x7469_6465_7374_6570;

/// The most positions that fit a slot.
const MAX_ENDPOINTS: usize = 1 << 16;

/// The table, and what keyless requests draw from.
#[derive(Debug)]
pub struct Maglev {
    slots: Box<[u16]>,
    alias: Alias,
}

/// One endpoint's order of the slots.
struct Order {
    next: usize,
    step: usize,
}

// === impl Maglev ===

impl Draw for Maglev {
    const KEYED: bool = true;

    fn build(field: &Field) -> Self {
        let weights = field.weights();
        let orders = field.iter().take(MAX_ENDPOINTS).map(|e| Order {
            next: remainder(address_hash(e.member.address, OFFSET_SEED), SLOTS),
            step: 1 + remainder(address_hash(e.member.address, STEP_SEED), SLOTS - 1),
        });
        Self {
            slots: fill(&weights[..weights.len().min(MAX_ENDPOINTS)], orders.collect()),
            alias: Alias::new(&weights),
        }
    }

    fn draw(&self, ask: &Ask<'_>, key: Option<u64>, rng: &mut fastrand::Rng) -> Option<usize> {
        let Some(key) = key else {
            return ask.sample(&self.alias, None, rng);
        };
        let mut slot = remainder(key, SLOTS);
        let step = 1 + remainder(key.rotate_left(32), SLOTS - 1);
        for _ in 0..ask.budget() {
            let position = usize::from(*self.slots.get(slot)?);
            if ask.usable(position) {
                return Some(position);
            }
            slot = advance(slot, step);
        }
        ask.rendezvous(key)
    }
}

/// Fills the table by weight; empty if there is nobody.
fn fill(weights: &[u32], mut orders: Vec<Order>) -> Box<[u16]> {
    let quotas = quotas(weights, SLOTS);
    let mut slots: Vec<Option<u16>> = vec![None; if weights.is_empty() { 0 } else { SLOTS }];
    for position in turns(&quotas) {
        let order = &mut orders[usize::from(position)];
        // Ends: a step is coprime to the prime number of slots, and there are no more turns than
        // slots.
        while slots[order.next].is_some() {
            order.next = advance(order.next, order.step);
        }
        slots[order.next] = Some(position);
    }
    slots.into_iter().flatten().collect()
}

/// Who takes when: the k-th of q turns at (2k + 1) / 2q of the whole, by counting sort; ties by
/// position.
fn turns(quotas: &[usize]) -> Vec<u16> {
    let total: usize = quotas.iter().sum();
    let times = |quota: usize| (0..quota).map(move |k| (2 * k + 1) * total / (2 * quota));
    let mut starts = vec![0; total + 1];
    quotas.iter().flat_map(|&q| times(q)).for_each(|time| starts[time + 1] += 1);
    (0..total).for_each(|time| starts[time + 1] += starts[time]);
    let mut turns = vec![0; total];
    for (position, &quota) in (0u16..=u16::MAX).zip(quotas) {
        for time in times(quota) {
            turns[starts[time]] = position;
            starts[time] += 1;
        }
    }
    turns
}

fn remainder(hash: u64, modulus: usize) -> usize {
    (hash % modulus as u64) as usize
}

fn advance(slot: usize, step: usize) -> usize {
    let next = slot + step;
    if next < SLOTS { next } else { next - SLOTS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing::endpoints;

    fn table(weights: &[u32]) -> Box<[u16]> {
        Maglev::build(&Field::new(endpoints(weights))).slots
    }

    #[test]
    fn turns_alternate_by_quota() {
        assert_eq!(turns(&[2, 2, 2]), [0, 1, 2, 0, 1, 2]);
        assert_eq!(turns(&[4, 2]), [0, 1, 0, 0, 1, 0]);
        assert_eq!(turns(&[]), [0; 0]);
    }

    #[test]
    fn every_slot_is_taken_and_shares_are_exact() {
        for weights in [&[1][..], &[1; 3], &[5, 3, 1], &[65535, 1, 1], &[7; 10_000]] {
            let slots = table(weights);
            assert_eq!(slots.len(), SLOTS);
            let mut counts = vec![0; weights.len()];
            slots.iter().for_each(|&p| counts[usize::from(p)] += 1);
            assert_eq!(counts, quotas(weights, SLOTS));
        }
        assert!(table(&[]).is_empty());
        assert!(table(&[0, 0]).is_empty());
    }
}
