//! What can go wrong with a try, and which of it a route makes another try for.

use crate::config::live::RetryOn;
use crate::grpc::Code;

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
    /// There was an answer that is nothing but this outcome of a gRPC call.
    Grpc(Code),
}

/// A set of conditions, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions(u16);

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
            Failure::Grpc(Code::Cancelled) => self.has(RetryOn::Cancelled),
            Failure::Grpc(Code::DeadlineExceeded) => self.has(RetryOn::DeadlineExceeded),
            Failure::Grpc(Code::Internal) => self.has(RetryOn::Internal),
            Failure::Grpc(Code::ResourceExhausted) => self.has(RetryOn::ResourceExhausted),
            Failure::Grpc(Code::Unavailable) => self.has(RetryOn::Unavailable),
            Failure::Grpc(_) => false,
        }
    }

    fn has(self, condition: RetryOn) -> bool {
        self.0 & 1 << condition as u16 != 0
    }
}

impl FromIterator<RetryOn> for Conditions {
    fn from_iter<I: IntoIterator<Item = RetryOn>>(conditions: I) -> Self {
        Self(conditions.into_iter().fold(0, |bits, condition| bits | 1 << condition as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_covers_its_own() {
        use Failure::{Connect, Grpc, Reset, Status, Timeout};
        let statuses = [200, 429, 500, 503, 599].map(Status);
        let mut all = [Connect, Reset, Timeout].into_iter().chain(statuses).chain(Code::ALL.map(Grpc));
        for (condition, covered) in [
            (RetryOn::ConnectFailure, vec![Connect]),
            (RetryOn::Reset, vec![Reset]),
            (RetryOn::Timeout, vec![Timeout]),
            (RetryOn::GatewayError, vec![Status(503)]),
            (RetryOn::ServerError, vec![Status(500), Status(503), Status(599)]),
            (RetryOn::TooManyRequests, vec![Status(429)]),
            (RetryOn::Cancelled, vec![Grpc(Code::Cancelled)]),
            (RetryOn::DeadlineExceeded, vec![Grpc(Code::DeadlineExceeded)]),
            (RetryOn::Internal, vec![Grpc(Code::Internal)]),
            (RetryOn::ResourceExhausted, vec![Grpc(Code::ResourceExhausted)]),
            (RetryOn::Unavailable, vec![Grpc(Code::Unavailable)]),
        ] {
            let only: Conditions = [condition].into_iter().collect();
            let found: Vec<_> = all.clone().filter(|failure| only.cover(*failure)).collect();
            assert_eq!(found, covered, "{condition:?}");
        }
        assert!(!all.any(|failure| Conditions::default().cover(failure)));
    }
}
