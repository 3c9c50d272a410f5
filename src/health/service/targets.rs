//! What is probed: the endpoints of all clusters with a check, each (address, check, way) once.
//!
//! Two clusters that look at one address in the same way share its probes, as the variants of a
//! split often do; each has a [`State`] of its own, and all of them are told. A target that is
//! new goes on from what its endpoint's state says: a reload that changes a check, an endpoint that
//! comes back within the roster's time, change nothing until a probe does.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use pingora_load_balancing::Backend;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::board::Board;
use crate::cluster::{Cluster, Transport};
use crate::config::{Name, live};
use crate::endpoint::{Checked, State};
use crate::health::probe::{self, Probe};
use crate::health::verdict::{Thresholds, Verdict};
use crate::observe::metrics::{HealthMetrics, Metrics};

/// Names a target for as long as it is followed, and nothing after.
pub(super) type Id = u64;

/// Makes the probe of a config.
pub(super) type Make = Box<dyn Fn(&Arc<live::HealthCheck>, &Transport) -> Probe + Send>;

/// One address that is probed in one way.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) check: Arc<live::HealthCheck>,
    pub(super) backend: Backend,
    pub(super) probe: Probe,
    pub(super) verdict: Verdict,
    pub(super) subscribers: Vec<Subscriber>,
    /// The probe that is on its way.
    pub(super) running: Option<AbortHandle>,
}

/// A cluster that wants to know.
pub(super) struct Subscriber {
    pub(super) cluster: Name,
    pub(super) state: Arc<State>,
    pub(super) metrics: HealthMetrics,
}

/// All of them.
pub(super) struct Targets {
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    make: Make,
    followed: HashMap<Name, Followed>,
    /// By address, check, and what tells the way there from others.
    ids: HashMap<(SocketAddr, Arc<live::HealthCheck>, u64), Id>,
    targets: HashMap<Id, Target>,
    last: Id,
}

/// A cluster as it was when it was last looked at.
struct Followed {
    cluster: Arc<Cluster>,
    check: Option<Arc<live::HealthCheck>>,
}

// === impl Target ===

impl Target {
    pub(super) fn thresholds(&self) -> Thresholds {
        Thresholds { healthy: self.check.healthy_threshold, unhealthy: self.check.unhealthy_threshold }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

// === impl Targets ===

impl Targets {
    pub(super) fn new(metrics: Arc<Metrics>, board: Arc<Board>, make: Make) -> Self {
        let (followed, ids, targets) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { metrics, board, make, followed, ids, targets, last: 0 }
    }

    pub(super) fn find(&mut self, id: Id) -> Option<&mut Target> {
        self.targets.get_mut(&id)
    }

    pub(super) fn holds(&self, id: Id) -> bool {
        self.targets.contains_key(&id)
    }

    /// Follows a snapshot. Returns the targets that are new. Clusters that did not change cost
    /// nothing.
    pub(super) fn follow(&mut self, clusters: &[Arc<Cluster>], now: Instant) -> Vec<Id> {
        let mut fresh = Vec::new();
        let names: HashSet<&Name> = clusters.iter().map(|cluster| &cluster.name).collect();
        let gone: Vec<Name> = self.followed.keys().filter(|name| !names.contains(name)).cloned().collect();
        for name in gone {
            self.leave(&name, None);
        }
        for cluster in clusters {
            let known = self.followed.get(&cluster.name);
            if known.is_some_and(|known| Arc::ptr_eq(&known.cluster, cluster)) {
                continue;
            }
            let check = cluster.config.health_check.as_ref();
            let check = match known.and_then(|known| known.check.as_ref()) {
                Some(before) if check == Some(&**before) => Some(before.clone()),
                _ => check.map(|check| Arc::new(check.clone())),
            };
            // Joined first, so that a target that moves from one cluster to another is kept.
            match &check {
                Some(check) => self.join(cluster, check, now, &mut fresh),
                None => self.unchecked(cluster),
            }
            self.leave(&cluster.name, Some(&Followed { cluster: cluster.clone(), check: check.clone() }));
            self.followed.insert(cluster.name.clone(), Followed { cluster: cluster.clone(), check });
        }
        fresh
    }

    /// Subscribes a cluster to the targets of its endpoints.
    fn join(&mut self, cluster: &Cluster, check: &Arc<live::HealthCheck>, now: Instant, fresh: &mut Vec<Id>) {
        let metrics = self.metrics.health_checks(cluster.name.as_str());
        // One for all endpoints: it is told at each probe where to go.
        let way = probe::way(check, &cluster.transport);
        let probe = (self.make)(check, &way);
        for endpoint in &*cluster.endpoints {
            let (address, state) = (endpoint.member.address, &endpoint.state);
            let key = (address, check.clone(), way.key());
            let id = *self.ids.entry(key).or_insert_with(|| {
                self.last += 1;
                fresh.push(self.last);
                self.last
            });
            let target = self.targets.entry(id).or_insert_with(|| Target {
                address,
                backend: probe::target(check, address),
                probe: probe.clone(),
                check: check.clone(),
                verdict: Verdict::resume(state.checked()),
                subscribers: Vec::new(),
                running: None,
            });
            if target.subscribers.iter().any(|subscriber| subscriber.cluster == cluster.name) {
                continue;
            }
            // What any of them knows, all know.
            if target.verdict.checked() == Checked::Unknown {
                target.verdict = Verdict::resume(state.checked());
            }
            let known = target.subscribers.first();
            let why = known.and_then(|known| self.board.why(&known.cluster, address));
            let why = why.or_else(|| self.board.why(&cluster.name, address));
            target.subscribers.push(Subscriber {
                cluster: cluster.name.clone(),
                state: state.clone(),
                metrics: metrics.clone(),
            });
            for subscriber in &target.subscribers {
                subscriber.state.set_checked(target.verdict.checked());
                self.board.note((&subscriber.cluster, address), &subscriber.state, why.clone(), now);
            }
        }
    }

    /// A cluster without a check knows nothing.
    fn unchecked(&self, cluster: &Cluster) {
        for endpoint in &*cluster.endpoints {
            if endpoint.state.set_checked(Checked::Unknown) != Checked::Unknown {
                self.board.forget(&cluster.name, endpoint.member.address);
            }
        }
    }

    /// Ends the subscriptions of a cluster that `next` does not have any more. A target that nobody
    /// is subscribed to ends.
    fn leave(&mut self, name: &Name, next: Option<&Followed>) {
        let Some(Followed { cluster, check: Some(check) }) = self.followed.remove(name) else { return };
        let way = probe::way(&check, &cluster.transport).key();
        let same_check = next.is_some_and(|next| {
            next.check.as_ref() == Some(&check) && probe::way(&check, &next.cluster.transport).key() == way
        });
        let stays: HashSet<SocketAddr> = match next {
            Some(next) if same_check => next.cluster.endpoints.iter().map(|e| e.member.address).collect(),
            _ => HashSet::new(),
        };
        for endpoint in &*cluster.endpoints {
            let key = (endpoint.member.address, check.clone(), way);
            if stays.contains(&key.0) {
                continue;
            }
            let Some(id) = self.ids.get(&key).copied() else { continue };
            let Some(target) = self.targets.get_mut(&id) else { continue };
            target.subscribers.retain(|subscriber| subscriber.cluster != *name);
            if target.subscribers.is_empty() {
                self.targets.remove(&id);
                self.ids.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
