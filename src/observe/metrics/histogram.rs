//! A latency histogram that costs a request two atomic additions.
//!
//! Buckets are counted apart and summed up in a scrape, and the sum is kept in whole nanoseconds,
//! so that it needs no compare-and-swap loop. `_count` is the sum of the buckets as read, so a
//! scrape never contradicts itself; `_sum` may be ahead of it by the requests that finish in
//! between.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::observe::metrics::text::Text;

/// Upper bounds of all latency histograms, in seconds (DESIGN 7).
pub const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Observations by bucket; the last one is over every bound.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

// === impl Histogram ===

impl Histogram {
    /// Adds one observation in seconds. What is not a positive number counts as 0.
    pub fn observe(&self, seconds: f64) {
        let index = BUCKETS.partition_point(|bound| *bound < seconds);
        self.buckets[index].fetch_add(1, Relaxed);
        // The cast saturates, and takes NaN and negative numbers to 0.
        self.nanoseconds.fetch_add((seconds * 1e9) as u64, Relaxed);
    }

    pub(super) fn render(&self, text: &mut Text, name: &str, labels: &str) {
        let mut count = 0;
        for (bucket, bound) in self.buckets.iter().zip(BUCKETS) {
            count += bucket.load(Relaxed);
            text.sample(name, "_bucket", &format!("{labels},le=\"{bound}\""), count);
        }
        count += self.buckets[BUCKETS.len()].load(Relaxed);
        text.sample(name, "_bucket", &format!("{labels},le=\"+Inf\""), count);
        text.sample(name, "_sum", labels, self.nanoseconds.load(Relaxed) as f64 / 1e9);
        text.sample(name, "_count", labels, count);
    }
}
