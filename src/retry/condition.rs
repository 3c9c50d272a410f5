//! What can go wrong with a try, and which of it a route makes another try for.

use crate::config::live::RetryOn;

/// How a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection could not be opened: nothing was sent.
    Connect,
    /// It broke before the answer.
    Reset,
    /// There was no answer within the time of a try.
    Timeout,
    /// There was an answer, with this status.
    Status(u16),
}

/// A set of conditions, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions(u8);

// === impl Conditions ===

impl Conditions {
    /// Whether one of them holds for this failure.
    pub fn cover(self, failure: Failure) -> bool {
        match failure {
            Failure::Connect => self.has(RetryOn::ConnectFailure),
            Failure::Reset => self.has(RetryOn::Reset),
            Failure::Timeout => self.has(RetryOn::Timeout),
            Failure::Status(429) => self.has(RetryOn::TooManyRequests),
            Failure::Status(502..=504) if self.has(RetryOn::GatewayError) => true,
            Failure::Status(status) => status >= 500 && self.has(RetryOn::ServerError),
        }
    }

    fn has(self, condition: RetryOn) -> bool {
        self.0 & 1 << condition as u8 != 0
    }
}

impl FromIterator<RetryOn> for Conditions {
    fn from_iter<I: IntoIterator<Item = RetryOn>>(conditions: I) -> Self {
        Self(conditions.into_iter().fold(0, |bits, condition| bits | 1 << condition as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_covers_its_own() {
        use Failure::{Connect, Reset, Status, Timeout};
        let all = [Connect, Reset, Timeout, Status(200), Status(429), Status(500), Status(503), Status(599)];
        for (condition, covered) in [
            (RetryOn::ConnectFailure, vec![Connect]),
            (RetryOn::Reset, vec![Reset]),
            (RetryOn::Timeout, vec![Timeout]),
            (RetryOn::GatewayError, vec![Status(503)]),
            (RetryOn::ServerError, vec![Status(500), Status(503), Status(599)]),
            (RetryOn::TooManyRequests, vec![Status(429)]),
        ] {
            let only: Conditions = [condition].into_iter().collect();
            let found: Vec<_> = all.into_iter().filter(|failure| only.cover(*failure)).collect();
            assert_eq!(found, covered, "{condition:?}");
        }
        assert!(!all.into_iter().any(|failure| Conditions::default().cover(failure)));
    }
}
