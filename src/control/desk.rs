//! Changes of weights and drains on their way to the disk, one at a time and in their order.
//!
//! A change is on disk before it serves: what a restart would forget is not accepted. The writing
//! happens beside the writer's loop, so a disk that hangs keeps operators waiting and nobody else.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::control::ledger::Stored;
use crate::control::weights::{Done, Refused, Request};
use crate::control::{Applied, DrainError, drains, overlay};
use crate::split::Amendment;

/// Who asked for weights and wants to know how it went.
pub(super) type Reply = oneshot::Sender<Result<Done, Refused>>;

/// Who asked for a drain.
pub(super) type DrainReply = oneshot::Sender<Result<Applied, DrainError>>;

/// What waits, and what is being written.
#[derive(Debug)]
pub(super) struct Desk {
    /// None: nothing is kept.
    pub(super) dir: Option<PathBuf>,
    pub(super) waiting: VecDeque<Wanted>,
    /// The disk has not what the ledger has, and nobody waits for it.
    pub(super) stale: bool,
    running: Option<(Option<Entry>, JoinHandle<io::Result<()>>)>,
}

/// What was asked for.
#[derive(Debug)]
pub(super) enum Wanted {
    Weights(Request, Reply),
    Drain(drains::Request, DrainReply),
}

/// What is being written down.
#[derive(Debug)]
pub(super) enum Entry {
    Weights(Accepted),
    Drain { request: drains::Request, at: u64, reply: DrainReply },
}

/// A change of weights that was found good.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) request: Request,
    pub(super) amendment: Amendment,
    pub(super) reply: Reply,
}

// === impl Desk ===

impl Desk {
    pub(super) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, waiting: VecDeque::new(), stale: false, running: None }
    }

    /// Whether nothing is being written.
    pub(super) fn idle(&self) -> bool {
        self.running.is_none()
    }

    /// Writes, for a change or for its own sake. Only when idle, and if there is a directory.
    pub(super) fn write(&mut self, stored: Stored, change: Option<Entry>) {
        let Some(dir) = self.dir.clone() else { return };
        let task = tokio::task::spawn_blocking(move || overlay::save(&dir, &stored));
        self.running = Some((change, task));
    }

    /// Waits for what is being written. Never returns where nothing is. May be dropped and called
    /// again.
    pub(super) async fn written(&mut self) -> (Option<Entry>, io::Result<()>) {
        let Some((_, task)) = &mut self.running else { return std::future::pending().await };
        let outcome = task.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        // Always there: it was looked at above.
        (self.running.take().and_then(|(change, _)| change), outcome)
    }

    /// As if the disk hung.
    #[cfg(test)]
    pub(super) fn hang(&mut self) {
        self.running = Some((None, tokio::spawn(std::future::pending())));
    }
}
