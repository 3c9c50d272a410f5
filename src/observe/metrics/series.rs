//! Labelled counters whose series come and go with the config.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::observe::metrics::text::{Kind, Text, labels};

#[expect(
    clippy::disallowed_types,
    reason = "taken when a snapshot is compiled and in scrapes, never by a request"
)]
pub(super) type Lock<T> = std::sync::Mutex<T>;

/// A number that only grows. Clones are the same counter.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

/// One counter family with its series by label values.
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    series: Lock<BTreeMap<Box<[Box<str>]>, Counter>>,
}

// === impl Counter ===

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Adds `n`.
    pub fn inc_by(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// What it stands at.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// === impl Family ===

impl Family {
    pub(super) fn new(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name, help, labels, series: Lock::default() }
    }

    /// The counter of these label values (as many as the family has labels), made on first sight.
    pub(super) fn counter(&self, values: &[&str]) -> Counter {
        debug_assert_eq!(values.len(), self.labels.len());
        let key = values.iter().map(|v| Box::from(*v)).collect();
        self.series.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone()
    }

    /// Drops the series that nobody else holds.
    pub(super) fn sweep(&self) {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.retain(|_, counter| Arc::strong_count(&counter.0) > 1);
    }

    pub(super) fn render(&self, text: &mut Text) {
        text.family(self.name, self.help, Kind::Counter);
        for (values, counter) in &*self.series.lock().unwrap_or_else(PoisonError::into_inner) {
            let pairs = self.labels.iter().copied().zip(values.iter().map(AsRef::as_ref));
            text.sample(self.name, "", &labels(pairs), counter.get());
        }
    }
}
