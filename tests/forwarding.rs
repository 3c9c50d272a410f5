//! What endpoints and clients are told of the way between them: `forwarding`, and what belongs to one
//! connection only.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "forwarding/interim.rs"]
mod interim;
#[path = "forwarding/lookalikes.rs"]
mod lookalikes;
#[path = "forwarding/named.rs"]
mod named;
#[path = "forwarding/trusted.rs"]
mod trusted;

use std::net::SocketAddr;

use serde_json::Value;

use self::support::RawClient;

/// One route to one endpoint, and what `forwarding` says; `more` is put into the route.
fn live(endpoint: SocketAddr, forwarding: &str, more: &str) -> String {
    format!(
        "forwarding: {{ {forwarding} }}\n\
         clusters: {{ web: {{ static: {{ endpoints: [ {{ address: '{endpoint}' }} ] }} }} }}\n\
         routes:\n  - {{ name: to, match: {{ path: {{ prefix: /to }} }}, redirect: {{ to: '{{scheme}}://{{host}}{{port}}/x' }} }}\n  \
         - {{ name: all, cluster: web{more} }}\n"
    )
}

/// What the endpoint gets of a request with these lines.
async fn echo(client: &mut RawClient, lines: &[&str]) -> Value {
    let lines = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
    let answer = client.ask(format!("GET /echo HTTP/1.1\r\nhost: shop.example.com:81\r\n{lines}\r\n")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// All values of a header, each line one.
fn values(echo: &Value, name: &str) -> Vec<String> {
    let values = echo["headers"][name].as_array().into_iter().flatten();
    values.map(|value| value.as_str().unwrap().to_owned()).collect()
}
