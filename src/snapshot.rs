//! The world as one request sees it: immutable, loaded once, kept until the request ends.
//!
//! [`compile`] builds a snapshot from config and members or reports every problem; `control` alone
//! publishes it into the [`Cell`]. Publishing is one atomic store that cannot fail, so a
//! half-applied change cannot be expressed and "applied" means "serves". The admin API shows the
//! very snapshot that requests use.

pub mod compile;
pub mod diff;
pub mod explain;
pub mod forwarding;
pub mod mirror;
pub mod splits;
pub mod table;
pub mod tcp;

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::config::{Live, Name};
use crate::observe::access::AccessLog;

pub use self::forwarding::Forwarding;
pub use self::splits::Serving;
pub use self::table::{Action, Route, Table, Target};

/// One generation of everything that requests need.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up from 1; 0 is the empty snapshot before the first.
    pub generation: u64,
    /// The same for the same config and members, on every node.
    pub digest: String,
    pub published_at: SystemTime,
    /// What led to it, as `reload: SIGHUP` or `consul: web: 1 added`.
    pub cause: String,
    pub live: Arc<Live>,
    pub table: Arc<Table>,
    /// In the order of the config's map, that is by name. [`Target`] indexes it.
    pub clusters: Arc<[Arc<Cluster>]>,
    /// What each split serves with, in the order of the routes. [`Target::Split`] indexes it.
    pub splits: Arc<[Arc<Serving>]>,
    pub access_log: Arc<AccessLog>,
}

/// Where the current snapshot is found.
#[derive(Debug)]
pub struct Cell {
    current: ArcSwap<Snapshot>,
    /// The generation of it, for those who wait for the next.
    changes: watch::Sender<u64>,
}

// === impl Snapshot ===

impl Snapshot {
    /// What serves before anything is known: no route, so 404 for everything. Never reached by a
    /// request, since the listeners open after the first real one.
    pub fn empty(table: Table, access_log: Arc<AccessLog>) -> Self {
        Self {
            generation: 0,
            digest: String::new(),
            published_at: SystemTime::UNIX_EPOCH,
            cause: "start".into(),
            live: Arc::default(),
            table: Arc::new(table),
            clusters: Arc::new([]),
            splits: Arc::new([]),
            access_log,
        }
    }

    /// The access log that is open here, if `live` names the same. The empty snapshot has none that
    /// could go on.
    pub fn access_log_of(&self, live: &Live) -> Option<Arc<AccessLog>> {
        (self.generation > 0 && self.live.access_log == live.access_log).then(|| self.access_log.clone())
    }

    /// What the split of a route serves with.
    pub fn split(&self, route: &str) -> Option<&Arc<Serving>> {
        self.splits.iter().find(|serving| serving.route.as_str() == route)
    }

    /// The cluster of a name that probably stands at `index`.
    pub fn cluster_near(&self, index: usize, name: &Name) -> Option<&Arc<Cluster>> {
        let here = self.clusters.get(index).filter(|cluster| cluster.name == *name);
        here.or_else(|| self.cluster(name.as_str()))
    }

    /// The cluster of a name.
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        let found = self.clusters.binary_search_by(|c| c.name.as_str().cmp(name));
        found.ok().map(|index| &self.clusters[index])
    }
}

// === impl Cell ===

impl Cell {
    /// Starts with a first snapshot.
    pub fn new(first: Snapshot) -> Self {
        Self { changes: watch::Sender::new(first.generation), current: ArcSwap::from_pointee(first) }
    }

    /// The current snapshot. Requests call it once, in `proxy::accept`.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Makes a snapshot the current one. Only `control` calls it.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        let generation = snapshot.generation;
        self.current.store(snapshot);
        self.changes.send_replace(generation);
    }

    /// Tells of each snapshot that becomes the current one, or of the newest of several.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
