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
    (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400, "host"),
    (b"GET http://a/ HTTP/1.1\r\n\r\n", 400, "host"),
    (b"GET http://a/ HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.0\r\nhost: a,b\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.0\r\nhost:\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: a,b\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: user@a\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: a:b\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: a:99999\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: a\\b\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: a?b\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: \xff\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nhost: [::1\r\n\r\n", 400, "host"),
    // The request line.
    (b"GET\r\n\r\n", 400, "malformed"),
    (b"GET /\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1 x\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/2.0\r\nhost: h\r\n\r\n", 505, "version"),
    (b"GET / HTTP/1.2\r\nhost: h\r\n\r\n", 505, "version"),
    (b"GET / HTTP/3\r\nhost: h\r\n\r\n", 505, "version"),
    (b"GET / HTTP/0.9\r\nhost: h\r\n\r\n", 505, "version"),
    (b"GET / HTTP/1.12\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET / http/1.1\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET / FTP/1.1\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"G@T / HTTP/1.1\r\nhost: h\r\n\r\n", 400, "method"),
    (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nhost: h\r\n\r\n", 501, "method"),
    (b"TRACE / HTTP/1.1\r\nhost: h\r\n\r\n", 405, "method"),
    (b"\r\n\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\n", 400, "malformed"),
    // Lines end in CRLF.
    (b"GET / HTTP/1.1\nhost: h\n\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\nx-a: 1\r\n\r\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\r\n\n", 400, "malformed"),
    (b"GET / HTTP/1.1\r\nhost: h\r\rx-a: 1\r\n\r\n", 400, "malformed"),
    // The target.
    (b"GET /a b HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET  / HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET /\x00 HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET /\x7f HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET /\ta HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET /a#b HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET ftp://h/ HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET http:h HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b" GET / HTTP/1.1\r\nhost: h\r\n\r\n", 400, "malformed"),
    (b"GET x HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET /\xe4 HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET /?<\"> HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET * HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET  HTTP/1.1\r\nhost: h\r\n\r\n", 400, "target"),
    (b"GET http://a:b:c/ HTTP/1.1\r\nhost: h\r\n\r\n", 400, "host"),
    (b"GET http://u@h/ HTTP/1.1\r\nhost: h\r\n\r\n", 400, "host"),
    (b"GET http:///x HTTP/1.1\r\nhost: h\r\n\r\n", 400, "host"),
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
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1, 2\r\n\r\nab", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: +1\r\n\r\na", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0x1\r\n\r\na", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1a\r\n\r\na", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1 1\r\n\r\na", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length:\r\n\r\n", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999999999999999\r\n\r\n", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, "malformed"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3, 3\r\n\r\nabc", 400, "framing"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "framing"),
    // Chunks.
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400, "body"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n", 400, "body"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400, "body"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3;\nx\r\nabc\r\n0\r\n\r\n", 400, "body"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3;a=\r\nabc\r\n0\r\n\r\n", 400, "body"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400, "body"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n8000000000000000\r\nabc", 400, "body"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx y: 1\r\n\r\n", 400, "body"),
    (b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding:\r\n\r\n", 400, "framing"),
    (b"POST / HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "framing"),
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
    assert_eq!(upstream.bytes(), 0, "nothing of it may reach an endpoint");
    let refused = REFUSED.len();
    let lines = || tidegate.access_log().iter().filter(|line| line["flags"] == "DPE").count();
    until(Duration::from_secs(5), "each has its line", || lines() == refused).await;
    let flags = tidegate.metric("tidegate_http_response_flags_total", &["flag=\"DPE\""]).await;
    assert_eq!(flags, refused as f64);
    assert_eq!(http::client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_header_has_limits() {
    let (upstream, tidegate) = super::start().await;
    let long = |bytes: usize| format!("GET / HTTP/1.1\r\nhost: h\r\nx-a: {}\r\n\r\n", "a".repeat(bytes));
    let many = |fields: usize| format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "x-a: 1\r\n".repeat(fields));
    let far = |bytes: usize| format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "a".repeat(bytes));
    for (request, status) in [
        (long(65_000), 200),
        (long(66_000), 431),
        (long(2_000_000), 431),
        (many(99), 200),
        (many(100), 431),
        (far(8_191), 200),
        (far(8_192), 414),
        (far(2_000_000), 414),
    ] {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        let answer = raw.ask(&request).await;
        assert_eq!(answer.status, status, "{} bytes", request.len());
    }
    assert_eq!(upstream.seen().len(), 3);
    let counted =
        async || tidegate.metric("tidegate_http_requests_invalid_total", &["reason=\"large\""]).await;
    eventually(Duration::from_secs(2), async || match counted().await {
        5.0 => Ok(()),
        other => Err(format!("{other}")),
    })
    .await;
}

/// A chunk that turns out to be none when the endpoint has the request already: it never gets the
/// end, and the client is told.
#[tokio::test]
async fn a_body_may_turn_out_to_be_malformed_later() {
    let (upstream, tidegate) = super::start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    until(Duration::from_secs(5), "the endpoint has the start", || upstream.bytes() > 0).await;
    raw.send("0x0\r\n\r\n").await;
    let answer = raw.response().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (400, "a chunk size is not a hexadecimal number\n"));
    assert!(raw.closed().await);
    let line = tidegate.logged(|line| line["path"] == "/a").await;
    assert_eq!((&line["flags"], &line["status"]), (&"DPE".into(), &400.into()));
    assert_eq!(upstream.seen(), [""; 0]);
    let body = async || tidegate.metric("tidegate_http_requests_invalid_total", &["reason=\"body\""]).await;
    assert_eq!(body().await, 1.0);
}
