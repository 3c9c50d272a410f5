//! Whether this process should get traffic, and if not, what it waits for.
//!
//! Ready once every cluster of the first config has had an answer, from its source or from disk.
//! From then on ready until it drains: a later outage of a source, or a reload that adds a cluster,
//! must not take the whole node out.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

/// Shared by the writer, the signal handler and the admin API.
#[derive(Debug)]
pub struct Ready {
    awaited: ArcSwap<Vec<String>>,
    once: AtomicBool,
    draining: AtomicBool,
    /// The listening sockets are not open yet.
    closed: AtomicBool,
    /// Something of this changed, for the one task that waits for it.
    changed: Notify,
}

// === impl Ready ===

impl Ready {
    /// Waits for the first snapshot.
    pub fn new() -> Self {
        let awaited = ArcSwap::from_pointee(vec!["the first snapshot".to_owned()]);
        Self {
            awaited,
            once: false.into(),
            draining: false.into(),
            closed: false.into(),
            changed: Notify::new(),
        }
    }

    /// Says what is still awaited; nothing: ready from now on.
    pub fn await_only(&self, awaited: Vec<String>) {
        if awaited.is_empty() {
            self.once.store(true, Relaxed);
        }
        self.awaited.store(awaited.into());
        self.changed.notify_one();
    }

    /// Not ready, whatever else holds, until [`open`](Self::open).
    pub fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// The listening sockets take connections.
    pub fn open(&self) {
        self.closed.store(false, Relaxed);
        self.changed.notify_one();
    }

    /// Whether the listening sockets take connections.
    pub fn is_open(&self) -> bool {
        !self.closed.load(Relaxed)
    }

    /// Waits until something of this has changed since the last time. For one task.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether it was ready once, so that nothing more can change but draining.
    pub fn reached(&self) -> bool {
        self.once.load(Relaxed)
    }

    /// From now on: not ready, and connections are closed as they answer.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
        self.changed.notify_one();
    }

    /// Whether the process is on its way out.
    pub fn draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Ready, or what is awaited.
    ///
    /// # Errors
    ///
    /// A list for people.
    pub fn check(&self) -> Result<(), Vec<String>> {
        if self.draining() {
            return Err(vec!["draining: this process is about to stop".into()]);
        }
        if !self.reached() {
            return Err(self.awaited.load().to_vec());
        }
        if self.closed.load(Relaxed) { Err(vec!["the listeners to open".into()]) } else { Ok(()) }
    }
}

impl Default for Ready {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_lasts_until_draining() {
        let ready = Ready::new();
        assert_eq!(ready.check(), Err(vec!["the first snapshot".to_owned()]));
        ready.await_only(vec!["cluster web".into()]);
        assert_eq!(ready.check(), Err(vec!["cluster web".to_owned()]));
        ready.await_only(Vec::new());
        ready.await_only(vec!["cluster new".into()]);
        assert_eq!(ready.check(), Ok(()));
        ready.close();
        assert_eq!(ready.check(), Err(vec!["the listeners to open".to_owned()]));
        ready.open();
        assert_eq!(ready.check(), Ok(()));
        ready.drain();
        assert!(ready.check().is_err());
    }
}
