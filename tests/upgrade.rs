//! One binary takes over from another: nobody notices, or nothing has changed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "upgrade/broken.rs"]
mod broken;
#[path = "upgrade/elder_dies.rs"]
mod elder_dies;
#[path = "upgrade/installed.rs"]
mod installed;
#[path = "upgrade/listeners.rs"]
mod listeners;
#[path = "upgrade/stop.rs"]
mod stop;
#[path = "upgrade/well.rs"]
mod well;

use std::time::Duration;

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(30);

/// One cluster and a route to it.
fn to(addr: std::net::SocketAddr) -> String {
    format!(
        "clusters:\n  web: {{ static: {{ endpoints: [ {{ address: '{addr}' }} ] }} }}\nroutes:\n  - {{ name: all, cluster: web }}\n"
    )
}
