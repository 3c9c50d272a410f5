//! A config that holds together and waits for the first answers of its sources.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::{Boot, Name};
use crate::control::{Applied, Rejected};
use crate::observe::access::AccessLog;
use crate::snapshot::compile::Plan;

/// Who asked for a reload and wants to know how it went.
pub(super) type Reply = oneshot::Sender<Result<Applied, Rejected>>;

/// The config that serves next.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) plan: Plan,
    pub(super) boot: Boot,
    pub(super) access_log: Arc<AccessLog>,
    pub(super) cause: String,
    /// The questions without an answer.
    pub(super) waiting: HashSet<(Name, u64)>,
    /// When it serves with what there is.
    pub(super) deadline: Instant,
    pub(super) replies: Vec<Reply>,
}

// === impl Pending ===

impl Pending {
    /// Strikes a question off. True: nothing is awaited any more.
    pub(super) fn answered(&mut self, cluster: &Name, fingerprint: u64) -> bool {
        self.waiting.remove(&(cluster.clone(), fingerprint));
        self.waiting.is_empty()
    }

    /// What serves although its source has not answered, for the reply.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut names: Vec<_> = self.waiting.iter().map(|(name, _)| name).collect();
        names.sort();
        let told = |name: &&Name| format!("cluster `{name}`: its source has not answered yet");
        names.iter().map(told).collect()
    }
}
