//! What is known of each source, for `/v1/sources`, metrics and readiness.
//!
//! The keeper writes, the admin API and `control` read, at scrape pace; no request touches it, so a
//! plain lock does. Times are kept as instants and turned into ages when somebody asks, so that an
//! age grows while nothing happens: a source that hangs shows as a growing
//! `last_success_age_seconds`, not as a figure that stopped.

#[expect(clippy::disallowed_types, reason = "off the request path: written per answer, read per scrape")]
use std::sync::Mutex;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::{Live, Name};

/// The states of all sources. Clones share them.
#[derive(Clone, Debug, Default)]
#[expect(clippy::disallowed_types, reason = "off the request path: written per answer, read per scrape")]
pub struct Statuses(Arc<Mutex<BTreeMap<Name, Record>>>);

/// How a source does for one cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceStatus {
    /// `consul`, `dns`.
    pub source: &'static str,
    pub cluster: Name,
    /// How many members are served, those in `held` included.
    pub members: usize,
    /// How many of them are served only because their removal is held.
    pub held: usize,
    /// Since the last proper answer, a degraded one included. For members from disk, since the
    /// answer that an earlier process had. None: there was none.
    pub last_success_age_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// How often the served set changed.
    pub updates: u64,
    /// Failures by kind.
    pub errors: BTreeMap<&'static str, u64>,
    /// The registry's own version of the answer, 0 where there is none.
    pub index: u64,
    /// Whether removals are doubted: the source lags, has just come back, or was never heard.
    pub degraded: bool,
    /// None: nothing to serve yet.
    pub origin: Option<Origin>,
    /// How many instances of the last answer cannot be used, and the first of them with the reason.
    pub dropped: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped_examples: Vec<String>,
}

/// The failure that came last. It stays after a success, with its age.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastError {
    pub kind: &'static str,
    pub what: String,
    pub age_seconds: f64,
}

/// Where the served members come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Live,
    /// The state of an earlier process: the source was not heard yet.
    Disk,
}

/// A status with instants in place of ages. The keeper fills it in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub source: &'static str,
    pub members: usize,
    pub held: usize,
    pub success: Option<Instant>,
    /// How old that success was at its instant: not zero for members from disk.
    pub age_then: Duration,
    pub error: Option<(&'static str, String, Instant)>,
    pub updates: u64,
    pub errors: BTreeMap<&'static str, u64>,
    pub index: u64,
    pub degraded: bool,
    pub origin: Option<Origin>,
    pub dropped: Arc<[String]>,
}

/// How many dropped instances are named.
const EXAMPLES: usize = 16;

// === impl Statuses ===

impl Statuses {
    /// All of them, by cluster, with ages as of `now`.
    pub fn list(&self, now: Instant) -> Vec<SourceStatus> {
        self.lock().iter().map(|(cluster, record)| record.at(cluster, now)).collect()
    }

    /// The clusters that had no answer of any kind yet, from the source or from disk. Knows of a
    /// cluster only once its source was started; at start-up ask [`Statuses::awaiting_of`].
    pub fn awaiting(&self) -> Vec<Name> {
        let records = self.lock();
        records.iter().filter(|(_, r)| r.origin.is_none()).map(|(cluster, _)| cluster.clone()).collect()
    }

    /// The clusters of `live` that are discovered and had no answer of any kind yet, started or
    /// not.
    pub fn awaiting_of(&self, live: &Live) -> Vec<Name> {
        let records = self.lock();
        let discovered = live.clusters.iter().filter(|(_, c)| c.consul.is_some() || c.dns.is_some());
        let answered = |name: &Name| records.get(name).is_some_and(|r| r.origin.is_some());
        discovered.filter(|(name, _)| !answered(name)).map(|(name, _)| name.clone()).collect()
    }

    /// The clusters whose removals are doubted.
    pub(crate) fn degraded(&self) -> BTreeSet<Name> {
        let records = self.lock();
        records.iter().filter(|(_, record)| record.degraded).map(|(cluster, _)| cluster.clone()).collect()
    }

    pub(crate) fn edit(&self, cluster: &Name, edit: impl FnOnce(&mut Record)) {
        let mut records = self.lock();
        if !records.contains_key(cluster) {
            records.insert(cluster.clone(), Record::default());
        }
        if let Some(record) = records.get_mut(cluster) {
            edit(record);
        }
    }

    pub(crate) fn remove(&self, cluster: &Name) {
        self.lock().remove(cluster);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Record ===

impl Record {
    fn at(&self, cluster: &Name, now: Instant) -> SourceStatus {
        let age = |then: Instant| now.saturating_duration_since(then).as_secs_f64();
        SourceStatus {
            source: self.source,
            cluster: cluster.clone(),
            members: self.members,
            held: self.held,
            last_success_age_seconds: self.success.map(|then| age(then) + self.age_then.as_secs_f64()),
            last_error: self.error.as_ref().map(|(kind, what, then)| LastError {
                kind,
                what: what.clone(),
                age_seconds: age(*then),
            }),
            updates: self.updates,
            errors: self.errors.clone(),
            index: self.index,
            degraded: self.degraded,
            origin: self.origin,
            dropped: self.dropped.len(),
            dropped_examples: self.dropped.iter().take(EXAMPLES).cloned().collect(),
        }
    }
}
