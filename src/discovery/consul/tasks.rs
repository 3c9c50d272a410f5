//! Which tasks run for which services, and how a new wish list becomes them with the fewest
//! changes.
//!
//! A service that is watched stays watched; a new one is watched while there is room, else swept. A
//! swept one moves to a watcher when a place becomes free, since that costs nothing that hangs.
//! Each datacenter that has swept services has one [`Sweep`].
//!
//! A watcher that nobody needs any more goes on until its query comes back: given up, the query
//! would keep its connection at the agent for as long, and reloads that take services out and put
//! them back would use up all that the agent grants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::discovery::Stop;
use crate::discovery::consul::sweep::Sweep;
use crate::discovery::consul::watch::Watch;
use crate::discovery::consul::{Key, Shared, Subscriber, Wanted};

/// The tasks of a running source.
#[derive(Debug)]
pub(super) struct Tasks {
    shared: Shared,
    limit: usize,
    watched: BTreeMap<Key, Watched>,
    swept: BTreeMap<Option<String>, Running<Arc<Wanted>>>,
}

/// A watcher.
#[derive(Debug)]
struct Watched {
    running: Running<Arc<[Subscriber]>>,
    /// Set by the watcher while it has nobody to tell and no query in flight.
    idle: Arc<AtomicBool>,
    wanted: bool,
}

/// A task and what it is told while it runs.
#[derive(Debug)]
struct Running<T> {
    tell: watch::Sender<T>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

// === impl Tasks ===

impl Tasks {
    pub(super) fn new(shared: Shared, limit: usize) -> Self {
        Self { shared, limit, watched: BTreeMap::new(), swept: BTreeMap::new() }
    }

    /// Starts, tells and ends tasks so that exactly `wanted` is served.
    pub(super) fn reconcile(&mut self, mut wanted: Wanted) {
        self.watched.retain(|key, watched| watched.keep(wanted.remove(key)));
        let mut watching = self.watched.values().filter(|watched| watched.wanted).count();
        let mut sweeps: BTreeMap<Option<String>, Wanted> = BTreeMap::new();
        for (key, subscribers) in wanted {
            if watching < self.limit {
                watching += 1;
                self.watched.insert(key.clone(), Watched::start(self.shared.clone(), key, subscribers));
            } else {
                sweeps.entry(key.datacenter.clone()).or_default().insert(key, subscribers);
            }
        }
        self.swept.retain(|datacenter, running| {
            let wanted = sweeps.remove(datacenter);
            running.keep(wanted.map(Arc::new))
        });
        for (datacenter, wanted) in sweeps {
            let shared = self.shared.clone();
            let running = Running::start(Arc::new(wanted), |wanted, stop| {
                Sweep::new(shared, datacenter.clone(), wanted).run(stop)
            });
            self.swept.insert(datacenter, running);
        }
    }

    /// Ends every task and waits for it.
    pub(super) async fn end(self) {
        let tasks: Vec<_> = self.watched.into_values().map(|watched| watched.running.end()).collect();
        let sweeps: Vec<_> = self.swept.into_values().map(Running::end).collect();
        for task in tasks.into_iter().chain(sweeps) {
            let _ = task.await;
        }
    }
}

// === impl Watched ===

impl Watched {
    fn start(shared: Shared, key: Key, subscribers: Arc<[Subscriber]>) -> Self {
        let idle = Arc::new(AtomicBool::new(false));
        let running = Running::start(subscribers, |subscribers, stop| {
            Watch::new(shared, key, subscribers, idle.clone()).run(stop)
        });
        Self { running, idle, wanted: true }
    }

    /// Tells a watcher whom it serves now. False: it ended, since that is nobody and nothing is in
    /// flight.
    fn keep(&mut self, subscribers: Option<Arc<[Subscriber]>>) -> bool {
        self.wanted = subscribers.is_some();
        let over = !self.wanted && self.idle.load(Relaxed);
        self.running.keep(if over { None } else { Some(subscribers.unwrap_or_default()) })
    }
}

// === impl Running ===

impl<T: Send + Sync + 'static> Running<T> {
    fn start<F>(wanted: T, task: impl FnOnce(watch::Receiver<T>, Stop) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (tell, told) = watch::channel(wanted);
        let (stop, stopped) = watch::channel(false);
        Self { tell, stop, task: tokio::spawn(task(told, stopped)) }
    }

    /// Tells a task what it is to do now, or ends it.
    fn keep(&self, wanted: Option<T>) -> bool {
        match wanted {
            Some(wanted) => {
                self.tell.send_replace(wanted);
                true
            }
            None => {
                self.stop.send_replace(true);
                false
            }
        }
    }

    fn end(self) -> JoinHandle<()> {
        self.stop.send_replace(true);
        self.task
    }
}
