//! One refused request a row.

use super::frames::Outcome::{Reset, Status};
use super::frames::{Client, DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, block, frame, request};
use super::{SOON, start};
use crate::support::{Backend, TidegateProcess, eventually};

type Fields = &'static [(&'static [u8], &'static [u8])];

const PROTOCOL_ERROR: u32 = 1;

/// Whole header blocks, with what becomes of them and the reason they are counted under.
const HEADS: &[(Fields, Outcome, &str)] = &[
    // Which host is meant.
    (&[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")], Status(400), "host"),
    (
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b""), (b":path", b"/")],
        Reset(PROTOCOL_ERROR),
        "malformed",
    ),
    (
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"u@h"), (b":path", b"/")],
        Status(400),
        "host",
    ),
    (
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a,b"), (b":path", b"/")],
        Status(400),
        "host",
    ),
    (&[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b"host", b"")], Status(400), "host"),
    (
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b"host", b"a,b")],
        Status(400),
        "host",
    ),
    (
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b"host", b"a"), (b"host", b"a")],
        Status(400),
        "host",
    ),
    (
        &[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"a"),
            (b":path", b"/"),
            (b"host", b"b"),
        ],
        Status(400),
        "host",
    ),
    (
        &[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"a"),
            (b":path", b"/"),
            (b"host", b"a"),
            (b"host", b"b"),
        ],
        Status(400),
        "host",
    ),
    // Pseudo-fields.
    (&[(b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/")], Reset(PROTOCOL_ERROR), "malformed"),
    (&[(b":method", b"GET"), (b":authority", b"h"), (b":path", b"/")], Reset(PROTOCOL_ERROR), "malformed"),
    (
        &[(b":method", b"GET"), (b":scheme", b"ftp"), (b":authority", b"h"), (b":path", b"/")],
        Status(400),
        "target",
    ),
    (
        &[(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"")],
        Reset(PROTOCOL_ERROR),
        "malformed",
    ),
    (
        &[
            (b":method", b"GET"),
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"h"),
            (b":path", b"/"),
        ],
        Reset(PROTOCOL_ERROR),
        "malformed",
    ),
    (
        &[(b":method", b"GET"), (b":scheme", b"http"), (b"x", b"y"), (b":authority", b"h"), (b":path", b"/")],
        Reset(PROTOCOL_ERROR),
        "malformed",
    ),
    (
        &[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"h"),
            (b":path", b"/"),
            (b":status", b"200"),
        ],
        Reset(PROTOCOL_ERROR),
        "malformed",
    ),
    // CONNECT.
    (&[(b":method", b"CONNECT"), (b":authority", b"h:443")], Status(405), "method"),
    (
        &[
            (b":method", b"CONNECT"),
            (b":scheme", b"http"),
            (b":authority", b"h"),
            (b":path", b"/"),
            (b":protocol", b"websocket"),
        ],
        Reset(PROTOCOL_ERROR),
        "malformed",
    ),
];

/// Targets of a GET.
const TARGETS: &[(&str, Outcome, &str)] = &[
    ("a", Reset(PROTOCOL_ERROR), "malformed"),
    ("*", Status(400), "target"),
    ("http://h/", Reset(PROTOCOL_ERROR), "malformed"),
    ("?a", Status(400), "target"),
    ("/a b", Reset(PROTOCOL_ERROR), "malformed"),
    ("/a\r\nx: y", Reset(PROTOCOL_ERROR), "malformed"),
    ("/a\"b", Status(400), "target"),
    ("/a\0", Reset(PROTOCOL_ERROR), "malformed"),
    ("/\u{e4}", Status(400), "target"),
];

