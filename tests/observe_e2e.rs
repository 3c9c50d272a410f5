//! What operators see and touch: the access log, the metrics, `explain`, the admin API, and the
//! command line.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "observe_e2e/admin.rs"]
mod admin;
#[path = "observe_e2e/command_line.rs"]
mod command_line;
#[path = "observe_e2e/explain.rs"]
mod explain;
#[path = "observe_e2e/log.rs"]
mod log;
#[path = "observe_e2e/metrics.rs"]
mod metrics;
#[path = "observe_e2e/starting.rs"]
mod starting;

use std::net::SocketAddr;

/// A cluster `web` of these endpoints, and a route `all` to it.
fn web(endpoints: &[SocketAddr]) -> String {
    let list: Vec<_> = endpoints.iter().map(|e| format!("{{ address: '{e}' }}")).collect();
    format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {} ] }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
        list.join(", ")
    )
}
