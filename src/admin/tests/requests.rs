use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use base64::Engine as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::fake::{Fake, request, send, serve};
use crate::config::boot;
use crate::control::weights::Wish;

const JSON: &str = "Content-Type: application/json";

async fn start() -> (Arc<Fake>, SocketAddr) {
    let world = Arc::new(Fake::default());
    let config = boot::Admin { address: ([127, 0, 0, 1], 0).into(), token_file: None };
    (world.clone(), serve(world, config).await)
}

async fn get(address: SocketAddr, path: &str) -> super::fake::Reply {
    request(address, &format!("GET {path}"), &[], "").await
}

#[tokio::test]
async fn reading() {
    let (world, admin) = start().await;
    assert_eq!(get(admin, "/live").await.status, 200);
    let waiting = get(admin, "/ready").await;
    assert_eq!((waiting.status, &waiting.json()["awaiting"][0]), (503, &"consul: web".into()));
    world.ready.store(true, Relaxed);
    assert_eq!(get(admin, "/ready").await.status, 200);

    let snapshot = get(admin, "/v1/snapshot").await.json();
    assert_eq!(snapshot["generation"], 41);
    assert_eq!(snapshot["published_at"], "2026-11-24T17:07:43.000123Z");
    let routes = get(admin, "/v1/routes").await.json();
    assert_eq!((&routes[0]["cluster"], &routes[1]["redirect"]["status"]), (&"web".into(), &308.into()));
    assert_eq!(get(admin, "/v1/clusters").await.json()[1]["endpoints"][0]["address"], "10.0.0.1:8080");
    assert_eq!(get(admin, "/v1/clusters/web").await.json()["policy"], "least_request");
    let close = get(admin, "/v1/clusters/wbe").await;
    assert_eq!((close.status, &close.json()["hint"]), (404, &"did you mean `web`?".into()));
    assert_eq!(get(admin, "/v1/sources?x=1").await.json()[0]["age_seconds"], 0.25);
    assert_eq!(get(admin, "/v1/register").await.json(), serde_json::Value::Null);
    assert_eq!(get(admin, "/v1/config").await.json()["consul"]["token"], "<secret>");
    let metrics = get(admin, "/metrics").await;
    assert_eq!(
        (metrics.body.as_str(), metrics.header("content-type").unwrap()),
        ("up 1\n", "text/plain; version=0.0.4; charset=utf-8")
    );
}

#[tokio::test]
async fn the_dashboard_is_served_with_a_strict_policy() {
    let (_, admin) = start().await;
    for (path, kind) in [("/", "text/html"), ("/ui/app.js", "text/javascript"), ("/ui/style.css", "text/css")]
    {
        let reply = get(admin, path).await;
        assert!(reply.status == 200 && reply.header("content-type").unwrap().starts_with(kind), "{path}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-frame-options"), Some("deny"));
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let (_, admin) = start().await;
    let (head, full) = (request(admin, "HEAD /v1/routes", &[], "").await, get(admin, "/v1/routes").await);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), full.header("content-length"));
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (_, admin) = start().await;
    let twice = format!("GET /live HTTP/1.1\r\nHost: {admin}\r\n\r\n");
    let mut stream = tokio::net::TcpStream::connect(admin).await.unwrap();
    for _ in 0..3 {
        stream.write_all(twice.as_bytes()).await.unwrap();
        let mut seen = String::new();
        while !seen.contains("\"live\": true\n}\n") {
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer).await.unwrap();
            assert_ne!(n, 0, "closed after {seen:?}");
            seen += std::str::from_utf8(&buffer[..n]).unwrap();
        }
    }
}

#[tokio::test]
async fn other_paths_and_methods_say_what_there_is() {
    let (_, admin) = start().await;
    let unknown = get(admin, "/v1/split").await;
    assert_eq!(unknown.status, 404);
    let paths = unknown.json()["paths"].as_array().unwrap().len();
    assert!(paths >= 14 && unknown.body.contains("POST /v1/reload"), "{}", unknown.body);
    let wrong = request(admin, "DELETE /v1/routes", &[], "").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("get, head")));
    let wrong = request(admin, "POST /v1/splits/shop", &[], "").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("get, head, put")));
    let wrong = get(admin, "/v1/reload").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("post")));
}

#[tokio::test]
async fn draining() {
    let (world, admin) = start().await;
    let post = |path: &'static str| async move { request(admin, &format!("POST {path}"), &[], "").await };
    let reply = post("/v1/clusters/web/endpoints/10.0.0.1:8080/drain").await;
    assert_eq!((reply.status, &reply.json()["state"]), (200, &"draining".into()));
    assert!(world.drained.load(Relaxed));
    let reply = post("/v1/clusters/web/endpoints/10.0.0.1%3a8080/undrain").await;
    assert_eq!((reply.status, &reply.json()["draining"]), (200, &false.into()));
    assert_eq!(post("/v1/clusters/web/endpoints/10.0.0.9:8080/drain").await.status, 404);
    assert_eq!(post("/v1/clusters/none/endpoints/10.0.0.1:8080/drain").await.status, 404);
    assert_eq!(post("/v1/clusters/web/endpoints/localhost/drain").await.status, 400);
    let reply = post("/v1/clusters/web/drain").await;
    assert_eq!((reply.status, &reply.json()["name"]), (200, &"web".into()));
    assert!(world.drained.load(Relaxed));
    assert_eq!(post("/v1/clusters/none/undrain").await.status, 404);
}

