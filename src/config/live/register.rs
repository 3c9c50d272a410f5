//! The entry of this proxy in Consul.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Name;
use crate::config::value::Span;

/// Registers the proxy itself at the Consul agent of `consul`, as long as it serves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The name of the service. Needs `service:write` for it where Consul has ACLs.
    pub name: Name,
    #[serde(default)]
    pub tags: Vec<String>,
    /// Keys of `A-Z a-z 0-9 _ -`, at most 64.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// The listener whose port is registered. Default: the first that takes HTTP.
    pub listener: Option<Name>,
    /// An IP address or a host name. Default: the listener's, if it listens on one that others can
    /// reach, else none: Consul then gives out the address of the agent's node.
    pub address: Option<String>,
    /// Unique at the agent. Default: `<name>-<hostname>-<port>`.
    pub id: Option<Name>,
    /// Who tells Consul that the proxy serves.
    #[serde(default)]
    pub check: RegisterCheck,
    /// With `check: ttl`: without a word for so long the instance is critical. Default 15s; a third of
    /// it is the time between two words.
    pub ttl: Option<Span>,
    /// With `check: http`: how often the agent asks. Default 10s.
    pub interval: Option<Span>,
    /// How long an instance may be critical before Consul removes it, as it is after a crash.
    #[serde(default = "forgotten")]
    pub deregister_critical_service_after: Span,
}

/// Who tells Consul that the proxy serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegisterCheck {
    /// The proxy does, again and again.
    #[default]
    Ttl,
    /// The agent asks `/ready` of the admin API.
    Http,
}

// === defaults ===

fn forgotten() -> Span {
    Span::secs(600)
}
