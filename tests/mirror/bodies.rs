//! Requests with a body: copied whole, or not at all.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{RawClient, Scripted, Tidegate, TidegateProcess, curl, eventually, http, send, until};
use crate::{DEADLINE, counted, live, results};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const KEYS: &str = ", mirror: { cluster: shadow, methods: [ POST, PUT ] }";

async fn start() -> (Scripted, Scripted, TidegateProcess) {
    let (web, shadow) = (Scripted::start(vec![send(OK)]).await, Scripted::start(vec![send(OK)]).await);
    let tidegate = Tidegate::new(&live(web.addr, shadow.addr, KEYS)).start().await;
    (web, shadow, tidegate)
}

fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn a_body_arrives_as_it_was_sent() {
    let (web, shadow, tidegate) = start().await;
    let text: String = (0..6000).map(|i| format!("{i} ")).collect();
    let sent = http::client().post(tidegate.url("/known")).body(text.clone()).send().await.unwrap();
    assert_eq!(sent.status(), 200);
    until(DEADLINE, "the copy came", || shadow.seen().len() == 1).await;
    assert_eq!((body(&web.seen()[0]), body(&shadow.seen()[0])), (text.as_str(), text.as_str()));
    // In chunks: the copy has a length.
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("POST /chunks HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n").await;
    raw.send("3\r\nabc\r\n").await;
    raw.send("4\r\ndefg\r\n0\r\n\r\n").await;
    assert_eq!(raw.response().await.unwrap().status, 200);
    until(DEADLINE, "the copy came", || shadow.seen().len() == 2).await;
    let copy = shadow.seen()[1].to_lowercase();
    assert!(copy.contains("content-length: 7\r\n") && !copy.contains("transfer-encoding"), "{copy}");
    assert_eq!(body(&copy), "abcdefg");
    // Empty, and said so.
    raw.ask("POST /empty HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n").await;
    until(DEADLINE, "the copy came", || shadow.seen().len() == 3).await;
    assert!(shadow.seen()[2].to_lowercase().contains("content-length: 0\r\n"), "{:?}", shadow.seen()[2]);
    counted(&tidegate, "2xx", 3.0).await;
}

#[tokio::test]
async fn over_64_kib_is_not_mirrored_and_counted() {
    let (web, shadow, tidegate) = start().await;
    let post = async |length: usize| {
        let sent = http::client().post(tidegate.url("/")).body("b".repeat(length)).send().await.unwrap();
        assert_eq!(sent.status(), 200);
    };
    post(64 * 1024).await;
    counted(&tidegate, "2xx", 1.0).await;
    assert_eq!(body(&shadow.seen()[0]).len(), 64 * 1024);
    post(64 * 1024 + 1).await;
    post(100 * 1024).await;
    // Its length is known only when it has come.
    let chunk = format!("6400\r\n{}\r\n", "c".repeat(0x6400));
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n").await;
    raw.send(format!("{}0\r\n\r\n", chunk.repeat(4))).await;
    assert_eq!(raw.response().await.unwrap().status, 200);
    eventually(DEADLINE, async || match results(&tidegate, "too_large").await {
        3.0 => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!((web.seen().len(), shadow.seen().len()), (4, 1));
    assert_eq!(body(&web.seen()[2]).len(), 100 * 1024);
}

#[tokio::test]
async fn nobody_is_asked_whether_to_send_the_copy() {
    let (web, shadow, tidegate) = start().await;
    let url = tidegate.url("/upload");
    let sent = curl(&["-H", "expect: 100-continue", "-d", "some body", &url]).await;
    assert_eq!((sent.code, sent.status), (0, 200), "{sent:?}");
    until(DEADLINE, "the copy came", || shadow.seen().len() == 1).await;
    assert!(web.seen()[0].to_lowercase().contains("expect: 100-continue"), "{:?}", web.seen());
    assert!(!shadow.seen()[0].to_lowercase().contains("\r\nexpect"), "{:?}", shadow.seen());
    assert_eq!(body(&shadow.seen()[0]), "some body");
}

#[tokio::test]
async fn half_a_request_is_not_mirrored() {
    let (web, shadow, tidegate) = start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("POST /half HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n01234").await;
    raw.finish().await;
    tidegate.logged(|line| line["path"] == "/half").await;
    http::client().post(tidegate.url("/whole")).body("all").send().await.unwrap();
    until(DEADLINE, "the copy came", || shadow.seen().len() == 1).await;
    assert!(shadow.seen()[0].starts_with("POST /whole "));
    assert_eq!(web.seen().len(), 1);
    counted(&tidegate, "2xx", 1.0).await;
}

/// The first endpoint breaks off in the middle of the upload. What was read is sent to the second
/// from its begin, and to the mirror once.
#[tokio::test]
async fn a_body_that_is_sent_again_is_copied_once() {
    let broken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (web, shadow) = (Scripted::start(vec![send(OK)]).await, Scripted::start(vec![send(OK)]).await);
    // The first turn is the heavier one's.
    let endpoints = format!(", weight: 1000 }}, {{ address: '{}' }} ] }} }}\n  shadow", web.addr);
    let config =
        live(broken.local_addr().unwrap(), shadow.addr, KEYS).replace(" } ] } }\n  shadow", &endpoints);
    let tidegate = Tidegate::new(&config).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n01234").await;
    let (mut stream, _) = broken.accept().await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"01234") {
        assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
    }
    stream.set_zero_linger().unwrap();
    let _ = stream.flush().await;
    drop(stream);
    eventually(DEADLINE, async || {
        let web = tidegate.admin_json("/v1/clusters/web").await;
        let asked = |i: usize| web["endpoints"][i]["requests"].as_u64().unwrap();
        if asked(0) + asked(1) == 2 { Ok(()) } else { Err(web.to_string()) }
    })
    .await;
    raw.send("56789").await;
    assert_eq!(raw.response().await.unwrap().status, 200);
    until(DEADLINE, "the copy came", || shadow.seen().len() == 1).await;
    assert_eq!((body(&web.seen()[0]), body(&shadow.seen()[0])), ("0123456789", "0123456789"));
    counted(&tidegate, "2xx", 1.0).await;
}