/// Fields of a POST, which has no body unless a length says so.
const FIELDS: &[(Fields, Outcome, &str)] = &[
    (&[(b"connection", b"close")], Reset(PROTOCOL_ERROR), "malformed"),
    (&[(b"keep-alive", b"timeout=1")], Reset(PROTOCOL_ERROR), "malformed"),
    (&[(b"proxy-connection", b"close")], Reset(PROTOCOL_ERROR), "malformed"),
    (&[(b"transfer-encoding", b"chunked")], Reset(PROTOCOL_ERROR), "malformed"),
    (&[(b"upgrade", b"websocket")], Reset(PROTOCOL_ERROR), "malformed"),
    (&[(b"te", b"gzip")], Reset(PROTOCOL_ERROR), "malformed"),
    (&[(b"x", b" y")], Status(400), "malformed"),
    (&[(b"a\"b", b"y")], Status(400), "malformed"),
    (&[(b"content-length", b"3"), (b"content-length", b"3")], Reset(PROTOCOL_ERROR), "malformed"),
    (&[(b"content-length", b"3"), (b"content-length", b"4")], Reset(PROTOCOL_ERROR), "malformed"),
    (&[(b"content-length", b"-1")], Reset(PROTOCOL_ERROR), "malformed"),
    (&[(b"content-length", b"3, 3")], Reset(PROTOCOL_ERROR), "malformed"),
    (&[(b"content-length", b"3")], Reset(PROTOCOL_ERROR), "malformed"),
];

struct Row {
    name: String,
    block: Vec<u8>,
    outcome: Outcome,
    reason: &'static str,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |name: String, block, outcome, reason| rows.push(Row { name, block, outcome, reason });
    let text = |fields: Fields| {
        let line =
            |(name, value): &(&[u8], &[u8])| format!("{}: {}", name.escape_ascii(), value.escape_ascii());
        fields.iter().map(line).collect::<Vec<_>>().join(", ")
    };
    for (fields, outcome, reason) in HEADS {
        row(text(fields), block(fields), *outcome, *reason);
    }
    for (target, outcome, reason) in TARGETS {
        row(target.escape_debug().to_string(), request("GET", target, &[]), *outcome, *reason);
    }
    for (fields, outcome, reason) in FIELDS {
        row(text(fields), request("POST", "/", fields), *outcome, *reason);
    }
    row("TRACE".into(), request("TRACE", "/", &[]), Status(405), "method");
    row("a long method".into(), request(&"A".repeat(40), "/", &[]), Status(501), "method");
    row("a long target".into(), request("GET", &format!("/{}", "a".repeat(8192)), &[]), Status(414), "large");
    let many = vec![(&b"x"[..], &b"y"[..]); 101];
    row("many fields".into(), request("GET", "/", &many), Status(431), "large");
    let large = "v".repeat(5_000);
    let large = vec![(&b"x"[..], large.as_bytes()); 14];
    row("a large header".into(), request("GET", "/", &large), Status(431), "large");
    rows
}

/// Sends a header block in frames of the size that every peer takes.
async fn send(client: &mut Client, block: &[u8]) {
    let mut pieces = block.chunks(16_384).peekable();
    let (mut kind, mut flags) = (HEADERS, END_STREAM);
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        client.send(&frame(kind, flags | end, 1, piece)).await;
        (kind, flags) = (super::frames::CONTINUATION, 0);
    }
}

async fn invalid(tidegate: &TidegateProcess, reason: &str) -> f64 {
    tidegate.metric("tidegate_http_requests_invalid_total", &[&format!("reason=\"{reason}\"")]).await
}

#[tokio::test]
async fn what_is_not_valid_is_refused_counted_and_logged() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    let mut wrong = Vec::new();
    let rows = rows();
    for Row { name, block, outcome, reason } in &rows {
        let before = invalid(&tidegate, reason).await;
        let mut client = Client::connect(tidegate.addr("http")).await;
        send(&mut client, block).await;
        let got = client.outcome().await;
        if got != *outcome {
            wrong.push(format!("{name}: {got:?}, not {outcome:?}"));
        }
        // A connection outlives a bad request.
        client.get(3, "/after").await;
        if got == *outcome && client.wait(HEADERS).await.is_none() {
            wrong.push(format!("{name}: its connection is gone"));
        }
        let counted = invalid(&tidegate, reason).await - before;
        if counted != 1.0 {
            wrong.push(format!("{name}: counted {counted} as {reason}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(backend.seen().iter().all(|seen| seen == "GET /after"), "{:?}", backend.seen());
    eventually(SOON, async || {
        let lines = tidegate.access_log().iter().filter(|line| line["flags"] == "DPE").count();
        if lines == rows.len() { Ok(()) } else { Err(format!("{lines} lines of {}", rows.len())) }
    })
    .await;
}

/// What can't be a field at all is to `h2` an error of the whole connection.
#[tokio::test]
async fn what_is_no_field_ends_the_connection() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    let bad: [(&[u8], &[u8]); 4] =
        [(b"X-Upper", b"y"), (b"x a", b"y"), (b"x", b"a\r\nb: c"), (b"x", b"a\0b")];
    for (count, field) in bad.into_iter().enumerate() {
        let mut client = Client::connect(tidegate.addr("http")).await;
        client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &request("GET", "/", &[field]))).await;
        assert_eq!(client.goaway().await, Some(PROTOCOL_ERROR), "{field:?}");
        super::ended(&tidegate, "protocol", count as f64 + 1.0).await;
    }
    assert_eq!(backend.requests(), 0);
}

