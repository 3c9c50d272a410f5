//! What is remembered of an endpoint's failures, for people: the last one, why it was ejected, how
//! often, and since when its standing is what it is.
//!
//! Written when something fails and by the task that follows ejections, never by a request that
//! succeeds. `since` is the calendar's time and not the monotonic clock's: nothing is decided by it.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// How a request failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Failure {
    /// It answered 500 or more.
    #[default]
    Status,
    /// The connection could not be opened.
    Connect,
    /// The connection broke before the answer was whole.
    Broken,
    /// No answer, or not all of it, in time.
    Late,
}

/// Which rule ejected an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Reason {
    #[default]
    ConsecutiveErrors,
    SuccessRate,
    FailurePercentage,
}

/// The memory.
#[derive(Debug, Default)]
pub struct Faults {
    /// A [`Failure`].
    last: AtomicU8,
    /// A [`Reason`].
    reason: AtomicU8,
    ejections: AtomicU32,
    /// Milliseconds since 1970. 0: the standing has never changed.
    since: AtomicU64,
}

// === impl Faults ===

impl Faults {
    /// Notes how a request failed.
    pub fn note(&self, failure: Failure) {
        self.last.store(failure as u8, Relaxed);
    }

    /// How the last request that failed did so.
    pub fn last(&self) -> Failure {
        match self.last.load(Relaxed) {
            1 => Failure::Connect,
            2 => Failure::Broken,
            3 => Failure::Late,
            _ => Failure::Status,
        }
    }

    /// Notes which rule is about to eject.
    pub fn blame(&self, reason: Reason) {
        self.reason.store(reason as u8, Relaxed);
    }

    /// Which rule ejected last.
    pub fn reason(&self) -> Reason {
        match self.reason.load(Relaxed) {
            1 => Reason::SuccessRate,
            2 => Reason::FailurePercentage,
            _ => Reason::ConsecutiveErrors,
        }
    }

    /// Counts an ejection.
    pub fn ejected(&self) {
        self.ejections.fetch_add(1, Relaxed);
    }

    /// Goes on from as many as another process has counted.
    pub(super) fn set_ejections(&self, count: u32) {
        self.ejections.store(count, Relaxed);
    }

    /// Ejections since the address was first seen.
    pub fn ejections(&self) -> u32 {
        self.ejections.load(Relaxed)
    }

    /// Notes when the standing changed, in milliseconds since 1970.
    pub fn date(&self, millis: u64) {
        self.since.store(millis, Relaxed);
    }

    /// When the standing changed, in milliseconds since 1970. None: never.
    pub fn since(&self) -> Option<u64> {
        Some(self.since.load(Relaxed)).filter(|millis| *millis > 0)
    }
}

// === impl Failure ===

impl Failure {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "an answer of 500 or more",
            Self::Connect => "a connection that could not be opened",
            Self::Broken => "a connection that broke",
            Self::Late => "no answer in time",
        }
    }
}

// === impl Reason ===

impl Reason {
    /// All of them, by their number.
    pub const ALL: [Self; 3] = [Self::ConsecutiveErrors, Self::SuccessRate, Self::FailurePercentage];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveErrors => "consecutive_errors",
            Self::SuccessRate => "success_rate",
            Self::FailurePercentage => "failure_percentage",
        }
    }
}
