//! `mirror` on a route: what the mirror gets, what it can't do to the real requests, and what bounds
//! it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "mirror/bodies.rs"]
mod bodies;
#[path = "mirror/bounds.rs"]
mod bounds;
#[path = "mirror/copies.rs"]
mod copies;
#[path = "mirror/harm.rs"]
mod harm;

use std::net::SocketAddr;
use std::time::Duration;

use support::{TidegateProcess, eventually};

const DEADLINE: Duration = Duration::from_secs(10);

/// Clusters `web` and `shadow`, and a route `all` to `web` with these keys more, as
/// `, mirror: { cluster: shadow }`.
fn live(web: SocketAddr, shadow: SocketAddr, keys: &str) -> String {
    format!(
        "clusters:\n  web: {{ static: {{ endpoints: [ {{ address: '{web}' }} ] }} }}\n  \
         shadow: {{ static: {{ endpoints: [ {{ address: '{shadow}' }} ] }} }}\n\
         routes:\n  - {{ name: all, cluster: web{keys} }}\n"
    )
}

/// How many mirrored requests came to this result.
async fn results(tidegate: &TidegateProcess, result: &str) -> f64 {
    let labels = ["route=\"all\"", "cluster=\"shadow\"", &format!("result=\"{result}\"")];
    tidegate.metric("tidegate_mirror_requests_total", &labels).await
}

/// Waits until so many came to this result, and to no other.
async fn counted(tidegate: &TidegateProcess, result: &str, count: f64) {
    eventually(DEADLINE, async || match results(tidegate, result).await {
        now if now == count => Ok(()),
        now => Err(format!("{now} {result}, not {count}")),
    })
    .await;
    assert_eq!(tidegate.metric("tidegate_mirror_requests_total", &[]).await, count, "only {result}");
}
