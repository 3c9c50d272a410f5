//! When the state goes to disk: soon after a change, but at most every [`EVERY`]; now and then
//! without one, so that the age on disk says when the source was last heard; and at the end.
//! Writing happens on the blocking pool, one at a time. A failed write is logged and tried again
//! with the next change: the members in memory do not depend on it. A process that does not own the
//! files writes nothing, its last state neither.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::discovery::disk;
use crate::state_file::Owner;

/// The shortest time between two writes.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// The longest time between two writes while a source is heard. It bounds how much older than true
/// an age on disk may be.
const REFRESH: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Saver {
    dir: Option<PathBuf>,
    due: Option<Instant>,
    last: Option<Instant>,
    running: Option<JoinHandle<()>>,
    /// Its other end is gone when the last write is done.
    busy: Option<watch::Receiver<()>>,
    owner: Owner,
}

// === impl Saver ===

impl Saver {
    pub(super) fn new(dir: Option<PathBuf>, owner: Owner) -> Self {
        Self { dir, due: None, last: None, running: None, busy: None, owner }
    }

    /// What is served, or asked for, changed.
    pub(super) fn changed(&mut self, now: Instant) {
        if self.dir.is_some() && self.due.is_none() {
            self.due = Some(self.last.map_or(now, |last| now.max(last + EVERY)));
        }
    }

    /// A source was heard. The first time too: what came from disk may be right, but its age there
    /// is not any more.
    pub(super) fn heard(&mut self, now: Instant) {
        if self.last.is_none_or(|last| now.saturating_duration_since(last) >= REFRESH) {
            self.changed(now);
        }
    }

    /// When to call [`Saver::start`].
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| self.owner.holds())
    }

    /// Waits until nothing is being written.
    pub(super) fn settled(&self) -> impl Future<Output = ()> + use<> {
        let busy = self.busy.clone();
        async move {
            if let Some(mut busy) = busy {
                while busy.changed().await.is_ok() {}
            }
        }
    }

    /// Writes in the background; later, if the last write is not done.
    pub(super) fn start(&mut self, state: disk::State, now: Instant) {
        if self.running.as_ref().is_some_and(|task| !task.is_finished()) {
            self.due = Some(now + EVERY);
            return;
        }
        let Some(dir) = self.dir.clone().filter(|_| self.owner.holds()) else { return };
        let (done, busy) = watch::channel(());
        self.busy = Some(busy);
        (self.due, self.last) = (None, Some(now));
        self.running = Some(tokio::task::spawn_blocking(move || {
            let _done = done;
            if let Err(e) = disk::save(&dir, &state) {
                log::error!("the members cannot be written to {}: {e}", dir.display());
            }
        }));
    }

    /// Writes a last time and waits for it. The ages are always worth it.
    pub(super) async fn finish(&mut self, state: disk::State) {
        if let Some(task) = self.running.take() {
            let _ = task.await;
        }
        if !state.is_empty() {
            self.start(state, tokio::time::Instant::now().into_std());
        }
        if let Some(task) = self.running.take() {
            let _ = task.await;
        }
    }
}
