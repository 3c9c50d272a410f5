//! Connections that became tunnels: how many there were, how many there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::observe::metrics::Metrics;
use crate::observe::metrics::shelf::{Named, Shelf};
use crate::observe::metrics::text::{Kind, Text, labels};

/// The handle of one (route, cluster). Clones count into the same series.
#[derive(Clone, Debug)]
pub struct UpgradedMetrics(Arc<Named<2, Cells>>);

/// An open tunnel, until it is dropped.
#[derive(Debug)]
pub struct Upgraded(Arc<Named<2, Cells>>);

/// All series, by route and cluster.
#[derive(Default)]
pub(super) struct Tunnels(Shelf<2, Cells>);

#[derive(Debug, Default)]
struct Cells {
    opened: AtomicU64,
    closed: AtomicU64,
}

// === impl UpgradedMetrics ===

impl UpgradedMetrics {
    /// Counts one more.
    pub fn enter(&self) -> Upgraded {
        self.0.series.opened.fetch_add(1, Relaxed);
        Upgraded(self.0.clone())
    }

    /// How many are open.
    pub fn active(&self) -> u64 {
        let closed = self.0.series.closed.load(Relaxed);
        self.0.series.opened.load(Relaxed).saturating_sub(closed)
    }
}

// === impl Upgraded ===

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.0.series.closed.fetch_add(1, Relaxed);
    }
}

// === impl Tunnels ===

impl Tunnels {
    /// Drops the series that nobody else holds.
    pub(super) fn sweep(&self) {
        self.0.sweep();
    }

    pub(super) fn render(&self, text: &mut Text) {
        let mut all = self.0.all();
        // Most routes never have one; a line for each would be most of the page.
        all.retain(|tunnels| tunnels.series.opened.load(Relaxed) > 0);
        let tags = |names: &[Box<str>; 2]| {
            let [route, cluster] = names;
            labels([("route", route.as_ref()), ("cluster", cluster.as_ref())])
        };
        let help = "Connections that are tunnels now, as WebSockets are.";
        text.family("tidegate_upgraded_connections_active", help, Kind::Gauge);
        for tunnels in &all {
            let active = UpgradedMetrics(tunnels.clone()).active();
            text.sample("tidegate_upgraded_connections_active", "", &tags(&tunnels.names), active);
        }
        let help = "Connections that became tunnels.";
        text.family("tidegate_upgraded_connections_total", help, Kind::Counter);
        for tunnels in &all {
            let opened = tunnels.series.opened.load(Relaxed);
            text.sample("tidegate_upgraded_connections_total", "", &tags(&tunnels.names), opened);
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// The handle of a (route, cluster).
    pub fn upgraded(&self, route: &str, cluster: &str) -> UpgradedMetrics {
        UpgradedMetrics(self.tunnels.0.find([route, cluster], |_| true, Cells::default))
    }
}
