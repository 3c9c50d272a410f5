//! The half of the config that changes while requests run: every change is a new snapshot.
//!
//! These types say what the operator wrote, no more: optional where the key is optional, one struct field a key.
//! `snapshot::compile` turns them into what requests use, and reports what does not hold together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::{HostPattern, Name, Secret, Span};

/// Everything but `server`, `admin` and `listeners`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Live {
    pub access_log: AccessLog,
    pub consul: Consul,
    pub clusters: BTreeMap<Name, Cluster>,
    pub routes: Vec<Route>,
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

/// The Consul agent that `consul` clusters ask. What is not set here comes from the `CONSUL_*` variables.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Consul {
    /// `http://host:port`, `https://host:port`, `host:port` or `unix:///path`. Default: `CONSUL_HTTP_ADDR`, else
    /// `http://127.0.0.1:8500`.
    pub address: Option<String>,
    /// The ACL token. `token_file` wins over it.
    pub token: Option<Secret>,
    /// A file with the ACL token, read again whenever it changes.
    pub token_file: Option<PathBuf>,
    /// PEM file of the authority that signed the agent's certificate.
    pub ca: Option<PathBuf>,
    /// PEM files of the client certificate and its key.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The name that the agent's certificate carries, as `server.dc1.consul`.
    pub server_name: Option<String>,
    /// Whether the agent's certificate is verified. Default: `CONSUL_HTTP_SSL_VERIFY`, else true.
    pub verify: Option<bool>,
    pub consistency: Consistency,
    /// How long one blocking query waits for a change: 1s to 10m.
    pub wait: Span,
    /// Beyond this last contact with the leader, removals are held.
    pub max_stale: Span,
    /// How long a set that drops to nothing at once is held. 0: not at all.
    pub empty_hold: Span,
    /// How long a removal of more than `max_removal_percent` of at least four instances at once is held.
    pub shrink_hold: Span,
    /// 1 to 100; 100 turns `shrink_hold` off.
    pub max_removal_percent: u8,
    /// Up to so many services are watched by a blocking query each; more are swept when the catalog changes.
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

/// A set of endpoints that requests are balanced over. Exactly one of `consul`, `static`, `dns`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    pub consul: Option<ConsulService>,
    pub r#static: Option<Static>,
    pub dns: Option<Dns>,
    pub load_balancing: LoadBalancing,
    /// How long a TCP connection to an endpoint may take to open. Default 2s.
    pub connect_timeout: Option<Span>,
}

/// The instances of a service in Consul.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsulService {
    pub service: String,
    /// Only instances that carry all of these tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Only instances whose meta has all of these values.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// Another datacenter than the agent's own.
    pub datacenter: Option<String>,
    /// Which address of an instance: `service` (default), `lan`, `wan`, or another key of its tagged addresses.
    #[serde(default = "service")]
    pub address: String,
}

/// Endpoints written in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Static {
    pub endpoints: Vec<StaticEndpoint>,
}

/// One endpoint written in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticEndpoint {
    /// IP address and port. For a name use a `dns` cluster.
    pub address: SocketAddr,
    /// Its share against the others; 0: none. At most 65535.
    #[serde(default = "one")]
    pub weight: u32,
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
}

/// Endpoints from the answers of a DNS resolver.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    pub name: String,
    /// The port of every endpoint. With `srv` the answer brings the port, and this must be left out.
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoadBalancing {
    pub policy: Policy,
    /// For `ring_hash` and `maglev`: what to hash. The first that is present wins; none present: random.
    pub hash: Vec<HashKey>,
}

/// The balancing policies. All respect weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Smooth weighted round robin.
    #[default]
    RoundRobin,
    Random,
    /// The less busy of two random choices, by in-flight requests per weight.
    LeastRequest,
    /// Ketama.
    RingHash,
    Maglev,
}

/// A part of the request that a hashing policy keys on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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

