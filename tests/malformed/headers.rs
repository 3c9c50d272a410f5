//! One refused request a row.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{RawClient, eventually, http, until};

/// What is sent, the status, and the reason it is counted under. Status 0: closed without an
/// answer.
const REFUSED: &[(&[u8], u16, &str)] = &[
    // Which host is meant must be known, and be one.
    (b"GET / HTTP/1.1\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost:\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost:  \r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400, ""),
    (b"GET / HTTP/1.1\r\nhost: a,b\r\n\r\n", 400, ""),
    (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400, ""),
    (b"GET / HTTP/1.1\r\nhost: user@a\r\n\r\n", 400, ""),
    (b"GET / HTTP/1.1\r\nhost: a:b\r\n\r\n", 400, ""),
    (b"GET / HTTP/1.1\r\nhost: a:99999\r\n\r\n", 400, ""),
    (b"GET / HTTP/1.1\r\nhost: a\\b\r\n\r\n", 400, ""),
    (b"GET / HTTP/1.1\r\nhost: a?b\r\n\r\n", 400, ""),
    (b"GET / HTTP/1.1\r\nhost: \xff\r\n\r\n", 400, ""),
    (b"GET / HTTP/1.1\r\nhost: [::1\r\n\r\n", 400, ""),
    // The request line.
    (b"GET\r\n\r\n", 400, "malformed"),
    (b"GET /\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1 x\r\nhost: h\r\n\r\n", 400, ""),
    (b"GET / HTTP/2.0\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/0.9\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.12\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET / http/1.1\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET / FTP/1.1\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"G@T / HTTP/1.1\r\nhost: h\r\n\r\n", 400, ""),
    (b" GET / HTTP/1.1\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET x HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET /\xe4 HTTP/1.1\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET /?<\"> HTTP/1.1\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET * HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET  HTTP/1.1\r\nhost: h\r\n\r\n", 400, ""),
    (b"GET http://a:b:c/ HTTP/1.1\r\nhost: h\r\n\r\n", 400, ""),
    (b"GET http://u@h/ HTTP/1.1\r\nhost: h\r\n\r\n", 400, ""),
    (b"GET http:///x HTTP/1.1\r\nhost: h\r\n\r\n", 400, ""),
    (b"CONNECT h:443 HTTP/1.1\r\nhost: h:443\r\n\r\n", 405, "method"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "malformed"),
    // Fields.
    (b"GET / HTTP/1.1\r\nhost: h\r\nx-a\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\r\n: a\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\r\nx-a : 1\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost : h\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\n host: h\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\r\nx-a: 1\r\n folded\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\r\nx-a: 1\r\n\tfolded\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\r\nx-a: a\x00b\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\r\nx-a: a\rb\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\r\nx a: 1\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\r\nx\xffa: 1\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\r\nx\x00a: 1\r\n\r\n", 400, "malformed"),
    // The length of the body.
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1, 2\r\n\r\nab", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: +1\r\n\r\na", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0x1\r\n\r\na", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1a\r\n\r\na", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1 1\r\n\r\na", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length:\r\n\r\n", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999999999999999\r\n\r\n", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding:\r\n\r\n", 400, "malformed"),
    (b"POST / HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "malformed"),
];

#[tokio::test]
async fn what_is_not_valid_is_refused_and_counted() {
    let (upstream, tidegate) = super::start().await;
    let mut wrong = Vec::new();
    for (bytes, status, reason) in REFUSED {
        let label = format!("reason=\"{reason}\"");
        let labels: &[&str] = if reason.is_empty() { &[] } else { &[&label] };
        let count = async || tidegate.metric("tidegate_http_requests_invalid_total", labels).await;
        let before = count().await;
        let mut raw = RawClient::connect(tidegate.addr("http")).await.deadline(Duration::from_secs(3));
        raw.send(bytes).await;
        let answer = raw.response().await;
        let got = answer.as_ref().map_or(0, |answer| answer.status);
        let closed = raw.closed().await;
        // Counted after the answer, on another thread.
        let end = Instant::now() + Duration::from_secs(2);
        while count().await == before && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let counted = count().await - before;
        if got != *status || !closed || counted != 1.0 {
            wrong.push(format!("{}: {answer:?}, closed {closed}, counted {counted}", bytes.escape_ascii()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(upstream.seen(), [""; 0], "nothing of it may reach an endpoint");
    let refused = REFUSED.len();
    let lines = || tidegate.access_log().iter().filter(|line| line["flags"] == "DPE").count();
    until(Duration::from_secs(5), "each has its line", || lines() == refused).await;
    let flags = tidegate.metric("tidegate_http_response_flags_total", &["flag=\"DPE\""]).await;
    assert_eq!(flags, refused as f64);
    assert_eq!(http::client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
}

/// Pingora takes up to 1 MiB of header and 256 fields.
#[tokio::test]
async fn a_header_has_a_limit() {
    let (upstream, tidegate) = super::start().await;
    let long = |bytes: usize| format!("GET / HTTP/1.1\r\nhost: h\r\nx-a: {}\r\n\r\n", "a".repeat(bytes));
    let many = |fields: usize| format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "x-a: 1\r\n".repeat(fields));
    for (request, status) in [(long(50_000), 200), (long(2_000_000), 400), (many(200), 200), (many(300), 400)]
    {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        let answer = raw.ask(&request).await;
        assert_eq!(answer.status, status, "{} bytes", request.len());
    }
    assert_eq!(upstream.seen().len(), 2);
    let counted =
        async || tidegate.metric("tidegate_http_requests_invalid_total", &["reason=\"malformed\""]).await;
    eventually(Duration::from_secs(2), async || match counted().await {
        2.0 => Ok(()),
        other => Err(format!("{other}")),
    })
    .await;
}
