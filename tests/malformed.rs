//! Requests that are not valid HTTP, byte by byte: what the client gets, that the endpoint sees
//! nothing, that somebody counts it, and that the process goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "malformed/headers.rs"]
mod headers;
#[path = "malformed/slow.rs"]
mod slow;
#[path = "malformed/smuggling.rs"]
mod smuggling;

use support::{Scripted, Tidegate, TidegateProcess, send};

/// A process before an endpoint that notes the bytes it gets.
async fn start() -> (Scripted, TidegateProcess) {
    let upstream = Scripted::start(vec![send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")]).await;
    let live = format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
        upstream.addr
    );
    let tidegate = Tidegate::new(&live).start().await;
    (upstream, tidegate)
}
