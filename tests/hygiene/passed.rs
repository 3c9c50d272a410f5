//! One request a row that passes, and what the endpoint gets of it.

use crate::recorder::Recorder;
use crate::reference::Request;
use crate::support::{RawClient, Tidegate};

/// What is sent, then method, target, host and body at the endpoint.
const PASSED: &[(&str, [&str; 4])] = &[
    ("GET /a HTTP/1.1\r\nhost: h\r\n\r\n", ["GET", "/a", "h", ""]),
    ("\r\nGET /a HTTP/1.1\r\nHOST:\th:80 \t\r\n\r\n", ["GET", "/a", "h:80", ""]),
    // Any method that is a token.
    ("PURGE /a HTTP/1.1\r\nhost: h\r\n\r\n", ["PURGE", "/a", "h", ""]),
    ("version-control /a HTTP/1.1\r\nhost: h\r\n\r\n", ["version-control", "/a", "h", ""]),
    ("OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n", ["OPTIONS", "*", "h", ""]),
    // Targets as browsers write them.
    ("GET /a?{b}|c^`\\[d]'(e) HTTP/1.1\r\nhost: h\r\n\r\n", ["GET", "/a?{b}|c^`\\[d]'(e)", "h", ""]),
    ("GET //x/../y;z=1?http://a/ HTTP/1.1\r\nhost: h\r\n\r\n", ["GET", "//x/../y;z=1?http://a/", "h", ""]),
    ("GET /%00%2f?? HTTP/1.1\r\nhost: h\r\n\r\n", ["GET", "/%00%2f??", "h", ""]),
    // Whole URLs: their host wins.
    ("GET http://a:80/x?y HTTP/1.1\r\nhost: b\r\nx-a: 1\r\n\r\n", ["GET", "/x?y", "a:80", ""]),
    ("GET HTTP://a HTTP/1.1\r\nhost: a\r\n\r\n", ["GET", "/", "a", ""]),
    ("GET https://a?q HTTP/1.1\r\nhost: A\r\n\r\n", ["GET", "/?q", "a", ""]),
    ("GET http://a/ HTTP/1.0\r\n\r\n", ["GET", "/", "a", ""]),
    // Hosts.
    ("GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", ["GET", "/", "[::1]:80", ""]),
    ("GET / HTTP/1.1\r\nhost: a_b.Example.\r\n\r\n", ["GET", "/", "a_b.Example.", ""]),
    ("GET / HTTP/1.0\r\nhost: h\r\n\r\n", ["GET", "/", "h", ""]),
    ("GET / HTTP/1.0\r\n\r\n", ["GET", "/", "", ""]),
    // Bodies.
    ("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n", ["POST", "/", "h", ""]),
    ("GET / HTTP/1.1\r\nhost: h\r\ncontent-length:003 \r\n\r\nabc", ["GET", "/", "h", "abc"]),
    ("POST / HTTP/1.0\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc", ["POST", "/", "h", "abc"]),
    (
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: CHUNKED\r\n\r\n1;a ; b = \"c\\\" d\";e=f\r\na\r\n02\r\nbc\r\n00\r\nhost: evil\r\ncontent-length: 9\r\n\r\n",
        ["POST", "/", "h", "abc"],
    ),
];

#[tokio::test]
async fn what_is_valid_reaches_the_endpoint_as_it_is_meant() {
    let recorder = Recorder::start().await;
    // The kit's listener is the last of what it writes, so the first line is of it.
    let tidegate = Tidegate::new(&super::fuzz::to(recorder.addr, "    allow_trace: true\n")).start().await;
    let trace = ("TRACE /a HTTP/1.1\r\nhost: h\r\n\r\n", ["TRACE", "/a", "h", ""]);
    let mut wrong = Vec::new();
    for (sent, [method, target, host, body]) in PASSED.iter().chain([&trace]) {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        raw.send(sent).await;
        let answer = raw.response().await.map(|answer| answer.status);
        let seen = recorder.take();
        let fits = match seen.as_slice() {
            [Ok(Request { method: m, target: t, host: h, body: b, .. })] => {
                let same = (m.as_str(), t.as_str(), b.as_slice()) == (*method, *target, body.as_bytes());
                same && (h == host || (host.is_empty() && *h == recorder.addr.to_string()))
            }
            // The recorder reads TRACE as one that is not to come.
            [Err(bytes), ..] => *method == "TRACE" && bytes.starts_with(b"TRACE /a HTTP/1.1\r\n"),
            _ => false,
        };
        if !fits || (answer != Ok(200) && *method != "TRACE") {
            wrong.push(format!("{sent:?}: {answer:?}, {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
