//! Splits: one route, several clusters, by weight.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::live::Match;
use crate::config::value::{Name, Span};

/// The largest weight of a variant: small enough that sums of 64 of them are exact as `f64`.
pub const MAX_WEIGHT: u64 = 1_000_000_000;

/// The most variants of a split: those that a request may not use fit in one machine word.
pub const MAX_VARIANTS: usize = 64;

/// Sends a share of the requests to each of several variants. Which one a request gets depends on
/// `seed`, its key and the names of the variants only, so it is the same on every node, and a change
/// of weights moves as few keys as possible.
#[derive(Clone, Debug, PartialEq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// What makes this split independent of others on the same key. Default: the route's name.
    pub seed: Option<String>,
    /// What of a request stays with one variant. The first that is present wins; none: each request
    /// is assigned at random.
    #[serde(default)]
    pub key: Vec<SplitKey>,
    /// Where requests may go. At most 64.
    #[schemars(length(min = 1, max = 64))]
    pub variants: Vec<Variant>,
    /// Requests that get a certain variant whatever their key. The first that matches wins.
    #[serde(default)]
    pub overrides: Vec<Override>,
    /// What becomes of requests whose variant has no usable endpoint.
    #[serde(default)]
    pub on_unhealthy: OnUnhealthy,
    /// Whether the answer names its variant to the client, in `x-tidegate-variant`.
    #[serde(default)]
    pub tell_client: bool,
}

/// A part of the request that keeps it with one variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitKey {
    /// The first value of a header.
    Header(String),
    /// The value of a cookie, which may be made here.
    Cookie(SplitCookie),
    /// The first value of a query parameter.
    Query(String),
    /// The client's address, without the port.
    SourceIp,
}

/// A cookie that keys a split.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitCookie {
    /// As in `cookie: name=value`.
    pub name: String,
    /// Gives clients that come without it one of this lifetime, before they are assigned.
    pub mint: Option<Span>,
}

/// One of the places that a split sends requests to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Unique in the split; part of what is hashed, so that renaming it reassigns its keys.
    pub name: Name,
    /// The cluster that its requests go to.
    pub cluster: Name,
    /// Its share is this over the sum of all. 0 to 1,000,000,000.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub weight: u64,
}

/// Requests that get a certain variant.
#[derive(Clone, Debug, PartialEq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The conditions. All that are given must hold.
    pub r#match: Match,
    /// One of the split's variants, whatever its weight.
    pub variant: Name,
}

/// What becomes of requests whose variant has no usable endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnhealthy {
    /// They get another variant, by the same rule among the rest.
    #[default]
    Shift,
    /// They are answered 503 `UH`.
    Fail,
}

/// Where weights come from that the whole fleet serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Splits {
    /// A prefix in Consul's KV store, as `tidegate/splits`. Below it lies one JSON document for each
    /// route whose weights are not the file's.
    pub consul_kv: Option<String>,
}

/// A copy of some requests for another cluster, whose answers are thrown away.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The cluster that copies go to.
    pub cluster: Name,
    /// The share of requests that is copied, 0 to 1.
    #[serde(default = "all")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fraction: f64,
    /// Whose requests are copied. Default: GET and HEAD and OPTIONS, which change nothing.
    #[serde(default)]
    pub methods: Vec<String>,
}

// === impl Split ===

impl Split {
    /// The weights of the file, by variant.
    pub fn weights(&self) -> BTreeMap<Name, u64> {
        self.variants.iter().map(|variant| (variant.name.clone(), variant.weight)).collect()
    }
}

// === impl Mirror ===

impl Hash for Mirror {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { cluster, fraction, methods } = self;
        (cluster, fraction.to_bits(), methods).hash(state);
    }
}

// === defaults ===

fn all() -> f64 {
    1.0
}
