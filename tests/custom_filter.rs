//! A binary with a filter of its own: `custom_filter/example.rs`, run as a process.
//!
//! The example is built in here as a module, and the process is this test binary itself, told to
//! run [`serve`] alone: so what runs is never an older build than what is tested.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "custom_filter/example.rs"]
mod example;

use std::collections::BTreeSet;

use serde_json::Value;
use support::{Backend, RawClient, Tidegate, curl, http};

/// Not a test: what the other tests start.
#[test]
#[ignore = "started by the other tests, as a process of its own"]
fn serve() {
    if let Some(file) = std::env::var_os("TIDEGATE_CONFIG") {
        let _ = example::run(file.into());
    }
}

fn tidegate(live: &str) -> Tidegate {
    let own = std::env::current_exe().unwrap();
    Tidegate::new(live).program(own, &["--exact", "serve", "--ignored", "--nocapture"])
}

fn live(backends: &[Backend], filters: &str) -> String {
    let list: Vec<_> = backends.iter().map(|b| format!("{{ address: '{}' }}", b.addr())).collect();
    format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {} ] }}, load_balancing: {{ policy: maglev, hash: [ {{ header: x-consumer }} ] }} }} }}
routes:
 - {{ name: guarded, match: {{ path: {{ prefix: /echo }} }}, cluster: web, filters: [ {filters} ] }}
 - {{ name: open, cluster: web }}
",
        list.join(", ")
    )
}

const KEYS: &str = "{ name: api-key, config: { consumers: { alice: ka, bob: kb, carol: kc, dan: kd, erin: ke, frank: kf } } }";

#[tokio::test]
async fn a_filter_lets_pass_and_refuses() {
    let backends = [Backend::start("0").await];
    let tidegate = tidegate(&live(&backends, KEYS)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    for line in ["x-a: 1", "x-api-key: wrong", "x-api-key:", "x-consumer: alice"] {
        let refused = raw
            .ask(format!("POST /echo HTTP/1.1\r\nhost: h\r\n{line}\r\ncontent-length: 3\r\n\r\nabc"))
            .await;
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("ApiKey")), "{line}");
        assert_eq!(refused.header("x-consumer"), None, "it did not let this one pass");
    }
    assert_eq!(backends[0].requests(), 0);
    let passed = raw.ask("GET /echo HTTP/1.1\r\nhost: h\r\nX-Api-Key: ka\r\nx-consumer: bob\r\n\r\n").await;
    let echo = passed.json();
    assert_eq!(passed.header("x-consumer"), Some("alice"));
    assert_eq!(
        (&echo["headers"]["x-consumer"], &echo["headers"]["x-api-key"]),
        (&serde_json::json!(["alice"]), &Value::Null)
    );
    // A client cannot have the proxy take out what a filter put in.
    let named = raw
        .ask("GET /echo HTTP/1.1\r\nhost: h\r\nx-api-key: ka\r\nconnection: keep-alive, x-consumer\r\n\r\n")
        .await;
    assert_eq!(named.json()["headers"]["x-consumer"], serde_json::json!(["alice"]));
    assert_eq!(raw.ask("GET /open HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 200);
    let line = tidegate.logged(|line| line["status"] == 401).await;
    assert_eq!((&line["route"], &line["attempts"]), (&"guarded".into(), &0.into()));
    let over_h2 = curl(&["--http2-prior-knowledge", "-H", "x-api-key: kb", &tidegate.url("/echo")]).await;
    assert_eq!(over_h2.json()["headers"]["x-consumer"], serde_json::json!(["bob"]));
}

#[tokio::test]
async fn what_a_filter_sets_can_be_hashed_by() {
    let backends = [Backend::start("0").await, Backend::start("1").await, Backend::start("2").await];
    let tidegate = tidegate(&live(&backends, KEYS)).start().await;
    let mut all = BTreeSet::new();
    for key in ["ka", "kb", "kc", "kd", "ke", "kf"] {
        let mut of_key = BTreeSet::new();
        for _ in 0..8 {
            let response =
                http::client().get(tidegate.url("/echo")).header("x-api-key", key).send().await.unwrap();
            of_key.insert(response.headers()["x-backend"].to_str().unwrap().to_owned());
        }
        assert_eq!(of_key.len(), 1, "{key}: {of_key:?}");
        all.extend(of_key);
    }
    assert!(all.len() > 1, "{all:?}");
}

#[tokio::test]
async fn its_config_is_checked_with_the_rest() {
    let backends = [Backend::start("0").await];
    let wrong = "{ name: api-key, config: { consumers: { alice: 1 } } }, { name: api-kex }";
    let failed = tidegate(&live(&backends, wrong)).try_start().await.err().expect("no start");
    for part in [
        "filters[0].config",
        "the key of `alice` is no text",
        "unknown filter `api-kex`",
        "did you mean `api-key`",
    ] {
        assert!(failed.stderr.contains(part), "{part}: {}", failed.stderr);
    }
    // A reload keeps what serves.
    let good = live(&backends, KEYS);
    let running = tidegate(&good).start().await;
    running.write_live(&good.replace("alice: ka", "alice: ''"));
    let (status, text) = running.admin_post("/v1/reload", &serde_json::json!({})).await.unwrap();
    assert!(status == 422 && text.contains("the key of `alice` is no text"), "{text}");
    let refused = http::client().get(running.url("/echo")).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    running.reload(&good.replace("alice: ka", "alice: new")).await;
    let passed = http::client().get(running.url("/echo")).header("x-api-key", "new").send().await.unwrap();
    assert_eq!(passed.status(), 200);
}