/// A rule that says what happens to some requests. Exactly one of `cluster`, `redirect`, `respond`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub name: Name,
    /// Without it, every request.
    #[serde(default)]
    pub r#match: Match,
    /// A higher one wins over everything else.
    #[serde(default)]
    pub priority: i32,
    pub cluster: Option<Name>,
    pub redirect: Option<Redirect>,
    pub respond: Option<Respond>,
    /// The whole request, retries included. 0: no limit. Default 15s.
    pub timeout: Option<Span>,
    /// How long a stream may stand still. Default 5m.
    pub idle_timeout: Option<Span>,
    pub retry: Option<Retry>,
    pub rewrite: Option<Rewrite>,
    /// The Host that the endpoint sees instead of the client's.
    pub host: Option<String>,
    #[serde(default)]
    pub request_headers: HeaderEdits,
    #[serde(default)]
    pub response_headers: HeaderEdits,
    /// Filters of a binary of your own, in the order they see a request.
    #[serde(default)]
    pub filters: Vec<Filter>,
}

/// A filter by the name under which the binary knows it, and what it is told.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    pub name: String,
    #[serde(default)]
    pub config: serde_json::Value,
}

/// The conditions of a route. All that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Any of these. Empty: any host.
    pub hosts: Vec<HostPattern>,
    pub path: Option<PathMatch>,
    /// Any of these. Empty: any method.
    pub methods: Vec<String>,
    /// All of these.
    pub headers: Vec<ValueMatch>,
    /// All of these.
    pub query: Vec<ValueMatch>,
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    Exact(String),
    /// Whole segments: `/a` takes `/a` and `/a/b`, not `/ab`.
    Prefix(String),
    /// The whole path, as if it stood between `^` and `$`.
    Regex(String),
}

/// A condition on a header or query parameter. Exactly one of `exact`, `prefix`, `regex`, `present`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValueMatch {
    pub name: String,
    pub exact: Option<String>,
    pub prefix: Option<String>,
    /// The whole value, as if it stood between `^` and `$`.
    pub regex: Option<String>,
    pub present: Option<bool>,
    /// Turns the condition round.
    #[serde(default)]
    pub invert: bool,
}

/// An answer that sends the client elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// May hold `{scheme}`, `{host}`, `{path}` and `{query}` (which brings its `?`).
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "found")]
    pub status: u16,
}

/// An answer that is written in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    #[serde(default)]
    pub body: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// How often a request is tried. More than the default comes in a later version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Tries in all, the first included: 1 or 2.
    pub attempts: u8,
}

/// A change of the path before it goes upstream. Either `prefix`, or `regex` and `to`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// Takes the place of the matched prefix (of the whole path where the match is exact).
    pub prefix: Option<String>,
    /// Replaces what it matches, once.
    pub regex: Option<String>,
    /// May hold `$1`, `${name}`.
    pub to: Option<String>,
}

/// Edits of a header map: first `remove`, then `set`, then `add`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// Replaces every value.
    pub set: BTreeMap<String, String>,
    /// Adds one more value.
    pub add: BTreeMap<String, String>,
    pub remove: Vec<String>,
}

// === impl Cluster ===

impl Cluster {
    /// Whether its members come from outside, over time.
    pub fn dynamic(&self) -> bool {
        self.r#static.is_none()
    }

    /// The kind of its source.
    pub fn source(&self) -> &'static str {
        match (&self.consul, &self.dns) {
            (Some(_), _) => "consul",
            (None, Some(_)) => "dns",
            (None, None) => "static",
        }
    }

    /// A number that is the same for two clusters exactly where the same question to the same source would be
    /// asked. Answers carry it, so that one to an older question is never taken for one to a newer.
    pub fn fingerprint(&self) -> u64 {
        let asked = format!("{:?} {:?} {:?}", self.consul, self.dns, self.r#static);
        xxhash_rust::xxh3::xxh3_64(asked.as_bytes())
    }
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

fn found() -> u16 {
    302
}
