//! Many services with few connections: two triggers that hang, and a sweep that reads all services
//! when either wakes.
//!
//! `catalog/services` wakes for registrations, `health/state/any` for checks; neither sees
//! everything, both together do. The second is asked with a filter that nothing passes, so it wakes
//! just the same and answers three bytes. A sweep reads every service without an index, [`AT_ONCE`]
//! at a time, and skips those whose index did not move. Beside the triggers a sweep comes every
//! [`EVERY`], for what a trigger may have missed.
//!
//! The bad side: any change in the catalog costs a read of every service here. So sweeps go through
//! the same token bucket as the questions of one watcher, and take at most a quarter of the time
//! (with a thousand services a change may wait a second or two). That is what `max_watchers` trades
//! against connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::consul::health::Instances;
use crate::consul::{Answer, Error};
use crate::discovery::consul::backoff::Backoff;
use crate::discovery::consul::bucket::Bucket;
use crate::discovery::consul::poll::{Ask, Next, Poll, UNSURE};
use crate::discovery::consul::{Key, Known, Shared, Subscriber, Wanted, failed, now};
use crate::discovery::{Quality, Stop, stopped};

const AT_ONCE: usize = 8;
const EVERY: Duration = Duration::from_secs(60);
/// After a sweep that a trigger asked for, how many times its length to rest.
const REST: u32 = 3;
/// How soon to look again while removals are held or doubted.
const SOON: Duration = Duration::from_secs(5);

/// The sweeper of one datacenter.
#[derive(Debug)]
pub(super) struct Sweep {
    shared: Shared,
    datacenter: Option<String>,
    wanted: watch::Receiver<Arc<Wanted>>,
    known: BTreeMap<Key, (Known, Arc<[Subscriber]>)>,
    wake: Arc<Notify>,
    bucket: Bucket,
    backoff: Backoff,
    failing: bool,
    unsure_until: Option<Instant>,
    rng: fastrand::Rng,
}

/// What hangs at the agent to say that a sweep is due.
#[derive(Clone, Copy, Debug)]
enum Trigger {
    Services,
    Checks,
}

// === impl Sweep ===

impl Sweep {
    pub(super) fn new(
        shared: Shared,
        datacenter: Option<String>,
        wanted: watch::Receiver<Arc<Wanted>>,
    ) -> Self {
        Self {
            shared,
            datacenter,
            wanted,
            known: BTreeMap::new(),
            wake: Arc::default(),
            bucket: Bucket::service(),
            backoff: Backoff::default(),
            failing: false,
            unsure_until: None,
            rng: fastrand::Rng::new(),
        }
    }

    /// Sweeps until `stop`.
    pub(super) async fn run(mut self, mut stop: Stop) {
        let mut triggers = JoinSet::new();
        for trigger in [Trigger::Services, Trigger::Checks] {
            triggers.spawn(trigger.run(self.shared.clone(), self.datacenter.clone(), self.wake.clone()));
        }
        let wake = self.wake.clone();
        let mut triggered = false;
        loop {
            let started = now();
            let swept = tokio::select! {
                swept = self.sweep() => swept,
                () = stopped(&mut stop) => return,
            };
            // Sweeps that nobody asked for are rare enough; one right after them need not wait.
            let rest = if triggered { (now() - started) * REST } else { Duration::ZERO };
            let (least, most) = match swept {
                Ok(()) => (rest.max(self.bucket.take(now())), self.patience()),
                Err(error) => {
                    let wait = self.backoff.after(&error, &mut self.rng);
                    (wait, wait)
                }
            };
            let due = async {
                tokio::time::sleep(least).await;
                tokio::select! {
                    () = wake.notified() => true,
                    _ = self.wanted.changed() => true,
                    () = tokio::time::sleep(most.saturating_sub(least)) => false,
                }
            };
            triggered = tokio::select! {
                triggered = due => triggered,
                () = stopped(&mut stop) => return,
            };
        }
    }

    /// How long to wait for a trigger.
    fn patience(&self) -> Duration {
        let holding =
            self.known.values().any(|(_, subscribers)| subscribers.iter().any(|s| s.answers.holding()));
        if holding || self.known.values().any(|(known, _)| known.quality == Quality::Degraded) {
            SOON
        } else {
            EVERY
        }
    }

