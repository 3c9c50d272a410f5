//! What the admin API shows of the active checks: since when, and why.
//!
//! [`State`] holds only what the balancer reads. The words are kept here, by (cluster, address), as
//! long as the roster keeps the state: the board holds it weakly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Name;
use crate::endpoint::{Checked, State};

#[expect(clippy::disallowed_types, reason = "taken once a probe and by the admin API, never by a request")]
type Lock<T> = std::sync::Mutex<T>;

/// The words by cluster and address.
#[derive(Debug, Default)]
pub struct Board(Lock<HashMap<Name, HashMap<SocketAddr, Note>>>);

#[derive(Debug)]
struct Note {
    checked: Checked,
    since: Instant,
    why: Option<Arc<str>>,
    state: Weak<State>,
}

/// What is known of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// When it became what it is.
    pub since: Instant,
    /// The newest failure, if it says anything about what holds now.
    pub why: Option<Arc<str>>,
}

// === impl Board ===

impl Board {
    /// What is known of an endpoint. None: no probe of it was ever meant.
    pub fn find(&self, cluster: &str, address: SocketAddr) -> Option<Finding> {
        let board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let note = board.get(cluster)?.get(&address)?;
        Some(Finding { since: note.since, why: note.why.clone() })
    }

    /// Notes what holds and why. Returns how long something else held, if it did.
    pub(super) fn note(
        &self,
        (cluster, address): (&Name, SocketAddr),
        state: &Arc<State>,
        why: Option<Arc<str>>,
        now: Instant,
    ) -> Option<Duration> {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !board.contains_key(cluster) {
            board.insert(cluster.clone(), HashMap::new());
        }
        let notes = board.get_mut(cluster)?;
        let checked = state.checked();
        let fresh = || Note { checked, since: now, why: None, state: Arc::downgrade(state) };
        let note = notes.entry(address).or_insert_with(fresh);
        let same = Weak::ptr_eq(&note.state, &Arc::downgrade(state));
        let before = if same { note.since } else { now };
        let changed = note.checked != checked || !same;
        let since = if changed { now } else { before };
        *note = Note { why, since, ..fresh() };
        changed.then(|| now.saturating_duration_since(before))
    }

    /// What was known before of an endpoint that is known again.
    pub(super) fn why(&self, cluster: &Name, address: SocketAddr) -> Option<Arc<str>> {
        self.find(cluster.as_str(), address)?.why
    }

    /// Forgets an endpoint that is not probed any more.
    pub(super) fn forget(&self, cluster: &Name, address: SocketAddr) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        board.get_mut(cluster).and_then(|notes| notes.remove(&address));
    }

    /// Drops what is about endpoints that the roster has forgotten.
    pub(super) fn sweep(&self) {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for notes in board.values_mut() {
            notes.retain(|_, note| note.state.strong_count() > 0);
        }
        board.retain(|_, notes| !notes.is_empty());
    }
}
