//! Headers from a proxy in front: whose word is taken, and what becomes of those that are no good.

use std::time::Duration;

use tokio::time::Instant;

use super::support::{Backend, RawClient, Tidegate, TidegateProcess, Wire, curl};
use super::{tcp4, v2};

/// 127.0.0.1 is trusted, 127.0.0.2 is not.
async fn proxy(backend: &Backend) -> TidegateProcess {
    let live = format!(
        "clusters:\n  web: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}\nroutes: [ {{ name: all, cluster: web }} ]\n",
        backend.addr()
    );
    Tidegate::new(&live)
        .listener_key("http", "proxy_protocol: { trusted: [ 127.0.0.1 ] }")
        .listener_key("http", "limits: { handshake_timeout: 1s }")
        .start()
        .await
}

const REQUEST: &str = "GET /echo HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

/// What the backend saw as `x-forwarded-for`.
async fn forwarded(tidegate: &TidegateProcess, from: &str, header: &[u8]) -> String {
    let mut client = RawClient::connect_from(from, tidegate.addr("http")).await;
    client.send([header, REQUEST.as_bytes()].concat()).await;
    let answer = String::from_utf8_lossy(&client.read_to_end().await.unwrap_or_default()).into_owned();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let json: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let found = &json["headers"]["x-forwarded-for"];
    let text = found.as_str().or_else(|| found[0].as_str());
    text.map_or_else(|| answer.lines().next().unwrap_or("closed").to_owned(), str::to_owned)
}

#[tokio::test]
async fn the_clients_address_is_the_headers_everywhere() {
    let backend = Backend::start("web").await;
    let tidegate = proxy(&backend).await;
    let source = "192.0.2.77:4711".parse().unwrap();
    let destination = "198.51.100.1:443".parse().unwrap();
    let mut tlvs = tcp4(source, destination);
    tlvs.extend([1, 0, 2, b'h', b'2', 4, 0, 3, 0, 0, 0]);
    for (header, client) in [
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(), "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 56324 443\r\n".to_vec(), "2001:db8::9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x21, 0x11, &tcp4(source, destination)), "192.0.2.77"),
        (v2(0x21, 0x11, &tlvs), "192.0.2.77"),
        (v2(0x20, 0x00, &[]), "127.0.0.1"),
        (v2(0x21, 0x31, &[0; 216]), "127.0.0.1"),
    ] {
        assert_eq!(forwarded(&tidegate, "127.0.0.1", &header).await, client, "{header:?}");
        tidegate.logged(|line| line["client"] == client).await;
    }
}

#[tokio::test]
async fn curl_says_it_too() {
    let backend = Backend::start("web").await;
    let tidegate = proxy(&backend).await;
    let answer = curl(&["--haproxy-protocol", &tidegate.url("/echo")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = curl(&["--haproxy-clientip", "203.0.113.5", &tidegate.url("/echo")]).await;
    if answer.code != 2 {
        // Curls before 8.2 do not know it.
        assert!(answer.text().contains("203.0.113.5"), "{answer:?}");
    }
    let h2c = ["--http2-prior-knowledge", "--haproxy-protocol", &tidegate.url("/echo")];
    assert_eq!(curl(&h2c).await.status, 200, "HTTP/2 after the header");
}

#[tokio::test]
async fn whoever_is_not_trusted_is_not_listened_to() {
    let backend = Backend::start("web").await;
    let tidegate = proxy(&backend).await;
    assert_eq!(forwarded(&tidegate, "127.0.0.2", b"").await, "127.0.0.2");
    let lie = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
    assert_eq!(forwarded(&tidegate, "127.0.0.2", lie).await, "HTTP/1.1 400 Bad Request");
    assert_eq!(tidegate.metric("tidegate_proxy_protocol_refused_total", &[]).await, 0.0);
}

#[tokio::test]
async fn what_is_no_header_ends_the_connection_and_is_counted() {
    let backend = Backend::start("web").await;
    let tidegate = proxy(&backend).await;
    let refused = async |reason: &str| {
        let labels = ["listener=\"http\"", &format!("reason=\"{reason}\"")];
        tidegate.metric("tidegate_proxy_protocol_refused_total", &labels).await
    };
    for (header, reason) in [
        (Vec::new(), "missing"),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), "missing"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n".to_vec(), "malformed"),
        (b"PROXY TCP4 192.0.2.300 198.51.100.1 56324 443\r\n".to_vec(), "malformed"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n".to_vec(), "malformed"),
        ([b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200], b"\r\n"].concat(), "malformed"),
        (v2(0x31, 0x11, &[0; 12]), "malformed"),
        (v2(0x21, 0x51, &[0; 12]), "malformed"),
        (v2(0x21, 0x11, &[0; 8]), "malformed"),
        (v2(0x21, 0x11, &[[0; 12].as_slice(), &[3, 0, 4, 1, 2, 3, 4]].concat()), "malformed"),
        (v2(0x21, 0x11, &[0; 5000]), "malformed"),
    ] {
        let before = refused(reason).await;
        assert_eq!(forwarded(&tidegate, "127.0.0.1", &header).await, "closed", "{header:?}");
        assert_eq!(refused(reason).await, before + 1.0, "{header:?}");
    }
    for header in [&b"PROXY TCP4 192.0.2.1"[..], b""] {
        let before = refused("timeout").await;
        let mut client = RawClient::connect(tidegate.addr("http")).await;
        let begin = Instant::now();
        client.send(header).await;
        assert_eq!(client.read_to_end().await.unwrap_or_default(), b"");
        let waited = begin.elapsed();
        assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&waited), "{waited:?}");
        assert_eq!(refused("timeout").await, before + 1.0);
    }
    assert_eq!(backend.requests(), 0, "nothing of it reached the backend");
}

#[tokio::test]
async fn it_works_before_a_tcp_listener() {
    let backend = Wire::start("backend").await;
    let live = format!(
        "clusters:\n  c: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }}, proxy_protocol: v1 }}\n",
        backend.addr()
    );
    let tidegate = Tidegate::new(&live)
        .listener("bytes")
        .listener_key("bytes", "tcp: { cluster: c }")
        .listener_key("bytes", "proxy_protocol: { trusted: [ 127.0.0.0/8 ] }")
        .start()
        .await;
    let mut client = RawClient::connect(tidegate.addr("bytes")).await;
    let destination = "198.51.100.1:443".parse().unwrap();
    client.send(v2(0x21, 0x11, &tcp4("192.0.2.77:4711".parse().unwrap(), destination))).await;
    client.send(b"hello").await.finish().await;
    let back = String::from_utf8(client.read_to_end().await.unwrap()).unwrap();
    assert_eq!(back, "PROXY TCP4 192.0.2.77 198.51.100.1 4711 443\r\nhellobackend");
    assert_eq!(tidegate.logged(|line| line["listener"] == "bytes").await["client"], "192.0.2.77");
}
