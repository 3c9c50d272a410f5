//! The admin API: what it changes is changed when it answers; what it does not know it refuses with
//! a hint.

use std::time::Duration;

use serde_json::{Value, json};

use super::web;
use crate::support::{Backend, Load, RawClient, Tidegate, http};

#[tokio::test]
async fn a_drain_is_in_force_when_it_answers() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let tidegate = Tidegate::new(&web(&[one.addr(), two.addr()])).start().await;
    let path = |what: &str| format!("/v1/clusters/web/endpoints/{}/{what}", one.addr());
    let load = Load::new(tidegate.addr("http")).path("/slow?ms=5");
    let (report, ()) = load
        .during(async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let (status, text) = tidegate.admin_post(&path("drain"), &json!({})).await.unwrap();
            let shown: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                (status, &shown["draining"], &shown["state"]),
                (200, &true.into(), &"draining".into())
            );
            let drained_at = one.requests();
            tokio::time::sleep(Duration::from_millis(300)).await;
            // A request that had its endpoint when the answer came may still have been on its way.
            assert!(one.requests() <= drained_at + 4, "{} after {drained_at}", one.requests());
            let still = one.requests();
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(one.requests(), still);
            assert_eq!(tidegate.metric("tidegate_cluster_endpoints", &["state=\"draining\""]).await, 1.0);
            assert_eq!(tidegate.admin_post(&path("undrain"), &json!({})).await.unwrap().0, 200);
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(one.requests() > still + 10, "{} after {still}", one.requests());
        })
        .await;
    report.assert_clean();
}

#[tokio::test]
async fn a_reload_by_the_api_is_in_force_when_it_answers() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let tidegate = Tidegate::new(&web(&[one.addr()])).start().await;
    let ask = async || http::client().get(tidegate.url("/")).send().await.unwrap().text().await.unwrap();
    assert_eq!(ask().await, "one");
    tidegate.write_live(&web(&[two.addr()]));
    let (status, text) = tidegate.admin_post("/v1/reload", &json!({})).await.unwrap();
    assert_eq!((status, ask().await.as_str()), (200, "two"), "{text}");
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["generation"], tidegate.generation().await);
    tidegate.write_live("clusters: {}\nroutes: [ { name: all, cluster: wob } ]\n");
    let (status, text) = tidegate.admin_post("/v1/reload", &json!({})).await.unwrap();
    assert_eq!(status, 422);
    assert!(text.contains("unknown cluster `wob`") && text.contains("tidegate.yaml:"), "{text}");
    assert_eq!(ask().await, "two");
    assert_eq!(tidegate.metric("tidegate_config_last_reload_success", &[]).await, 0.0);
}

/// Method, path, body, and the status.
const WRONG: &[(&str, &str, &str, u16)] = &[
    ("GET", "/nothing", "", 404),
    ("GET", "/v1/cluster", "", 404),
    ("GET", "/v1/clusters/wob", "", 404),
    ("POST", "/v1/snapshot", "", 405),
    ("DELETE", "/v1/clusters/web", "", 405),
    ("PUT", "/metrics", "", 405),
    ("GET", "/v1/splits/web", "", 404),
    ("PUT", "/v1/splits/web", "{}", 404),
    ("PUT", "/v1/splits", "{}", 405),
    ("GET", "/v1/splits/web/reset", "", 405),
    ("PUT", "/v1/splits/web/preview", "{}", 405),
    ("GET", "/v1/reload", "", 405),
    ("GET", "/v1/explain", "", 405),
    ("POST", "/v1/explain", "", 400),
    ("POST", "/v1/explain", "{", 400),
    ("POST", "/v1/explain", "[]", 422),
    ("POST", "/v1/explain", "{}", 422),
    ("POST", "/v1/explain", "{\"url\": \"http://x\", \"ip\": \"nobody\"}", 422),
    ("POST", "/v1/explain", "{\"url\": \"http://x\", \"more\": 1}", 422),
    ("POST", "/v1/reload", "{\"x\": 1}", 422),
    ("POST", "/v1/clusters/web/endpoints/nowhere/drain", "", 400),
    ("POST", "/v1/clusters/web/endpoints/127.0.0.1:1/drain", "", 404),
    ("POST", "/v1/clusters/wob/endpoints/127.0.0.1:1/drain", "", 404),
    ("POST", "/v1/clusters/web/endpoints/127.0.0.1:1/dry", "", 404),
];

#[tokio::test]
async fn what_it_does_not_know_it_refuses() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(&[backend.addr()])).start().await;
    let client = http::client();
    for (method, path, body, status) in WRONG {
        let method = method.parse::<reqwest::Method>().unwrap();
        let mut request = client.request(method.clone(), tidegate.admin_url(path));
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(*body);
        }
        let answer = request.send().await.unwrap();
        let got = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert_eq!(got, *status, "{method} {path} {body}: {text}");
        let told: Value = serde_json::from_str(&text).unwrap();
        assert!(told["error"].as_str().is_some_and(|e| !e.is_empty()), "{method} {path}: {text}");
    }
    let form = client.post(tidegate.admin_url("/v1/explain")).header("content-type", "text/plain").body("{}");
    assert_eq!(form.send().await.unwrap().status(), 415);
    let large = client.post(tidegate.admin_url("/v1/explain")).json(&"x".repeat(2_000_000));
    assert_eq!(large.send().await.unwrap().status(), 413);
    let rebound = client.get(tidegate.admin_url("/v1/config")).header("host", "evil.example");
    assert_eq!(rebound.send().await.unwrap().status(), 403);
    let forged = client.post(tidegate.admin_url("/v1/reload")).header("origin", "http://evil.example");
    assert_eq!(forged.send().await.unwrap().status(), 403);
    assert_eq!(tidegate.generation().await, 1);
}

#[tokio::test]
async fn its_pages_are_there() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(&[backend.addr()])).start().await;
    for (path, part) in [
        ("/", "<html"),
        ("/ui/app.js", "fetch"),
        ("/live", ""),
        ("/ready", "true"),
        ("/v1/snapshot", "\"generation\": 1"),
        ("/v1/routes", "\"all\""),
        ("/v1/clusters", "\"web\""),
        ("/v1/clusters/web", "round_robin"),
        ("/v1/splits", "[]"),
        ("/v1/sources", "["),
        ("/v1/config", "\"listeners\""),
    ] {
        let (status, text) = tidegate.admin_get(path).await.unwrap();
        assert!(status == 200 && text.contains(part), "{path}: {status} {text}");
        let head = http::client().head(tidegate.admin_url(path)).send().await.unwrap();
        assert_eq!(head.status(), 200, "HEAD {path}");
        assert_eq!(head.headers()["content-length"], text.len().to_string(), "{path}");
    }
    let mut raw = RawClient::connect(tidegate.admin_addr()).await;
    for _ in 0..20 {
        assert_eq!(raw.ask("GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.status, 200);
    }
    let mut short = RawClient::connect(tidegate.admin_addr()).await.deadline(Duration::from_secs(2));
    assert_eq!(short.ask("GET /live HTTP/1.0\r\n\r\n").await.status, 200);
}
