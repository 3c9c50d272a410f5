//! Failure detection: who is asked whether an endpoint works, and what its answers decide.
//!
//! [`verdict`] is the rule of the active check, pure. [`probe`] asks, as Pingora's `HealthCheck`s.
//! [`service`] is the one task that follows the snapshots, says who is probed when, and writes what
//! came of it into the endpoints' [`State`](crate::endpoint::State). The balancer reads that at
//! each pick, so a change of health publishes nothing, and no change of weight, tag or route
//! forgets it.

pub mod probe;
pub mod service;
pub mod verdict;
