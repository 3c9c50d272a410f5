//! How the registration does, for the admin API, metrics, and an heir.

#[expect(clippy::disallowed_types, reason = "off the request path: written per word to the agent")]
use std::sync::Mutex;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::consul::Error;
use crate::consul::agent::Service;

/// Clones are the same board.
#[derive(Clone, Debug, Default)]
#[expect(clippy::disallowed_types, reason = "off the request path: written per word to the agent")]
pub(super) struct Board(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    /// What the config wants. None: nothing.
    wanted: Option<Service>,
    state: State,
    /// What may be at the agent.
    registered: Vec<Service>,
    success: Option<Instant>,
    error: Option<(Work, String)>,
    registrations: u64,
    errors: u64,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The process does not serve yet, or the agent did not answer yet.
    #[default]
    Waiting,
    Registered,
    /// Critical, since the process stops.
    Draining,
    /// Removed, since the process stops.
    Left,
    /// Another process has taken over.
    Kept,
}

/// What may fail. A success of one says nothing about another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Beat,
    Look,
    Drop,
    Leave,
}

/// What is known at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    pub id: String,
    pub name: String,
    pub tags: Vec<String>,
    /// Empty: that of the agent's node.
    pub address: String,
    pub port: u16,
    /// What keeps it alive, in words.
    pub check: String,
    pub state: State,
    /// Since the agent last answered. None: never.
    pub age_seconds: Option<f64>,
    /// How often it was registered: once, and whenever the agent had forgotten or something differed.
    pub registrations: u64,
    pub errors: u64,
    /// The newest failure, while it lasts.
    pub last_error: Option<String>,
}

// === impl Board ===

impl Board {
    pub(super) fn want(&self, wanted: Option<Service>) {
        self.lock().wanted = wanted;
    }

    pub(super) fn enter(&self, state: State) {
        self.lock().state = state;
    }

    /// What may be at the agent now.
    pub(super) fn list(&self, registered: Vec<Service>) {
        self.lock().registered = registered;
    }

    pub(super) fn counted(&self) {
        self.lock().registrations += 1;
    }

    /// The agent did as it was told. True: for the first time after a failure.
    pub(super) fn answered(&self, work: Work) -> bool {
        let mut record = self.lock();
        record.success = Some(now());
        record.error.take_if(|(failed, _)| *failed == work).is_some()
    }

    /// It did not. True: it did until now, or failed otherwise.
    pub(super) fn failed(&self, work: Work, error: &Error) -> bool {
        self.told(work, format!("{}: {error}", error.kind()))
    }

    /// Something else is in the way. True: it is news.
    pub(super) fn told(&self, work: Work, why: String) -> bool {
        let mut record = self.lock();
        record.errors += 1;
        let news = record.error.as_ref().is_none_or(|(_, before)| *before != why);
        record.error = Some((work, why));
        news
    }

    pub(super) fn registered(&self) -> Vec<Service> {
        self.lock().registered.clone()
    }

    pub(super) fn status(&self) -> Option<Status> {
        let record = self.lock();
        let wanted = record.wanted.clone()?;
        Some(Status {
            id: wanted.id,
            name: wanted.name,
            tags: wanted.tags,
            address: wanted.address,
            port: wanted.port,
            check: wanted.check.notes,
            state: record.state,
            age_seconds: record.success.map(|at| now().saturating_duration_since(at).as_secs_f64()),
            registrations: record.registrations,
            errors: record.errors,
            last_error: record.error.as_ref().map(|(_, why)| why.clone()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "ages are told against the real clock")]
fn now() -> Instant {
    Instant::now()
}
