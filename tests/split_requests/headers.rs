//! What endpoints and clients are told, and what clients can ask for.

use super::live;
use crate::support::{Backend, RawClient, Tidegate};

const OVERRIDES: &str = "      key: [ { header: x-user } ]
      tell_client: true
      overrides:
        - { match: { headers: [ { name: x-try, exact: candidate } ] }, variant: candidate }
        - { match: { query: [ { name: try, exact: control } ] }, variant: control }
";

#[tokio::test]
async fn the_variant_is_told_to_both_sides_and_cannot_be_claimed() {
    let (a, b) = (Backend::start("control").await, Backend::start("candidate").await);
    let tidegate = Tidegate::new(&live(&[(&a, 1), (&b, 0)], OVERRIDES)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let claim = "X-Tidegate-Variant: candidate\r\nx-user: u\r\n";
    for (target, sent, variant) in [
        ("/echo", claim, "control"),
        ("/echo", "x-try: candidate\r\n", "candidate"),
        ("/echo?try=control", "", "control"),
        ("/echo?try=control", "x-try: candidate\r\n", "candidate"),
    ] {
        let response = raw.ask(format!("GET {target} HTTP/1.1\r\nhost: h\r\n{sent}\r\n")).await;
        assert_eq!(response.header("x-backend"), Some(variant), "{target} {sent}: {response:?}");
        assert_eq!(response.header("x-tidegate-variant"), Some(variant));
        let seen = &response.json()["headers"]["x-tidegate-variant"];
        assert_eq!(*seen, serde_json::json!([variant]), "{target} {sent}");
    }
}

#[tokio::test]
async fn a_route_without_a_split_passes_no_claim_on() {
    let a = Backend::start("one").await;
    let text = format!(
        "clusters: {{ one: {{ static: {{ endpoints: [ {{ address: \"{}\" }} ] }} }} }}\nroutes: [ {{ name: all, cluster: one }} ]\n",
        a.addr()
    );
    let tidegate = Tidegate::new(&text).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let response = raw.ask("GET /echo HTTP/1.1\r\nhost: h\r\nx-tidegate-variant: a\r\n\r\n").await;
    assert_eq!(response.json()["headers"]["x-tidegate-variant"], serde_json::Value::Null);
    assert_eq!(response.count("x-tidegate-variant"), 0);
}
