//! What all policies share: the endpoints that can ever be used, who of them is usable now, and the
//! last resort.
//!
//! A policy ([`Draw`]) proposes candidates from a table and takes the first that is usable. With
//! few endpoints down the first or second proposal holds. Where almost all of the table's weight is
//! down the proposals would go on and on; so after as many of them as there are endpoints a policy
//! falls back on [`Ask::scan`], which looks at every endpoint once and draws by weight. A pick thus
//! costs at most a small multiple of one scan. The bad side: while that lasts (say, 9,900 of 10,000
//! endpoints draining), picks cost microseconds, not nanoseconds.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::balance::alias::Alias;
use crate::balance::census::{Census, Sight, Tally};
use crate::balance::slow_start::REDRAWS;
use crate::endpoint::{Endpoint, Registry};

/// Proposals are never cut off before this many, so that tiny clusters do not scan for want of
/// luck.
const MIN_BUDGET: usize = 32;

/// Who a pick may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Those that are available; in panic mode, all that are not withdrawn.
    Usual,
    /// Those that are available, however few: others stand in for the rest.
    Available,
}

/// What a pick decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Index into the endpoints the balancer was built with.
    pub index: usize,
    /// Whether fewer than half were available, so that all that are not withdrawn were used.
    pub panic: bool,
    /// Whether not even one was: a split then turns to another variant.
    pub none: bool,
}

/// The endpoints of a cluster, less those that this snapshot can never use (weight 0, maintenance).
///
/// Policies speak of *positions*: indexes into the rest, sorted by address, so that a table does
/// not depend on the order in which a source listed them.
#[derive(Debug)]
pub struct Field {
    endpoints: Arc<[Endpoint]>,
    /// Position to index.
    order: Box<[u32]>,
    census: Census,
    /// Whether endpoints that are new get less than their share.
    slow: bool,
    /// An endpoint with so many requests on their way is not usable. None: no limit.
    most: Option<u32>,
}

/// One pick's question: which positions it may use.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    field: &'a Field,
    tried: &'a [SocketAddr],
    tally: Tally,
    /// Whether only those will do whose last request did not fail.
    sure: bool,
    /// Positions that were drawn and left for their slow start.
    passed: &'a [usize],
}

/// A policy: a table over a field, and how a position is drawn from it.
pub trait Draw {
    /// Whether the key matters. Policies that do not hash get none.
    const KEYED: bool;

    /// Builds the table.
    fn build(field: &Field) -> Self;

    /// A usable position; None only if `ask` calls none usable.
    fn draw(&self, ask: &Ask<'_>, key: Option<u64>, rng: &mut fastrand::Rng) -> Option<usize>;
}

// === impl Field ===

impl Field {
    /// Sorts out who can ever be used, and takes the first census.
    pub fn new(endpoints: Arc<[Endpoint]>) -> Self {
        let usable = |e: &Endpoint| e.member.weight > 0 && e.member.registry != Registry::Maintenance;
        let mut order: Vec<u32> =
            (0..).zip(endpoints.iter()).filter(|(_, e)| usable(e)).map(|(index, _)| index).collect();
        order.sort_by_key(|&index| endpoints.get(index as usize).map(|e| e.member.address));
        let order: Box<[u32]> = order.into();
        let census = Census::new(order.len());
        let field = Self { census, endpoints, order, slow: false, most: None };
        field.census.retake(|position| field.sight(position));
        field
    }

    /// Whether endpoints that are new get less than their share.
    pub fn set_slow(&mut self, slow: bool) {
        self.slow = slow;
    }

    /// Makes endpoints unusable that have so many requests on their way.
    ///
    /// A full endpoint is not an unavailable one: it works, so it counts for the mode. Full is what
    /// its count says when it is looked at: who must keep the limit to the letter looks again after its
    /// lease.
    pub fn limit(&mut self, most: Option<u32>) {
        self.most = most;
    }

    /// Whether an endpoint that could be used has no place left.
    pub fn full(&self) -> bool {
        self.most.is_some() && self.iter().any(|e| !e.withdrawn() && !self.has_place(e))
    }

    fn has_place(&self, endpoint: &Endpoint) -> bool {
        self.most.is_none_or(|most| endpoint.state.in_flight() < most)
    }

    /// All endpoints, in the order they were given.
    pub fn endpoints(&self) -> &Arc<[Endpoint]> {
        &self.endpoints
    }

    /// How many positions there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing can ever be used.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The endpoint at a position.
    pub fn at(&self, position: usize) -> Option<&Endpoint> {
        self.endpoints.get(*self.order.get(position)? as usize)
    }

    /// The endpoints by position.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.order.iter().filter_map(|&index| self.endpoints.get(index as usize))
    }

    /// The weights by position; none is 0.
    pub fn weights(&self) -> Vec<u32> {
        self.iter().map(|e| e.member.weight).collect()
    }

    /// Draws by a policy. If that finds nothing, the census may be out of date: it is retaken, and
    /// where this changes the mode the policy draws again.
    pub fn pick<D: Draw>(
        &self,
        policy: &D,
        mode: Mode,
        key: Option<u64>,
        tried: &[SocketAddr],
        rng: &mut fastrand::Rng,
    ) -> Option<Choice> {
        if self.is_empty() {
            return None;
        }
        let key = if D::KEYED { key } else { None };
        let tally = mode.of(self.census.take(rng, |position| self.sight(position)));
        let ask = Ask { field: self, tried, tally, sure: false, passed: &[] };
        let sure = if tried.is_empty() || tally.panic() {
            None
        } else {
            policy.draw(&Ask { sure: true, ..ask }, key, rng)
        };
        let (position, tally) = match sure.or_else(|| policy.draw(&ask, key, rng)) {
            Some(position) if self.slow => (self.warm(policy, &ask, position, rng), ask.tally),
            Some(position) => (position, ask.tally),
            None => {
                let tally = mode.of(self.census.retake(|position| self.sight(position)));
                if tally.panic() == ask.tally.panic() {
                    return None;
                }
                (policy.draw(&Ask { tally, ..ask }, key, rng)?, tally)
            }
        };
        let index = *self.order.get(position)? as usize;
        Some(Choice { index, panic: tally.panic(), none: tally.none() })
    }

