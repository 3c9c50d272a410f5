//! Interim answers, answers without bodies, trailers: what each client can take of them.

use super::live;
use crate::support::{RawClient, Scripted, Tidegate, curl, curl_with, send};

#[tokio::test]
async fn early_hints_reach_those_who_know_them() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let endpoint =
        Scripted::start(vec![send(format!("{hints}HTTP/1.1 102 Processing\r\n\r\n{hints}")), send(last)])
            .await;
    let tidegate = Tidegate::new(&live(endpoint.addr, "", "")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    for round in 0..2 {
        let mut statuses = Vec::new();
        client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        loop {
            let answer = client.response().await.unwrap();
            statuses.push(answer.status);
            if answer.status == 103 {
                assert_eq!(answer.header("link"), Some("</a.css>; rel=preload"));
            }
            if answer.status >= 200 {
                assert_eq!(answer.text(), "ok");
                break;
            }
        }
        assert_eq!(statuses, [103, 102, 103, 200], "{round}");
    }
    let mut old = RawClient::connect(tidegate.addr("http")).await;
    let answer = old.ask("GET / HTTP/1.0\r\nhost: h\r\n\r\n").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{answer:?}");
    let over_h2 = curl(&["--http2-prior-knowledge", &tidegate.url("/")]).await;
    assert_eq!((over_h2.status, over_h2.text().as_str()), (200, "ok"), "{over_h2:?}");
}

#[tokio::test]
async fn answers_that_have_no_body_keep_the_connection() {
    let answers = [
        ("204 No Content", "content-length: 5\r\n", None),
        ("304 Not Modified", "content-length: 5\r\netag: \"a\"\r\n", Some("5")),
        ("205 Reset Content", "content-length: 0\r\n", Some("0")),
    ];
    let endpoint = Scripted::by_head(move |head| {
        let at: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let (status, lines, _) = answers[at];
        vec![send(format!("HTTP/1.1 {status}\r\n{lines}\r\n"))]
    })
    .await;
    let tidegate = Tidegate::new(&live(endpoint.addr, "", "")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    for _ in 0..2 {
        for (at, (status, _, length)) in answers.iter().enumerate() {
            client.send(format!("GET /{at} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
            let answer = client.head().await.unwrap();
            assert!(answer.head.contains(status), "{answer:?}");
            assert_eq!(
                (answer.header("content-length"), answer.count("transfer-encoding")),
                (*length, 0),
                "{answer:?}"
            );
        }
    }
}

/// An HTTP/2 client may end its body with an empty frame. It must not end twice for the endpoint, which
/// would take the rest for a request.
#[tokio::test]
async fn a_body_ends_once() {
    let endpoint = Scripted::start(vec![send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")]).await;
    let tidegate = Tidegate::new(&live(endpoint.addr, "", "")).start().await;
    for _ in 0..3 {
        let sent = curl_with(&["--http2-prior-knowledge", "-T", "-", &tidegate.url("/")], b"hello").await;
        assert_eq!((sent.code, sent.text().as_str()), (0, "ok"), "{sent:?}");
    }
    let seen = endpoint.seen();
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(
        seen.iter().all(|one| one.starts_with("PUT ") && one.ends_with("\r\nhello\r\n0\r\n\r\n")),
        "{seen:?}"
    );
}

/// HTTP/1.1's are dropped in both directions, with the field that announces them.
#[tokio::test]
async fn trailers_are_dropped_and_do_no_harm() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\nupgrade: h2c\r\n\
                  connection: upgrade\r\nproxy-authenticate: Basic\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n";
    let endpoint = Scripted::start(vec![send(answer)]).await;
    let tidegate = Tidegate::new(&live(endpoint.addr, "", "")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    for _ in 0..3 {
        let answer = client
            .ask(
                "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                 2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n",
            )
            .await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        for name in ["trailer", "x-sum", "upgrade", "proxy-authenticate"] {
            assert_eq!(answer.header(name), None, "{answer:?}");
        }
    }
    let seen = endpoint.seen().join("");
    assert!(seen.contains("hi") && !seen.contains("x-sum"), "{seen}");
}
