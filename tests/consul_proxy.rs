//! Services in a real Consul, requests through the real binary: what is registered gets traffic,
//! and whatever happens to the agent, no request fails for it.
//!
//! The long versions of the outages (60 s without an agent, the default hold of 30 s) run with
//! `TIDEGATE_LONG=1`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "consul_proxy/follow.rs"]
mod follow;
#[path = "consul_proxy/hostile.rs"]
mod hostile;
#[path = "consul_proxy/outage.rs"]
mod outage;
#[path = "consul_proxy/start.rs"]
mod start;

use std::time::Duration;

use self::support::{TidegateProcess, eventually};

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(15);

/// A config of one cluster `web` for the service `web`, and a route to it. `consul`: more lines of
/// that section.
fn live(address: &str, consul: &str) -> String {
    let more: String = consul.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "consul:\n  address: {address}\n{more}clusters:\n  web:\n    consul: {{ service: web }}\nroutes:\n  - {{ name: all, cluster: web }}\n"
    )
}

/// Waits until the cluster `web` has so many endpoints.
async fn endpoints(tidegate: &TidegateProcess, count: usize) {
    eventually(SOON, async || {
        let cluster = tidegate.admin_json("/v1/clusters/web").await;
        match cluster["endpoints"].as_array().map(Vec::len) {
            Some(n) if n == count => Ok(()),
            other => Err(format!("{other:?} endpoints: {cluster}")),
        }
    })
    .await;
}

/// Waits until the source of `web` fits, and gives it.
async fn source(tidegate: &TidegateProcess, fits: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    eventually(SOON * 2, async || {
        let source = support::probe::source(tidegate, "web").await;
        if fits(&source) { Ok(source) } else { Err(source.to_string()) }
    })
    .await
}

/// No part of the process has panicked.
#[track_caller]
fn assert_calm(tidegate: &TidegateProcess) {
    let stderr = tidegate.stderr();
    assert!(!stderr.contains("panicked"), "{stderr}");
}
