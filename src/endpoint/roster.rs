//! Who is known: the states of all endpoints by (cluster, address), kept across snapshots.
//!
//! Only `control` and readers of the admin API touch it, never a request: a snapshot holds the
//! states it needs. An entry lives while a snapshot names its address and for [`KEEP`] after, so
//! that an instance that leaves the registry for a moment (an agent restart, a deploy) comes back
//! with its drain mark and counters, and a dead one does not come back as a stranger. The bad side:
//! an address re-used by another process within that time inherits them.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Name;
use crate::endpoint::memory::Memories;
use crate::endpoint::{ClusterMemory, Memory, Pool, Standing, State};

/// How long a state outlives the last snapshot that named it.
pub const KEEP: Duration = Duration::from_secs(600);

/// The states by cluster and address.
#[derive(Debug, Default)]
pub struct Roster {
    clusters: HashMap<Name, HashMap<SocketAddr, Entry>>,
    pools: HashMap<Name, Arc<Pool>>,
}

#[derive(Debug)]
struct Entry {
    state: Arc<State>,
    /// Since when no snapshot names it.
    gone: Option<Instant>,
}

// === impl Roster ===

impl Roster {
    /// The state of an address, made on first sight.
    pub fn state(&mut self, cluster: &Name, address: SocketAddr) -> Arc<State> {
        if !self.clusters.contains_key(cluster) {
            self.clusters.insert(cluster.clone(), HashMap::new());
        }
        let Some(entries) = self.clusters.get_mut(cluster) else {
            return Arc::default(); // not reached: inserted above
        };
        let entry = entries.entry(address).or_insert_with(|| Entry { state: Arc::default(), gone: None });
        entry.gone = None;
        entry.state.clone()
    }

    /// Whether any address of a cluster is known, and this one is not: it has joined.
    pub fn joins(&self, cluster: &Name, address: SocketAddr) -> bool {
        self.clusters.get(cluster).is_some_and(|entries| !entries.contains_key(&address))
    }

    /// The state of a whole cluster, made on first sight.
    pub fn pool(&mut self, cluster: &Name) -> Arc<Pool> {
        self.pools.entry(cluster.clone()).or_default().clone()
    }

    /// What there is to tell another process of all of them.
    pub fn remember(&self) -> Memories {
        let cluster = |(name, entries): (&Name, &HashMap<SocketAddr, Entry>)| {
            let saved = self.pools.get(name).map_or(0, |pool| pool.saved());
            let endpoints = entries.iter().map(|(address, entry)| (*address, Memory::of(&entry.state)));
            (name.clone(), ClusterMemory { saved, endpoints: endpoints.collect() })
        };
        self.clusters.iter().map(cluster).collect()
    }

    /// Goes on from what another process knew: before the first snapshot, so that the first pick is
    /// as good as its last one was, or later over what was known then. `judged`: the clusters where
    /// ejections are followed. What no snapshot names by and by is forgotten, as ever.
    pub fn recall(&mut self, memories: &Memories, judged: impl Fn(&Name) -> bool, now: Instant) {
        for (name, memory) in memories {
            let (judged, pool) = (judged(name), self.pool(name));
            pool.set_saved(memory.saved);
            let entries = self.clusters.entry(name.clone()).or_default();
            for (address, memory) in &memory.endpoints {
                let fresh = || Entry { state: Arc::default(), gone: Some(now) };
                let state = &entries.entry(*address).or_insert_with(fresh).state;
                let before = state.standing();
                memory.recall(state, judged);
                match (before, state.standing()) {
                    (Standing::In, Standing::In) => {}
                    (Standing::In, _) => drop(pool.eject(|_| true)),
                    (_, Standing::In) => pool.spare(),
                    _ => {}
                }
            }
        }
        self.clusters.retain(|_, entries| !entries.is_empty());
    }

    /// Marks what `named` does not hold as gone at `now`, and forgets what has been gone for
    /// [`KEEP`].
    ///
    /// A state with requests in flight is never forgotten: their leases still count in it.
    pub fn sweep(&mut self, named: &HashSet<(Name, SocketAddr)>, now: Instant) {
        for (cluster, entries) in &mut self.clusters {
            entries.retain(|address, entry| {
                if named.contains(&(cluster.clone(), *address)) {
                    entry.gone = None;
                    return true;
                }
                let gone = *entry.gone.get_or_insert(now);
                entry.state.in_flight() > 0 || now.saturating_duration_since(gone) < KEEP
            });
        }
        self.clusters.retain(|_, entries| !entries.is_empty());
        // A snapshot or a request may hold it still; then its counts go on.
        self.pools.retain(|_, pool| Arc::strong_count(pool) > 1);
    }

    /// How many states are kept.
    pub fn len(&self) -> usize {
        self.clusters.values().map(HashMap::len).sum()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_outlives_its_address_for_a_while() {
        let mut roster = Roster::default();
        let web: Name = "web".parse().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        roster.state(&web, address).drain(true);
        let start = tokio::time::Instant::now().into_std();
        let nobody = HashSet::new();
        roster.sweep(&nobody, start);
        roster.sweep(&nobody, start + KEEP - Duration::from_secs(1));
        assert!(roster.state(&web, address).draining(), "kept while gone");
        roster.sweep(&nobody, start + KEEP * 2);
        roster.sweep(&nobody, start + KEEP * 3);
        assert!(roster.is_empty());
        assert!(!roster.state(&web, address).draining(), "a stranger now");
    }
}
