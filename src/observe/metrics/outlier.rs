//! Ejections of a cluster's endpoints, by the rule that ejected, and those that the limit forbade.

use crate::observe::metrics::Metrics;
use crate::observe::metrics::series::{Counter, Family};

/// What ejections of one cluster are counted in.
#[derive(Clone, Debug)]
pub struct OutlierMetrics {
    /// By [`Reason`](crate::endpoint::Reason).
    pub ejections: [Counter; 3],
    /// Ejections that were due and not allowed.
    pub overflow: Counter,
}

/// The families.
pub(super) struct Outliers {
    ejections: Family,
    overflow: Family,
}

// === impl Outliers ===

impl Default for Outliers {
    fn default() -> Self {
        Self {
            ejections: Family::new(
                "tidegate_outlier_ejections_total",
                "Endpoints taken out for their errors, by the rule that did it.",
                &["cluster", "reason"],
            ),
            overflow: Family::new(
                "tidegate_outlier_ejections_overflow_total",
                "Ejections that were due, while no more endpoints may be ejected.",
                &["cluster"],
            ),
        }
    }
}

impl Outliers {
    pub(super) fn families(&self) -> impl Iterator<Item = &Family> {
        [&self.ejections, &self.overflow].into_iter()
    }
}

// === impl Metrics ===

impl Metrics {
    /// The handles of a cluster with outlier detection.
    pub fn outlier(&self, cluster: &str, reasons: [&str; 3]) -> OutlierMetrics {
        OutlierMetrics {
            ejections: reasons.map(|reason| self.outliers.ejections.counter(&[cluster, reason])),
            overflow: self.outliers.overflow.counter(&[cluster]),
        }
    }
}
