//! What circuit breakers turn away, by the limit that was reached.

use crate::observe::metrics::Metrics;
use crate::observe::metrics::series::{Counter, Family};

/// A limit of a circuit breaker. Its name is the label's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Connections,
    Requests,
    Retries,
    EndpointRequests,
}

/// The counters of one cluster, by limit.
#[derive(Clone, Debug)]
pub struct Rejected([Counter; NAMES.len()]);

const NAMES: [&str; 4] = ["connections", "requests", "retries", "endpoint_requests"];

// === impl Rejected ===

impl Rejected {
    /// Counts a request, or a try after the first, that was turned away.
    pub fn inc(&self, bound: Bound) {
        self.0[bound as usize].inc();
    }
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn rejected(&self, cluster: &str) -> Rejected {
        Rejected(NAMES.map(|name| self.rejected.counter(&[cluster, name])))
    }
}

pub(super) fn family() -> Family {
    Family::new(
        "tidegate_circuit_breaker_rejected_total",
        "Requests and tries that a limit of their cluster's circuit breaker turned away.",
        &["cluster", "limit"],
    )
}
