//! Which protocol is spoken, in clear and by ALPN.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::server::Endpoint;
use super::to;
use crate::support::{Authority, Backend, RawClient, Tidegate, curl, until};

const BOTH: &[u8] = b"\x02h2\x08http/1.1";
const H1: &[u8] = b"\x08http/1.1";
const H2: &[u8] = b"\x02h2";

#[tokio::test]
async fn alpn_has_it_as_the_cluster_says() {
    let ca = Authority::new();
    let issued = ca.issue(&["web.test"]);
    for (protocol, alpn, version) in [
        ("http1", Some(BOTH), Some("HTTP/1.1")),
        ("http1", Some(H2), None),
        ("http1", None, Some("HTTP/1.1")),
        ("http2", Some(BOTH), Some("HTTP/2.0")),
        ("http2", Some(H1), None),
        // Who chooses nothing speaks HTTP/1.1, which is not what was asked for.
        ("http2", None, None),
        ("auto", Some(BOTH), Some("HTTP/2.0")),
        ("auto", Some(H1), Some("HTTP/1.1")),
        ("auto", Some(H2), Some("HTTP/2.0")),
        ("auto", None, Some("HTTP/1.1")),
    ] {
        let endpoint = Endpoint::new(&issued);
        let endpoint = match alpn {
            Some(alpn) => endpoint.alpn(alpn),
            None => endpoint,
        };
        let endpoint = endpoint.start().await;
        let cluster = format!("protocol: {protocol}, tls: {{ sni: web.test, ca: {} }}", ca.ca().display());
        let tidegate = Tidegate::new(&to(&[endpoint.addr], &cluster, "")).start().await;
        for client in ["--http1.1", "--http2-prior-knowledge"] {
            let answer = curl(&[client, "-H", "host: a.test:81", &tidegate.url("/path?q=1")]).await;
            let text = answer.text();
            let told = format!("{protocol} {alpn:?} {client}: {text}");
            match version {
                Some(version) => {
                    assert_eq!(answer.status, 200, "{told}");
                    assert!(text.contains(&format!("version={version}")), "{told}");
                    let asked = if version == "HTTP/2.0" {
                        "uri=https://a.test:81/path?q=1"
                    } else {
                        "host=a.test:81"
                    };
                    assert!(text.contains(asked), "{told}");
                }
                None => assert_eq!(
                    (answer.status, text.as_str()),
                    (503, "upstream connection failed\n"),
                    "{told}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn in_clear_http2_is_spoken_by_prior_knowledge_on_one_connection() {
    let backend = Backend::start("one").await;
    let tidegate =
        Tidegate::new(&to(&[backend.addr()], "protocol: http2", "host: inside.test")).start().await;
    for client in ["--http1.0", "--http1.1", "--http2-prior-knowledge"] {
        let echo = curl(&[client, "-d", "body", &tidegate.url("/echo")]).await.json();
        assert_eq!((&echo["body_length"], &echo["path"]), (&4.into(), &"/echo".into()), "{echo}");
        for _ in 0..20 {
            let head = curl(&[client, "-I", &tidegate.url("/")]).await;
            assert_eq!((head.code, head.status), (0, 200), "{client} {head:?}");
        }
        let large = curl(&[client, &tidegate.url("/bytes?n=5000000")]).await;
        assert_eq!((large.code, large.body.len()), (0, 5_000_000), "{client}");
    }
    // An endpoint that knows no HTTP/2 is told as broken.
    let old = crate::support::Scripted::start(vec![crate::support::send(
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
    )])
    .await;
    let tidegate = Tidegate::new(&to(&[old.addr], "protocol: http2", "")).start().await;
    let answer = curl(&[&tidegate.url("/")]).await;
    assert!((500..504).contains(&answer.status), "{answer:?}");
}

/// A client that reads nothing holds what is on its way for its own stream, and no more: the others
/// of the connection go on.
#[tokio::test]
async fn clients_that_do_not_read_do_not_stop_the_others() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&to(&[backend.addr()], "protocol: http2", "")).start().await;
    let mut idle = Vec::new();
    for _ in 0..60 {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        raw.send("GET /bytes?n=20000000 HTTP/1.1\r\nhost: h\r\n\r\n").await;
        idle.push(raw);
    }
    until(Duration::from_secs(10), "all are asked", || backend.requests() >= 60).await;
    let begin = tokio::time::Instant::now();
    let other = curl(&[&tidegate.url("/bytes?n=3000000")]).await;
    assert_eq!((other.code, other.body.len()), (0, 3_000_000), "{:?}", begin.elapsed());
    drop(idle);
}

/// What HTTP/2 says was not begun may be repeated, a POST too.
#[tokio::test]
async fn a_refused_stream_goes_on_to_another_endpoint() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = listener.local_addr().unwrap();
    let refused = Arc::new(AtomicUsize::new(0));
    let counter = refused.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counter = counter.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_request, mut answer))) = connection.accept().await {
                    counter.fetch_add(1, Relaxed);
                    answer.send_reset(h2::Reason::REFUSED_STREAM);
                }
            });
        }
    });
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&to(&[refusing, backend.addr()], "protocol: http2", "")).start().await;
    for _ in 0..6 {
        let posted = curl(&["-d", "once", &tidegate.url("/echo")]).await;
        assert_eq!(posted.status, 200, "{posted:?}");
    }
    assert!(refused.load(Relaxed) >= 2, "both were asked");
}
