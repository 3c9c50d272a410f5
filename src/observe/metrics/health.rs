//! The family of active checks: how probes came out.
//!
//! A probe that clusters share counts in each of them, so that the rate of one cluster says how
//! often its endpoints are looked at, whoever else looks. What the probes decided is not counted
//! here: `tidegate_cluster_endpoints` and `tidegate_endpoint_up` show it.

use crate::observe::metrics::Metrics;
use crate::observe::metrics::series::{Counter, Family};

/// What the probes of one cluster add to.
#[derive(Clone, Debug, Default)]
pub struct HealthMetrics {
    /// Passed.
    pub success: Counter,
    /// Failed by what was answered, or since no connection opened.
    pub failure: Counter,
    /// Not over in time.
    pub timeout: Counter,
}

// === impl Metrics ===

impl Metrics {
    /// The counters of a cluster with an active check.
    pub fn health_checks(&self, cluster: &str) -> HealthMetrics {
        HealthMetrics {
            success: self.health_checks.counter(&[cluster, "success"]),
            failure: self.health_checks.counter(&[cluster, "failure"]),
            timeout: self.health_checks.counter(&[cluster, "timeout"]),
        }
    }
}

/// The family that [`Metrics::health_checks`] counts into.
pub(super) fn checks() -> Family {
    Family::new("tidegate_health_checks_total", "Probes of endpoints by result.", &["cluster", "result"])
}
