//! How a process begins and ends: what it refuses to start with, what it leaves behind, and how
//! soon it goes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "start_stop/start.rs"]
mod start;
#[path = "start_stop/stop.rs"]
mod stop;

use std::time::Duration;

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(15);

/// One cluster and a route to it.
fn to(addr: std::net::SocketAddr) -> String {
    format!(
        "clusters:\n  web: {{ static: {{ endpoints: [ {{ address: '{addr}' }} ] }} }}\nroutes:\n  - {{ name: all, cluster: web }}\n"
    )
}
