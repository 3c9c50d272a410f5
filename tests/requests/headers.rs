//! What changes between the client's request and the endpoint's, and on the way back.

use serde_json::Value;

use super::web;
use crate::support::{Backend, RawClient, RawResponse, Scripted, Tidegate, curl, send};

/// What the backend's `/echo` received, for a GET with these header lines.
async fn echo(raw: &mut RawClient, target: &str, lines: &[&str]) -> Value {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let response =
        raw.ask(format!("GET {target} HTTP/1.1\r\nhost: Shop.example.com:81\r\n{lines}\r\n")).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

fn values(echo: &Value, name: &str) -> Vec<String> {
    let of = echo["headers"][name].as_array().cloned().unwrap_or_default();
    of.iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn requests_are_edited_and_rewritten() {
    let backend = Backend::start("one").await;
    let routes = r#"
 - { name: edits, match: { path: { exact: /echo } }, cluster: web,
     request_headers: { set: { x-edge: "1" }, add: { x-via: tidegate }, remove: [ x-internal ] } }
 - { name: prefix, match: { path: { prefix: /api } }, cluster: web, rewrite: { prefix: /echo } }
 - { name: regex, match: { path: { prefix: /re } }, cluster: web, rewrite: { regex: "^/re/(.*)/(?P<b>.*)$", to: "/${b}o" } }
 - { name: hosted, match: { path: { prefix: /hosted } }, cluster: web, rewrite: { prefix: /echo }, host: inner.example.org }
"#;
    let tidegate = Tidegate::new(&web(backend.addr(), routes)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let seen =
        echo(&mut raw, "/echo", &["X-Edge: 0", "x-edge: 9", "x-via: client", "X-Internal: secret"]).await;
    assert_eq!(values(&seen, "x-edge"), ["1"]);
    assert_eq!(values(&seen, "x-via"), ["client", "tidegate"]);
    assert_eq!(values(&seen, "x-internal"), [""; 0]);
    assert_eq!(values(&seen, "host"), ["Shop.example.com:81"]);
    let seen = echo(&mut raw, "/api?a=%2F&b", &[]).await;
    assert_eq!(seen["path"], "/echo?a=%2F&b");
    let seen = echo(&mut raw, "/re/x/ech?q=1", &[]).await;
    assert_eq!(seen["path"], "/echo?q=1");
    let seen = echo(&mut raw, "/hosted", &[]).await;
    assert_eq!(
        (values(&seen, "host"), values(&seen, "x-forwarded-host")),
        (vec!["inner.example.org".into()], vec!["Shop.example.com:81".into()])
    );
    // The log has what the client asked for.
    let line = tidegate.logged(|line| line["route"] == "hosted").await;
    assert_eq!((&line["path"], &line["host"]), (&"/hosted".into(), &"shop.example.com".into()));
}

#[tokio::test]
async fn a_client_cannot_pretend_to_be_a_proxy() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(backend.addr(), " - { name: all, cluster: web }")).start().await;
    for client in ["127.0.0.1", "127.0.0.2"] {
        let mut raw = RawClient::connect_from(client, tidegate.addr("http")).await;
        let seen = echo(
            &mut raw,
            "/echo",
            &[
                "x-forwarded-for: 10.1.1.1",
                "X-Forwarded-For: 10.1.1.2",
                "x-forwarded-proto: https",
                "x-forwarded-host: evil.example",
                "x-forwarded-port: 443",
                "x-forwarded-prefix: /x",
                "forwarded: for=10.1.1.1",
                "x-real-ip: 10.1.1.1",
            ],
        )
        .await;
        assert_eq!(values(&seen, "x-forwarded-for"), [client]);
        assert_eq!(values(&seen, "x-forwarded-proto"), ["http"]);
        assert_eq!(values(&seen, "x-forwarded-host"), ["Shop.example.com:81"]);
        for name in ["forwarded", "x-forwarded-port", "x-forwarded-prefix", "x-real-ip"] {
            assert_eq!(values(&seen, name), [""; 0], "{name}");
        }
        tidegate.logged(|line| line["client"] == client).await;
    }
}

#[tokio::test]
async fn every_request_has_an_id() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(backend.addr(), " - { name: all, cluster: web }")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let (one, two) = (echo(&mut raw, "/echo", &[]).await, echo(&mut raw, "/echo", &[]).await);
    let (one, two) = (values(&one, "x-request-id"), values(&two, "x-request-id"));
    assert!(one.len() == 1 && one[0].len() == 36 && one != two, "{one:?} {two:?}");
    tidegate.logged(|line| line["request_id"] == one[0]).await;
    let kept = echo(&mut raw, "/echo", &["X-Request-Id: mine-1"]).await;
    assert_eq!(values(&kept, "x-request-id"), ["mine-1"]);
    tidegate.logged(|line| line["request_id"] == "mine-1").await;
    // Answers made here are logged with an id as well.
    raw.ask("GET / HTTP/1.1\r\nhost: a b\r\n\r\n").await;
    tidegate.logged(|line| line["status"] == 400).await;
}

