//! What a split serves with: seed and weights, from the file and from what was said since.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::live::{self, MAX_WEIGHT};
use crate::config::problem::list;
use crate::config::validate::split::{bad_seed, is_seed, too_heavy, unknown_variant};
use crate::config::{Name, Problem};

/// Seed and weights in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    pub seed: Box<str>,
    /// By variant, in the order of the config.
    values: Box<[u64]>,
    /// The same, as they are computed with: exact up to 2^53.
    rates: Box<[f64]>,
    total: f64,
}

/// What was said at run time, over the file: by the admin API, or by a document in Consul's KV store,
/// which has this very form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendment {
    /// Variants that are not named have the file's weights. Empty: all have, as after a reset.
    pub weights: BTreeMap<Name, u64>,
    /// None: the file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// Counts the changes; the file itself is 0.
    #[serde(default)]
    pub epoch: u64,
    /// Who said it.
    #[serde(default)]
    pub author: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When, in seconds since 1970. 0: not known.
    #[serde(default)]
    pub at: u64,
}

/// Where weights come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    #[default]
    File,
    /// The admin API of this node, kept in `state_dir`.
    Overlay,
    /// A document that the whole fleet reads.
    ConsulKv,
}

/// What stands over the file for one route, whether or not it can be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub origin: Origin,
    /// The last good one.
    pub amendment: Option<Amendment>,
    /// Why a newer one is not served.
    pub problem: Option<String>,
    /// Of the document, in the history of its store. 0: not known, or not from a store.
    pub index: u64,
}

// === impl Weights ===

impl Weights {
    /// Those of the file, for the route of this name.
    pub fn of_file(route: &Name, split: &live::Split) -> Self {
        let seed = split.seed.as_deref().unwrap_or(route.as_str());
        Self::new(seed, split.variants.iter().map(|variant| variant.weight).collect())
    }

    /// Those of the file with an amendment over them. What it says of variants that are no longer
    /// there is passed over; weights that come to nothing are not taken, so that a reload which
    /// drops the one variant with a weight does not stop the route. The second value says so.
    pub fn amended(route: &Name, split: &live::Split, amendment: &Amendment) -> (Self, Option<String>) {
        let file = Self::of_file(route, split);
        let said = |variant: &live::Variant| *amendment.weights.get(&variant.name).unwrap_or(&variant.weight);
        let values: Box<[u64]> = split.variants.iter().map(said).collect();
        let known = |name: &&Name| split.variants.iter().any(|variant| variant.name == **name);
        let gone: Vec<_> = amendment.weights.keys().filter(|name| !known(name)).map(Name::as_str).collect();
        if values.iter().all(|weight| *weight == 0) && file.total > 0.0 {
            return (file, Some("its weights would all be 0, so the file's serve".into()));
        }
        let problem = (!gone.is_empty()).then(|| format!("the split has no variant {} any more", list(gone)));
        (Self::new(amendment.seed.as_deref().unwrap_or(&file.seed), values), problem)
    }

    fn new(seed: &str, values: Box<[u64]>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "weights are at most 10^9")]
        let rates: Box<[f64]> = values.iter().map(|weight| *weight as f64).collect();
        Self { seed: seed.into(), total: rates.iter().sum(), values, rates }
    }

    /// The weights, in the order of the config.
    pub fn values(&self) -> &[u64] {
        &self.values
    }

    /// The weights as they are computed with.
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// Their sum. 0: the split is drained.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The share of each variant, 0 to 1. All 0 where the sum is.
    pub fn shares(&self) -> Vec<f64> {
        let total = if self.total > 0.0 { self.total } else { 1.0 };
        self.rates.iter().map(|rate| rate / total).collect()
    }
}

// === impl Origin ===

impl Origin {
    /// As in labels and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Overlay => "overlay",
            Self::ConsulKv => "consul_kv",
        }
    }
}

// === impl Amendment ===

impl Amendment {
    /// What keeps it from being served by a split. `at`: where it stands, as `weights`.
    pub fn problems(&self, split: &live::Split, at: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, weight) in &self.weights {
            let at = format!("{at}.{name}");
            if split.variants.iter().all(|variant| variant.name != *name) {
                problems.push(unknown_variant(&at, name, split));
            } else if *weight > MAX_WEIGHT {
                problems.push(too_heavy(&at, *weight));
            }
        }
        let said = |variant: &live::Variant| *self.weights.get(&variant.name).unwrap_or(&variant.weight);
        if problems.is_empty() && !self.weights.is_empty() && split.variants.iter().all(|v| said(v) == 0) {
            problems.push(all_zero(at));
        }
        if let Some(seed) = self.seed.as_deref().filter(|seed| !is_seed(seed)) {
            problems.push(bad_seed("seed", seed));
        }
        problems
    }
}

/// No variant has a weight.
pub fn all_zero(at: &str) -> Problem {
    Problem::new(at, "all weights are 0, so no request could be assigned")
        .hint("give at least one variant a weight above 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split() -> live::Split {
        serde_json::from_value(serde_json::json!({"variants": [
            {"name": "control", "cluster": "a", "weight": 90},
            {"name": "candidate", "cluster": "b", "weight": 10},
        ]}))
        .unwrap()
    }

    fn said(weights: &[(&str, u64)]) -> Amendment {
        let weights = weights.iter().map(|(name, weight)| (name.parse().unwrap(), *weight)).collect();
        Amendment { weights, ..Amendment::default() }
    }

    fn amended(weights: &[(&str, u64)]) -> (Vec<u64>, bool) {
        let (weights, problem) = Weights::amended(&"shop".parse().unwrap(), &split(), &said(weights));
        (weights.values().to_vec(), problem.is_some())
    }

    #[test]
    fn what_is_not_named_keeps_the_weight_of_the_file() {
        assert_eq!(amended(&[]), (vec![90, 10], false));
        assert_eq!(amended(&[("candidate", 50)]), (vec![90, 50], false));
        assert_eq!(amended(&[("candidate", 1), ("control", 0)]), (vec![0, 1], false));
    }

    #[test]
    fn what_no_longer_fits_stops_nothing() {
        assert_eq!(amended(&[("gone", 1), ("candidate", 20)]), (vec![90, 20], true));
        assert_eq!(amended(&[("control", 0), ("candidate", 0), ("gone", 1)]), (vec![90, 10], true));
    }

    #[test]
    fn problems_are_named_with_their_place() {
        let paths = |weights: &[(&str, u64)]| -> Vec<String> {
            let problems = said(weights).problems(&split(), "weights");
            assert!(problems.iter().all(|problem| problem.hint.is_some()));
            problems.into_iter().map(|problem| problem.path).collect()
        };
        assert_eq!(paths(&[("control", 1)]), [""; 0]);
        assert_eq!(
            paths(&[("contrl", 1), ("candidate", MAX_WEIGHT + 1)]),
            ["weights.candidate", "weights.contrl"]
        );
        assert_eq!(paths(&[("control", 0), ("candidate", 0)]), ["weights"]);
        let seed = Amendment { seed: Some("a\0b".into()), ..Amendment::default() };
        assert_eq!(seed.problems(&split(), "weights")[0].path, "seed");
    }

    #[test]
    fn a_document_needs_no_more_than_weights() {
        let read: Amendment = serde_json::from_str(r#"{"weights": {"control": 1}, "later": true}"#).unwrap();
        assert_eq!(read, said(&[("control", 1)]));
    }
}
