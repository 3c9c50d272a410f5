//! What mirrored requests add to: one block of atomics for each (route, cluster), resolved
//! beforehand.
//!
//! The block also bounds how many are on their way at once. The bound stands here because a block
//! outlives reloads as its series do: a mirror that hangs gets no second share with a new snapshot.

use std::array;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};

use crate::observe::metrics::histogram::Histogram;
use crate::observe::metrics::series::Lock;
use crate::observe::metrics::text::{Kind, Text, labels};

/// The handle of one (route, cluster). Clones count into the same series.
#[derive(Clone, Debug)]
pub struct MirrorMetrics(Arc<Cells>);

/// Why a mirrored request has no answer. Its name is the label's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No connection, or it broke.
    Failed,
    /// The time was up.
    Timeout,
    /// Too many others were on their way.
    Dropped,
    /// The body is over what is copied.
    TooLarge,
    /// The cluster has no usable endpoint.
    NoEndpoint,
}

/// A mirrored request on its way, until it is dropped.
#[derive(Debug)]
pub struct Flight(Arc<Cells>);

/// All series of mirrors, by route and cluster.
#[derive(Default)]
pub(super) struct Mirrors(Lock<BTreeMap<[Box<str>; 2], MirrorMetrics>>);

#[derive(Debug)]
struct Cells {
    /// Route, cluster.
    names: [Box<str>; 2],
    /// By the order of [`RESULTS`].
    results: [AtomicU64; RESULTS.len()],
    duration: Histogram,
    in_flight: AtomicUsize,
}

/// Status classes, then what [`Lost`] names.
const RESULTS: [&str; 10] =
    ["2xx", "3xx", "4xx", "5xx", "other", "failed", "timeout", "dropped", "too_large", "no_endpoint"];

/// Where [`Lost`] begins in [`RESULTS`]; before it stands `other`.
const LOST: usize = 5;

// === impl MirrorMetrics ===

impl MirrorMetrics {
    /// Counts an answer, `seconds` after the request was begun.
    pub fn answered(&self, status: u16, seconds: f64) {
        let class = if (200..600).contains(&status) { usize::from(status / 100) - 2 } else { LOST - 1 };
        self.0.results[class].fetch_add(1, Relaxed);
        self.0.duration.observe(seconds);
    }

    /// Counts a request that has no answer.
    pub fn lost(&self, why: Lost) {
        self.0.results[LOST + why as usize].fetch_add(1, Relaxed);
    }

    /// How many are on their way.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Relaxed)
    }

    /// Counts one more in until the flight is dropped. None: `most` are on their way.
    pub fn enter(&self, most: usize) -> Option<Flight> {
        let more = |now: usize| (now < most).then_some(now + 1);
        self.0.in_flight.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Flight(self.0.clone()))
    }
}

// === impl Flight ===

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

// === impl Mirrors ===

impl Mirrors {
    pub(super) fn handle(&self, route: &str, cluster: &str) -> MirrorMetrics {
        let names = [route, cluster].map(Box::from);
        let mut series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = series.entry(names).or_insert_with_key(|names| {
            MirrorMetrics(Arc::new(Cells {
                names: names.clone(),
                results: array::from_fn(|_| AtomicU64::new(0)),
                duration: Histogram::default(),
                in_flight: AtomicUsize::new(0),
            }))
        });
        handle.clone()
    }

    /// Drops the series that nobody else holds.
    pub(super) fn sweep(&self) {
        let mut series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        series.retain(|_, handle| Arc::strong_count(&handle.0) > 1);
    }

    pub(super) fn render(&self, text: &mut Text) {
        let page: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(|m| m.0.clone()).collect();
        requests(&page, text);
        const DURATION: &str = "tidegate_mirror_duration_seconds";
        text.family(DURATION, "Of mirrored requests that were answered, to the end of it.", Kind::Histogram);
        for cells in &page {
            cells.duration.render(text, DURATION, &cells.labels(None));
        }
        const IN_FLIGHT: &str = "tidegate_mirror_requests_in_flight";
        text.family(IN_FLIGHT, "Mirrored requests on their way.", Kind::Gauge);
        for cells in &page {
            text.sample(IN_FLIGHT, "", &cells.labels(None), cells.in_flight.load(Relaxed));
        }
    }
}

fn requests(page: &[Arc<Cells>], text: &mut Text) {
    const NAME: &str = "tidegate_mirror_requests_total";
    text.family(NAME, "Mirrored requests by what became of them.", Kind::Counter);
    for cells in page {
        for (result, count) in RESULTS.iter().zip(&cells.results) {
            text.sample(NAME, "", &cells.labels(Some(result)), count.load(Relaxed));
        }
    }
}

// === impl Cells ===

impl Cells {
    fn labels(&self, result: Option<&str>) -> String {
        let [route, cluster] = &self.names;
        let names = [("route", &**route), ("cluster", cluster)];
        labels(names.into_iter().chain(result.map(|result| ("result", result))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_its_place() {
        let all = Mirrors::default();
        let handle = all.handle("shop", "shadow");
        for status in [200, 299, 301, 404, 503, 101, 999, 0] {
            handle.answered(status, 0.1);
        }
        for why in [Lost::Failed, Lost::Timeout, Lost::Dropped, Lost::TooLarge, Lost::NoEndpoint] {
            handle.lost(why);
        }
        let counts: Vec<_> = handle.0.results.iter().map(|count| count.load(Relaxed)).collect();
        assert_eq!(counts, [2, 1, 1, 1, 3, 1, 1, 1, 1, 1]);
        assert_eq!(RESULTS[LOST + Lost::NoEndpoint as usize], "no_endpoint");
    }

    #[test]
    fn no_more_enter_than_may_over_reloads_too() {
        let all = Mirrors::default();
        let (old, other) = (all.handle("shop", "shadow"), all.handle("shop", "other"));
        let flights: Vec<_> = (0..3).filter_map(|_| old.enter(2)).collect();
        assert_eq!(flights.len(), 2);
        assert!(other.enter(2).is_some());
        drop(old);
        all.sweep();
        let new = all.handle("shop", "shadow");
        assert!(new.enter(2).is_none(), "those on their way hold the series");
        drop(flights);
        assert!(new.enter(2).is_some());
        drop((new, other));
        all.sweep();
        assert!(all.0.lock().unwrap().is_empty());
    }
}
