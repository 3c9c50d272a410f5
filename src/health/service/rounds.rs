//! The first round of each cluster: what the first probes of its endpoints found, told in one line.
//!
//! A process that starts with thousands of endpoints would otherwise say "up" thousands of times. The
//! line comes when each endpoint that the cluster had when it was first seen was asked once, or is
//! gone. Who joins later is told of alone, as every transition is. The bad side: of the endpoints that
//! are down at the start only [`NAMED`] are named; `/v1/clusters` has them all.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use tracing::{info, warn};

use super::targets::{Id, Targets};
use crate::cluster::Cluster;
use crate::config::Name;
use crate::endpoint::Checked;

/// So many of those that are down are named.
const NAMED: usize = 3;

/// The rounds that are on their way.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Clusters whose round is over or on its way.
    seen: HashSet<Name>,
    open: HashMap<Name, Round>,
}

#[derive(Debug, Default)]
struct Round {
    waiting: HashSet<Id>,
    up: usize,
    down: usize,
    /// Some of those that are down, each with the reason.
    named: Vec<String>,
}

// === impl Rounds ===

impl Rounds {
    /// Begins the round of each cluster that has targets for the first time. Those of targets that are
    /// gone are not waited for.
    pub(super) fn begin(&mut self, clusters: &[Arc<Cluster>], fresh: &[Id], targets: &mut Targets) {
        let present: HashSet<&Name> = clusters.iter().map(|cluster| &cluster.name).collect();
        self.seen.retain(|name| present.contains(name));
        self.open.retain(|name, round| {
            round.waiting.retain(|id| targets.holds(*id));
            if round.waiting.is_empty() {
                round.tell(name);
            }
            present.contains(name) && !round.waiting.is_empty()
        });
        let mut new = HashSet::new();
        for cluster in clusters {
            let is_probed = cluster.config.health_check.is_some() && !cluster.endpoints.is_empty();
            if is_probed && !self.seen.contains(&cluster.name) {
                self.seen.insert(cluster.name.clone());
                new.insert(&cluster.name);
            }
        }
        for id in fresh.iter().filter(|_| !new.is_empty()) {
            let Some(target) = targets.find(*id) else { continue };
            for name in target.subscribers.iter().map(|subscriber| &subscriber.cluster) {
                if new.contains(name) {
                    self.open.entry(name.clone()).or_default().waiting.insert(*id);
                }
            }
        }
    }

    /// Takes what a probe found. True: it is part of a round, so nothing need be said of it.
    pub(super) fn take(
        &mut self,
        (cluster, id): (&Name, Id),
        (address, checked): (SocketAddr, Checked),
        why: Option<&str>,
    ) -> bool {
        let Some(round) = self.open.get_mut(cluster) else { return false };
        if !round.waiting.remove(&id) {
            return false;
        }
        if checked == Checked::Up {
            round.up += 1;
        } else {
            round.down += 1;
            if round.named.len() < NAMED {
                round.named.push(format!("{address}: {}", why.unwrap_or("not said")));
            }
        }
        if round.waiting.is_empty() {
            round.tell(cluster);
            self.open.remove(cluster);
        }
        true
    }
}

// === impl Round ===

impl Round {
    /// Nothing is said of a round in which nobody answered, since all are gone.
    fn tell(&self, cluster: &Name) {
        let Self { up, down, .. } = self;
        match self.why() {
            Some(why) => warn!(%cluster, up, down, why, "first health checks"),
            None if *up > 0 => info!(%cluster, up, down, "first health checks"),
            None => {}
        }
    }

    fn why(&self) -> Option<String> {
        let more = self.down - self.named.len();
        match (self.named.join("; "), more) {
            (named, _) if named.is_empty() => None,
            (named, 0) => Some(named),
            (named, more) => Some(format!("{named}; and {more} more")),
        }
    }
}

#[cfg(test)]
mod tests;
