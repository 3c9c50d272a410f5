//! The members that one process hands to the next, so that it serves the same endpoints at once,
//! whether the registry answers it or not.
//!
//! It is what the state on disk is, and more: younger, and with the holds. A member that is held is
//! still held, since the time at which it was first missed; and until the new process has heard the
//! source itself no hold ends, as while a source cannot be heard. There is no limit of age: these
//! are being served.
//!
//! What a source has told the new process counts more than what the old one says later: a source
//! does not repeat what it has said. The bad side: where only the old process could hear it, the new
//! one takes a change up when it hears the source again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::config::Name;
use crate::discovery::keep::guard::Change;
use crate::discovery::keep::{Keeper, Kept, Message, Origin, unix_now};
use crate::discovery::{Update, disk};
use crate::endpoint::Members;
use crate::state_file::lenient::{self, is_default};

/// By cluster.
pub type Estate = BTreeMap<Name, Left>;

/// The members of one cluster. One without members or question is of no use, so these two have no
/// default: without them the cluster is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// What the cluster asks for. Members of another question are not its members.
    pub spec: String,
    /// All that are served, those that are held too.
    pub members: Members,
    /// When the source was last heard, in seconds since 1970.
    #[serde(default, deserialize_with = "lenient::field")]
    pub heard_at: u64,
    /// Since how many milliseconds each that is held has been missed.
    #[serde(default, deserialize_with = "lenient::map", skip_serializing_if = "is_default")]
    pub held: BTreeMap<SocketAddr, u64>,
    /// Whether they come from the source, and not from disk.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "is_default")]
    pub live: bool,
    /// Whether removals were doubted.
    #[serde(default, deserialize_with = "lenient::field", skip_serializing_if = "is_default")]
    pub degraded: bool,
}

/// A line to the keeper.
#[derive(Clone, Debug)]
pub struct Line(mpsc::UnboundedSender<Message>);

// === impl Line ===

impl Line {
    /// To the keeper that reads the other end.
    pub fn new(keeper: mpsc::UnboundedSender<Message>) -> Self {
        Self(keeper)
    }

    /// What there is to hand on, once no write to disk is under way. The keeper goes on serving; who
    /// wants it to write no more takes the files away from it first, see
    /// [`Owner`](crate::state_file::Owner).
    pub async fn bequeath(&self) -> Estate {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Message::Bequeath(reply));
        // Gone only when the process stops.
        answer.await.unwrap_or_default()
    }

    /// Leaves it to the keeper; returns when what is new has been sent on.
    pub async fn inherit(&self, estate: Estate) {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Message::Inherit(estate, Some(reply)));
        let _ = answer.await;
    }

    /// Leaves it to a keeper that has not begun.
    pub fn begin_with(&self, estate: Estate) {
        let _ = self.0.send(Message::Inherit(estate, None));
    }
}

// === impl Keeper ===

impl Keeper {
    /// Tells what there is, when nothing is being written.
    pub(super) fn bequeath(&self, reply: oneshot::Sender<Estate>, now: Instant) {
        let records = self.statuses.degraded();
        let left = |(name, kept): (&Name, &Kept)| {
            let members = kept.guard.served()?.clone();
            let held = kept.guard.missed(now).map(|(address, for_long)| (address, millis(for_long)));
            let left = Left {
                spec: kept.begin.spec.clone(),
                members,
                heard_at: kept.heard_at,
                held: held.collect(),
                live: kept.live,
                degraded: records.contains(name),
            };
            Some((name.clone(), left))
        };
        let estate: Estate = self.clusters.iter().filter_map(left).collect();
        let settled = self.saver.settled();
        tokio::spawn(async move {
            settled.await;
            let _ = reply.send(estate);
        });
    }

    /// Takes it: now for the clusters that are known and have not heard their source here, when they
    /// begin for the others.
    pub(super) fn inherit(&mut self, estate: Estate, now: Instant) {
        for (name, left) in estate {
            match self.clusters.get(&name) {
                None => drop(self.inherited.insert(name, left)),
                Some(kept) if kept.begin.spec == left.spec && !kept.heard => self.adopt(&name, left, now),
                Some(_) => {}
            }
        }
    }

    /// Serves what another process served.
    pub(super) fn adopt(&mut self, cluster: &Name, left: Left, now: Instant) {
        let Some(kept) = self.clusters.get_mut(cluster) else { return };
        let since = |(address, for_long): (&SocketAddr, &u64)| {
            let since = now.checked_sub(Duration::from_millis(*for_long)).unwrap_or(now);
            (*address, since)
        };
        let change = kept.guard.resume(left.members, left.held.iter().map(since));
        (kept.heard_at, kept.live) = (left.heard_at, left.live);
        let held = kept.guard.held();
        kept.begin.answers.set_holding(held > 0);
        self.statuses.edit(cluster, |record| {
            record.origin = Some(if left.live { Origin::Live } else { Origin::Disk });
            record.success = Some(now);
            record.age_then = Duration::from_secs(unix_now().saturating_sub(left.heard_at));
            record.members = kept.guard.served().map_or(0, |members| members.len());
            record.held = held;
            record.degraded = left.degraded;
        });
        if let Some(Change { members, .. }) = change {
            let cause = format!("hand-over: {}: {} members", kept.begin.subject, members.len());
            let (cluster, fingerprint) = (cluster.clone(), kept.begin.fingerprint);
            let _ = self.updates.send(Update { cluster, fingerprint, members, cause });
        }
    }

    /// The files are this process's now: what nobody has asked for is as old as if it were on disk.
    pub(super) fn settle(&mut self, now: Instant) {
        for (name, left) in std::mem::take(&mut self.inherited) {
            let Left { spec, heard_at, members, .. } = left;
            self.restored.insert(name, disk::Stored { spec, heard_at, members });
        }
        self.saver.changed(now);
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
