//! Active checks, through the real binary against real servers: who fails its check gets no
//! requests, who passes again does, and nothing but a probe changes that.
//!
//! `TIDEGATE_LONG=1` kills a backend ten times instead of twice.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "health_checks/keeping.rs"]
mod keeping;
#[path = "health_checks/killing.rs"]
mod killing;
#[path = "health_checks/kinds.rs"]
mod kinds;
#[path = "health_checks/routing.rs"]
mod routing;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use self::support::{TidegateProcess, eventually};

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(15);

/// A check that decides within a few hundred milliseconds.
const QUICK: &str = "http: { path: /healthz }, interval: 100ms, timeout: 500ms, healthy_threshold: 2, \
                     unhealthy_threshold: 2";

/// A cluster `web` with these endpoints and this check, and a route `all` to it.
fn live(endpoints: &[SocketAddr], check: &str) -> String {
    let list: Vec<_> = endpoints.iter().map(|e| format!("{{ address: '{e}' }}")).collect();
    format!(
        "clusters:\n  web:\n    static: {{ endpoints: [ {} ] }}\n    health_check: {{ {check} }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
        list.join(", ")
    )
}

/// What the admin API says of an endpoint of a cluster.
async fn endpoint(tidegate: &TidegateProcess, cluster: &str, address: SocketAddr) -> Value {
    let cluster = tidegate.admin_json(&format!("/v1/clusters/{cluster}")).await;
    let endpoints = cluster["endpoints"].as_array().unwrap();
    let found = endpoints.iter().find(|e| e["address"] == address.to_string());
    found.cloned().unwrap_or_else(|| panic!("no endpoint {address}: {cluster}"))
}

/// Waits until the check says so, and gives all that is said of it.
async fn checked(tidegate: &TidegateProcess, address: SocketAddr, what: &str) -> Value {
    eventually(SOON, async || {
        let found = endpoint(tidegate, "web", address).await;
        if found["checked"] == what { Ok(found) } else { Err(found) }
    })
    .await
}
