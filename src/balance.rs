//! Which endpoint of a cluster a request goes to. (Interface; the bodies are under construction.)

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::live::Policy;
use crate::endpoint::Endpoint;

/// A cluster's endpoints under its policy. Built when a snapshot is compiled; picks take no lock and allocate nothing.
#[derive(Debug)]
pub struct Balancer {
    endpoints: Arc<[Endpoint]>,
}

/// What a pick decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Index into the endpoints the balancer was built with.
    pub index: usize,
    /// Whether fewer than half were available, so that all that are not withdrawn were used.
    pub panic: bool,
}

// === impl Balancer ===

impl Balancer {
    /// Builds the policy's table over the endpoints.
    pub fn new(_policy: Policy, endpoints: Arc<[Endpoint]>) -> Self {
        Self { endpoints }
    }

    /// Picks an endpoint. `key`: hash of what the hash policy found (hashing policies; None: random).
    /// `tried`: endpoints this request already failed on; used again only if nothing else is left... never: None then.
    pub fn pick(&self, _key: Option<u64>, _tried: &[SocketAddr], _rng: &mut fastrand::Rng) -> Option<Choice> {
        (!self.endpoints.is_empty()).then_some(Choice { index: 0, panic: false })
    }
}
