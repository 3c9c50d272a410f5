//! gRPC through the binary, with grpcio's own client and server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "grpc/calls.rs"]
mod calls;
#[path = "grpc/deadlines.rs"]
mod deadlines;
#[path = "grpc/errors.rs"]
mod errors;
#[path = "grpc/peers.rs"]
mod peers;
#[path = "grpc/retries.rs"]
mod retries;
#[path = "grpc/web.rs"]
mod web;

/// A cluster `t` of servers on these ports that speaks HTTP/2, with more `cluster` keys, and a route
/// `calls` to it with more `route` keys.
fn to(ports: &[u16], cluster: &str, route: &str) -> String {
    let list: Vec<_> = ports.iter().map(|port| format!("{{ address: '127.0.0.1:{port}' }}")).collect();
    let more = |keys: &str| if keys.is_empty() { String::new() } else { format!(", {keys}") };
    format!(
        "clusters: {{ t: {{ static: {{ endpoints: [ {} ] }}, protocol: http2{} }} }}\n\
         routes: [ {{ name: calls, cluster: t{} }} ]\n",
        list.join(", "),
        more(cluster),
        more(route),
    )
}
