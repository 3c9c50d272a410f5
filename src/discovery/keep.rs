//! The manners that all sources share: what their answers are allowed to do to the members that are
//! served.
//!
//! One task, the [`Keeper`], takes every answer of every source in order. It puts sets through the
//! [`guard`], sends what changed to `control`, writes the last known good members to disk and keeps
//! the [`status`] of each source. A failure changes nothing but the status: an outage is not an
//! answer. Being one task it needs no lock for its own state, and a hold or a write to disk is a
//! matter of when it wakes next.
//!
//! The bad side: an answer takes one more hop between tasks, some microseconds against the
//! milliseconds of the network.

pub mod estate;
pub mod guard;
mod saver;
pub mod status;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::config::Name;
use crate::discovery::keep::estate::Estate;
use crate::discovery::keep::guard::{Change, Guard, Rules};
use crate::discovery::keep::saver::Saver;
use crate::discovery::{Answers, Heard, Quality, Stop, Update, disk, stopped};
use crate::endpoint::Members;
use crate::state_file::Owner;

pub use self::status::{LastError, Origin, SourceStatus, Statuses};

/// What the keeper is told.
#[derive(Debug)]
pub enum Message {
    /// A cluster gets a source, or another one.
    Begin(Box<Begin>),
    /// Other figures for the guard.
    Rules { cluster: Name, rules: Rules },
    /// A cluster has no source any more.
    Forget(Name),
    /// A source said something. `id` is that of its [`Answers`].
    Heard { cluster: Name, id: u64, heard: Heard },
    /// Another process is to go on from here.
    Bequeath(oneshot::Sender<Estate>),
    /// What another process has left.
    Inherit(Estate, Option<oneshot::Sender<()>>),
}

/// A cluster and its source.
#[derive(Debug)]
pub struct Begin {
    pub answers: Answers,
    /// `consul`, `dns`.
    pub source: &'static str,
    /// What is asked for, in a word for logs: the service's name.
    pub subject: String,
    /// What is asked for, exactly. State on disk counts only for the same text.
    pub spec: String,
    /// The same as a number, for [`Update`].
    pub fingerprint: u64,
    pub rules: Rules,
    /// The oldest state on disk that is accepted.
    pub max_age: Duration,
}

/// The task behind all [`Answers`].
#[derive(Debug)]
pub struct Keeper {
    clusters: BTreeMap<Name, Kept>,
    /// What was on disk at the start, minus what was used.
    restored: disk::State,
    /// What another process has left, minus what was used.
    inherited: Estate,
    updates: mpsc::UnboundedSender<Update>,
    statuses: Statuses,
    saver: Saver,
    owner: Owner,
}

#[derive(Debug)]
struct Kept {
    begin: Begin,
    guard: Guard,
    /// When the source was last heard, in seconds since 1970. 0: never.
    heard_at: u64,
    /// Whether this process has heard it.
    heard: bool,
    /// Whether what is served comes from the source, and not from disk.
    live: bool,
}

// === impl Keeper ===

impl Keeper {
    /// A keeper that starts from what is in `state_dir`. A file that cannot be used is logged and
    /// left alone until the first write.
    pub fn new(
        updates: mpsc::UnboundedSender<Update>,
        statuses: Statuses,
        state_dir: Option<PathBuf>,
        owner: Owner,
    ) -> Self {
        let restored = match state_dir.as_deref().map(disk::load) {
            Some(Ok(Some(state))) => state,
            Some(Err(e)) => {
                log::warn!("the state of earlier members is not used: {e}");
                disk::State::new()
            }
            Some(Ok(None)) | None => disk::State::new(),
        };
        let saver = Saver::new(state_dir, owner.clone());
        let (clusters, inherited) = (BTreeMap::new(), Estate::new());
        Self { clusters, restored, inherited, updates, statuses, saver, owner }
    }

