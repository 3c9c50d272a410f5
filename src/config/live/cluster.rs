//! Clusters: where endpoints come from, and how one of them is chosen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Name;
use crate::config::live::{CircuitBreaker, HealthCheck, OutlierDetection};
use crate::config::value::Span;

/// So many clusters may stand in for one.
pub const MAX_FAILOVER: usize = 8;

/// A set of endpoints that requests are balanced over. Exactly one of `consul`, `static`, `dns`.
#[derive(Clone, Debug, Default, PartialEq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [{"required": ["consul"]}, {"required": ["static"]}, {"required": ["dns"]}]))]
pub struct Cluster {
    /// The instances of a service in Consul.
    pub consul: Option<ConsulService>,
    /// Endpoints written in the file.
    pub r#static: Option<Static>,
    /// Endpoints from the answers of a DNS resolver.
    pub dns: Option<Dns>,
    /// How one endpoint is chosen for a request.
    pub load_balancing: LoadBalancing,
    /// Probes that are sent to every endpoint.
    pub health_check: Option<HealthCheck>,
    /// Takes endpoints out for what their answers to real requests are like. Default: off.
    pub outlier_detection: Option<OutlierDetection>,
    /// How much the cluster is asked for at once.
    pub circuit_breaker: CircuitBreaker,
    /// Clusters that stand in for this one where it has too few endpoints available, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failover: Vec<Name>,
    /// How long a TCP connection to an endpoint may take to open. Default 2s.
    pub connect_timeout: Option<Span>,
    /// What endpoints are spoken to in. Default: HTTP/1.1.
    pub protocol: Protocol,
    /// Endpoints are spoken to over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// Each connection begins with a PROXY protocol header that names the client. Such connections are
    /// not shared between clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyVersion>,
}

/// What endpoints are spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    #[default]
    Http1,
    /// In clear by prior knowledge (h2c). gRPC needs it.
    Http2,
    /// With `tls`: HTTP/2 where the endpoint offers it by ALPN, else HTTP/1.1. In clear: HTTP/1.1.
    Auto,
}

/// How endpoints are spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTls {
    /// PEM file of the authorities that may have signed the endpoints' certificates. Default: those of
    /// the system.
    pub ca: Option<PathBuf>,
    /// The name that is asked for, and that the certificate must carry. Default: the Host that the
    /// request is sent with.
    pub sni: Option<String>,
    /// Whether the endpoints' certificates are verified. Default true.
    pub verify: bool,
    /// PEM file of the certificate that is shown to endpoints; needs `key`.
    pub cert: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// The instances of a service in Consul.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsulService {
    /// The name of the service.
    pub service: String,
    /// Only instances that carry all of these tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Only instances whose meta has all of these values.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// Another datacenter than the agent's own.
    pub datacenter: Option<String>,
    /// Which address of an instance: `service` (default), `lan`, `wan`, or another key of its
    /// tagged addresses.
    #[serde(default = "service")]
    pub address: String,
}

/// Endpoints written in the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Static {
    /// At least one.
    #[schemars(length(min = 1))]
    pub endpoints: Vec<StaticEndpoint>,
}

/// One endpoint written in the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticEndpoint {
    /// IP address and port. For a name use a `dns` cluster.
    pub address: SocketAddr,
    /// Its share against the others; 0: none. At most 65535.
    #[serde(default = "one")]
    #[schemars(range(max = 65535))]
    pub weight: u32,
    /// Free values, shown in the admin API.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
}

/// Endpoints from the answers of a DNS resolver.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The name to ask for, as `my-service.service.consul`.
    pub name: String,
    /// The port of every endpoint. With `srv` the answer brings the port, and this must be left
    /// out.
    pub port: Option<u16>,
    /// Ask for SRV records: each brings its port and weight.
    #[serde(default)]
    pub srv: bool,
    /// Resolvers to ask, in order. Default: those of the system.
    #[serde(default)]
    pub resolvers: Vec<SocketAddr>,
    /// The shortest time between two questions, whatever the answer's TTL.
    #[serde(default = "dns_floor")]
    pub min_ttl: Span,
}

/// How one endpoint of a cluster is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoadBalancing {
    /// Default: `round_robin`.
    pub policy: Policy,
    /// For `ring_hash` and `maglev`: what to hash. The first that is present wins; none present:
    /// random.
    pub hash: Vec<HashKey>,
    /// For `round_robin` and `least_request`: how long a new or recovered endpoint takes to its full
    /// share. Default: none.
    pub slow_start: Option<Span>,
    /// Prefers endpoints near this node, as long as enough of them are available. Not for hashing
    /// policies. Default: none is preferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<Locality>,
}

/// Where this node is. An endpoint is near if everything that is given here holds for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Locality {
    /// The Consul datacenter.
    pub datacenter: Option<String>,
    /// The value of `zone` in an endpoint's meta.
    pub zone: Option<String>,
}

/// The balancing policies. All respect weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Smooth weighted round robin.
    #[default]
    RoundRobin,
    /// By weight, at random.
    Random,
    /// The less busy of two random choices, by in-flight requests per weight.
    LeastRequest,
    /// Consistent hashing on a ring (ketama). Needs `hash`.
    RingHash,
    /// Consistent hashing by table: the most even one. Needs `hash`.
    Maglev,
}

/// A part of the request that a hashing policy keys on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashKey {
    /// The first value of a header.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
    /// The first value of a query parameter.
    Query(String),
    /// The client's address, without the port.
    SourceIp,
}

// === impl Cluster ===

impl Cluster {
    /// The kind of its source.
    pub fn source(&self) -> &'static str {
        match (&self.consul, &self.dns) {
            (Some(_), _) => "consul",
            (None, Some(_)) => "dns",
            (None, None) => "static",
        }
    }

    /// A number that is the same for two clusters exactly where the same question to the same
    /// source would be asked. Answers carry it, so that one to an older question is never taken for
    /// one to a newer.
    pub fn fingerprint(&self) -> u64 {
        let asked = format!("{:?} {:?} {:?}", self.consul, self.dns, self.r#static);
        xxhash_rust::xxh3::xxh3_64(asked.as_bytes())
    }
}

// === impl UpstreamTls ===

impl Default for UpstreamTls {
    fn default() -> Self {
        Self { ca: None, sni: None, verify: true, cert: None, key: None }
    }
}

// === defaults ===

fn service() -> String {
    "service".into()
}

fn one() -> u32 {
    1
}

fn dns_floor() -> Span {
    Span::secs(1)
}
