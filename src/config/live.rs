//! The half of the config that changes while requests run: every change is a new snapshot.
//!
//! These types say what the operator wrote, no more: optional where the key is optional, one struct
//! field a key. `snapshot::compile` turns them into what requests use, and reports what does not
//! hold together.

mod cluster;
mod forwarding;
mod health;
mod register;
mod retry;
mod route;
mod split;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::{Name, Secret, Span};

pub use self::cluster::{
    Cluster, ConsulService, Dns, HashKey, LoadBalancing, Locality, MAX_FAILOVER, Policy, Protocol,
    ProxyVersion, Static, StaticEndpoint, UpstreamTls,
};
pub use self::forwarding::{Forwarding, RequestId, Traceparent};
pub use self::health::{
    CircuitBreaker, FailurePercentage, GrpcCheck, HealthCheck, HttpCheck, OutlierDetection, SuccessRate,
    TcpCheck,
};
pub use self::register::{Register, RegisterCheck};
pub use self::retry::{Backoff, Budget, Retry, RetryOn};
pub use self::route::{Filter, HeaderEdits, Match, PathMatch, Redirect, Respond, Rewrite, Route, ValueMatch};
pub use self::split::{
    MAX_VARIANTS, MAX_WEIGHT, Mirror, OnUnhealthy, Override, Split, SplitCookie, SplitKey, Splits, Variant,
};

/// Everything but `server`, `admin`, `limits` and `listeners`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Live {
    pub access_log: AccessLog,
    pub consul: Consul,
    pub clusters: BTreeMap<Name, Cluster>,
    pub routes: Vec<Route>,
    pub splits: Splits,
    pub forwarding: Forwarding,
    pub register: Option<Register>,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLog {
    /// `stdout`, `stderr`, `none`, or a file, which is reopened on SIGHUP.
    pub path: String,
    pub format: LogFormat,
}

/// How a line of the access log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Json,
}

/// The Consul agent that `consul` clusters ask, and at which `register` registers. What is not set here comes from the `CONSUL_*`
/// variables.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Consul {
    /// `http://host:port`, `https://host:port`, `host:port` or `unix:///path`. Default:
    /// `CONSUL_HTTP_ADDR`, else `http://127.0.0.1:8500`.
    pub address: Option<String>,
    /// The ACL token. Not beside `token_file`.
    pub token: Option<Secret>,
    /// A file with the ACL token, read again whenever it changes.
    pub token_file: Option<PathBuf>,
    /// PEM file of the authority that signed the agent's certificate.
    pub ca: Option<PathBuf>,
    /// PEM file of the client certificate; needs `key`.
    pub cert: Option<PathBuf>,
    /// PEM file of the client certificate's key.
    pub key: Option<PathBuf>,
    /// The name that the agent's certificate carries, as `server.dc1.consul`.
    pub server_name: Option<String>,
    /// Whether the agent's certificate is verified. Default: `CONSUL_HTTP_SSL_VERIFY`, else true.
    pub verify: Option<bool>,
    /// Which answers are asked for.
    pub consistency: Consistency,
    /// How long one blocking query waits for a change: 1s to 10m.
    pub wait: Span,
    /// Beyond this last contact with the leader, removals are held.
    pub max_stale: Span,
    /// How long a set that drops to nothing at once is held. 0: not at all.
    pub empty_hold: Span,
    /// How long a removal of more than `max_removal_percent` of at least four instances at once is
    /// held.
    pub shrink_hold: Span,
    /// 1 to 100; 100 turns `shrink_hold` off.
    #[schemars(range(min = 1, max = 100))]
    pub max_removal_percent: u8,
    /// Up to so many services are watched by a blocking query each; more are swept when the catalog
    /// changes.
    pub max_watchers: usize,
    /// The oldest state on disk that a cold start accepts.
    pub snapshot_max_age: Span,
}

/// Which answers of Consul are asked for. See Consul's "consistency modes".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Any server answers; its lag is judged here.
    #[default]
    Stale,
    /// Only the leader answers.
    Default,
    /// The agent's own cache answers.
    Cached,
}

// === impl AccessLog ===

impl Default for AccessLog {
    fn default() -> Self {
        Self { path: "stdout".into(), format: LogFormat::Json }
    }
}

// === impl Consul ===

impl Default for Consul {
    fn default() -> Self {
        Self {
            address: None,
            token: None,
            token_file: None,
            ca: None,
            cert: None,
            key: None,
            server_name: None,
            verify: None,
            consistency: Consistency::default(),
            wait: Span::secs(30),
            max_stale: Span::secs(10),
            empty_hold: Span::secs(30),
            shrink_hold: Span::secs(10),
            max_removal_percent: 50,
            max_watchers: 100,
            snapshot_max_age: Span::secs(24 * 3600),
        }
    }
}
