//! Passive detection: who is taken out for its errors, who comes back, and how.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "outlier/crowd.rs"]
mod crowd;
#[path = "outlier/limits.rs"]
mod limits;
#[path = "outlier/out_and_back.rs"]
mod out_and_back;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use support::{TidegateProcess, eventually};

/// A cluster `web` with these endpoints and outlier detection (`consecutive_errors: 5`), with more
/// keys (`, failover: []`), and a route `all` to it with more keys.
fn to(endpoints: &[SocketAddr], rules: &str, cluster: &str, route: &str) -> String {
    let list: Vec<_> = endpoints.iter().map(|e| format!("{{ address: '{e}' }}")).collect();
    format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {} ] }}, connect_timeout: 500ms, outlier_detection: {{ {rules} }}{cluster} }} }}\nroutes: [ {{ name: all, cluster: web{route} }} ]\n",
        list.join(", ")
    )
}

/// What the admin API says of an endpoint.
async fn shown(tidegate: &TidegateProcess, address: SocketAddr) -> Value {
    let cluster = tidegate.admin_json("/v1/clusters/web").await;
    let endpoints = cluster["endpoints"].as_array().unwrap();
    endpoints.iter().find(|e| e["address"] == address.to_string()).unwrap().clone()
}

/// Waits until an endpoint stands so.
async fn stands(tidegate: &TidegateProcess, address: SocketAddr, standing: &str) -> Value {
    eventually(Duration::from_secs(10), async || {
        let shown = shown(tidegate, address).await;
        if shown["standing"] == standing { Ok(shown) } else { Err(format!("{shown:#}")) }
    })
    .await
}

/// Statuses of so many GETs, one after the other.
async fn gets(tidegate: &TidegateProcess, count: usize) -> Vec<u16> {
    let client = support::http::client();
    let mut statuses = Vec::new();
    for _ in 0..count {
        let answer = client.get(tidegate.url("/x")).send().await.unwrap();
        statuses.push(answer.status().as_u16());
        let _ = answer.bytes().await;
    }
    statuses
}

/// By a rule, or by all of them (`""`).
async fn ejections(tidegate: &TidegateProcess, reason: &str) -> f64 {
    let labels = ["cluster=\"web\"", &format!("reason=\"{reason}")];
    tidegate.metric("tidegate_outlier_ejections_total", &labels).await
}

/// The lines of the log that say what became of an endpoint.
fn told(tidegate: &TidegateProcess, address: SocketAddr, what: &str) -> usize {
    let text = tidegate.stderr();
    let fits = |line: &&str| line.contains(what) && line.contains(&address.to_string());
    text.lines().filter(fits).count()
}
