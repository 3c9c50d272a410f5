//! Whether a request is tried once more, and after which pause: a pure function of the route's config,
//! what went wrong, how far the request is, and the dice.
//!
//! Another try is made only if all of this holds:
//! 1. The route's [`Conditions`] list what went wrong, and it was not the last try.
//! 2. Doing it twice is harmless: nothing was sent (the connection could not be opened), or the method
//!    is idempotent (RFC 9110 9.2.2), or the operator has said that these requests may be repeated. To
//!    name an outcome of gRPC calls is to say so: all calls are POSTs, and naming would else be idle.
//! 3. It can be done: the client has seen nothing of an answer, and the body is still there. Pingora
//!    keeps 64 KiB of it; of a larger one nothing can be sent again.
//! 4. The pause fits in the time that is left. A request whose time would be over before it is tried
//!    is answered now with what there is.
//! 5. The cluster's [`Budget`] has room. That one is asked last, by whoever holds the cluster's
//!    counts.
//!
//! The bad side of 2: a POST whose endpoint resets the connection fails, although mostly nothing
//! happened there. Which of the two it was, nobody but the endpoint knows.

pub mod backoff;
pub mod budget;
pub mod condition;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::config::live;

pub use self::backoff::Backoff;
pub use self::budget::Budget;
pub use self::condition::{Conditions, Failure};

/// An answer that asks for a longer pause is not waited for: it goes to the client, who can wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Tries in all where connections can't be opened and the route says nothing of retries. Nothing was
/// sent, so going on to the next endpoint repeats nothing; with two tries, the moment in which half of
/// a cluster dies would cost every fourth request.
pub const CONNECT_TRIES: u32 = 5;

/// A route's retries, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Tries in all, the first included.
    pub attempts: u32,
    /// The same where it is a connection that could not be opened.
    pub connects: u32,
    pub on: Conditions,
    /// How long a try may take until the answer's header.
    pub per_try: Option<Duration>,
    /// Whether a request of a split may be tried in another variant.
    pub other_variant: bool,
    /// None: the cluster's own limit, or the default.
    pub budget: Option<Budget>,
    backoff: Backoff,
    respect_retry_after: bool,
    non_idempotent: bool,
}

/// How far a request is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Tries that were made.
    pub tries: u32,
    /// Of the request's time. None: there is no limit.
    pub left: Option<Duration>,
    /// Whether its method is idempotent.
    pub idempotent: bool,
    /// Whether the client has seen nothing of an answer, and the body can be sent again.
    pub replayable: bool,
    /// What the answer says of when to come back.
    pub retry_after: Option<Duration>,
}

// === impl Retry ===

impl Retry {
    /// Compiles a route's retries. None: the route says nothing of them.
    pub fn compile(config: Option<&live::Retry>) -> Self {
        let default = live::Retry::default();
        let live::Retry {
            attempts,
            on,
            per_try_timeout,
            backoff,
            budget,
            respect_retry_after,
            non_idempotent,
            other_variant,
        } = config.unwrap_or(&default);
        Self {
            attempts: u32::from(*attempts).max(1),
            connects: config.map_or(CONNECT_TRIES, |config| u32::from(config.attempts).max(1)),
            on: on.iter().copied().collect(),
            per_try: per_try_timeout.map(|span| span.0),
            other_variant: *other_variant,
            budget: budget.as_ref().map(Budget::from),
            backoff: Backoff::new(backoff.base.0, backoff.max.0),
            respect_retry_after: *respect_retry_after,
            non_idempotent: *non_idempotent,
        }
    }

    /// The pause before the next try. None: there is none. `dice` is even over 0 to 1.
    pub fn pause(&self, failure: Failure, so_far: &Progress, dice: f64) -> Option<Duration> {
        let named = matches!(failure, Failure::Connect | Failure::Grpc(_));
        let harmless = named || so_far.idempotent || self.non_idempotent;
        let most = if failure == Failure::Connect { self.connects } else { self.attempts };
        let due = so_far.tries < most && self.on.cover(failure);
        if !(due && harmless && so_far.replayable) {
            return None;
        }
        let pause = if failure == Failure::Connect && so_far.tries == 1 {
            // Nothing was asked of the endpoint, so nobody needs relief, and who did not get the
            // connection has mostly lost no time yet.
            Duration::ZERO
        } else {
            self.backoff.pause(so_far.tries, dice)
        };
        let asked = so_far.retry_after.filter(|_| self.respect_retry_after).unwrap_or_default();
        // The pause on top keeps all who were told the same second from coming back as one.
        let pause = asked.saturating_add(pause);
        let fits = so_far.left.is_none_or(|left| pause < left);
        (asked <= LONGEST_WAIT && fits).then_some(pause)
    }
}
