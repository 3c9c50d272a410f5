//! The family of failover: requests that another cluster served than the one they were meant for.

use crate::observe::metrics::Metrics;
use crate::observe::metrics::series::{Counter, Family};

// === impl Metrics ===

impl Metrics {
    /// The counter of a cluster and one that stands in for it.
    pub fn failover(&self, cluster: &str, to: &str) -> Counter {
        self.failover.counter(&[cluster, to])
    }
}

pub(super) fn family() -> Family {
    Family::new(
        "tidegate_failover_total",
        "Requests that went to another cluster, since theirs had too few endpoints available.",
        &["cluster", "to"],
    )
}