    /// How many are available, as far as the census knows; it looks at a few of them.
    pub fn tally(&self, rng: &mut fastrand::Rng) -> Tally {
        if self.is_empty() {
            return Tally::default();
        }
        self.census.ask(rng, |position| self.sight(position))
    }

    /// Whether an endpoint that is available has no place left.
    pub fn crowded(&self) -> bool {
        self.most.is_some() && self.iter().any(|e| e.available() && !self.has_place(e))
    }

    /// Draws again where an endpoint has not its full share yet. If there is nobody else, it serves.
    fn warm<D: Draw>(&self, policy: &D, ask: &Ask<'_>, drawn: usize, rng: &mut fastrand::Rng) -> usize {
        if ask.tally.panic() || ask.alone() {
            return drawn;
        }
        let mut passed = [drawn; REDRAWS];
        let mut position = drawn;
        for count in 0..REDRAWS {
            let share = self.at(position).map_or(100, |e| e.state.share());
            if share >= 100 || rng.u8(..100) < share {
                return position;
            }
            passed[count] = position;
            match policy.draw(&Ask { passed: &passed[..=count], ..*ask }, None, rng) {
                Some(next) => position = next,
                None => return position,
            }
        }
        position
    }

    fn sight(&self, position: usize) -> Sight {
        self.at(position).map_or(Sight::Withdrawn, |e| {
            if e.available() {
                Sight::Available
            } else if e.withdrawn() {
                Sight::Withdrawn
            } else {
                Sight::Unavailable
            }
        })
    }
}

// === impl Mode ===

impl Mode {
    fn of(self, tally: Tally) -> Tally {
        match self {
            Self::Usual => tally,
            Self::Available => tally.calmed(),
        }
    }
}

// === impl Ask ===

impl Ask<'_> {
    /// Whether this is not the request's first try.
    pub fn again(&self) -> bool {
        !self.tried.is_empty()
    }

    /// The endpoint at a position.
    pub fn at(&self, position: usize) -> Option<&Endpoint> {
        self.field.at(position)
    }

    /// How many proposals a policy may make before it scans.
    pub fn budget(&self) -> usize {
        self.field.len().max(MIN_BUDGET)
    }

    /// Whether at most one endpoint is usable, as far as the census knows.
    pub fn alone(&self) -> bool {
        self.tally.usable() <= 1
    }

    /// Whether this request may go to the endpoint at a position.
    pub fn usable(&self, position: usize) -> bool {
        let Some(endpoint) = self.at(position) else {
            return false;
        };
        if self.passed.contains(&position) {
            return false;
        }
        let free = || !self.tried.contains(&endpoint.member.address) && self.field.has_place(endpoint);
        if self.tally.panic() {
            return !endpoint.withdrawn() && free();
        }
        if self.sure && !endpoint.state.is_sure() {
            return false;
        }
        if endpoint.available() {
            return free();
        }
        // A surprise: others near it may have gone too, and the mode may be about to change.
        self.field.census.correct(position, |position| self.field.sight(position));
        false
    }

    /// A usable position other than `except`, at random by weight.
    pub fn sample(&self, alias: &Alias, except: Option<usize>, rng: &mut fastrand::Rng) -> Option<usize> {
        for _ in 0..self.budget() {
            let position = alias.sample(rng)?;
            if Some(position) != except && self.usable(position) {
                return Some(position);
            }
        }
        self.scan(except, |_| 1.0 - rng.f64())
    }

    /// The last resort: looks at all positions and draws one that is usable, by weight.
    ///
    /// Each endpoint is scored -ln(u) / weight, the least wins, which is a draw by weight where the
    /// `u` in (0, 1] are random, and weighted rendezvous hashing where they are hashes. One pass,
    /// so that a flip under way cannot upset it.
    pub fn scan(&self, except: Option<usize>, mut unit: impl FnMut(&Endpoint) -> f64) -> Option<usize> {
        let mut best = None;
        for (position, endpoint) in self.field.iter().enumerate() {
            if Some(position) == except || !self.usable(position) {
                continue;
            }
            let score = -unit(endpoint).ln() / f64::from(endpoint.member.weight);
            if best.is_none_or(|(least, _)| score < least) {
                best = Some((score, position));
            }
        }
        best.map(|(_, position)| position)
    }

    /// The last resort of the hashing policies: the same endpoint for the same key, as long as the
    /// same are usable.
    pub fn rendezvous(&self, key: u64) -> Option<usize> {
        // The upper 52 bits and a half: never 0, never 1, exact.
        let unit = |hash: u64| ((hash >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
        self.scan(None, |endpoint| unit(address_hash(endpoint.member.address, key)))
    }
}

// === hashing ===

/// A hash of an address that is the same in every process and on every machine.
pub fn address_hash(address: SocketAddr, seed: u64) -> u64 {
    let mut bytes = [0; 18];
    let (ip, rest) = bytes.split_at_mut(16);
    match address.ip() {
        IpAddr::V4(v4) => ip.copy_from_slice(&v4.to_ipv6_mapped().octets()),
        IpAddr::V6(v6) => ip.copy_from_slice(&v6.octets()),
    }
    rest.copy_from_slice(&address.port().to_be_bytes());
    xxh3_64_with_seed(&bytes, seed)
}
