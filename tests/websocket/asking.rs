//! What is passed on as an upgrade, and what is not.

use super::{OPEN, OPENED, live, open};
use crate::support::{RawClient, Scripted, Step, Tidegate, send};

#[tokio::test]
async fn only_a_websocket_is_asked_for() {
    let endpoint = Scripted::start(vec![send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")]).await;
    let tidegate = Tidegate::new(&live(endpoint.addr, "")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    for lines in [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        "connection: upgrade\r\nupgrade: tls/1.0\r\n",
        "connection: upgrade\r\nupgrade: websocket, h2c\r\n",
        "upgrade: websocket\r\n",
    ] {
        let answer = client.ask(format!("GET / HTTP/1.1\r\nhost: h\r\n{lines}\r\n")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{lines}");
    }
    let post = "POST / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(client.ask(post).await.text(), "ok");
    let seen = endpoint.seen().join("").to_ascii_lowercase();
    assert!(!seen.contains("upgrade") && !seen.contains("http2-settings"), "{seen}");
    assert!(seen.ends_with("hi"), "{seen}");
    assert_eq!(client.ask(OPEN).await.text(), "ok");
    let last = endpoint.seen().last().unwrap().to_ascii_lowercase();
    assert!(last.contains("upgrade: websocket") && last.contains("connection: upgrade"), "{last}");
}

/// A connection that cannot be opened is tried on another endpoint.
#[tokio::test]
async fn a_dead_endpoint_is_passed_over() {
    let endpoint = Scripted::start(vec![send(OPENED), Step::Echo]).await;
    let dead = crate::support::free_port();
    let more = format!("{}' }}, {{ address: '127.0.0.1:{dead}", endpoint.addr);
    let text = live(endpoint.addr, "").replace(&endpoint.addr.to_string(), &more);
    let tidegate = Tidegate::new(&text).start().await;
    for _ in 0..6 {
        open(&tidegate).await.send("hi").await;
    }
    tidegate.logged(|line| line["attempts"] == 2 && line["status"] == 101).await;
}

/// A refusal is an answer like any other, and the client's connection goes on.
#[tokio::test]
async fn a_refusal_is_an_answer() {
    let body = "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";
    let asks = "HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket\r\nconnection: upgrade\r\ncontent-length: 0\r\n\r\n";
    let endpoint =
        Scripted::by_head(move |head| vec![send(if head.starts_with("GET /chat") { body } else { asks })])
            .await;
    let tidegate = Tidegate::new(&live(endpoint.addr, "")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    for _ in 0..20 {
        let answer = client.ask(OPEN).await;
        assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
        let answer = client.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert_eq!((answer.status, answer.header("upgrade")), (426, Some("websocket")), "{answer:?}");
    }
}

#[tokio::test]
async fn a_101_to_something_else_is_a_502() {
    let endpoint = Scripted::by_head(|_| {
        vec![
            send("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nevil"),
            Step::Echo,
        ]
    })
    .await;
    let tidegate = Tidegate::new(&live(endpoint.addr, "")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    let answer = client.ask(OPEN).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    tidegate.logged(|line| line["status"] == 502 && line["flags"] == "UPE").await;
}

/// An endpoint that does not answer is bounded by the route's time, as for any request.
#[tokio::test]
async fn no_answer_is_late_and_what_comes_with_the_101_is_not_lost() {
    let silent = Scripted::start(vec![Step::Wait(std::time::Duration::from_secs(30))]).await;
    let tidegate = Tidegate::new(&live(silent.addr, ", timeout: 400ms")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    assert_eq!(client.ask(OPEN).await.status, 504);
    tidegate.logged(|line| line["status"] == 504 && line["flags"] == "UT").await;

    let eager = Scripted::start(vec![send(format!("{OPENED}hello")), Step::Echo]).await;
    tidegate.reload(&live(eager.addr, ", timeout: 400ms")).await;
    let mut client = open(&tidegate).await;
    assert_eq!(client.read_some().await.unwrap(), b"hello");
    // No tunnel ends with the time of a request.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    client.send("on").await;
    assert_eq!(client.read_some().await.unwrap(), b"on");
}

/// The connection of a request that asked for a tunnel serves no other, be it refused.
#[tokio::test]
async fn no_connection_is_used_again() {
    let backend = crate::support::Backend::start("one").await;
    let tidegate = Tidegate::new(&live(backend.addr(), "")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    for _ in 0..10 {
        assert_eq!(client.ask(OPEN).await.text(), "one");
        assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.text(), "one");
    }
    assert_eq!((backend.requests(), backend.connections()), (20, 11));
}
