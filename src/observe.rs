//! What is seen from outside: metrics and the access log. Every metric name and log field is
//! declared below here.
//!
//! Both follow one rule: a request adds to atomics or hands over a finished line, and never waits.
//! Whatever costs time (text, labels, files) happens in a scrape or on the log's own thread.

pub mod access;
pub mod flag;
pub mod metrics;

pub use self::access::AccessLog;
pub use self::flag::Flag;
pub use self::metrics::Metrics;

/// A number of things, for people: "1 route", "2 routes".
pub(crate) fn count<N: std::fmt::Display + PartialEq + From<u8>>(number: N, what: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {what}{plural}")
}
