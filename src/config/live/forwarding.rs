//! What endpoints and clients are told of the way between them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::Network;

/// What endpoints and clients are told of the way between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Forwarding {
    /// Proxies in front. What they say in `x-forwarded-*` and `forwarded` is believed and added to; the
    /// client is then the last address that is not one of these. Default: nobody, and what others say
    /// is replaced.
    pub trusted: Vec<Network>,
    /// Sends `x-forwarded-for`, `x-forwarded-proto` and `x-forwarded-host`. Default true.
    pub x_forwarded: bool,
    /// Sends `forwarded` (RFC 7239). Default false.
    pub forwarded: bool,
    /// Sends `via` (RFC 9110 7.6.3), to both sides. Default false.
    pub via: bool,
    pub traceparent: Traceparent,
    pub request_id: RequestId,
}

/// What is done with W3C's `traceparent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Traceparent {
    /// Sent on as it came.
    #[default]
    Pass,
    /// Made where there is none, or none that is valid.
    Make,
}

/// What is done with a client's `x-request-id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestId {
    /// It stays; made where there is none.
    #[default]
    Keep,
    /// Made anew for every request.
    Replace,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            x_forwarded: true,
            forwarded: false,
            via: false,
            traceparent: Traceparent::default(),
            request_id: RequestId::default(),
        }
    }
}
