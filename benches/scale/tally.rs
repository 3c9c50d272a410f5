//! What a load counts while it runs: answers, failures with their reason, and latencies in buckets a
//! thirty-second of an octave wide (3 % off at most), so that half an hour of them costs no memory.

use std::collections::BTreeMap;
#[expect(clippy::disallowed_types, reason = "a bench: taken at failures only")]
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets an octave, as a power of two, and octaves of microseconds: up to 71 minutes.
const FINE: u32 = 5;
const BUCKETS: usize = 32 << FINE;

/// Counts of a running load.
pub(crate) struct Tally {
    buckets: Vec<AtomicU64>,
    failed: AtomicU64,
    #[expect(clippy::disallowed_types, reason = "as above")]
    why: Mutex<BTreeMap<String, u64>>,
}

/// What was counted in some time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    buckets: Vec<u64>,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) why: BTreeMap<String, u64>,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn new() -> Self {
        let buckets = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, failed: AtomicU64::new(0), why: Default::default() }
    }

    pub(crate) fn done(&self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        if let Some(bucket) = self.buckets.get(place(micros)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn failed(&self, why: String) {
        self.failed.fetch_add(1, Relaxed);
        *self.why.lock().unwrap_or_else(PoisonError::into_inner).entry(why).or_default() += 1;
    }

    /// What was counted since the last time.
    pub(crate) fn take(&self) -> Counted {
        let buckets: Vec<_> = self.buckets.iter().map(|bucket| bucket.swap(0, Relaxed)).collect();
        Counted {
            done: buckets.iter().sum(),
            buckets,
            failed: self.failed.swap(0, Relaxed),
            why: std::mem::take(&mut *self.why.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

// === impl Counted ===

impl Counted {
    /// The latency that this share of the answers had at most, in microseconds. 0: of none.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let rank = (self.done as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map_or(0.0, middle)
    }

    /// The reasons of the failures, most often first.
    pub(crate) fn reasons(&self) -> String {
        let mut all: Vec<_> = self.why.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let words: Vec<_> = all.iter().take(3).map(|(why, count)| format!("{count} x {why}")).collect();
        words.join(", ")
    }
}

/// The bucket of a number of microseconds: its octave, then the bits after the first.
fn place(micros: u32) -> usize {
    let octave = 31 - micros.leading_zeros();
    let rest = if octave >= FINE { micros >> (octave - FINE) } else { micros << (FINE - octave) };
    ((octave << FINE) + rest - (1 << FINE)) as usize
}

/// The middle of a bucket.
fn middle(place: usize) -> f64 {
    let (octave, rest) = (place >> FINE, place & ((1 << FINE) - 1));
    let width = 1.0 / f64::from(1 << FINE);
    2f64.powi(i32::try_from(octave).unwrap_or(0)) * (1.0 + (rest as f64 + 0.5) * width)
}
