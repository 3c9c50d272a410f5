//! Whether a figure drifts: a straight line through its samples, and how sure its slope is.
//!
//! Least squares, with the standard error of the slope from what is left over. Samples that follow each
//! other are alike (a heap grows in steps, a neighbour is busy for a minute), so the true error is
//! larger than the one that is told; hence two of them, and the second rule: what would be less than one
//! percent over the whole time is no drift however sure it is.

use serde_json::{Value, json};

/// A line through samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit {
    pub(crate) mean: f64,
    /// For each second, and its standard error.
    pub(crate) slope: f64,
    pub(crate) error: f64,
    /// From the first to the last sample, in seconds.
    pub(crate) time: f64,
}

// === impl Fit ===

impl Fit {
    /// Of `(seconds, value)`. None: of fewer than three.
    pub(crate) fn of(samples: &[(f64, f64)]) -> Option<Self> {
        if samples.len() < 3 {
            return None;
        }
        let count = samples.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|s| s.0), mean(|s| s.1));
        let spread: f64 = samples.iter().map(|s| (s.0 - x).powi(2)).sum();
        let slope = samples.iter().map(|s| (s.0 - x) * (s.1 - y)).sum::<f64>() / spread;
        let left: f64 = samples.iter().map(|s| (s.1 - y - slope * (s.0 - x)).powi(2)).sum();
        let error = (left / (count - 2.0) / spread).sqrt();
        let time = samples.last()?.0 - samples.first()?.0;
        Some(Self { mean: y, slope, error, time })
    }

    /// What the line says that it changed over the whole time, as a share of the mean.
    pub(crate) fn change(&self) -> f64 {
        if self.mean == 0.0 { 0.0 } else { self.slope * self.time / self.mean }
    }

    /// Whether that is noise.
    pub(crate) fn is_flat(&self) -> bool {
        self.slope.abs() < 2.0 * self.error || self.change().abs() < 0.01
    }

    /// Or whether it fell, which nobody minds.
    pub(crate) fn is_fine(&self) -> bool {
        self.is_flat() || self.slope < 0.0
    }

    pub(crate) fn verdict(&self) -> &'static str {
        match (self.is_flat(), self.is_fine()) {
            (true, _) => "flat",
            (_, true) => "falls",
            _ => "GROWS",
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "mean": self.mean, "slope_per_second": self.slope, "standard_error": self.error,
            "seconds": self.time, "change": self.change(), "verdict": self.verdict(),
        })
    }
}
