//! The slow starts of one cluster: who has joined or recovered, and how far it has come.
//!
//! The endpoints that are there when a cluster is first seen with members are warm: the process has
//! just started, or the cluster is new, and all of them are alike. Those that join later start
//! slowly, and so do those that were not available and are again, for whatever reason. One whose share
//! says that it is on its way, as another process left it, goes on from there.
//!
//! The bad side of looking now and then: what recovers by the registry or an active check may get
//! its full share until the next look.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::balance::slow_start;
use crate::cluster::Cluster;
use crate::config::value::Span;
use crate::endpoint::State;

/// Who is warm and who is not.
#[derive(Debug, Default)]
pub(super) struct Warmth {
    /// None: the cluster has not been seen with members.
    known: Option<HashMap<SocketAddr, Known>>,
}

#[derive(Debug)]
struct Known {
    state: Arc<State>,
    available: bool,
    /// When the slow start began, while it lasts.
    since: Option<Instant>,
    /// Whether the last look saw it.
    seen: bool,
}

// === impl Warmth ===

impl Warmth {
    pub(super) fn look(&mut self, cluster: &Cluster, now: Instant) {
        let Some(Span(window)) = cluster.config.load_balancing.slow_start else {
            self.release();
            return;
        };
        if cluster.members.is_none() {
            return;
        }
        let first = self.known.is_none();
        let known = self.known.get_or_insert_default();
        for endpoint in &*cluster.endpoints {
            let available = endpoint.available();
            let state = &endpoint.state;
            let one = known.entry(endpoint.member.address).or_insert_with(|| Known {
                state: state.clone(),
                available: first && available,
                since: None,
                seen: true,
            });
            one.seen = true;
            if available && !one.available && !first {
                one.since = Some(now);
            }
            if available && one.since.is_none() && state.share() < 100 {
                // Another process has seen it begin.
                let gone = window * u32::from(state.share()) / 100;
                one.since = Some(now.checked_sub(gone).unwrap_or(now));
            }
            one.available = available;
            if let Some(since) = one.since {
                let share = slow_start::share(now.saturating_duration_since(since), window);
                state.set_share(share);
                one.since = one.since.filter(|_| share < 100);
            }
        }
        known.retain(|_, one| std::mem::take(&mut one.seen));
    }

    /// Makes everybody warm: there is no slow start any more.
    pub(super) fn release(&mut self) {
        for (_, one) in self.known.take().into_iter().flatten() {
            one.state.set_share(100);
        }
    }
}