    /// Reads every service once. An error that is not about one service ends the sweep, and all are
    /// told.
    async fn sweep(&mut self) -> Result<(), Error> {
        let wanted = self.wanted.borrow_and_update().clone();
        self.known.retain(|key, _| wanted.contains_key(key));
        let shared = self.shared.clone();
        let ask = Ask { index: 0, wait: Duration::from_secs(1), consistency: self.shared.timing.consistency };
        let reads = wanted.iter().map(|(key, subscribers)| {
            let (shared, key, subscribers) = (shared.clone(), key.clone(), subscribers.clone());
            async move {
                let answer = shared.instances(&key, ask).await;
                (key, subscribers, answer)
            }
        });
        let mut answers = futures::stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        while let Some((key, subscribers, answer)) = answers.next().await {
            let applied = match answer {
                Ok(answer) => self.apply(&key, &subscribers, answer),
                Err(error) => Err(error),
            };
            match applied {
                Ok(()) => {}
                Err(error) if of_one_service(&error) => failed(&subscribers, &error),
                Err(error) => {
                    wanted.values().for_each(|subscribers| failed(subscribers, &error));
                    self.failing = true;
                    return Err(error);
                }
            }
        }
        self.backoff.reset();
        Ok(())
    }

    fn apply(&mut self, key: &Key, subscribers: &Arc<[Subscriber]>, answer: Answer) -> Result<(), Error> {
        let now = now();
        if self.failing {
            self.unsure_until = Some(now + UNSURE);
        }
        self.failing = false;
        let before = self.known.get(key);
        if before.is_some_and(|(known, _)| answer.index < known.index) {
            self.unsure_until = Some(now + UNSURE);
        }
        let lags = !answer.known_leader || answer.lag > self.shared.timing.max_stale;
        let unsure = self.unsure_until.is_some_and(|until| until > now);
        let quality = if lags || unsure { Quality::Degraded } else { Quality::Good };
        if let Some((known, told)) = before {
            let same_question =
                told.len() == subscribers.len() && told.iter().zip(&**subscribers).all(|(a, b)| a.same(b));
            let settled = quality == Quality::Good && known.quality == Quality::Good;
            if known.index == answer.index && same_question && settled {
                subscribers.iter().for_each(|s| s.answers.unchanged(now));
                return Ok(());
            }
        }
        let known = Known { instances: Instances::parse(&answer.body)?, index: answer.index, quality };
        known.tell(subscribers.iter(), now);
        self.known.insert(key.clone(), (known, subscribers.clone()));
        Ok(())
    }
}

// === impl Trigger ===

impl Trigger {
    /// Wakes the sweeper at each change, and when the agent goes or comes back.
    async fn run(self, shared: Shared, datacenter: Option<String>, wake: Arc<Notify>) {
        let mut poll = Poll::new(shared.timing, Bucket::service());
        let mut rng = fastrand::Rng::new();
        let key = Key { datacenter, service: String::new() };
        let mut failing = false;
        loop {
            tokio::time::sleep(poll.ready(now())).await;
            let ask = poll.ask(false, now());
            let pause = match shared.ask(self.path(), (&key, self.params()), ask).await {
                Ok(answer) => {
                    let next = poll.heard(ask, &answer, now(), &mut rng);
                    if failing || matches!(next, Next::Apply(_) | Next::Again) {
                        wake.notify_one();
                    }
                    failing = false;
                    poll.understood();
                    if let Next::Later(_, wait) = next { wait } else { Duration::ZERO }
                }
                Err(error) => {
                    if !failing {
                        wake.notify_one();
                    }
                    failing = true;
                    poll.failed(&error, &mut rng)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn path(self) -> &'static [&'static str] {
        match self {
            Self::Services => &["catalog", "services"],
            Self::Checks => &["health", "state", "any"],
        }
    }

    fn params(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Services => &[],
            Self::Checks => &[("filter", r#"CheckID == "-""#)],
        }
    }
}

/// Whether the other services may still answer.
fn of_one_service(error: &Error) -> bool {
    matches!(
        error,
        Error::Config(_)
            | Error::NotJson(_)
            | Error::Truncated(_)
            | Error::TooLarge(_)
            | Error::Unreadable { .. }
            | Error::BadIndex(_)
    )
}