    /// Takes messages until `stop`, then writes what is not on disk yet.
    pub async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Message>, mut stop: Stop) {
        let mut owned = self.owner.changes();
        loop {
            let due = self.clusters.values().filter_map(|k| k.guard.due()).chain(self.saver.due()).min();
            let wake = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.on(message, now()),
                    None => break,
                },
                () = wake => self.tick(now()),
                // Never an error: the keeper is an owner itself.
                _ = owned.changed() => if self.owner.holds() { self.settle(now()) },
                () = stopped(&mut stop) => break,
            }
        }
        while let Ok(message) = inbox.try_recv() {
            self.on(message, now());
        }
        let state = self.state();
        self.saver.finish(state).await;
    }

    fn on(&mut self, message: Message, now: Instant) {
        match message {
            Message::Begin(begin) => self.begin(*begin, now),
            Message::Rules { cluster, rules } => {
                if let Some(kept) = self.clusters.get_mut(&cluster) {
                    kept.begin.rules = rules;
                    kept.guard.set_rules(rules);
                }
            }
            Message::Forget(cluster) => {
                self.clusters.remove(&cluster);
                self.statuses.remove(&cluster);
                self.saver.changed(now);
            }
            Message::Heard { cluster, id, heard } => {
                let current = self.clusters.get(&cluster).is_some_and(|k| k.begin.answers.id == id);
                if current {
                    self.heard(&cluster, heard);
                }
            }
            Message::Bequeath(reply) => self.bequeath(reply, now),
            Message::Inherit(estate, reply) => {
                self.inherit(estate, now);
                if let Some(reply) = reply {
                    let _ = reply.send(());
                }
            }
        }
    }

    fn begin(&mut self, begin: Begin, now: Instant) {
        let cluster = begin.answers.cluster.clone();
        let guard = Guard::new(begin.rules);
        let mut kept = Kept { guard, begin, heard_at: 0, heard: false, live: false };
        self.statuses.remove(&cluster);
        self.statuses.edit(&cluster, |record| record.source = kept.begin.source);
        if let Some(left) = self.inherited.remove(&cluster).filter(|left| left.spec == kept.begin.spec) {
            self.restored.remove(&cluster);
            self.clusters.insert(cluster.clone(), kept);
            self.adopt(&cluster, left, now);
            return;
        }
        let stored = self.restored.remove(&cluster).filter(|stored| {
            let fresh = disk::fresh(stored.heard_at, unix_now(), kept.begin.max_age.as_secs());
            stored.spec == kept.begin.spec && fresh
        });
        if let Some(stored) = stored {
            kept.heard_at = stored.heard_at;
            kept.guard.restore(stored.members.clone());
            self.statuses.edit(&cluster, |record| {
                record.origin = Some(Origin::Disk);
                record.success = Some(now);
                record.age_then = Duration::from_secs(unix_now().saturating_sub(stored.heard_at));
                record.members = stored.members.len();
                record.degraded = true;
            });
            let cause = format!("disk: {}: {} members", kept.begin.subject, stored.members.len());
            let _ = self.updates.send(Update {
                cluster: cluster.clone(),
                fingerprint: kept.begin.fingerprint,
                members: stored.members,
                cause,
            });
        }
        self.clusters.insert(cluster, kept);
    }

    fn heard(&mut self, cluster: &Name, heard: Heard) {
        let Some(kept) = self.clusters.get_mut(cluster) else { return };
        let (change, at) = match heard {
            Heard::Members { members, elsewhere, quality, at } => {
                let change = kept.members(members, &elsewhere, quality, at);
                let degraded = quality == Quality::Degraded;
                self.statuses.edit(cluster, |record| {
                    record.origin = Some(Origin::Live);
                    record.degraded = degraded;
                    (record.success, record.age_then) = (Some(at), Duration::ZERO);
                });
                (change, at)
            }
            Heard::Unchanged { at } => {
                self.statuses.edit(cluster, |record| {
                    (record.success, record.age_then) = (Some(at), Duration::ZERO);
                    record.degraded &= record.origin != Some(Origin::Live);
                });
                (kept.guard.unchanged(at), at)
            }
            Heard::Failed { kind, why, at } => {
                kept.failed(&self.statuses, kind, why, at);
                return;
            }
            Heard::Detail { index, dropped } => {
                let source = kept.begin.source;
                self.statuses.edit(cluster, |record| {
                    // Each answer says it again; only another number is news.
                    match dropped.first() {
                        Some(first) if dropped.len() != record.dropped.len() => log::warn!(
                            "cluster {cluster}: {source}: {} instances cannot be used, as {first}",
                            dropped.len()
                        ),
                        _ => {}
                    }
                    (record.index, record.dropped) = (index, dropped);
                });
                return;
            }
        };
        (kept.heard_at, kept.heard, kept.live) = (unix_now(), true, true);
        self.saver.heard(at);
        self.publish(cluster, change, at);
    }

    fn tick(&mut self, now: Instant) {
        let mut changes = Vec::new();
        for (cluster, kept) in &mut self.clusters {
            if let Some(change) = kept.guard.tick(now) {
                changes.push((cluster.clone(), change));
            }
        }
        for (cluster, change) in changes {
            self.publish(&cluster, Some(change), now);
        }
        if self.saver.due().is_some_and(|due| due <= now) {
            let state = self.state();
            self.saver.start(state, now);
        }
    }

    fn publish(&mut self, cluster: &Name, change: Option<Change>, now: Instant) {
        let Some(kept) = self.clusters.get(cluster) else { return };
        let held = kept.guard.held();
        kept.begin.answers.set_holding(held > 0);
        self.statuses.edit(cluster, |record| {
            record.held = held;
            record.members = kept.guard.served().map_or(0, |members| members.len());
            record.updates += u64::from(change.is_some());
        });
        if let Some(change) = change {
            let cause = format!("{}: {}: {}", kept.begin.source, kept.begin.subject, words(&change));
            log::debug!("cluster {cluster}: {cause}");
            let _ = self.updates.send(Update {
                cluster: cluster.clone(),
                fingerprint: kept.begin.fingerprint,
                members: change.members,
                cause,
            });
            self.saver.changed(now);
        }
    }

    /// What is worth keeping on disk: the served members of clusters that were heard at some time.
    fn state(&self) -> disk::State {
        let stored = |kept: &Kept| {
            let members = kept.guard.served().filter(|_| kept.heard_at > 0)?.clone();
            Some(disk::Stored { spec: kept.begin.spec.clone(), heard_at: kept.heard_at, members })
        };
        self.clusters.iter().filter_map(|(name, kept)| Some((name.clone(), stored(kept)?))).collect()
    }
}

