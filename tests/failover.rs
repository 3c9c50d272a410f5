//! Clusters that stand in for others, through the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "failover/clusters.rs"]
mod clusters;
#[path = "failover/locality.rs"]
mod locality;
#[path = "failover/splits.rs"]
mod splits;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use self::support::{Backend, TidegateProcess, eventually, http};

const SOON: Duration = Duration::from_secs(15);

/// A check that decides within a few hundred milliseconds.
const QUICK: &str = ", health_check: { http: { path: /healthz }, interval: 100ms, timeout: 500ms, \
                     healthy_threshold: 1, unhealthy_threshold: 1 }";

/// So many backends of one name.
async fn crowd(name: &str, count: usize) -> Vec<Backend> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Backend::start(name).await);
    }
    all
}

/// A cluster of these, with more keys (`, failover: []`).
fn cluster(name: &str, backends: &[Backend], more: &str) -> String {
    let list: Vec<_> = backends.iter().map(|b| format!("{{ address: '{}' }}", b.addr())).collect();
    format!(
        "  {name}: {{ static: {{ endpoints: [ {} ] }}, connect_timeout: 500ms{more} }}\n",
        list.join(", ")
    )
}

async fn drain(tidegate: &TidegateProcess, cluster: &str, address: SocketAddr, word: &str) {
    let path = format!("/v1/clusters/{cluster}/endpoints/{address}/{word}");
    assert_eq!(tidegate.admin_post(&path, &json!({})).await.unwrap().0, 200);
}

/// The share of `count` GETs that backends of this name answer; all must be 200.
async fn share(tidegate: &TidegateProcess, name: &str, count: u32) -> f64 {
    let client = http::client();
    let mut seen = 0;
    for _ in 0..count {
        let (status, backend) = support::probe::ask(&client, &tidegate.url("/")).await.unwrap();
        assert_eq!(status, 200, "{backend}");
        seen += u32::from(backend == name);
    }
    f64::from(seen) / f64::from(count)
}

/// Waits until a cluster has this score.
async fn scores(tidegate: &TidegateProcess, cluster: &str, score: f64) {
    eventually(SOON, async || {
        let shown = tidegate.admin_json(&format!("/v1/clusters/{cluster}")).await;
        let found = shown["score"].as_f64().unwrap();
        if (found - score).abs() < 1e-9 { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
}
