//! Requests that two servers might read as different ones. Whatever comes in, the endpoint must see
//! what was routed, and nothing more.

use std::time::Duration;

use crate::support::{RawClient, until};

/// What is sent on one connection, and the request lines that an endpoint may see of it.
const SENT: &[(&str, &[&str])] = &[
    // Length and chunks: refused.
    (
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
        &[],
    ),
    (
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 50\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
        &[],
    ),
    // A body that looks like a request is a body.
    (
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 36\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n\r\n",
        &["POST /a"],
    ),
    (
        "GET /a HTTP/1.1\r\nhost: h\r\ncontent-length: 36\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n\r\n",
        &["GET /a"],
    ),
    (
        "GET /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n25\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n\r\n\r\n0\r\n\r\n",
        &["GET /a"],
    ),
    // Two lengths are refused, though they be equal.
    (
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nhost: h\r\n\r\n",
        &[],
    ),
    // Chunk sizes that only some would read.
    (
        "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
        &[],
    ),
    (
        "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
        &[],
    ),
    (
        "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3;\nx\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
        &[],
    ),
    // Trailers are dropped, whatever they say.
    (
        "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 5\r\nhost: evil\r\n\r\nGET /b HTTP/1.1\r\nhost: h\r\n\r\n",
        &["POST /a", "GET /b"],
    ),
    // An upgrade that the endpoint does not take: what follows is the next request, or nothing.
    (
        "GET /a HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
        &["GET /a", "GET /smuggled"],
    ),
    // Lines that end in LF alone are none.
    ("GET /a HTTP/1.1\nhost: h\nx-a: 1\n\n", &[]),
    ("GET /a HTTP/1.1\r\nhost: h\r\nx-a: 1\n\nGET /b HTTP/1.1\r\nhost: h\r\n\r\n", &[]),
    // Nor is a target with a blank in it one.
    ("GET /a /b HTTP/1.1\r\nhost: h\r\n\r\n", &[]),
];

/// What is sent, the endpoint sees each request once: an echo of the very bytes would show a
/// difference in the framing.
#[tokio::test]
async fn an_endpoint_sees_what_was_routed_and_nothing_more() {
    let mut wrong = Vec::new();
    for (sent, lines) in SENT {
        let (upstream, tidegate) = super::start().await;
        let mut raw = RawClient::connect(tidegate.addr("http")).await.deadline(Duration::from_millis(300));
        raw.send(sent).await;
        let _ = raw.read_to_end().await;
        let seen = upstream.seen();
        let got: Vec<_> = seen.iter().map(|s| s.split(" HTTP/1.1\r\n").next().unwrap_or_default()).collect();
        // The log is written a little later.
        let routed = || tidegate.access_log().iter().filter(|line| line["route"] == "all").count();
        let end = tokio::time::Instant::now() + Duration::from_secs(2);
        while routed() < seen.len() && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let routed = routed();
        if got.as_slice() != *lines {
            wrong.push(format!("{sent:?}: {got:?}"));
        }
        if seen.len() > routed {
            wrong.push(format!("{sent:?}: {} seen, {routed} routed", seen.len()));
        }
        if seen.iter().any(|s| s.contains("content-length") && s.contains("transfer-encoding")) {
            wrong.push(format!("{sent:?}: two lengths: {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An endpoint that answers before it has read the body, and keeps the connection: the rest of the
/// body must not become its next request.
#[tokio::test]
async fn a_pooled_connection_carries_no_rest_of_a_body() {
    let (upstream, tidegate) = super::start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send(
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n",
    )
    .await;
    until(Duration::from_secs(5), "it is routed", || {
        !upstream.seen().is_empty() || tidegate.access_log().is_empty()
    })
    .await;
    drop(raw);
    tidegate.logged(|line| line["path"] == "/a").await;
    for _ in 0..5 {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        assert_eq!(raw.ask("GET /b HTTP/1.1\r\nhost: h\r\n\r\n").await.text(), "ok");
    }
    assert!(upstream.seen().iter().all(|seen| !seen.starts_with("GET /smuggled")), "{:?}", upstream.seen());
}
