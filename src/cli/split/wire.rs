//! The JSON of the admin API, as far as the commands read it. Keys that are not here pass unseen,
//! and those that a person can do without may be missing, so that a node of another version can be
//! looked at too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::value::Name;

/// One of `/v1/splits`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Split {
    pub(super) route: Name,
    #[serde(default)]
    pub(super) seed: String,
    pub(super) key: Option<String>,
    #[serde(default)]
    pub(super) origin: String,
    #[serde(default)]
    pub(super) epoch: u64,
    pub(super) author: Option<String>,
    pub(super) why: Option<String>,
    pub(super) at: Option<String>,
    pub(super) problem: Option<String>,
    pub(super) variants: Vec<Variant>,
    pub(super) sample_ratio: Option<SampleRatio>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Variant {
    pub(super) name: Name,
    #[serde(default)]
    pub(super) cluster: String,
    /// What serves.
    pub(super) weight: u64,
    pub(super) file_weight: Option<u64>,
    pub(super) available: Option<u64>,
    pub(super) endpoints: Option<u64>,
    /// By reason.
    #[serde(default)]
    pub(super) assigned: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct SampleRatio {
    pub(super) units: u64,
    pub(super) chi_square: f64,
    pub(super) degrees: u64,
    pub(super) p_value: f64,
}

/// The body of a change.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Wish<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) weights: Option<&'a Weights>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) if_epoch: Option<u64>,
    pub(super) author: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<&'a str>,
}

/// By variant.
pub(super) type Weights = BTreeMap<Name, u64>;

/// The answer to a change, once it serves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Changed {
    pub(super) generation: u64,
    pub(super) epoch: u64,
    /// What is odd about it, as that it will not last.
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

/// The answer to a preview.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Preview {
    pub(super) before: BTreeMap<String, f64>,
    pub(super) after: BTreeMap<String, f64>,
    pub(super) moved: f64,
    pub(super) moves: Vec<Move>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Move {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) share: f64,
}

// === impl Split ===

impl Split {
    /// The parts of its key in words. None: it has none, which the server says as an empty text.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref().filter(|key| !key.is_empty())
    }

    /// The weights that serve.
    pub(super) fn weights(&self) -> Vec<u64> {
        self.variants.iter().map(|variant| variant.weight).collect()
    }

    /// Weights in the order of the variants, by name.
    pub(super) fn named(&self, weights: &[u64]) -> Weights {
        self.variants.iter().zip(weights).map(|(v, weight)| (v.name.clone(), *weight)).collect()
    }
}
