//! Retries, circuit breakers and the times of a try: what endpoints see, what clients get, what is
//! counted.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "retries/breakers.rs"]
mod breakers;
#[path = "retries/budget.rs"]
mod budget;
#[path = "retries/deaths.rs"]
mod deaths;
#[path = "retries/posts.rs"]
mod posts;
#[path = "retries/splits.rs"]
mod splits;
#[path = "retries/statuses.rs"]
mod statuses;
#[path = "retries/times.rs"]
mod times;

use std::net::SocketAddr;

use support::{RawClient, TidegateProcess};

/// A cluster `web` with these endpoints and `cluster` keys (`circuit_breaker: {..}`), and a route `all`
/// to it with `route` keys (`retry: {..}`).
fn to(endpoints: &[SocketAddr], cluster: &str, route: &str) -> String {
    let list: Vec<_> = endpoints.iter().map(|e| format!("{{ address: '{e}' }}")).collect();
    let more = |keys: &str| if keys.is_empty() { String::new() } else { format!(", {keys}") };
    format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {} ] }}, connect_timeout: 500ms{} }} }}\nroutes: [ {{ name: all, cluster: web{} }} ]\n",
        list.join(", "),
        more(cluster),
        more(route),
    )
}

async fn ask(tidegate: &TidegateProcess, method: &str, path: &str) -> support::RawResponse {
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.ask(format!("{method} {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n")).await
}

async fn retries(tidegate: &TidegateProcess, result: &str) -> f64 {
    let result = format!("result=\"{result}\"");
    tidegate.metric("tidegate_retries_total", &["cluster=\"web\"", &result]).await
}

async fn rejected(tidegate: &TidegateProcess, limit: &str) -> f64 {
    let limit = format!("limit=\"{limit}\"");
    tidegate.metric("tidegate_circuit_breaker_rejected_total", &["cluster=\"web\"", &limit]).await
}
