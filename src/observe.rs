//! What is seen from outside: metrics, the access log. Every metric name and log field is declared here or below.

pub mod access;
pub mod flag;
pub mod metrics;

pub use self::flag::Flag;
pub use self::metrics::Metrics;
