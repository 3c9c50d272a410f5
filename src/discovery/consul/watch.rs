//! The watcher of one service: a blocking query after another.
//!
//! While a query hangs, the watcher still takes new subscribers and tells them what it knows,
//! without touching the query. Without subscribers it asks nothing more once that query is back.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;

use crate::consul::health::Instances;
use crate::consul::{Answer, Error};
use crate::discovery::consul::bucket::Bucket;
use crate::discovery::consul::poll::{Ask, Next, Poll};
use crate::discovery::consul::{Key, Known, Shared, Subscriber, failed, now};
use crate::discovery::{Quality, Stop, stopped};

/// The watcher.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Shared,
    key: Key,
    subscribers: watch::Receiver<Arc<[Subscriber]>>,
    /// Those that were told what is known.
    told: Arc<[Subscriber]>,
    known: Option<Known>,
    poll: Poll,
    /// Whether the last answer named fewer members than the one before.
    shrunk: bool,
    total: usize,
    idle: Arc<AtomicBool>,
    rng: fastrand::Rng,
}

// === impl Watch ===

impl Watch {
    /// `idle` is set while there is nobody to tell and no query in flight.
    pub(super) fn new(
        shared: Shared,
        key: Key,
        subscribers: watch::Receiver<Arc<[Subscriber]>>,
        idle: Arc<AtomicBool>,
    ) -> Self {
        let poll = Poll::new(shared.timing, Bucket::service());
        let told = subscribers.borrow().clone();
        let rng = fastrand::Rng::new();
        Self { shared, key, subscribers, told, known: None, poll, shrunk: false, total: 0, idle, rng }
    }

    /// Watches until `stop`.
    pub(super) async fn run(mut self, mut stop: Stop) {
        let mut pause = self.poll.ready(now());
        loop {
            if self.during(&mut stop, tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            if self.needed(&mut stop).await.is_none() {
                return;
            }
            let doubtful = self.shrunk || self.told.iter().any(|s| s.answers.holding());
            let ask = self.poll.ask(doubtful, now());
            let (shared, key) = (self.shared.clone(), self.key.clone());
            let Some(answer) = self.during(&mut stop, async move { shared.instances(&key, ask).await }).await
            else {
                return;
            };
            let after = match answer.and_then(|answer| self.heard(ask, answer)) {
                Ok(after) => after,
                Err(error) => {
                    failed(&self.told, &error);
                    self.poll.failed(&error, &mut self.rng)
                }
            };
            pause = after.max(self.poll.ready(now()));
        }
    }

    /// Takes an answer; says how long to wait before the next question.
    fn heard(&mut self, ask: Ask, answer: Answer) -> Result<Duration, Error> {
        let now = now();
        let next = self.poll.heard(ask, &answer, now, &mut self.rng);
        let mut pause = Duration::ZERO;
        let (quality, instances) = match next {
            Next::Apply(quality) => (quality, Some(Instances::parse(&answer.body)?)),
            Next::Same(quality) => (quality, None),
            Next::Later(quality, wait) => {
                pause = wait;
                (quality, None)
            }
            Next::Again => return Ok(pause),
        };
        let fresh = instances.is_some();
        if fresh {
            self.poll.understood();
        }
        let was = self.known.as_ref().map(|known| known.quality);
        self.known = match (instances, self.known.take()) {
            (Some(instances), _) => Some(Known { instances, index: answer.index, quality }),
            (None, Some(known)) => Some(Known { quality, ..known }),
            (None, None) => None,
        };
        let settled = quality == Quality::Good && was == Some(Quality::Good);
        if let Some(known) = &self.known
            && (fresh || !settled)
        {
            let total = known.tell(self.told.iter(), now);
            self.shrunk = fresh && total < self.total;
            self.total = total;
        } else {
            self.shrunk = false;
            self.told.iter().for_each(|s| s.answers.unchanged(now));
        }
        Ok(pause)
    }

    /// Waits for `work` and serves new subscribers meanwhile. None: stopped.
    async fn during<W: Future>(&mut self, stop: &mut Stop, work: W) -> Option<W::Output> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = stopped(stop) => return None,
                changed = self.subscribers.changed() => {
                    changed.ok()?;
                    self.resubscribe();
                }
            }
        }
    }

    /// Waits until somebody subscribes. What was known before is forgotten: it is not followed
    /// meanwhile.
    async fn needed(&mut self, stop: &mut Stop) -> Option<()> {
        while self.told.is_empty() {
            (self.known, self.shrunk, self.total) = (None, false, 0);
            self.poll = Poll::new(self.shared.timing, Bucket::service());
            self.idle.store(true, Relaxed);
            tokio::select! {
                () = stopped(stop) => return None,
                changed = self.subscribers.changed() => changed.ok()?,
            }
            self.resubscribe();
        }
        self.idle.store(false, Relaxed);
        Some(())
    }

    fn resubscribe(&mut self) {
        let subscribers = self.subscribers.borrow_and_update().clone();
        if let Some(known) = &self.known {
            let new = subscribers.iter().filter(|s| !self.told.iter().any(|old| old.same(s)));
            known.tell(new, now());
        }
        self.told = subscribers;
    }
}
