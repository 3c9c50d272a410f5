//! Connections that say too little, too slowly.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::{RawClient, http};

/// Sends the bytes with a pause between them, again from the start where they end, until the
/// connection is closed; how long it took.
async fn until_closed(addr: std::net::SocketAddr, bytes: &[u8], pause: Duration) -> Duration {
    let mut raw = RawClient::connect(addr).await.deadline(Duration::from_millis(20));
    let begin = Instant::now();
    for byte in bytes.iter().chain(std::iter::repeat(&b'x')) {
        raw.send([*byte]).await;
        let next = Instant::now() + pause;
        while Instant::now() < next {
            // An answer may come before the end.
            if raw.closed().await {
                return begin.elapsed();
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "still open");
    }
    begin.elapsed()
}

/// One after another these would take a minute; each is a connection of its own.
#[tokio::test]
async fn a_header_that_trickles_is_closed_after_ten_seconds() {
    let (upstream, tidegate) = super::start().await;
    let addr = tidegate.addr("http");
    let second = Duration::from_secs(1);
    let (header, preface, start, method, next) = tokio::join!(
        until_closed(addr, b"GET / HTTP/1.1\r\nhost: h\r\nx-a: ", second),
        until_closed(addr, b"PRI * HT", second),
        silent(addr, b"PRI * HTTP/2.0\r\n"),
        silent(addr, b"GE"),
        after_a_request(addr, second),
    );
    for (what, took) in
        [("header", header), ("preface", preface), ("start", start), ("method", method), ("next", next)]
    {
        assert!((9.0..13.0).contains(&took.as_secs_f64()), "{what}: {took:?}");
    }
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(tidegate.metric("tidegate_http_requests_invalid_total", &["reason=\"timeout\""]).await, 5.0);
    tidegate.logged(|line| line["status"] == 408 && line["flags"] == "DPE").await;
    assert_eq!(http::client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
}

async fn silent(addr: std::net::SocketAddr, bytes: &[u8]) -> Duration {
    let mut raw = RawClient::connect(addr).await.deadline(Duration::from_secs(20));
    let begin = Instant::now();
    raw.send(bytes).await;
    // A 408, or HTTP/2's GOAWAY, may come before the end.
    assert!(raw.read_to_end().await.is_ok(), "{}: still open", bytes.escape_ascii());
    begin.elapsed()
}

/// The second request of a connection trickles.
async fn after_a_request(addr: std::net::SocketAddr, pause: Duration) -> Duration {
    let mut raw = RawClient::connect(addr).await.deadline(Duration::from_millis(20));
    raw.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let mut raw = raw.deadline(Duration::from_secs(5));
    assert_eq!(raw.response().await.unwrap().status, 200);
    let mut raw = raw.deadline(Duration::from_millis(20));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(20) {
        raw.send("G").await;
        let next = Instant::now() + pause;
        while Instant::now() < next {
            if raw.closed().await {
                return begin.elapsed();
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    panic!("still open");
}

/// Clients that connect and close, or close amid a header, are no news.
#[tokio::test]
async fn connections_that_come_and_go_do_no_harm() {
    let (upstream, tidegate) = super::start().await;
    for bytes in
        [&b""[..], b"G", b"GET", b"GET / HT", b"PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n", b"\0"]
    {
        for abrupt in [false, true] {
            let mut raw = RawClient::connect(tidegate.addr("http")).await;
            raw.send(bytes).await;
            if !abrupt {
                raw.finish().await;
                let _ = raw.read_to_end().await;
            }
        }
    }
    assert_eq!(http::client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(tidegate.metric("tidegate_http_requests_in_flight", &[]).await, 0.0);
}
