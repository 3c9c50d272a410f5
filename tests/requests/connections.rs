//! Connections that are kept, pipelined, or of HTTP/1.0.

use std::time::Duration;

use super::web;
use crate::support::{Backend, RawClient, Tidegate, until};

const ROUTES: &str =
    " - { name: fixed, match: { path: { prefix: /fixed } }, respond: { status: 200, body: fixed } }
 - { name: moved, match: { path: { prefix: /moved } }, redirect: { to: /there } }
 - { name: all, cluster: web }";

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(backend.addr(), ROUTES)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    for _ in 0..100 {
        let response = raw.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert_eq!((response.status, response.header("connection")), (200, Some("keep-alive")));
    }
    assert_eq!((backend.requests(), backend.connections()), (100, 1));
    let last = raw.ask("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    assert_eq!(last.header("connection"), Some("close"));
    assert!(raw.closed().await);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(backend.addr(), ROUTES)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let mut all = String::new();
    for i in 0..20 {
        all += &format!(
            "POST /echo?{i} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{}",
            i * 100,
            "b".repeat(i * 100)
        );
        all += &format!("GET /fixed?{i} HTTP/1.1\r\nhost: h\r\n\r\n");
        all += &format!(
            "POST /moved?{i} HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n"
        );
        all += &format!("GET /slow?ms={} HTTP/1.1\r\nhost: h\r\n\r\n", i % 3);
        all += &format!("HEAD /fixed?{i} HTTP/1.1\r\nhost: h\r\n\r\n");
    }
    raw.send(&all).await;
    for i in 0..20_usize {
        let echo = raw.response().await.unwrap().json();
        assert_eq!((&echo["path"], &echo["body_length"]), (&format!("/echo?{i}").into(), &(i * 100).into()));
        assert_eq!(raw.response().await.unwrap().text(), "fixed");
        assert_eq!(raw.response().await.unwrap().status, 302);
        assert_eq!(raw.response().await.unwrap().text(), "one");
        assert_eq!(raw.head().await.unwrap().header("content-length"), Some("5"));
    }
    until(Duration::from_secs(5), "100 lines are logged", || tidegate.access_log().len() == 100).await;
    assert_eq!(backend.requests(), 40);
}

/// What ends it may stand in any of several lines.
#[tokio::test]
async fn a_connection_ends_where_it_is_asked_to() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(backend.addr(), ROUTES)).start().await;
    for lines in ["close", "Keep-Alive, CLOSE", "keep-alive\r\nconnection: close"] {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        let answer = raw.ask(format!("GET / HTTP/1.1\r\nhost: h\r\nconnection: {lines}\r\n\r\n")).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{lines}");
        assert!(raw.closed().await, "{lines}");
    }
}

#[tokio::test]
async fn http_1_0_is_answered_in_its_own_way() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(backend.addr(), ROUTES)).start().await;
    // The shortest there is: 18 bytes, less than the preface of HTTP/2.
    let soon = async || RawClient::connect(tidegate.addr("http")).await.deadline(Duration::from_secs(2));
    let mut raw = soon().await;
    let answer = raw.ask("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "one"));
    assert!(raw.closed().await, "without keep-alive it is closed");
    let echo = soon().await.ask("GET /echo HTTP/1.0\r\n\r\n").await.json();
    assert_eq!(echo["version"], "HTTP/1.1");
    let host = &echo["headers"]["host"];
    assert!(host.is_null() || host[0] == backend.addr().to_string() || host[0] == "", "{echo}");
    // The endpoint answers in chunks; a 1.0 client does not know them.
    let drip = soon().await.ask("GET /drip?n=5&ms=1 HTTP/1.0\r\nhost: h\r\n\r\n").await;
    assert_eq!((drip.header("transfer-encoding"), drip.text().as_str()), (None, "....."), "{drip:?}");
    let mut kept = soon().await;
    for _ in 0..3 {
        let answer = kept.ask("GET / HTTP/1.0\r\nhost: h\r\nconnection: keep-alive\r\n\r\n").await;
        assert_eq!(
            (answer.text().as_str(), answer.header("connection")),
            ("one", Some("keep-alive")),
            "{answer:?}"
        );
    }
    let drip = kept.ask("GET /drip?n=5&ms=1 HTTP/1.0\r\nhost: h\r\nconnection: keep-alive\r\n\r\n").await;
    assert_eq!((drip.header("transfer-encoding"), drip.text().as_str()), (None, "....."), "{drip:?}");
    let fixed = soon().await.ask("GET /fixed HTTP/1.0\r\n\r\n").await;
    assert_eq!((fixed.status, fixed.text().as_str()), (200, "fixed"));
    assert_eq!(tidegate.logged(|line| line["path"] == "/fixed").await["protocol"], "HTTP/1.0");
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(backend.addr(), ROUTES)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    for byte in b"POST /echo HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" {
        raw.send([*byte]).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(raw.response().await.unwrap().json()["body_length"], 3);
}
