//! The watch of the folder: a blocking query after another, with the rhythm of the other watches
//! (back-off, index rules, a token bucket).
//!
//! What a list shows is told at once; what it makes doubtful is looked up afterwards, so that a
//! change never waits for another document's question.
//!
//! The content is looked at even where the index says that nothing changed: a token that lost its
//! rights changes no index, and the list only becomes shorter.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::config::Name;
use crate::consul::Error;
use crate::consul::kv::Folder;
use crate::discovery::consul::bucket::Bucket;
use crate::discovery::consul::poll::{Ask, Next, Poll};
use crate::discovery::consul::splits::picture::Picture;
use crate::discovery::consul::splits::{Document, Documents, Event};
use crate::discovery::consul::{Timing, now};

/// How long a query waits while a document could not be looked up; then it is tried again. Longer
/// after a refusal, which seldom passes by itself.
const RECHECK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// A key that need not exist. Of one that may not be read Consul says 403, of a list 404.
const PROBE: &str = "-";

/// The watch.
#[derive(Debug)]
pub(super) struct Follow {
    folder: Folder,
    poll: Poll,
    picture: Picture,
    out: UnboundedSender<Event>,
    told: Option<Documents>,
    /// What stopped the last look-up.
    hindrance: Option<Error>,
    /// Whether the last event was a failure.
    failed: bool,
    rng: fastrand::Rng,
}

// === impl Follow ===

impl Follow {
    pub(super) fn new(
        folder: Folder,
        timing: Timing,
        known: BTreeMap<Name, Document>,
        out: UnboundedSender<Event>,
    ) -> Self {
        let poll = Poll::new(timing, Bucket::documents());
        let picture = Picture::new(folder.prefix().clone(), known);
        let rng = fastrand::Rng::new();
        Self { folder, poll, picture, out, told: None, hindrance: None, failed: false, rng }
    }

    /// Follows for ever.
    pub(super) async fn run(mut self) {
        loop {
            let mut ask = self.poll.ask(false, now());
            if let Some(error) = &self.hindrance {
                ask.wait = ask.wait.min(if is_refusal(error) { RECHECK.1 } else { RECHECK.0 });
            }
            let pause = match self.round(ask).await {
                Ok(pause) => pause,
                Err(error) => {
                    if !self.failed {
                        log::warn!("consul: `{}`: {error}", self.folder.prefix().as_str());
                    }
                    self.failed = true;
                    self.tell(Event::failed(&error));
                    self.poll.failed(&error, &mut self.rng)
                }
            };
            tokio::time::sleep(pause.max(self.poll.ready(now()))).await;
        }
    }

    /// Asks once. Says how long to wait before the next time.
    async fn round(&mut self, ask: Ask) -> Result<Duration, Error> {
        let found = self.folder.list(ask.index, ask.wait, ask.consistency).await?;
        let mut pause = Duration::ZERO;
        match self.poll.heard(ask, &found.answer, now(), &mut self.rng) {
            Next::Apply(_) | Next::Same(_) => {}
            Next::Later(_, wait) => pause = wait,
            Next::Again => return Ok(pause),
        }
        let entries = self.folder.entries(&found)?;
        if entries.is_empty() && self.picture.is_empty() {
            self.folder.read(PROBE).await?;
        }
        if pause.is_zero() {
            self.poll.understood();
        }
        self.picture.list(entries);
        if self.failed {
            log::info!("consul: `{}` answers again", self.folder.prefix().as_str());
        }
        self.failed = false;
        self.tell_documents();
        if self.look_up().await {
            self.tell_documents();
        }
        Ok(pause)
    }

    /// Asks the leader for what is doubted. True: that changed the picture.
    async fn look_up(&mut self) -> bool {
        self.hindrance = None;
        let mut changed = false;
        for name in self.picture.doubted() {
            let reading = match &self.hindrance {
                // What hinders one hinders all, unless it is about the key.
                Some(error) if !is_refusal(error) => Err(error.clone()),
                _ => self.folder.read(name.as_str()).await,
            };
            changed |= self.picture.read(&name, reading.as_ref().cloned());
            if let Err(error) = reading {
                self.hindrance = Some(error);
            }
        }
        changed
    }

    fn tell_documents(&mut self) {
        let documents = self.picture.documents();
        if self.told.as_ref() == Some(&documents) {
            return self.tell(Event::Unchanged);
        }
        self.told = Some(documents.clone());
        self.tell(Event::Documents(documents));
    }

    fn tell(&self, event: Event) {
        // Nobody listens: the caller ends this.
        let _ = self.out.send(event);
    }
}

fn is_refusal(error: &Error) -> bool {
    error.kind() == "forbidden"
}
