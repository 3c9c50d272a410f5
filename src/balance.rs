//! Which endpoint of a cluster a request goes to.
//!
//! A [`Balancer`] is built when a snapshot is compiled and shared by all requests of it. A pick
//! takes no lock and allocates nothing; it is a decision over what the endpoints'
//! [`State`](crate::endpoint::State) says right now.
//!
//! Who is used:
//! - *Withdrawn* endpoints (maintenance, draining, weight 0) never, in no mode, and they count
//!   nowhere.
//! - Of the others, those that are *available*, as long as these are at least half. Below that the
//!   balancer is in *panic mode*: all that are not withdrawn are used, and [`Choice::panic`] says
//!   so. The thought: with most of a cluster "down", the fault is more often in the check than in
//!   the cluster, and the few that are left would be crushed. The bad side: a cluster that really
//!   is down gets requests that fail one by one instead of at once.
//! - `tried` endpoints are skipped. Where nothing else is usable the answer is None; in particular,
//!   a retry does not turn to unavailable endpoints while there are enough available ones.
//! - A second try goes to an endpoint whose last request did not fail, if there is one. So where many
//!   die at once it does not meet the next of them, once that is known, and it is nobody's trial
//!   after an ejection. Not in panic mode: the few that work would be crushed. (Without outlier
//!   detection nothing is known of failures, and nothing is preferred.)
//!
//! What an unavailable endpoint would have got is shared by the rest according to weight (the
//! hashing policies move its keys only). Availability is looked up when an endpoint is about to be
//! chosen, so nothing unavailable is ever chosen outside panic mode; only the *count* that decides
//! the mode is cached, see [`census`].
//!
//! Endpoints that the registry calls critical stay in the tables, so that a flapping check changes
//! no hash table and a recovered endpoint gets its old keys back.
//!
//! Each policy is one file with a [`Draw`](field::Draw); [`selection`] makes any of them a Pingora
//! `BackendSelection`.

pub mod alias;
pub mod census;
pub mod field;
pub mod hash;
pub mod least_request;
pub mod locality;
pub mod maglev;
pub mod quota;
pub mod random;
pub mod ring_hash;
pub mod round_robin;
pub mod selection;
pub mod sequence;
pub mod slow_start;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

pub use self::field::{Choice, Mode};
use self::field::{Draw, Field};
use self::least_request::LeastRequest;
pub use self::locality::Locality;
use self::maglev::Maglev;
use self::random::Random;
use self::ring_hash::RingHash;
use self::round_robin::RoundRobin;
use crate::config::live::Policy;
use crate::endpoint::Endpoint;

/// A cluster's endpoints under its policy.
#[derive(Debug)]
pub struct Balancer {
    field: Field,
    table: Table,
}

/// One variant a policy, so that a pick is a jump and no virtual call.
#[derive(Debug)]
enum Table {
    RoundRobin(RoundRobin),
    Random(Random),
    LeastRequest(LeastRequest),
    RingHash(RingHash),
    Maglev(Maglev),
}

// === impl Balancer ===

impl Balancer {
    /// Builds the policy's table over the endpoints, in any order; at most `u32::MAX` of them.
    ///
    /// Cost for 1,000 endpoints: 2 ms for maglev, 7 ms for a ring of weights of 1 and 60 ms of
    /// large ones, up to 10 ms for round robin over large weights with no common divisor,
    /// microseconds for the rest. A caller that compiles often keeps the balancer of a cluster
    /// whose policy and members did not change.
    pub fn new(policy: Policy, endpoints: Arc<[Endpoint]>) -> Self {
        let field = Field::new(endpoints);
        let table = match policy {
            Policy::RoundRobin => Table::RoundRobin(RoundRobin::build(&field)),
            Policy::Random => Table::Random(Random::build(&field)),
            Policy::LeastRequest => Table::LeastRequest(LeastRequest::build(&field)),
            Policy::RingHash => Table::RingHash(RingHash::build(&field)),
            Policy::Maglev => Table::Maglev(Maglev::build(&field)),
        };
        Self { field, table }
    }

    /// Whether new and recovered endpoints get less than their share, as far as the policy can.
    pub fn slow_start(mut self, on: bool) -> Self {
        self.field.set_slow(on && matches!(self.table, Table::RoundRobin(_) | Table::LeastRequest(_)));
        self
    }

    /// Picks an endpoint, or None if nothing is usable.
    ///
    /// `key`: what [`hash::HashPolicy::key`] found; only the hashing policies look at it, and
    /// without it they pick at random by weight. `tried`: the endpoints this request already failed
    /// on; they are not chosen again.
    pub fn pick(&self, key: Option<u64>, tried: &[SocketAddr], rng: &mut fastrand::Rng) -> Option<Choice> {
        self.pick_in(Mode::Usual, key, tried, rng)
    }

    /// As [`pick`](Self::pick), with a say in who may be used.
    pub fn pick_in(
        &self,
        mode: Mode,
        key: Option<u64>,
        tried: &[SocketAddr],
        rng: &mut fastrand::Rng,
    ) -> Option<Choice> {
        match &self.table {
            Table::RoundRobin(draw) => self.field.pick(draw, mode, key, tried, rng),
            Table::Random(draw) => self.field.pick(draw, mode, key, tried, rng),
            Table::LeastRequest(draw) => self.field.pick(draw, mode, key, tried, rng),
            Table::RingHash(draw) => self.field.pick(draw, mode, key, tried, rng),
            Table::Maglev(draw) => self.field.pick(draw, mode, key, tried, rng),
        }
    }

    /// Makes endpoints unusable that have so many requests on their way.
    pub fn limited(mut self, most: Option<u32>) -> Self {
        self.field.limit(most);
        self
    }

    /// Whether nothing may have been usable because of that limit.
    pub fn full(&self) -> bool {
        self.field.full()
    }

    /// How many are available, as far as the census knows.
    pub fn available(&self, rng: &mut fastrand::Rng) -> u32 {
        self.field.tally(rng).available()
    }

    /// Whether somebody who is available was not usable because of the limit.
    pub fn crowded(&self) -> bool {
        self.field.crowded()
    }

    /// The endpoints it was built with, in the order that [`Choice::index`] counts in.
    pub fn endpoints(&self) -> &Arc<[Endpoint]> {
        self.field.endpoints()
    }
}