/// The header has been passed on by then; what is broken is the body.
#[tokio::test]
async fn a_body_of_another_length_ends_its_stream() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    for body in [&b"ab"[..], b"abcd"] {
        let mut client = Client::connect(tidegate.addr("http")).await;
        let head = request("POST", "/echo", &[(b"content-length", b"3")]);
        client.send(&frame(HEADERS, END_HEADERS, 1, &head)).await;
        client.send(&frame(DATA, END_STREAM, 1, body)).await;
        assert_eq!(client.outcome().await, Reset(PROTOCOL_ERROR));
    }
    eventually(SOON, async || {
        let counted = invalid(&tidegate, "malformed").await;
        if counted == 2.0 { Ok(()) } else { Err(counted.to_string()) }
    })
    .await;
}

/// What is known to be broken when it comes is not begun.
#[tokio::test]
async fn a_body_that_is_broken_at_once_reaches_nobody() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    for (length, body) in [("3", "ab"), ("3", "abcd"), ("0", "GET / HTTP/1.1")] {
        let mut client = Client::connect(tidegate.addr("http")).await;
        let head = request("POST", "/echo", &[(b"content-length", length.as_bytes())]);
        let head = frame(HEADERS, END_HEADERS, 1, &head);
        let body = frame(DATA, END_STREAM, 1, body.as_bytes());
        client.send(&[head, body].concat()).await;
        assert_eq!(client.outcome().await, Reset(PROTOCOL_ERROR));
    }
    eventually(SOON, async || {
        let flags: Vec<_> = tidegate.access_log().iter().map(|line| line["flags"].to_string()).collect();
        if flags == ["\"DPE\""; 3] { Ok(()) } else { Err(format!("{flags:?}")) }
    })
    .await;
    assert_eq!(backend.requests(), 0);
}

/// Browsers send each cookie as a field of its own.
#[tokio::test]
async fn crumbs_of_a_cookie_count_as_one_field() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    let mut client = Client::connect(tidegate.addr("http")).await;
    let crumbs = vec![(&b"cookie"[..], &b"a=1"[..]); 180];
    send(&mut client, &request("GET", "/echo", &crumbs)).await;
    assert_eq!(client.outcome().await, Status(200));
}

#[tokio::test]
async fn one_host_one_cookie_and_a_path_go_to_the_endpoint() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    for fields in [
        &[(&b":authority"[..], &b"h:1"[..])][..],
        &[(b":authority", b"h:1"), (b"host", b"H:1")],
        &[(b"host", b"h:1")],
    ] {
        let (mut head, plain): (Vec<_>, Vec<_>) =
            fields.iter().copied().partition(|(name, _)| name.starts_with(b":"));
        head.extend([(&b":method"[..], &b"GET"[..]), (b":scheme", b"http"), (b":path", b"/echo?a")]);
        head.extend(plain);
        head.extend([(&b"cookie"[..], &b"a=1"[..]), (b"cookie", b"b=2"), (b"te", b"trailers")]);
        let mut client = Client::connect(tidegate.addr("http")).await;
        send(&mut client, &block(&head)).await;
        assert_eq!(client.outcome().await, Status(200));
        let body = client.wait(DATA).await.unwrap().payload;
        let seen: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(seen["path"], "/echo?a");
        let headers = seen["headers"].to_string();
        assert!(headers.contains("[\"a=1; b=2\"]") && headers.contains("\"host\":[\"h:1\"]"), "{headers}");
    }
}