#[tokio::test]
async fn what_belongs_to_one_connection_stays_on_it() {
    let upstream = Scripted::start(vec![send(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nX-End: 2\r\nServer: up\r\n\r\nok",
    )])
    .await;
    let routes = " - { name: all, cluster: web, response_headers: { set: { x-set: s }, add: { x-end: '3' }, remove: [ server ] } }";
    let tidegate = Tidegate::new(&web(upstream.addr, routes)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let request = "GET / HTTP/1.1\r\nhost: h\r\nConnection: keep-alive, X-Mine, X-Request-Id\r\nX-Mine: 1\r\n\
                   Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAA\r\nProxy-Authorization: Basic eA==\r\nX-Kept: yes\r\n\r\n";
    let response: RawResponse = raw.ask(request).await;
    for name in ["x-hop", "keep-alive", "proxy-connection", "server"] {
        assert_eq!(response.header(name), None, "{response:?}");
    }
    assert_eq!((response.header("x-set"), response.count("x-end")), (Some("s"), 2), "{response:?}");
    let seen = upstream.seen()[0].to_ascii_lowercase();
    for name in ["x-mine", "keep-alive:", "proxy-connection", "te:", "trailer:", "upgrade:", "http2-settings"]
    {
        assert!(!seen.contains(&format!("\r\n{name}")), "{name}: {seen}");
    }
    // What the proxy itself writes cannot be nominated away.
    assert!(
        seen.contains("\r\nx-forwarded-for: 127.0.0.1\r\n") && seen.contains("\r\nx-request-id: "),
        "{seen}"
    );
    assert!(seen.contains("\r\nx-kept: yes\r\n"), "{seen}");
    // Whoever names a field that says where a request comes from, or whom it is for, is up to
    // something.
    for name in ["x-forwarded-for", "host", "x-forwarded-proto"] {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        let response = raw.ask(format!("GET / HTTP/1.1\r\nhost: h\r\nconnection: {name}\r\n\r\n")).await;
        assert_eq!(response.status, 400, "{name}");
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn over_h2_the_endpoint_sees_the_same() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(
        backend.addr(),
        " - { name: all, match: { hosts: [ shop.example.com ] }, cluster: web }",
    ))
    .start()
    .await;
    let resolve = format!("shop.example.com:{}:127.0.0.1", tidegate.addr("http").port());
    let url = format!("http://shop.example.com:{}/echo?a=1", tidegate.addr("http").port());
    for version in ["--http2-prior-knowledge", "--http1.1"] {
        let seen =
            curl(&[version, "--resolve", &resolve, "-H", "x-forwarded-for: 1.1.1.1", &url]).await.json();
        let host = format!("shop.example.com:{}", tidegate.addr("http").port());
        assert_eq!(values(&seen, "host"), [&*host], "{seen}");
        assert_eq!(
            (values(&seen, "x-forwarded-host"), values(&seen, "x-forwarded-for")),
            (vec![host], vec!["127.0.0.1".to_owned()])
        );
        assert_eq!((&seen["path"], &seen["version"]), (&"/echo?a=1".into(), &"HTTP/1.1".into()), "{version}");
    }
    let line = tidegate.logged(|line| line["protocol"] == "HTTP/2").await;
    assert_eq!((&line["host"], &line["path"]), (&"shop.example.com".into(), &"/echo?a=1".into()));
}
