//! The task that follows what requests found out: it dates ejections, ends them, looks at the
//! statistics, moves slow starts on, and tells of every change.
//!
//! One task, which looks at all clusters with outlier detection or slow start every [`TICK`]; it is
//! the only one that ends an ejection. It reads the snapshot that serves, and knows endpoints by
//! (cluster, address), so nothing it knows is lost by a change of weights, tags or routes; what it
//! knows of an address ends when the roster forgets it.
//!
//! Every change is one line in the log, but for the begin of a trial, which is over in a moment; if
//! it fails, the line of the ejection says so.

mod warmth;
mod watched;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::cluster::Cluster;
use crate::config::Name;
use crate::discovery::{Stop, stopped};
use crate::endpoint::Standing;
use crate::snapshot::Cell;

use self::watched::Watched;

/// How often it looks, while there is anybody to look at.
pub const TICK: Duration = Duration::from_millis(100);

/// How often it looks for those that are out where there are no rules.
const SWEEP: Duration = Duration::from_secs(1);

/// All that is followed.
#[derive(Debug, Default)]
pub struct Service {
    clusters: HashMap<Name, Watched>,
    swept: Option<Instant>,
}

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Instant,
    /// Milliseconds since 1970, for people.
    pub date: u64,
}

/// Follows until `stop`. A process without rules and slow starts wakes once a second only; a snapshot
/// that brings some is looked at as it comes.
pub async fn run(cell: Arc<Cell>, mut stop: Stop) {
    let mut service = Service::default();
    let mut changes = cell.changes();
    loop {
        changes.mark_unchanged();
        service.look(&cell.load().clusters, Moment::now());
        let idle = service.clusters.is_empty();
        tokio::select! {
            () = tokio::time::sleep(if idle { SWEEP } else { TICK }) => {}
            // An error would be that the cell is gone, and it is ours.
            _ = changes.changed(), if idle => {}
            () = stopped(&mut stop) => return,
        }
    }
}

// === impl Service ===

impl Service {
    /// Looks at everybody once.
    pub fn look(&mut self, clusters: &[Arc<Cluster>], at: Moment) {
        let concerned = |cluster: &&Arc<Cluster>| {
            cluster.outlier.is_some() || cluster.config.load_balancing.slow_start.is_some()
        };
        for cluster in clusters.iter().filter(concerned) {
            if !self.clusters.contains_key(&cluster.name) {
                self.clusters.insert(cluster.name.clone(), Watched::new(at.now));
            }
            if let Some(watched) = self.clusters.get_mut(&cluster.name) {
                watched.look(cluster, at);
            }
        }
        self.clusters.retain(|name, watched| {
            let found = clusters.binary_search_by(|cluster| cluster.name.cmp(name));
            let stays = found.is_ok_and(|index| concerned(&&clusters[index]));
            if !stays {
                watched.release();
            }
            stays
        });
        let due = self.swept.is_none_or(|swept| at.now.saturating_duration_since(swept) >= SWEEP);
        if due {
            self.swept = Some(at.now);
            sweep(clusters);
        }
    }
}

/// Lets in who is out where there are no rules: a request that began under rules may end, and eject,
/// after a reload has taken them away.
fn sweep(clusters: &[Arc<Cluster>]) {
    let endpoints = clusters.iter().filter(|c| c.outlier.is_none()).flat_map(|c| &*c.endpoints);
    endpoints.filter(|e| e.state.standing() != Standing::In).for_each(|e| e.state.reinstate());
}

// === impl Moment ===

impl Moment {
    /// This one.
    #[expect(clippy::disallowed_methods, reason = "when an endpoint was ejected is shown as a date")]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let date = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Self { now: tokio::time::Instant::now().into_std(), date }
    }
}

#[cfg(test)]
mod tests;
