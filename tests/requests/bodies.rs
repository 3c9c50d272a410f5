//! Bodies, large and absent, and the answers that have none.

use tokio::io::AsyncReadExt as _;

use super::web;
use crate::support::{Backend, RawClient, Tidegate, curl, curl_with, free_port};

const LARGE: usize = 50 << 20;

async fn start() -> (Backend, crate::support::TidegateProcess) {
    let backend = Backend::start("one").await;
    let tidegate =
        Tidegate::new(&web(backend.addr(), " - { name: all, cluster: web, timeout: 60s }")).start().await;
    (backend, tidegate)
}

#[tokio::test]
async fn answers_without_a_body_end_where_they_should() {
    let (_backend, tidegate) = start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("HEAD /bytes?n=1000 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let head = raw.head().await.unwrap();
    assert_eq!(
        (head.status, head.header("content-length"), head.count("transfer-encoding")),
        (200, Some("1000"), 0)
    );
    // On the same connection: had a body been sent, or awaited, these would not be understood.
    let fresh = raw.ask("GET /etag HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!((fresh.status, fresh.header("etag")), (200, Some("\"one-1\"")));
    let same = raw.ask("GET /etag HTTP/1.1\r\nhost: h\r\nif-none-match: \"one-1\"\r\n\r\n").await;
    assert_eq!((same.status, same.header("etag"), same.body.len()), (304, Some("\"one-1\""), 0));
    assert_eq!(raw.ask("GET /status/204 HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 204);
    assert_eq!(raw.ask("GET /status/404 HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 404);
    assert_eq!(raw.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.text(), "one");
    let line = tidegate.logged(|line| line["method"] == "HEAD").await;
    assert_eq!((&line["status"], &line["bytes_out"]), (&200.into(), &0.into()));
    // The endpoint's own 404 is not ours: no flag.
    let line = tidegate.logged(|line| line["status"] == 404).await;
    assert_eq!(line["flags"], "");
}

#[tokio::test]
async fn an_upload_that_waits_for_100_gets_it() {
    let (_backend, tidegate) = start().await;
    let body = vec![b'x'; 2 << 20];
    let url = tidegate.url("/echo");
    let sent = curl_with(&["-v", "-H", "Expect: 100-continue", "--data-binary", "@-", &url], &body).await;
    assert_eq!(
        (sent.code, sent.status, &sent.json()["body_length"]),
        (0, 200, &body.len().into()),
        "{}",
        sent.log
    );
    assert!(sent.log.contains("HTTP/1.1 100 Continue"), "{}", sent.log);
    assert!(!sent.log.contains("Done waiting for 100-continue"), "{}", sent.log);
}

#[tokio::test]
async fn large_bodies_pass_either_way() {
    let (_backend, tidegate) = start().await;
    let body = vec![b'x'; LARGE];
    let chunked = curl_with(&["-T", "-", &tidegate.url("/echo")], &body).await;
    let echo = chunked.json();
    assert_eq!((chunked.status, &echo["body_length"]), (200, &LARGE.into()));
    assert_eq!(echo["headers"]["transfer-encoding"][0], "chunked");
    let sized = curl_with(&["--data-binary", "@-", &tidegate.url("/echo")], &body).await;
    let echo = sized.json();
    assert_eq!((sized.status, &echo["body_length"]), (200, &LARGE.into()));
    assert_eq!(echo["headers"]["content-length"][0], LARGE.to_string());
    let down = curl(&[&tidegate.url(&format!("/bytes?n={LARGE}"))]).await;
    assert_eq!((down.code, down.status, down.body.len()), (0, 200, LARGE));
    for (method, bytes_in) in [("PUT", LARGE), ("POST", LARGE), ("GET", 0)] {
        let line = tidegate.logged(|line| line["method"] == method).await;
        assert_eq!((&line["bytes_in"], &line["flags"]), (&bytes_in.into(), &"".into()), "{line}");
    }
    assert_eq!(tidegate.logged(|line| line["method"] == "GET").await["bytes_out"], LARGE);
}

/// A client that is still sending when the answer is there must get to see it, and not a reset.
#[tokio::test]
async fn an_answer_reaches_a_client_that_still_uploads() {
    let dead = free_port();
    let live = format!(
        "clusters: {{ dead: {{ static: {{ endpoints: [ {{ address: '127.0.0.1:{dead}' }} ] }} }} }}
routes:
 - {{ name: moved, match: {{ path: {{ prefix: /moved }} }}, redirect: {{ to: /there }} }}
 - {{ name: dead, match: {{ path: {{ prefix: /dead }} }}, cluster: dead }}\n"
    );
    let tidegate = Tidegate::new(&live).start().await;
    let body = vec![b'x'; 20 << 20];
    for round in 0..3 {
        for (path, status) in [("/moved", 302), ("/dead", 503), ("/none", 404)] {
            for how in [
                ["-H", "Expect:", "--data-binary", "@-"],
                ["-H", "Expect:", "-T", "-"],
                ["-H", "Expect: 100-continue", "-T", "-"],
            ] {
                let sent = curl_with(&[&how[..], &[&tidegate.url(path)]].concat(), &body).await;
                assert_eq!(sent.status, status, "{round} {path} {how:?}: {sent:?}");
                assert_eq!(sent.code, 0, "{round} {path} {how:?}: {sent:?}");
            }
        }
    }
}

/// A client that does not read holds up the endpoint, not the proxy's memory.
#[tokio::test]
async fn a_slow_reader_costs_no_memory() {
    let (_backend, tidegate) = start().await;
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", tidegate.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let before = resident();
    let mut stream = tokio::net::TcpStream::connect(tidegate.addr("http")).await.unwrap();
    let request = format!("GET /bytes?n={LARGE} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    let mut first = [0; 1000];
    stream.read_exact(&mut first).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 30, "{grown} MiB");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > LARGE - 1000, "{}", rest.len());
}
