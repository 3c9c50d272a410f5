//! Where the members of clusters come from: the contract between a source and the one writer.
//!
//! A [`Source`] runs until it is stopped and tells its [`Answers`] what it heard: a whole set, "no change", or a failure. It
//! decides nothing about what a set means; that is [`keep`]'s work, shared by all sources: an empty or shrunken set is
//! held for a while, a failure keeps the last good set in memory and on disk, ages are tracked. What comes out at the
//! other end is an [`Update`] to `control`.
//! (Interface; under construction.)

pub mod dns;

use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::config::Name;
use crate::endpoint::Members;

/// Turns true when a task must end.
pub type Stop = watch::Receiver<bool>;

/// A new set of members for a cluster, judged good.
#[derive(Clone, Debug)]
pub struct Update {
    pub cluster: Name,
    pub members: Members,
    /// Why, for the log and `/v1/snapshot`: `consul: web: 1 added`.
    pub cause: String,
}

/// A place that knows the members of a cluster.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// `consul`, `dns`: the `source` label of metrics.
    fn kind(&self) -> &'static str;

    /// Watches until `stop` turns true.
    async fn run(&self, out: Answers, stop: Stop);
}

/// What a source tells about one cluster.
#[derive(Clone, Debug)]
pub struct Answers {
    cluster: Name,
    out: mpsc::UnboundedSender<Update>,
}

/// How far an answer may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    Good,
    /// The source is lagging, leaderless or has just come back: additions count, removals are held.
    Degraded,
}

// === impl Answers ===

impl Answers {
    /// A whole set. Never call it for a failure.
    pub fn members(&self, members: Members, _quality: Quality, _now: Instant) {
        let _ = self.out.send(Update { cluster: self.cluster.clone(), members, cause: String::new() });
    }

    /// The source was heard and nothing changed.
    pub fn unchanged(&self, _now: Instant) {}

    /// The source could not be heard, or not understood. `kind` is a short word for the metric label.
    pub fn failed(&self, _kind: &'static str, _why: &str, _now: Instant) {}
}
