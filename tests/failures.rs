//! What can go wrong on the way, and what the client, the log and the metrics say of it: DESIGN 5,
//! flag by flag.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "failures/clients.rs"]
mod clients;
#[path = "failures/connecting.rs"]
mod connecting;
#[path = "failures/repeating.rs"]
mod repeating;
#[path = "failures/stopping.rs"]
mod stopping;
#[path = "failures/timing.rs"]
mod timing;

use std::net::SocketAddr;

use serde_json::Value;
use support::TidegateProcess;

/// A cluster `web` with these endpoints, and a route `all` to it with `more` keys
/// (`, timeout: 1s`).
fn to(endpoints: &[SocketAddr], more: &str) -> String {
    let list: Vec<_> = endpoints.iter().map(|e| format!("{{ address: '{e}' }}")).collect();
    format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {} ] }}, connect_timeout: 500ms }} }}\nroutes: [ {{ name: all, cluster: web{more} }} ]\n",
        list.join(", ")
    )
}

/// The log's line of a path, which must have this status and flag, and the metric that counts it.
async fn assert_logged(tidegate: &TidegateProcess, path: &str, status: u16, flag: &str) -> Value {
    let line = tidegate.logged(|line| line["path"] == path).await;
    assert_eq!((&line["status"], &line["flags"]), (&status.into(), &flag.into()), "{line}");
    let label = format!("flag=\"{flag}\"");
    let count = tidegate.metric("tidegate_http_response_flags_total", &["route=\"all\"", &label]).await;
    assert!(count >= 1.0, "{flag}: {count}");
    line
}
