//! Which tasks run for which services, and how a new wish list becomes them with the fewest
//! changes.
//!
//! A service that is watched stays watched; a new one is watched while there is room, else swept. A
//! swept one moves to a watcher when a place becomes free, since that costs nothing that hangs.
//! Each datacenter that has swept services has one [`Sweep`].

use std::collections::BTreeMap;
use std::sync::Arc;

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
    watched: BTreeMap<Key, Running<Arc<[Subscriber]>>>,
    swept: BTreeMap<Option<String>, Running<Arc<Wanted>>>,
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
        self.watched.retain(|key, running| {
            let subscribers = wanted.remove(key);
            running.keep(subscribers)
        });
        let mut sweeps: BTreeMap<Option<String>, Wanted> = BTreeMap::new();
        for (key, subscribers) in wanted {
            if self.watched.len() < self.limit {
                let shared = self.shared.clone();
                let running = Running::start(subscribers, |subscribers, stop| {
                    Watch::new(shared, key.clone(), subscribers).run(stop)
                });
                self.watched.insert(key, running);
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
        let tasks: Vec<_> = self.watched.into_values().map(Running::end).collect();
        let sweeps: Vec<_> = self.swept.into_values().map(Running::end).collect();
        for task in tasks.into_iter().chain(sweeps) {
            let _ = task.await;
        }
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
