//! How the watch of the fleet's documents does, for `/v1/sources` and metrics.

#[expect(clippy::disallowed_types, reason = "off the request path: written per answer, read per scrape")]
use std::sync::Mutex;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// Clones are the same record.
#[derive(Clone, Debug, Default)]
#[expect(clippy::disallowed_types, reason = "off the request path: written per answer, read per scrape")]
pub struct Heard {
    record: Arc<Mutex<Record>>,
    nudge: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Record {
    prefix: Option<String>,
    documents: usize,
    ignored: usize,
    success: Option<Instant>,
    error: Option<(String, Instant)>,
    updates: u64,
    errors: u64,
}

/// What is known of it at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub prefix: String,
    pub documents: usize,
    /// Keys below the prefix that are no name of a route.
    pub ignored: usize,
    /// Since Consul last answered. None: never.
    pub age_seconds: Option<f64>,
    /// The newest failure, while it lasts.
    pub last_error: Option<String>,
    pub updates: u64,
    pub errors: u64,
}

// === impl Heard ===

impl Heard {
    /// Another folder is followed from here on, or none.
    pub(super) fn begin(&self, prefix: Option<&str>) {
        let mut record = self.lock();
        let prefix = prefix.map(|prefix| prefix.trim_matches('/').to_owned());
        if record.prefix != prefix {
            *record = Record { prefix, ..Record::default() };
        }
    }

    /// Consul answered; with documents, if they are new.
    pub(super) fn answered(&self, documents: Option<usize>, ignored: usize) {
        let mut record = self.lock();
        record.success = Some(now());
        record.error = None;
        if let Some(documents) = documents {
            record.updates += 1;
            (record.documents, record.ignored) = (documents, ignored);
        }
    }

    /// It did not. True: it did until now, or said something else.
    pub(super) fn failed(&self, kind: &str, why: &str) -> bool {
        let mut record = self.lock();
        record.errors += 1;
        let what = format!("{kind}: {why}");
        let news = record.error.as_ref().is_none_or(|(before, _)| *before != what);
        record.error = Some((what, now()));
        news
    }

    /// Says that Consul can be reached after all.
    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Whether the newest word was a failure.
    pub(super) fn failing(&self) -> bool {
        self.lock().error.is_some()
    }

    /// What is known. None: no folder is followed.
    pub fn status(&self) -> Option<Status> {
        let record = self.lock();
        let now = now();
        Some(Status {
            prefix: record.prefix.clone()?,
            documents: record.documents,
            ignored: record.ignored,
            age_seconds: record.success.map(|at| now.saturating_duration_since(at).as_secs_f64()),
            last_error: record.error.as_ref().map(|(what, _)| what.clone()),
            updates: record.updates,
            errors: record.errors,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "ages are told against the real clock")]
fn now() -> Instant {
    Instant::now()
}
