//! Where the members of clusters come from: the contract between a source and the one writer.
//!
//! A [`Source`] runs until it is stopped and tells its [`Answers`] what it heard: a whole set, "no
//! change", or a failure. It decides nothing about what a set means; that is [`keep`]'s work,
//! shared by all sources: an empty or shrunken set is held for a while, a failure keeps the last
//! good set in memory and on [`disk`], ages are tracked. What comes out at the other end is an
//! [`Update`] to `control`. The [`hub`] starts and stops sources as the config changes; [`consul`]
//! is one object for all Consul clusters, since they share watchers, connections and limits.
//!
//! A source sends whole sets, never differences: what is lost on the way is then repaired by the
//! next answer.

pub mod consul;
pub mod disk;
pub mod dns;
pub mod hub;
pub mod keep;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::config::Name;
use crate::endpoint::Members;

pub use self::hub::Hub;
pub use self::keep::{SourceStatus, Statuses};

/// Turns true when a task must end. A dropped sender means the same.
pub type Stop = watch::Receiver<bool>;

/// A new set of members for a cluster, judged good.
#[derive(Clone, Debug)]
pub struct Update {
    pub cluster: Name,
    /// Which question it answers; see `config::live::Cluster::fingerprint`.
    pub fingerprint: u64,
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

/// What a source tells about one cluster. Cheap to clone; never blocks.
#[derive(Clone, Debug)]
pub struct Answers {
    cluster: Name,
    /// Tells the answers of a source that was replaced from those of its successor.
    id: u64,
    out: mpsc::UnboundedSender<keep::Message>,
    holding: Arc<AtomicBool>,
}

/// How far an answer may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    Good,
    /// The source is lagging, leaderless or has just come back: additions count, removals are held
    /// until a good answer.
    Degraded,
}

/// What a source said. See the methods of [`Answers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Members {
        members: Members,
        /// What the source names too, as something that is not a member (any more).
        elsewhere: Arc<[SocketAddr]>,
        quality: Quality,
        at: Instant,
    },
    Unchanged {
        at: Instant,
    },
    Failed {
        kind: &'static str,
        why: String,
        at: Instant,
    },
    /// The registry's own index, and the instances that cannot be used, with the reason.
    Detail {
        index: u64,
        dropped: Arc<[String]>,
    },
}

// === impl Answers ===

impl Answers {
    pub(crate) fn new(cluster: Name, id: u64, out: mpsc::UnboundedSender<keep::Message>) -> Self {
        Self { cluster, id, out, holding: Arc::default() }
    }

    /// Answers that go nowhere but to the receiver: for the tests of a source.
    pub fn detached(cluster: Name) -> (Self, mpsc::UnboundedReceiver<keep::Message>) {
        let (out, inbox) = mpsc::unbounded_channel();
        (Self::new(cluster, 0, out), inbox)
    }

    /// The cluster they are about.
    pub fn cluster(&self) -> &Name {
        &self.cluster
    }

    /// A whole set. Never call it for a failure.
    pub fn members(&self, members: Members, quality: Quality, at: Instant) {
        self.members_except(members, Arc::default(), quality, at);
    }

    /// As [`Answers::members`], with the addresses that the source names and that do not belong to
    /// the cluster: what was a member and is named as another thing is gone for sure, and no
    /// removal of it is held.
    pub fn members_except(
        &self,
        members: Members,
        elsewhere: Arc<[SocketAddr]>,
        quality: Quality,
        at: Instant,
    ) {
        self.send(Heard::Members { members, elsewhere, quality, at });
    }

    /// The source was heard, in good order, and nothing changed.
    pub fn unchanged(&self, at: Instant) {
        self.send(Heard::Unchanged { at });
    }

    /// The source could not be heard, or not understood. `kind` is a short word for the metric
    /// label.
    pub fn failed(&self, kind: &'static str, why: &str, at: Instant) {
        self.send(Heard::Failed { kind, why: why.to_owned(), at });
    }

    /// What people want to see beside the members. Say it before [`Answers::members`].
    pub fn detail(&self, index: u64, dropped: Arc<[String]>) {
        self.send(Heard::Detail { index, dropped });
    }

    /// Whether members are held that the source no longer names. A source that can should then ask
    /// again soon.
    pub fn holding(&self) -> bool {
        self.holding.load(Ordering::Relaxed)
    }

    /// Whether both speak for the same source of the same cluster.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.id == other.id && self.cluster == other.cluster
    }

    pub(crate) fn set_holding(&self, holding: bool) {
        self.holding.store(holding, Ordering::Relaxed);
    }

    fn send(&self, heard: Heard) {
        // The keeper is gone only when the process stops; nobody needs the answer then.
        let _ = self.out.send(keep::Message::Heard { cluster: self.cluster.clone(), id: self.id, heard });
    }
}

/// Waits until `stop` turns true or its sender is gone.
pub async fn stopped(stop: &mut Stop) {
    let _ = stop.wait_for(|stop| *stop).await;
}
