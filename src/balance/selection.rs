//! Any policy as a Pingora `BackendSelection`, for `LoadBalancer` and whoever else takes one.
//!
//! The proxy's own requests do not go this way: `LoadBalancer::select` allocates and hashes, and
//! knows nothing of panic mode or of endpoints that were tried. What is the same is the decision:
//! [`Selection`] asks the same [`Field`] and the same [`Draw`] as
//! [`Balancer`](crate::balance::Balancer).
//!
//! The [`Endpoint`] travels in the backend's `ext`, and with it the shared state. A backend from
//! elsewhere, without one, gets a state of its own; one at a Unix socket is left out.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pingora::protocols::l4::socket::SocketAddr as BackendAddr;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};
use pingora_load_balancing::{Backend, Extensions};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::balance::field::{Draw, Field, Mode};
use crate::balance::least_request::LeastRequest;
use crate::balance::maglev::Maglev;
use crate::balance::random::Random;
use crate::balance::ring_hash::RingHash;
use crate::balance::round_robin::RoundRobin;
use crate::endpoint::{Endpoint, Member, Registry, State};

/// A policy over a set of backends.
#[derive(Debug)]
pub struct Selection<D> {
    field: Field,
    policy: D,
    /// By index of the field's endpoints.
    backends: Box<[Backend]>,
    seed: u64,
    tickets: AtomicU64,
}

/// The order in which one request would try the backends: each at most once, none that is unusable.
///
/// Each step is a pick that skips what came before, so the n-th costs n comparisons more.
#[derive(Debug)]
pub struct Order<D> {
    selection: Arc<Selection<D>>,
    key: Option<u64>,
    rng: fastrand::Rng,
    tried: Vec<SocketAddr>,
}

pub type RoundRobinSelection = Selection<RoundRobin>;
pub type RandomSelection = Selection<Random>;
pub type LeastRequestSelection = Selection<LeastRequest>;
pub type RingHashSelection = Selection<RingHash>;
pub type MaglevSelection = Selection<Maglev>;

// === impl Selection ===

impl<D: Draw> BackendSelection for Selection<D> {
    type Iter = Order<D>;

    /// The seed of all that is random here: the start of round robin, the choices of the others.
    /// Give each process its own, or they march in step.
    type Config = u64;

    fn build_with_config(backends: &BTreeSet<Backend>, seed: &u64) -> Self {
        let known = backends.iter().filter_map(|backend| Some((endpoint(backend)?, backend.clone())));
        let (endpoints, backends): (Vec<_>, Vec<_>) = known.unzip();
        let field = Field::new(endpoints.into());
        Self {
            policy: D::build(&field),
            field,
            backends: backends.into(),
            seed: *seed,
            tickets: AtomicU64::new(0),
        }
    }

    fn build(backends: &BTreeSet<Backend>) -> Self {
        Self::build_with_config(backends, &0)
    }

    fn iter(self: &Arc<Self>, key: &[u8]) -> Order<D> {
        let ticket = self.tickets.fetch_add(1, Relaxed);
        Order {
            selection: self.clone(),
            key: Some(xxh3_64(key)),
            rng: fastrand::Rng::with_seed(xxh3_64_with_seed(&ticket.to_le_bytes(), self.seed)),
            tried: Vec::new(),
        }
    }
}

// === impl Order ===

impl<D: Draw> BackendIter for Order<D> {
    fn next(&mut self) -> Option<&Backend> {
        let Selection { field, policy, backends, .. } = &*self.selection;
        let choice = field.pick(policy, Mode::Usual, self.key, &self.tried, &mut self.rng)?;
        self.tried.push(field.endpoints().get(choice.index)?.member.address);
        backends.get(choice.index)
    }
}

// === conversions ===

impl From<&Endpoint> for Backend {
    fn from(endpoint: &Endpoint) -> Self {
        let mut ext = Extensions::new();
        ext.insert(endpoint.clone());
        Self { addr: inet(endpoint.member.address), weight: endpoint.member.weight as usize, ext }
    }
}

/// The endpoints as backends.
pub fn backends<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>) -> BTreeSet<Backend> {
    endpoints.into_iter().map(Backend::from).collect()
}

/// The endpoint of a backend, with the backend's weight; None for one without an IP address.
pub fn endpoint(backend: &Backend) -> Option<Endpoint> {
    let BackendAddr::Inet(address) = backend.addr else {
        return None;
    };
    let weight = u32::try_from(backend.weight).unwrap_or(u32::MAX);
    Some(match backend.ext.get::<Endpoint>() {
        Some(known) => Endpoint {
            member: Member { weight, ..known.member.clone() },
            state: known.state.clone(),
            probed: known.probed,
        },
        None => Endpoint {
            member: Member { address, weight, registry: Registry::Passing, labels: Arc::default() },
            state: Arc::new(State::default()),
            probed: false,
        },
    })
}

/// An address as Pingora writes it.
pub(super) fn inet(address: SocketAddr) -> BackendAddr {
    BackendAddr::Inet(address)
}

#[cfg(test)]
mod tests;
