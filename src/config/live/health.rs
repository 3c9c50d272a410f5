//! How a cluster finds out which endpoints work, and how much it may be asked for at once.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::live::{Protocol, ProxyVersion};
use crate::config::value::Span;

/// Probes that are sent to every endpoint. Exactly one of `http`, `tcp`, `grpc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["http"]}, {"required": ["tcp"]}, {"required": ["grpc"]}]))]
pub struct HealthCheck {
    /// A request whose answer is looked at.
    pub http: Option<HttpCheck>,
    /// A connection that opens, or more.
    pub tcp: Option<TcpCheck>,
    /// The standard health service, `grpc.health.v1.Health/Check`.
    pub grpc: Option<GrpcCheck>,
    /// From one probe to the next, with 10 % jitter.
    #[serde(default = "interval")]
    pub interval: Span,
    /// The same while the endpoint is down or not known yet. Default: `interval`, at most 1s.
    pub unhealthy_interval: Option<Span>,
    /// How long one probe may take, the connection included.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// Passes in a row until an endpoint that was down is up. The first probe of a new one needs one.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy_threshold: u32,
    /// Failures in a row until an endpoint that was up is down.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_threshold: u32,
    /// Probes go to this port instead of the endpoint's own.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// The PROXY header that its connections begin with: the cluster's. Not a key of the file.
    #[serde(skip)]
    pub announce: Option<ProxyVersion>,
    /// Whether the connection is kept for the next probe. (TCP probes always open a new one.)
    #[serde(default)]
    pub reuse_connection: bool,
    /// Whether probes are sent over TLS, with the cluster's `tls`. Default: if the cluster has that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
}

/// A request whose answer is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpCheck {
    /// Path and query.
    pub path: String,
    /// What is spoken. Default: the cluster's `protocol`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Default: the endpoint's address.
    pub host: Option<String>,
    /// GET, HEAD, OPTIONS, or whatever the endpoint takes without a body.
    pub method: String,
    /// The statuses that pass.
    #[schemars(length(min = 1), inner(range(min = 200, max = 599)))]
    pub expect: Vec<u16>,
    /// A text that the body's first 64 KiB must hold.
    pub body: Option<String>,
    /// More headers of the probe.
    pub headers: BTreeMap<String, String>,
}

/// A connection that opens, or more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpCheck {
    /// Sent once it is open.
    pub send: Option<String>,
    /// What must come back within the timeout, among the first 64 KiB.
    pub expect: Option<String>,
}

/// The standard health service of gRPC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcCheck {
    /// The service that is asked for. Empty: the whole server.
    pub service: String,
}

/// Takes endpoints out for what their answers to real requests are like.
#[derive(Clone, Debug, PartialEq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutlierDetection {
    /// So many failures in a row eject: 5xx, connect failures, resets, time-outs. 0: never.
    pub consecutive_errors: u32,
    /// How often the statistical rules look.
    pub interval: Span,
    /// The first ejection lasts so long, the second twice, the n-th n times.
    pub base_ejection: Span,
    /// But no longer than this.
    pub max_ejection: Span,
    /// At most this share of the cluster is out at once. One may always be, the last never.
    #[schemars(range(min = 0, max = 100))]
    pub max_ejected_percent: u8,
    /// Ejects who succeeds clearly less than the others.
    pub success_rate: Option<SuccessRate>,
    /// Ejects who fails more than a fixed share.
    pub failure_percentage: Option<FailurePercentage>,
}

/// Ejects who succeeds less than the mean of all by so many standard deviations.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SuccessRate {
    /// Endpoints with fewer requests in an interval are left out.
    pub minimum_requests: u32,
    /// With fewer endpoints that have enough requests, nothing is ejected.
    pub minimum_endpoints: u32,
    /// How far below the mean.
    pub deviations: f64,
}

/// Ejects who fails more than a fixed share of its requests.
#[derive(Clone, Debug, PartialEq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FailurePercentage {
    /// Of the requests in an interval.
    #[schemars(range(min = 1, max = 100))]
    pub threshold: u8,
    /// Endpoints with fewer requests in an interval are left out.
    pub minimum_requests: u32,
}

/// How much a cluster is asked for at once. What is over it is answered 503 `UO`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CircuitBreaker {
    /// Connections in use: one for each request on its way that does not pause before another try.
    /// Those that wait in the pool for the next request are not counted, so an endpoint may see more
    /// of them; and what is over the limit is refused and not queued, unlike in Envoy.
    pub max_connections: u32,
    /// Requests on their way.
    pub max_requests: u32,
    /// Tries after the first on their way, of routes without a `retry.budget`. Default: none, the
    /// default budget holds.
    pub max_retries: Option<u32>,
    /// Requests on their way to one endpoint. Default: no limit.
    pub max_requests_per_endpoint: Option<u32>,
}

// === impl HealthCheck ===

impl HealthCheck {
    /// From one probe to the next while the endpoint is not known to be up.
    pub fn interval_when_down(&self) -> Span {
        self.unhealthy_interval.unwrap_or_else(|| self.interval.min(Span::secs(1)))
    }
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self {
            path: "/".into(),
            protocol: None,
            host: None,
            method: "GET".into(),
            expect: vec![200],
            body: None,
            headers: BTreeMap::new(),
        }
    }
}

// === impl OutlierDetection ===

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_errors: 5,
            interval: Span::secs(10),
            base_ejection: Span::secs(30),
            max_ejection: Span::secs(300),
            max_ejected_percent: 50,
            success_rate: None,
            failure_percentage: None,
        }
    }
}

impl Hash for SuccessRate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { minimum_requests, minimum_endpoints, deviations } = self;
        (minimum_requests, minimum_endpoints, deviations.to_bits()).hash(state);
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self { minimum_requests: 100, minimum_endpoints: 5, deviations: 1.9 }
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self { threshold: 85, minimum_requests: 50 }
    }
}

// === impl CircuitBreaker ===

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { max_connections: 1024, max_requests: 1024, max_retries: None, max_requests_per_endpoint: None }
    }
}

// === defaults ===

fn interval() -> Span {
    Span::secs(5)
}

fn timeout() -> Span {
    Span::secs(1)
}

fn two() -> u32 {
    2
}

fn three() -> u32 {
    3
}
