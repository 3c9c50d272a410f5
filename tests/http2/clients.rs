//! Proper clients.

use std::process::Command;

use super::frames::{Client, DATA, HEADERS, Outcome, WINDOW, frame};
use super::start;
use crate::support::{Backend, Scripted, curl, require_peer, send};

const H2C: &str = "--http2-prior-knowledge";

#[tokio::test]
async fn curl_gets_what_there_is() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    let url = |path: &str| tidegate.url(path);
    assert_eq!(curl(&[H2C, &url("/a")]).await.status, 200);
    let head = curl(&[H2C, "-I", &url("/bytes?n=1000")]).await;
    assert_eq!((head.status, head.code), (200, 0), "{head:?}");
    assert!(head.head.contains("content-length: 1000"), "{}", head.head);
    for status in ["204", "304"] {
        let path = format!("/status/{status}");
        let answer = curl(&[H2C, &url(&path)]).await;
        assert_eq!((answer.status.to_string().as_str(), answer.body.len(), answer.code), (status, 0, 0));
    }
    let large = curl(&[H2C, &url("/bytes?n=20000000")]).await;
    assert_eq!((large.code, large.body.len()), (0, 20_000_000));
    let body = vec![b'x'; 3_000_000];
    let echo = crate::support::curl_with(&[H2C, "-T", "-", &url("/echo")], &body).await;
    assert_eq!(echo.json()["body_length"], 3_000_000, "{}", echo.log);
    let continued = curl(&[H2C, "-H", "expect: 100-continue", "-d", "hi", &url("/echo")]).await;
    assert_eq!(continued.json()["body_length"], 2);
}

#[tokio::test]
async fn fields_of_one_connection_and_interim_answers() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nkeep-alive: timeout=5\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let upstream = Scripted::start(vec![send(format!("{early}{last}"))]).await;
    let tidegate = start(upstream.addr, "{}").await;
    let answer = curl(&[H2C, "-i", &tidegate.url("/a")]).await;
    let text = answer.text();
    assert!(text.contains("HTTP/2 103") && text.contains("rel=preload"), "{text}");
    assert!(text.contains("HTTP/2 200") && text.ends_with("ok"), "{text}");
    for gone in ["connection:", "keep-alive:", "transfer-encoding:"] {
        assert!(!text.contains(gone), "{text}");
    }
    // An upgrade that nobody asked for.
    let upstream =
        Scripted::start(vec![send("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n")]).await;
    let tidegate = start(upstream.addr, "{}").await;
    let status = curl(&[H2C, &tidegate.url("/a")]).await.status;
    assert_eq!(status, 502);
}

#[tokio::test]
async fn nghttp_and_h2load_get_through() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    let run = async |program: &str, args: &[&str]| {
        let path = require_peer(program)?;
        let args: Vec<String> =
            args.iter().map(|arg| (*arg).to_owned()).chain([tidegate.url("/bytes?n=50000")]).collect();
        let output =
            tokio::task::spawn_blocking(move || Command::new(path).args(args).output().unwrap()).await;
        Some(String::from_utf8_lossy(&output.unwrap().stdout).into_owned())
    };
    if let Some(text) = run("nghttp", &["-nv"]).await {
        assert!(text.contains(":status: 200"), "{text}");
    }
    // Many streams of few connections: the work is rationed, and the endpoints' connections narrow.
    if let Some(text) = run("h2load", &["-n", "5000", "-c", "4", "-m", "60"]).await {
        assert!(text.contains("5000 succeeded, 0 failed"), "{text}");
    }
}

/// A reset after the answer, as HTTP/2 allows, makes curl forget the answer.
#[tokio::test]
async fn an_upload_that_nobody_needs_is_answered_in_peace() {
    let live = "routes: [ { name: moved, redirect: { to: 'https://h{path}', status: 308 } } ]\n";
    let tidegate = crate::support::Tidegate::new(live).start().await;
    let body = vec![b'x'; 5_000_000];
    for _ in 0..5 {
        let args = [H2C, "-H", "expect:", "--data-binary", "@-", &tidegate.url("/a")];
        let answer = crate::support::curl_with(&args, &body).await;
        assert_eq!((answer.code, answer.status), (0, 308), "{answer:?}");
    }
    // One that sends it all, over what a stream may have on the way.
    let mut client = Client::connect(tidegate.addr("http")).await;
    client.post(1, "/a").await;
    assert_eq!(client.outcome().await, Outcome::Status(308));
    client.send(&frame(DATA, 0, 1, &[b'x'; 16_000]).repeat(4)).await;
    let more = client.wait(WINDOW).await.unwrap();
    assert_eq!(more.stream, 1, "{more:?}");
}

/// A body longer than what is kept for another try, to an endpoint that is gone.
#[tokio::test]
async fn a_stream_is_answered_by_whoever_is_there() {
    let (mut gone, backend) = (Backend::start("gone").await, Backend::start("a").await);
    let live = format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {{ address: '{}' }}, {{ address: '{}' }} ] }} }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
        gone.addr(),
        backend.addr()
    );
    let tidegate = crate::support::Tidegate::new(&live).start().await;
    gone.stop().await;
    for _ in 0..6 {
        let echo =
            crate::support::curl_with(&[H2C, "-T", "-", &tidegate.url("/echo")], &[b'x'; 200_000]).await;
        assert_eq!(echo.json()["body_length"], 200_000, "{}", echo.log);
    }
}

/// Frames of one stream must not wait for those of another.
#[tokio::test]
async fn a_stalled_stream_is_in_nobodys_way() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    let mut client = Client::with_settings(tidegate.addr("http"), &[(4, 1000)]).await;
    client.get(1, "/bytes?n=100000").await;
    assert_eq!(client.outcome().await, Outcome::Status(200));
    for stream in (3..40).step_by(2) {
        client.get(stream, "/bytes?n=900").await;
        loop {
            let frame = client.next().await.unwrap();
            if frame.stream == stream && frame.kind == DATA && frame.flags & 1 == 1 {
                break;
            }
            assert!(frame.kind != HEADERS || frame.stream == stream);
        }
    }
}
