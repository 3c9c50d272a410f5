//! Routes: which requests, and what happens to them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::live::{Mirror, Retry, Split};
use crate::config::value::{HostPattern, Name, Span};

/// A rule that says what happens to some requests. Exactly one of `cluster`, `split`, `redirect`,
/// `respond`.
#[derive(Clone, Debug, PartialEq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["cluster"]}, {"required": ["split"]}, {"required": ["redirect"]}, {"required": ["respond"]}
]))]
pub struct Route {
    /// Unique: the route's label in metrics and in the log.
    pub name: Name,
    /// Without it, every request.
    #[serde(default)]
    pub r#match: Match,
    /// A higher one wins over everything else.
    #[serde(default)]
    pub priority: i32,
    /// The cluster that requests go to.
    pub cluster: Option<Name>,
    /// The clusters that requests go to, each with its share.
    pub split: Option<Split>,
    /// Sends the client elsewhere instead.
    pub redirect: Option<Redirect>,
    /// Answers from the file instead.
    pub respond: Option<Respond>,
    /// The whole request, retries included. 0: no limit. Default 15s.
    pub timeout: Option<Span>,
    /// How long a stream may stand still. Default 5m.
    pub idle_timeout: Option<Span>,
    /// How often a request is tried.
    pub retry: Option<Retry>,
    /// A copy of some requests for another cluster.
    pub mirror: Option<Mirror>,
    /// A change of the path before the request goes upstream.
    pub rewrite: Option<Rewrite>,
    /// The Host that the endpoint sees instead of the client's.
    pub host: Option<String>,
    /// Translates calls of gRPC-Web, as browsers make them, to gRPC. The cluster must speak HTTP/2.
    #[serde(default)]
    pub grpc_web: bool,
    /// Edits of what the endpoint is sent.
    #[serde(default)]
    pub request_headers: HeaderEdits,
    /// Edits of what the client is sent.
    #[serde(default)]
    pub response_headers: HeaderEdits,
    /// Filters of a binary of your own, in the order they see a request.
    #[serde(default)]
    pub filters: Vec<Filter>,
}

/// A filter by the name under which the binary knows it, and what it is told.
#[derive(Clone, Debug, PartialEq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// As given to `app::Builder::filter`.
    pub name: String,
    /// Whatever the filter understands.
    #[serde(default)]
    pub config: serde_json::Value,
}

/// The conditions of a route. All that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Any of these. Empty: any host.
    pub hosts: Vec<HostPattern>,
    /// A condition on the path. None: any path.
    pub path: Option<PathMatch>,
    /// Any of these. Empty: any method.
    pub methods: Vec<String>,
    /// All of these.
    pub headers: Vec<ValueMatch>,
    /// All of these.
    pub query: Vec<ValueMatch>,
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Whole segments: `/a` takes `/a` and `/a/b`, not `/ab`.
    Prefix(String),
    /// The whole path, as if it stood between `^` and `$`.
    Regex(String),
}

/// A condition on a header or query parameter. Exactly one of `exact`, `prefix`, `regex`,
/// `present`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["exact"]}, {"required": ["prefix"]}, {"required": ["regex"]}, {"required": ["present"]}
]))]
pub struct ValueMatch {
    /// The name of the header (in any case) or parameter.
    pub name: String,
    /// The whole value.
    pub exact: Option<String>,
    /// The start of the value.
    pub prefix: Option<String>,
    /// The whole value, as if it stood between `^` and `$`.
    pub regex: Option<String>,
    /// Whether it is there at all.
    pub present: Option<bool>,
    /// Turns the condition round.
    #[serde(default)]
    pub invert: bool,
}

/// An answer that sends the client elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// May hold `{scheme}`, `{host}`, `{path}` and `{query}` (which brings its `?`).
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "found")]
    #[schemars(extend("enum" = [301, 302, 303, 307, 308]))]
    pub status: u16,
}

/// An answer that is written in the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// 200 to 599.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// Default: empty.
    #[serde(default)]
    pub body: String,
    /// Headers of the answer, as `retry-after`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// A change of the path before it goes upstream. Either `prefix`, or `regex` and `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["prefix"]}, {"required": ["regex", "to"]}]))]
pub struct Rewrite {
    /// Takes the place of the matched prefix (of the whole path where the match is exact).
    pub prefix: Option<String>,
    /// Replaces what it matches, once.
    pub regex: Option<String>,
    /// May hold `$1`, `${name}`: groups of the regex, which is why no environment variable is read
    /// here.
    pub to: Option<String>,
}

/// Edits of a header map: first `remove`, then `set`, then `add`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// Replaces every value.
    pub set: BTreeMap<String, String>,
    /// Adds one more value.
    pub add: BTreeMap<String, String>,
    /// Names of headers.
    pub remove: Vec<String>,
}

// === defaults ===

fn found() -> u16 {
    302
}
