//! The end: critical, then gone.
//!
//! Whoever waits for it waits for at most a second, and not at all where nobody listens at the agent's
//! address. What did not work goes on being tried while requests in flight finish. The bad side: an
//! agent that is frozen through a whole stop shows this instance until its TTL is over.

use std::time::Duration;

use tracing::{info, warn};

use crate::consul::Error;
use crate::consul::agent::Word;
use crate::register::HEARD;
use crate::register::board::{State, Work};
use crate::register::task::{Task, remove};

/// What the check says from then on.
const NOTE: &str = "this process is about to stop";

/// The longest pause between two tries. Shorter than while it serves: there is not much time left.
const PAUSE: Duration = Duration::from_millis(200);

// === impl Task ===

impl Task {
    /// Says that all entries are critical, as far as they can be told.
    pub(super) async fn drain(&mut self) {
        self.board.enter(State::Draining);
        while let Err(error) = self.fail().await {
            self.retry(&error).await;
        }
    }

    /// Takes all entries out.
    pub(super) async fn leave(&mut self) {
        let told = self.board.status().is_some_and(|status| status.state == State::Draining);
        if !told && self.fail().await.is_ok_and(|told| told) {
            tokio::time::sleep(HEARD).await;
        }
        while let Err(error) = self.remove_all().await {
            if matches!(error, Error::Refused(_)) {
                self.done.send_replace(true);
            }
            self.retry(&error).await;
        }
        self.board.enter(State::Left);
        self.done.send_replace(true);
    }

    /// Whether anybody was told.
    async fn fail(&self) -> Result<bool, Error> {
        let mut told = false;
        for entry in self.book.sent().filter(|entry| entry.ttl.is_some()) {
            entry.agent.report(&entry.service.check.id, Word::Fail, NOTE).await?;
            info!(id = entry.service.id, "critical in Consul");
            told = true;
        }
        Ok(told)
    }

    async fn remove_all(&mut self) -> Result<(), Error> {
        let entries = self.book.goal.take().filter(|goal| goal.sent);
        self.book.old.extend(entries);
        while let Some(entry) = self.book.old.last() {
            remove(entry).await?;
            self.book.old.pop();
            self.board.list(self.book.registered());
        }
        Ok(())
    }

    async fn retry(&mut self, error: &Error) {
        if self.board.failed(Work::Leave, error) {
            warn!(kind = error.kind(), why = %error, "Consul does not hear that this process stops");
        }
        tokio::time::sleep(self.backoff.after(error, &mut self.rng).min(PAUSE)).await;
    }
}
