//! How often a request is tried, and when another try is allowed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::value::Span;

/// How often a request is tried. Without it: connections that cannot be opened on up to five
/// endpoints, others twice. The tries, their pauses included, share the route's `timeout`.
#[derive(Clone, Debug, PartialEq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Tries in all, the first included: 1 to 10.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u8,
    /// What another try is made for. A list takes the place of the default one, so name
    /// `connect_failure` and `reset` too if they shall stay.
    pub on: Vec<RetryOn>,
    /// How long one try may take until the answer's header. Default: what is left of `timeout`.
    pub per_try_timeout: Option<Span>,
    /// The pause before another try.
    pub backoff: Backoff,
    /// How many tries after the first the cluster takes at once. Default: what its
    /// `circuit_breaker.max_retries` says, and without one 20 percent, at least 3.
    pub budget: Option<Budget>,
    /// Whether an answer's `retry-after` is waited for, in seconds. An answer that asks for more than
    /// 10, or for more than is left of `timeout`, goes to the client.
    pub respect_retry_after: bool,
    /// Whether requests that are not idempotent are repeated too, although the endpoint may have
    /// acted on them.
    pub non_idempotent: bool,
    /// Whether a request of a split may be tried again in another variant when its own has nobody
    /// left.
    pub other_variant: bool,
}

/// What another try is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// The connection could not be opened; nothing was sent, so any method is tried again.
    ConnectFailure,
    /// It broke before the answer.
    Reset,
    /// No answer within `per_try_timeout`.
    Timeout,
    /// An answer of 502, 503 or 504.
    GatewayError,
    /// Any answer from 500 on.
    #[serde(rename = "5xx")]
    ServerError,
    /// An answer of 429.
    TooManyRequests,
    /// A gRPC call that ended at once with CANCELLED. This and the next ones are looked for in answers
    /// that are nothing but a status; they are repeated though calls are POSTs.
    Cancelled,
    /// A gRPC call that ended at once with DEADLINE_EXCEEDED.
    DeadlineExceeded,
    /// A gRPC call that ended at once with INTERNAL.
    Internal,
    /// A gRPC call that ended at once with RESOURCE_EXHAUSTED.
    ResourceExhausted,
    /// A gRPC call that ended at once with UNAVAILABLE.
    Unavailable,
}

/// The pause before another try: random, between nothing and `base` doubled for each try before.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backoff {
    pub base: Span,
    pub max: Span,
}

/// Tries after the first that a cluster takes, so that retries do not crush what is left of it. Those
/// for a connection that could not be opened are not counted: they load nobody.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Of the requests: of those on their way, and of those before, which save up for moments when many
    /// fail together.
    #[schemars(range(min = 0, max = 100))]
    pub percent: u8,
    /// But always so many at once.
    pub min: u32,
}

// === impl Retry ===

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: vec![RetryOn::ConnectFailure, RetryOn::Reset],
            per_try_timeout: None,
            backoff: Backoff::default(),
            budget: None,
            respect_retry_after: false,
            non_idempotent: false,
            other_variant: true,
        }
    }
}

// === impl Backoff ===

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Span::millis(25), max: Span::millis(250) }
    }
}

// === impl Budget ===

impl Default for Budget {
    fn default() -> Self {
        Self { percent: 20, min: 3 }
    }
}
