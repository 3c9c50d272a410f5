//! A config that holds together and waits for the first answers of its sources.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::{Boot, Name};
use crate::control::WARM;
use crate::control::reading::Reply;
use crate::observe::access::AccessLog;
use crate::snapshot::compile::Plan;

/// The questions whose answers are awaited, by cluster and fingerprint, and until when.
pub(super) type Waiting = HashMap<(Name, u64), Instant>;

/// The config that serves next.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) plan: Plan,
    pub(super) boot: Boot,
    pub(super) access_log: Arc<AccessLog>,
    pub(super) cause: String,
    pub(super) waiting: Waiting,
    /// When it serves whatever is missing. A config that takes the place of this one inherits it.
    pub(super) latest: Instant,
    pub(super) replies: Vec<Reply>,
}

// === impl Pending ===

impl Pending {
    /// Strikes a question off.
    pub(super) fn answered(&mut self, cluster: &Name, fingerprint: u64) {
        self.waiting.remove(&(cluster.clone(), fingerprint));
    }

    /// When it is to serve: at once if nothing is awaited, else when the last question was waited for long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.values().max().map(|until| self.latest.min(*until))
    }
}

/// Which answers a config waits for, and how long.
///
/// Not those that `serving` asks for too: they are there, or the config that serves has given up on them, and a reload that only
/// touches other things should not stand still for that. Of what `before`, a config that waits itself, asks for, each question
/// goes on waiting for the rest of its time; so configs that follow each other closely do not put each other off.
/// A question that nobody asked until now waits even if an earlier answer to it is known: that may be old.
pub(super) fn waiting(
    plan: &Plan,
    serving: Option<&Plan>,
    before: Option<&Pending>,
    now: Instant,
) -> Waiting {
    let wait = |(name, fingerprint): (&Name, u64)| {
        if serving.is_some_and(|plan| plan.asks(name, fingerprint)) {
            return None;
        }
        let key = (name.clone(), fingerprint);
        let until = match before.filter(|before| before.plan.asks(name, fingerprint)) {
            Some(before) => *before.waiting.get(&key)?,
            None => now + WARM,
        };
        Some((key, until))
    };
    plan.questions().filter_map(wait).collect()
}
