//! What `/v1/*` shows: plain data, made from the snapshot and the roster at the moment of asking.
//!
//! Keys are part of the API: add, but do not rename. Durations are in seconds, as in the metrics.

mod split;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::config::live::{Match, Policy};
use crate::endpoint::{Checked, Labels, Registry, Standing};
use crate::observe::access::line::rfc3339;
use crate::observe::metrics::EndpointState;

pub use self::split::{Move, Preview, SampleRatio, Split, Variant};

/// `/v1/snapshot`.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Grows by one with every published change.
    pub generation: u64,
    /// Equal on two nodes that serve the same.
    pub digest: String,
    #[serde(serialize_with = "as_rfc3339")]
    pub published_at: SystemTime,
    /// What brought it, as `reload: SIGHUP` or `consul: web: 1 added`.
    pub cause: String,
}

/// One of `/v1/routes`.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    pub name: String,
    pub priority: i32,
    pub r#match: Match,
    /// One key beside the others: `cluster`, `split`, `redirect` or `respond`.
    #[serde(flatten)]
    pub action: Action,
    /// The whole request. None: no limit.
    pub timeout_seconds: Option<f64>,
    /// Tries in all.
    pub attempts: u32,
    /// Who gets copies of the requests. None: nobody.
    pub mirror: Option<Mirror>,
}

/// Where copies of a route's requests go.
#[derive(Clone, Debug, Serialize)]
pub struct Mirror {
    pub cluster: String,
    /// The share of requests that is copied.
    pub fraction: f64,
    /// Whose requests are copied.
    pub methods: Vec<String>,
}

/// What a route does.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Cluster(String),
    /// Cluster by variant; `/v1/splits` says more.
    Split(BTreeMap<String, String>),
    Redirect {
        to: String,
        status: u16,
    },
    Respond {
        status: u16,
    },
}

/// One of `/v1/clusters`.
#[derive(Clone, Debug, Serialize)]
pub struct Cluster {
    pub name: String,
    /// `consul`, `static`, `dns`.
    pub source: String,
    pub policy: Policy,
    /// How many of the endpoints get new requests.
    pub available: usize,
    /// The share that is available, times 1.4, at most 1: below 1 the missing part of the requests
    /// goes to `failover`.
    pub score: f64,
    /// Who stands in for it, in this order.
    pub failover: Vec<String>,
    /// Whether so few are available that all are used.
    pub panic: bool,
    /// Whether an operator drained all of it.
    pub draining: bool,
    #[serde(flatten)]
    pub drained: Drained,
    pub endpoints: Vec<Endpoint>,
}

/// Who drained something, why and when. None: not drained, or not said.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Drained {
    pub drained_by: Option<String>,
    pub drained_why: Option<String>,
    pub drained_at: Option<String>,
}

/// One endpoint of a cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Endpoint {
    pub address: SocketAddr,
    pub weight: u32,
    /// What the registry says.
    pub registry: Registry,
    /// What follows from it and from what we know ourselves.
    pub state: EndpointState,
    /// Whether an operator drained it here, or its cluster.
    pub draining: bool,
    #[serde(flatten)]
    pub drained: Drained,
    /// What the active check says. None: the cluster has none.
    pub checked: Option<Checked>,
    /// Since when.
    pub checked_since_seconds: Option<f64>,
    /// The newest failure, if it says anything about what holds now.
    pub checked_why: Option<Arc<str>>,
    pub in_flight: u32,
    /// Requests sent since the address was first seen.
    pub requests: u64,
    pub connect_failures: u64,
    /// What real requests say of it.
    pub standing: Standing,
    /// Since that last changed. None: never.
    pub standing_since_seconds: Option<f64>,
    /// Which rule took it out and how the last request failed, while it is out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing_why: Option<String>,
    /// How often it was ejected since the address was first seen.
    pub ejections: u32,
    pub labels: Arc<Labels>,
}

/// One of `/v1/sources`: where a cluster's endpoints come from.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// `consul`, `static`, `dns`.
    pub source: String,
    pub cluster: String,
    /// Since the source last answered well. None: never.
    pub age_seconds: Option<f64>,
    /// Answers that changed the set.
    pub updates: u64,
    pub errors: u64,
    /// The newest failure, while it lasts.
    pub last_error: Option<String>,
    /// A removal that is not believed yet, in words with the time left.
    pub held: Option<String>,
    /// Whether the set is still the one that was read from `state_dir` at start.
    pub from_disk: bool,
    /// How many endpoints it gives, those that are held included.
    pub members: usize,
    /// Whether removals are doubted: the source lags, has just come back, or was never heard.
    pub degraded: bool,
    /// The registry's own version of its answer; 0 where there is none.
    pub index: u64,
    /// How many instances of the last answer cannot be used.
    pub dropped: usize,
    /// Some of them, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped_examples: Vec<String>,
}

fn as_rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = Vec::with_capacity(27);
    rfc3339(&mut text, *time);
    serializer.serialize_str(&String::from_utf8_lossy(&text))
}
