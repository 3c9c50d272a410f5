//! The families of splits: who was assigned and why, and what a scrape brings of weights, epochs
//! and the sample-ratio check.
//!
//! `tidegate_split_assignments_total` counts requests by what *decided* their variant, which
//! `tidegate_http_requests_total{variant}` can't say. The rest is read from the snapshot when a
//! scrape asks, so that a weight or an epoch that is shown is the one that serves: an alarm for
//! nodes that drift apart is `max by (route) (tidegate_split_epoch) != min by (route) (...)`.
//!
//! The check's figures are only there where it has enough to say something. The bad side: an alarm
//! on a small p-value that is there always goes off in a hundred checks of a healthy split, so it
//! should ask for far less than 0.01; see `crate::split::sample` in the manual.

use crate::observe::metrics::Metrics;
use crate::observe::metrics::series::{Counter, Family};
use crate::observe::metrics::text::{Kind, Text, labels};

/// What holds for one split at the moment of a scrape.
#[derive(Clone, Debug)]
pub struct SplitSample<'a> {
    pub route: &'a str,
    /// Where its weights come from: `file`, `overlay`, `consul_kv`.
    pub origin: &'a str,
    /// How many changes there were since the file.
    pub epoch: u64,
    /// Whether something newer is refused.
    pub problem: bool,
    pub variants: Vec<VariantSample<'a>>,
    /// None: too few observations to say anything.
    pub ratio: Option<RatioSample>,
}

/// One variant of it.
#[derive(Clone, Copy, Debug)]
pub struct VariantSample<'a> {
    pub name: &'a str,
    /// The one that serves.
    pub weight: u64,
    /// Units that the sample-ratio check saw. None: it has nothing to say yet.
    pub units: Option<u64>,
}

/// How well the units fit the weights.
#[derive(Clone, Copy, Debug)]
pub struct RatioSample {
    pub chi_square: f64,
    pub p_value: f64,
}

// === impl Metrics ===

impl Metrics {
    /// The counters of one variant's assignments, in the order of `reasons`.
    pub fn split<const N: usize>(&self, route: &str, variant: &str, reasons: [&str; N]) -> [Counter; N] {
        reasons.map(|reason| self.assignments.counter(&[route, variant, reason]))
    }
}

impl Metrics {
    /// The counters of the retries that left a variant, in the order of `others`. Zeros of a variant
    /// with itself are not shown.
    pub fn crossings(&self, route: &str, from: &str, others: &[&str]) -> Box<[Counter]> {
        let counter = |to: &&str| {
            if *to == from { Counter::default() } else { self.crossings.counter(&[route, from, to]) }
        };
        others.iter().map(counter).collect()
    }
}

/// The family that [`Metrics::crossings`] counts into.
pub(super) fn crossings() -> Family {
    Family::new(
        "tidegate_split_crossings_total",
        "Tries after the first that went to another variant than the try before.",
        &["route", "from", "to"],
    )
}

/// The family that [`Metrics::split`] counts into.
pub(super) fn assignments() -> Family {
    Family::new(
        "tidegate_split_assignments_total",
        "Requests that were given a variant, by what decided it.",
        &["route", "variant", "reason"],
    )
}

/// Writes what a scrape brought.
pub(super) fn render(splits: &[SplitSample<'_>], text: &mut Text) {
    by_variant(splits, text, "tidegate_split_weight", "The weight that serves.", |v| Some(v.weight));
    const EPOCH: &str = "tidegate_split_epoch";
    text.family(EPOCH, "Changes of the weights since the file, by where they come from.", Kind::Gauge);
    for split in splits {
        text.sample(EPOCH, "", &labels([("route", split.route), ("origin", split.origin)]), split.epoch);
    }
    by_route(splits, text, "tidegate_split_problems", "1 while newer weights are refused.", |split| {
        Some(u8::from(split.problem))
    });
    by_route(
        splits,
        text,
        "tidegate_split_sample_ratio_p_value",
        "How likely units as far from the weights as those seen are, if all is well.",
        |split| split.ratio.map(|ratio| float(ratio.p_value)),
    );
    by_route(
        splits,
        text,
        "tidegate_split_sample_ratio_chi_square",
        "How far the units seen are from the weights.",
        |split| split.ratio.map(|ratio| float(ratio.chi_square)),
    );
    by_variant(
        splits,
        text,
        "tidegate_split_sample_units",
        "Units, mostly distinct keys, that the sample-ratio check saw.",
        |variant| variant.units,
    );
}

/// Writes 1e-300 as such, not as three hundred zeros.
fn float(value: f64) -> String {
    format!("{value:?}")
}

fn by_route<V: std::fmt::Display>(
    splits: &[SplitSample<'_>],
    text: &mut Text,
    name: &str,
    help: &str,
    of: impl Fn(&SplitSample<'_>) -> Option<V>,
) {
    text.family(name, help, Kind::Gauge);
    for split in splits {
        if let Some(value) = of(split) {
            text.sample(name, "", &labels([("route", split.route)]), value);
        }
    }
}

fn by_variant(
    splits: &[SplitSample<'_>],
    text: &mut Text,
    name: &str,
    help: &str,
    of: impl Fn(&VariantSample<'_>) -> Option<u64>,
) {
    text.family(name, help, Kind::Gauge);
    for split in splits {
        for variant in &split.variants {
            if let Some(value) = of(variant) {
                text.sample(name, "", &labels([("route", split.route), ("variant", variant.name)]), value);
            }
        }
    }
}