#[tokio::test]
async fn reloading() {
    let (world, admin) = start().await;
    let reply = request(admin, "POST /v1/reload", &[], "").await;
    assert_eq!((reply.status, &reply.json()["generation"]), (200, &42.into()));
    assert_eq!(request(admin, "POST /v1/reload", &[JSON], "{}").await.status, 200);
    assert_eq!(request(admin, "POST /v1/reload", &[JSON], r#"{"x": 1}"#).await.status, 422);
    world.broken.store(true, Relaxed);
    let reply = request(admin, "POST /v1/reload", &[], "").await;
    assert_eq!((reply.status, reply.json()["problems"].as_array().unwrap().len()), (422, 2));
}

#[tokio::test]
async fn splits() {
    let (world, admin) = start().await;
    let all = get(admin, "/v1/splits").await.json();
    assert_eq!(all[0], get(admin, "/v1/splits/shop").await.json());
    let split = &all[0];
    assert_eq!(
        (&split["origin"], &split["epoch"], &split["on_unhealthy"]),
        (&"overlay".into(), &3.into(), &"shift".into())
    );
    assert_eq!((&split["author"], &split["variants"][1]["file_weight"]), (&"ann@host".into(), &50.into()));
    assert!(split["why"].is_null() && split["problem"].is_null() && split.get("why").is_some());
    assert!(split["sample_ratio"].is_null() && split.get("sample_ratio").is_some());
    let close = get(admin, "/v1/splits/shpo").await;
    assert_eq!((close.status, &close.json()["hint"]), (404, &"did you mean `shop`?".into()));

    let ask = async |line: &str, body: &str| {
        let headers = if body.is_empty() { &[][..] } else { &[JSON][..] };
        let reply = request(admin, line, headers, body).await;
        (reply.status, reply.json())
    };
    let put = "PUT /v1/splits/shop";
    let (status, told) = ask(put, r#"{"weights": {"control": 80}, "if_epoch": 3, "author": "ann"}"#).await;
    assert_eq!((status, &told["generation"], &told["epoch"]), (200, &42.into(), &4.into()));
    assert!(told.get("warnings").is_none());
    let (status, told) = ask(put, r#"{"weights": {"control": 80}, "if_epoch": 2}"#).await;
    assert_eq!((status, &told["generation"], &told["epoch"]), (409, &41.into(), &3.into()));
    let (status, told) = ask(put, r#"{"weights": {"control": 80}, "why": "full"}"#).await;
    assert!(status == 500 && told["error"].as_str().unwrap().contains("/state/overlay.json"), "{told}");
    let (status, told) = ask(put, r#"{"weights": {"control": 80}, "why": "upgrade"}"#).await;
    assert_eq!((status, told["hint"].as_str()), (503, Some("nothing was changed")), "{told}");
    let (status, told) = ask(put, r#"{"weights": {"control": -1}}"#).await;
    assert_eq!((status, &told["problems"][0]["path"]), (422, &"weights.control".into()));
    assert_eq!(ask(put, "").await.0, 400);
    let (reset, preview) = ("POST /v1/splits/shop/reset", "POST /v1/splits/shop/preview");
    assert_eq!(ask(reset, "").await.0, 200);
    assert_eq!(ask(reset, r#"{"author": "bob"}"#).await.0, 200);
    assert_eq!(ask(reset, r#"{"weights": {"control": 1}}"#).await.0, 422);
    let (status, told) = ask(preview, r#"{"weights": {"control": 1}}"#).await;
    assert_eq!((status, &told["before"]["control"], &told["moved"]), (200, &0.9.into(), &0.0.into()));
    assert_eq!(ask(preview, r#"{"weights": {"control": 1e9, "candidate": 1.1}}"#).await.0, 422);

    let wishes = world.wishes.lock().unwrap();
    let wishes: Vec<_> = wishes.iter().map(|w| (w.wish == Wish::Reset, w.author.as_str())).collect();
    assert_eq!(wishes, [(false, "ann"), (true, ""), (true, "bob")], "what was refused never got through");
}

#[tokio::test]
async fn another_site_changes_no_weights() {
    let (world, admin) = start().await;
    let body = r#"{"weights": {"control": 80}}"#;
    for line in ["PUT /v1/splits/shop", "POST /v1/splits/shop/reset", "POST /v1/splits/shop/preview"] {
        for headers in [&[JSON, "Sec-Fetch-Site: cross-site"][..], &[JSON, "Origin: http://evil.example"]] {
            assert_eq!(request(admin, line, headers, body).await.status, 403, "{line} {headers:?}");
        }
        assert_eq!(request(admin, line, &["Content-Type: text/plain"], body).await.status, 415, "{line}");
    }
    let preflight = request(admin, "OPTIONS /v1/splits/shop", &[], "").await;
    assert_eq!((preflight.status, preflight.header("allow")), (405, Some("get, head, put")));
    assert!(preflight.header("access-control-allow-origin").is_none());
    assert!(world.wishes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn explaining() {
    let (_, admin) = start().await;
    let ask = |body: &'static str| async move { request(admin, "POST /v1/explain", &[JSON], body).await };
    let reply =
        ask(r#"{"method": "GET", "url": "http://Shop.example.com/a?b", "headers": {"x": "1"}}"#).await;
    assert_eq!((reply.status, &reply.json()["host"]), (200, &"shop.example.com".into()));
    assert_eq!(ask("{").await.status, 400);
    assert_eq!(ask(r#"{"url": "/"} x"#).await.status, 400);
    let wrong = ask(r#"{"url": "/", "ip": "nobody"}"#).await;
    assert_eq!((wrong.status, &wrong.json()["problems"][0]["path"]), (422, &"ip".into()));
    assert_eq!(ask(r#"{"url": "/", "metod": "GET"}"#).await.status, 422);
    assert_eq!(request(admin, "POST /v1/explain", &[JSON], "").await.status, 400);
}

#[tokio::test]
async fn another_site_changes_nothing() {
    let (world, admin) = start().await;
    let drain = "POST /v1/clusters/web/endpoints/10.0.0.1:8080/drain";
    for headers in [
        &["Sec-Fetch-Site: cross-site"][..],
        &["Sec-Fetch-Site: same-site"],
        &["Origin: http://evil.example"],
        &["Origin: null"],
        &["Host: evil.example"],
        &["Host: evil.example:9901", "Origin: http://evil.example:9901", "Sec-Fetch-Site: same-origin"],
        &["Host: localhost.evil.example"],
    ] {
        let reply = request(admin, drain, headers, "").await;
        assert_eq!((reply.status, world.drained.load(Relaxed)), (403, false), "{headers:?}");
    }
    for kind in ["Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "X-None: 1"] {
        assert_eq!(request(admin, drain, &[kind], "{}").await.status, 415, "{kind}");
    }
    assert_eq!(get_as(admin, "evil.example").await, 403, "reading under a foreign name");
    for own in ["localhost:9901", "LOCALHOST", "127.0.0.1", "[::1]:9901", "192.0.2.1:1", "a.localhost"] {
        assert_eq!(get_as(admin, own).await, 200, "{own}");
    }
    let own = [&*format!("Origin: http://{admin}"), "Sec-Fetch-Site: same-origin"];
    assert_eq!(request(admin, drain, &own, "").await.status, 200);
    let probe = request(admin, "GET /live", &["Host: tidegate.example"], "").await;
    assert_eq!(probe.status, 200, "a probe may use any name");
}

async fn get_as(admin: SocketAddr, host: &str) -> u16 {
    request(admin, "GET /v1/routes", &[&format!("Host: {host}")], "").await.status
}

#[tokio::test]
async fn with_a_token_only_its_holder_may_ask() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret\n").unwrap();
    let token_file = Some(file.path().to_owned());
    let config = boot::Admin { address: ([127, 0, 0, 1], 0).into(), token_file };
    let admin = serve(Arc::new(Fake::default()), config).await;
    for path in ["/live", "/ready"] {
        assert_ne!(get(admin, path).await.status, 401, "{path}");
    }
    for path in ["/", "/ui/app.js", "/metrics", "/v1/config", "/nowhere"] {
        let reply = get(admin, path).await;
        assert_eq!(reply.status, 401, "{path}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("basic"));
    }
    let bearer = "Authorization: Bearer s3cret";
    let reply = request(admin, "GET /v1/routes", &[bearer, "Host: admin.example"], "").await;
    assert_eq!(reply.status, 200, "a name is no risk with a token");
    let basic = base64::engine::general_purpose::STANDARD.encode("ops:s3cret");
    assert_eq!(request(admin, "GET /", &[&format!("Authorization: Basic {basic}")], "").await.status, 200);
    assert_eq!(request(admin, "POST /v1/reload", &[], "").await.status, 401);
    assert_eq!(request(admin, "POST /v1/reload", &[bearer], "").await.status, 200);
    let cross = [bearer, "Sec-Fetch-Site: cross-site"];
    assert_eq!(request(admin, "POST /v1/reload", &cross, "").await.status, 403);
    std::fs::remove_file(file.path()).unwrap();
    assert_eq!(request(admin, "GET /v1/routes", &[bearer], "").await.status, 503);
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let (_, admin) = start().await;
    let large = format!(r#"{{"url": "/{}"}}"#, "a".repeat(1024 * 1024));
    assert_eq!(request(admin, "POST /v1/explain", &[JSON], &large).await.status, 413);
    // Without its length.
    let text = format!(
        "POST /v1/explain HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    assert_eq!(send(admin, text).await.status, 413);
}
