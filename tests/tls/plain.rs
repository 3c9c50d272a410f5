//! What is not TLS, or never becomes it.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod};
use tokio::time::Instant;

use crate::kit::{SOON, tidegate, tls};
use crate::support::{Authority, Backend, RawClient, Tidegate, curl, eventually};

#[tokio::test]
async fn http_without_tls_is_told_to_use_it() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let tidegate = tidegate(&backend, &[&ca.issue(&["a.test"])], "").start().await;
    let got = curl(&[&tidegate.url("/a")]).await;
    assert_eq!(got.status, 400, "{got:?}");
    assert!(got.text().contains("use https://"), "{got:?}");
    // Also if it sends more than we read.
    let big = "x".repeat(1 << 20);
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send(format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{big}", big.len())).await;
    assert_eq!(raw.response().await.unwrap().status, 400);
    let count = tidegate.metric("tidegate_tls_handshakes_total", &["result=\"plain_http\""]).await;
    assert_eq!(count, 2.0);
    let line = tidegate.logged(|line| line["status"] == 400).await;
    assert_eq!(line["flags"], "DPE", "{line}");
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn a_handshake_that_never_comes_ends_in_time() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let own = ca.issue(&["a.test"]);
    let tidegate = tidegate(&backend, &[&own], "")
        .listener_key("http", "limits: { handshake_timeout: 1s }")
        .start()
        .await;
    let begun = Instant::now();
    let mut silent = RawClient::connect(tidegate.addr("http")).await;
    // A record that says it is longer than what comes.
    let mut half = RawClient::connect(tidegate.addr("http")).await;
    half.send([0x16, 3, 1, 2, 0, 1, 0, 1]).await;
    assert!(silent.closed().await && half.closed().await);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(3), "{took:?}");
    eventually(SOON, async || {
        match tidegate.metric("tidegate_tls_handshakes_total", &["result=\"timeout\""]).await {
            2.0 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    // Nobody is counted who only looks whether the port is open, and who sends nonsense is.
    drop(RawClient::connect(tidegate.addr("http")).await);
    let mut nonsense = RawClient::connect(tidegate.addr("http")).await;
    nonsense.send([0; 64]).await;
    assert!(nonsense.closed().await);
    let others = tidegate.metric("tidegate_tls_handshakes_total", &["result=\"other\""]).await;
    assert_eq!(others, 1.0);
}

/// The end of TLS is told once: looked for a second time, it would be found amid what the client sends,
/// and the connection be reset.
#[tokio::test]
async fn an_upload_that_nobody_needs_is_answered_in_peace() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let live = "routes: [ { name: moved, redirect: { to: 'https://h{path}', status: 308 } } ]\n";
    let own = ca.issue(&["a.test"]);
    let tidegate = Tidegate::new(live).listener_key("http", &tls(&[&own], "")).start().await;
    let (addr, ca) = (tidegate.addr("http"), ca.ca());
    let answer = tokio::task::spawn_blocking(move || {
        let mut builder = SslConnector::builder(SslMethod::tls()).unwrap();
        builder.set_ca_file(ca).unwrap();
        let socket = std::net::TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let mut stream = builder.build().connect("a.test", socket).unwrap();
        let (length, piece) = (20 << 20, vec![b'x'; 64 << 10]);
        stream.write_all(
            format!("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n").as_bytes(),
        )?;
        for _ in 0..length / piece.len() {
            stream.write_all(&piece)?;
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    });
    let answer = answer.await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert_eq!(backend.requests(), 0);
}
