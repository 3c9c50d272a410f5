//! The rarer forms of a request: whole URLs, `OPTIONS *`, upgrades, addresses of IPv6.

use super::web;
use crate::support::{Backend, RawClient, Scripted, Step, Tidegate, curl, send};

#[tokio::test]
async fn a_target_may_be_a_whole_url() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(
        backend.addr(),
        " - { name: all, match: { hosts: [ shop.example.com ], path: { prefix: /echo } }, cluster: web }",
    ))
    .start()
    .await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let response =
        raw.ask("GET http://shop.example.com/echo?a HTTP/1.1\r\nhost: shop.example.com\r\n\r\n").await;
    let echo = response.json();
    assert_eq!(
        (&echo["path"], &echo["headers"]["host"][0]),
        (&"/echo?a".into(), &"shop.example.com".into()),
        "{echo}"
    );
    // Two hosts that differ: the target's wins, and the endpoint hears of no other.
    let differs =
        raw.ask("GET http://shop.example.com/echo HTTP/1.1\r\nhost: other.example.com\r\n\r\n").await;
    let hosts = &differs.json()["headers"]["host"];
    assert_eq!(hosts, &serde_json::json!(["shop.example.com"]));
    let differs = raw.ask("GET http://other.example.com/ HTTP/1.1\r\nhost: shop.example.com\r\n\r\n").await;
    assert_eq!(differs.status, 404);
    assert_eq!(backend.requests(), 2);
}

#[tokio::test]
async fn options_may_ask_for_the_server_itself() {
    let upstream =
        Scripted::start(vec![send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nallow: GET\r\n\r\n")]).await;
    let tidegate = Tidegate::new(&web(upstream.addr, " - { name: all, cluster: web }")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let response = raw.ask("OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!((response.status, response.header("allow")), (200, Some("GET")), "{response:?}");
    assert!(upstream.seen()[0].starts_with("OPTIONS * HTTP/1.1\r\n"), "{:?}", upstream.seen());
    let response = raw.ask("GET * HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(response.status, 400);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_websocket_is_a_tunnel() {
    let upgraded = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n";
    let upstream = Scripted::start(vec![send(upgraded), Step::Echo]).await;
    let tidegate =
        Tidegate::new(&web(upstream.addr, " - { name: all, cluster: web, timeout: 300ms }")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let request = "GET /ws HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let switched = raw.ask(request).await;
    assert_eq!((switched.status, switched.header("sec-websocket-accept")), (101, Some("x")), "{switched:?}");
    for text in ["hello", "GET / HTTP/1.1\r\n\r\n"] {
        raw.send(text).await;
        let mut back = String::new();
        while back.len() < text.len() {
            back += &String::from_utf8_lossy(&raw.read_some().await.unwrap());
        }
        assert_eq!(back, text);
        // A tunnel is not bound by the time of a request.
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    }
    drop(raw);
    let line = tidegate.logged(|line| line["path"] == "/ws").await;
    assert_eq!(line["status"], 101, "{line}");
}

#[tokio::test]
async fn a_listener_may_be_of_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("*** SKIPPED: this machine has no ::1");
        return;
    }
    let backend = Backend::start("one").await;
    let live = web(backend.addr(), " - { name: all, cluster: web }");
    let tidegate = Tidegate::new(&live).listener_on("six", "::1").listener_on("both", "::").start().await;
    let of = |listener: &str, host: &str| format!("http://{host}:{}/echo", tidegate.addr(listener).port());
    for (listener, host, client) in
        [("six", "[::1]", "::1"), ("both", "[::1]", "::1"), ("both", "127.0.0.1", "127.0.0.1")]
    {
        let echo = curl(&["-g", &of(listener, host)]).await.json();
        assert_eq!(echo["headers"]["x-forwarded-for"][0], client, "{listener} {host}");
        tidegate.logged(|line| line["listener"] == listener && line["client"] == client).await;
    }
}
