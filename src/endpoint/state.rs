//! The facts about one address that outlive snapshots: atomics, written by requests and operators,
//! read by the balancer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::endpoint::{Faults, Lease, Sentence};

/// The live state of one (cluster, address).
///
/// All accesses are relaxed: each field is a fact on its own, and a pick that misses a change by a
/// moment is as good as one that came a moment earlier.
#[derive(Debug, Default)]
pub struct State {
    in_flight: AtomicU32,
    requests: AtomicU64,
    connect_failures: AtomicU64,
    draining: AtomicBool,
    /// A [`Checked`].
    checked: AtomicU8,
    /// A [`Standing`].
    standing: AtomicU8,
    /// Failures of real requests in a row.
    streak: AtomicU32,
    /// Since the statistical rules last looked.
    succeeded: AtomicU32,
    failed: AtomicU32,
    /// What slow start holds back, in percent of its share.
    held_back: AtomicU8,
    /// What is remembered of failures.
    pub faults: Faults,
    /// What is left of an ejection.
    pub sentence: Sentence,
}

/// What the active check says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Checked {
    /// No probe has come back yet, or there is no check.
    #[default]
    Unknown,
    Up,
    Down,
}

/// What real requests say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Standing {
    #[default]
    In,
    /// Taken out for its errors.
    Ejected,
    /// Its time is over: one request may try it.
    Returning,
    /// That request is on its way.
    Trying,
}

// === impl Standing ===

impl Standing {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Ejected => "ejected",
            Self::Returning => "returning",
            Self::Trying => "trying",
        }
    }
}

// === impl State ===

impl State {
    /// Counts a request in until the lease is dropped. If the endpoint is returning, this request
    /// is its trial.
    pub fn lease(self: &Arc<Self>) -> Lease {
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        let trial =
            self.standing() == Standing::Returning && self.turn(Standing::Returning, Standing::Trying);
        Lease::new(self.clone(), trial)
    }

    /// Counts a request in that is nobody's trial, as a copy whose answer nobody waits for.
    pub fn lease_aside(self: &Arc<Self>) -> Lease {
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        Lease::new(self.clone(), false)
    }

    /// Counts a request out.
    pub(super) fn release(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Requests on their way now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Requests sent since the address was first seen.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Connections that could not be opened since the address was first seen.
    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Relaxed)
    }

    /// Counts a connection that could not be opened.
    pub fn connect_failed(&self) {
        self.connect_failures.fetch_add(1, Relaxed);
    }

    /// What the active check says.
    pub fn checked(&self) -> Checked {
        match self.checked.load(Relaxed) {
            1 => Checked::Up,
            2 => Checked::Down,
            _ => Checked::Unknown,
        }
    }

    /// Notes what the active check says. Returns what it said before.
    pub fn set_checked(&self, checked: Checked) -> Checked {
        let before = self.checked();
        self.checked.store(checked as u8, Relaxed);
        before
    }

    /// What real requests say.
    pub fn standing(&self) -> Standing {
        match self.standing.load(Relaxed) {
            1 => Standing::Ejected,
            2 => Standing::Returning,
            3 => Standing::Trying,
            _ => Standing::In,
        }
    }

    /// Sets the standing as another process knew it. Whoever follows ejections is to be told of it.
    pub(super) fn set_standing(&self, standing: Standing) {
        self.standing.store(standing as u8, Relaxed);
    }

    /// Changes the standing if it is `from`. False: it is another.
    pub fn turn(&self, from: Standing, to: Standing) -> bool {
        self.standing.compare_exchange(from as u8, to as u8, Relaxed, Relaxed).is_ok()
    }

    /// Counts a real request that succeeded: it ends a row of failures.
    pub fn succeeded(&self) {
        self.succeeded.fetch_add(1, Relaxed);
        // Read first: the line stays shared while all is well.
        if self.streak.load(Relaxed) != 0 {
            self.streak.store(0, Relaxed);
        }
    }

    /// Counts a real request that failed. Returns how many did in a row.
    pub fn failed(&self) -> u32 {
        self.failed.fetch_add(1, Relaxed);
        self.streak.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Sets how many failed in a row, as after a trial, when one more is enough.
    pub fn set_streak(&self, row: u32) {
        self.streak.store(row, Relaxed);
    }

    /// Failures of real requests in a row.
    pub fn streak(&self) -> u32 {
        self.streak.load(Relaxed)
    }

    /// Whether it is in and the last real request that said anything did not fail.
    pub fn is_sure(&self) -> bool {
        self.standing() == Standing::In && self.streak() == 0
    }

    /// Puts it back in as if nothing had been, where nobody follows ejections any more.
    pub fn reinstate(&self) {
        self.standing.store(Standing::In as u8, Relaxed);
        self.streak.store(0, Relaxed);
        self.sentence.note(0, Duration::ZERO);
    }

    /// The part of its share that slow start lets it take, in percent.
    pub fn share(&self) -> u8 {
        100u8.saturating_sub(self.held_back.load(Relaxed))
    }

    /// Sets the part of its share that it takes, in percent.
    pub fn set_share(&self, percent: u8) {
        self.held_back.store(100u8.saturating_sub(percent), Relaxed);
    }

    /// Successes and failures since this was last asked.
    pub fn take_window(&self) -> (u32, u32) {
        (self.succeeded.swap(0, Relaxed), self.failed.swap(0, Relaxed))
    }

    /// Whether an operator drains it: no new requests, in-flight ones finish.
    pub fn draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Sets or ends draining. Returns what it was.
    pub fn drain(&self, on: bool) -> bool {
        self.draining.swap(on, Relaxed)
    }
}
