//! Connections that became tunnels: how many there were, how many there are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};

use crate::observe::metrics::Metrics;
use crate::observe::metrics::series::Lock;
use crate::observe::metrics::text::{Kind, Text, labels};

/// The handle of one (route, cluster). Clones count into the same series.
#[derive(Clone, Debug, Default)]
pub struct UpgradedMetrics(Arc<Cells>);

/// An open tunnel, until it is dropped.
#[derive(Debug)]
pub struct Upgraded(Arc<Cells>);

/// All series, by route and cluster.
#[derive(Default)]
pub(super) struct Tunnels(Lock<BTreeMap<[Box<str>; 2], UpgradedMetrics>>);

#[derive(Debug, Default)]
struct Cells {
    opened: AtomicU64,
    closed: AtomicU64,
}

// === impl UpgradedMetrics ===

impl UpgradedMetrics {
    /// Counts one more.
    pub fn enter(&self) -> Upgraded {
        self.0.opened.fetch_add(1, Relaxed);
        Upgraded(self.0.clone())
    }

    /// How many are open.
    pub fn active(&self) -> u64 {
        let closed = self.0.closed.load(Relaxed);
        self.0.opened.load(Relaxed).saturating_sub(closed)
    }
}

// === impl Upgraded ===

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Relaxed);
    }
}

// === impl Tunnels ===

impl Tunnels {
    /// Drops the series that nobody else holds.
    pub(super) fn sweep(&self) {
        let mut series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        series.retain(|_, handle| Arc::strong_count(&handle.0) > 1);
    }

    pub(super) fn render(&self, text: &mut Text) {
        let mut series = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Most routes never have one; a line for each would be most of the page.
        series.retain(|_, handle| handle.0.opened.load(Relaxed) > 0);
        let tags = |names: &[Box<str>; 2]| {
            let [route, cluster] = names;
            labels([("route", route.as_ref()), ("cluster", cluster.as_ref())])
        };
        let help = "Connections that are tunnels now, as WebSockets are.";
        text.family("tidegate_upgraded_connections_active", help, Kind::Gauge);
        for (names, handle) in &series {
            text.sample("tidegate_upgraded_connections_active", "", &tags(names), handle.active());
        }
        let help = "Connections that became tunnels.";
        text.family("tidegate_upgraded_connections_total", help, Kind::Counter);
        for (names, handle) in &series {
            let opened = handle.0.opened.load(Relaxed);
            text.sample("tidegate_upgraded_connections_total", "", &tags(names), opened);
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// The handle of a (route, cluster).
    pub fn upgraded(&self, route: &str, cluster: &str) -> UpgradedMetrics {
        let names = [route, cluster].map(Box::from);
        self.tunnels.0.lock().unwrap_or_else(PoisonError::into_inner).entry(names).or_default().clone()
    }
}
