//! What `/v1/splits` shows.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::config::live::OnUnhealthy;
use crate::split::Origin;

/// One of `/v1/splits`.
#[derive(Clone, Debug, Serialize)]
pub struct Split {
    pub route: String,
    pub seed: String,
    /// What of a request stays with a variant, in order: `header x-user-id, cookie tg_id`. Empty:
    /// nothing does.
    pub key: String,
    pub on_unhealthy: OnUnhealthy,
    pub tell_client: bool,
    /// Where the weights in force come from.
    pub origin: Origin,
    /// How often they were changed since the file.
    pub epoch: u64,
    pub author: Option<String>,
    pub why: Option<String>,
    /// When they were set.
    pub at: Option<String>,
    /// What was said and is not served, and why.
    pub problem: Option<String>,
    pub variants: Vec<Variant>,
    /// Whether the assigned units fit the weights. None: there are too few of them yet.
    pub sample_ratio: Option<SampleRatio>,
}

/// One variant of a split.
#[derive(Clone, Debug, Serialize)]
pub struct Variant {
    pub name: String,
    pub cluster: String,
    /// The one in force.
    pub weight: u64,
    pub file_weight: u64,
    /// 0 to 1.
    pub share: f64,
    /// How many endpoints of its cluster get new requests.
    pub available: usize,
    pub endpoints: usize,
    /// Requests by the reason for which they were assigned. None: nobody counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned: Option<Map<String, Value>>,
}

/// The check of assigned against configured shares.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SampleRatio {
    pub units: u64,
    pub chi_square: f64,
    pub degrees: usize,
    pub p_value: f64,
}

/// `/v1/splits/{route}/preview`.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// Share by variant.
    #[serde(serialize_with = "as_object")]
    pub before: Vec<(String, f64)>,
    #[serde(serialize_with = "as_object")]
    pub after: Vec<(String, f64)>,
    /// The share of keys that change variant.
    pub moved: f64,
    pub moves: Vec<Move>,
}

/// Keys that change variant.
#[derive(Clone, Debug, Serialize)]
pub struct Move {
    pub from: String,
    pub to: String,
    /// Of all keys.
    pub share: f64,
}

/// In the order of the config.
fn as_object<S: Serializer>(pairs: &[(String, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, share)| (name, share)))
}