// === impl Kept ===

impl Kept {
    fn members(
        &mut self,
        members: Members,
        elsewhere: &[SocketAddr],
        quality: Quality,
        at: Instant,
    ) -> Option<Change> {
        let (named, before) = (members.len(), self.guard.held());
        let change = self.guard.answer_except(members, elsewhere, quality, at);
        let held = self.guard.held();
        if held > before {
            log::warn!(
                "cluster {}: the {} answer names {named} members; {held} that it no longer names are held",
                self.begin.answers.cluster,
                self.begin.source,
            );
        }
        change
    }

    fn failed(&mut self, statuses: &Statuses, kind: &'static str, why: String, at: Instant) {
        self.guard.lost();
        statuses.edit(&self.begin.answers.cluster, |record| {
            // The same trouble for hours is one line in the log; the count tells the rest.
            let news = record.error.as_ref().is_none_or(|(last, _, _)| *last != kind)
                || record.success.is_some_and(|ok| record.error.as_ref().is_some_and(|e| ok > e.2));
            if news {
                log::warn!("cluster {}: {}: {kind}: {why}", self.begin.answers.cluster, self.begin.source);
            }
            *record.errors.entry(kind).or_default() += 1;
            record.error = Some((kind, why, at));
        });
    }
}

/// `2 added, 1 removed`.
fn words(change: &Change) -> String {
    let parts = [(change.added, "added"), (change.removed, "removed"), (change.changed, "changed")];
    let said: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if said.is_empty() { "no instances".to_owned() } else { said.join(", ") }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[expect(clippy::disallowed_methods, reason = "the age of a file spans processes: only wall time does")]
fn unix_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
