//! What a client may send, through the real binary to real backends: routing, answers, headers,
//! framing, HTTP/2.
//!
//! What cannot go through is `malformed.rs`; what goes wrong on the way is `failures.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "requests/answers.rs"]
mod answers;
#[path = "requests/bodies.rs"]
mod bodies;
#[path = "requests/connections.rs"]
mod connections;
#[path = "requests/forms.rs"]
mod forms;
#[path = "requests/headers.rs"]
mod headers;
#[path = "requests/http2.rs"]
mod http2;
#[path = "requests/matching.rs"]
mod matching;

use std::net::SocketAddr;

/// A cluster `web` of one endpoint, and `routes` (each a line that begins with ` -`).
fn web(endpoint: SocketAddr, routes: &str) -> String {
    format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {{ address: '{endpoint}' }} ] }} }} }}\nroutes:\n{routes}\n"
    )
}
