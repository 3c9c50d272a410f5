//! Headers to endpoints: the client's address, one client a connection.

use super::support::{RawClient, Tidegate, TidegateProcess, Wire, eventually};
use super::{SIGNATURE, tcp4, v2};

async fn proxy(backend: &Wire, version: &str, more: &str) -> TidegateProcess {
    let live = format!(
        "clusters:\n  web:\n    static: {{ endpoints: [ {{ address: '{}' }} ] }}\n    proxy_protocol: {version}\n{more}\
         routes: [ {{ name: all, cluster: web }} ]\n",
        backend.addr()
    );
    Tidegate::new(&live).listener("bytes").listener_key("bytes", "tcp: { cluster: web }").start().await
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// So many requests on one connection. The address that it had.
async fn requests(tidegate: &TidegateProcess, from: &str, count: usize) -> std::net::SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(tidegate.addr("http")).await.unwrap();
    let own = stream.local_addr().unwrap();
    for _ in 0..count {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        stream.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{answer:?}");
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    own
}

#[tokio::test]
async fn each_connection_names_its_client_and_nobody_shares_one() {
    for version in ["v1", "v2"] {
        let backend = Wire::http().await;
        let tidegate = proxy(&backend, version, "").await;
        let mut expected = Vec::new();
        for from in ["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.3"] {
            let own = requests(&tidegate, from, 2).await;
            let to = tidegate.addr("http");
            let header = match version {
                "v1" => format!("PROXY TCP4 {} {} {} {}\r\n", own.ip(), to.ip(), own.port(), to.port())
                    .into_bytes(),
                _ => v2(0x21, 0x11, &tcp4(own, to)),
            };
            expected.extend([header.clone(), header]);
        }
        let heard = backend.heard();
        assert_eq!(heard.len(), expected.len(), "one connection a request");
        for (heard, expected) in heard.iter().zip(&expected) {
            let text = String::from_utf8_lossy(heard);
            assert!(heard.starts_with(expected), "{text}");
            assert_eq!(text.matches(" HTTP/1.1").count(), 1, "{text}");
        }
    }
}

#[tokio::test]
async fn a_passed_through_connection_begins_with_it() {
    let backend = Wire::start("backend").await;
    let tidegate = proxy(&backend, "v2", "").await;
    let mut client = RawClient::connect_from("127.0.0.5", tidegate.addr("bytes")).await;
    client.send(b"hello").await.finish().await;
    let back = client.read_to_end().await.unwrap();
    let (header, rest) = back.split_at(28);
    assert!(header.starts_with(SIGNATURE) && header[16..20] == [127, 0, 0, 5], "{header:?}");
    assert_eq!(rest, b"hellobackend");
}

#[tokio::test]
async fn health_checks_speak_for_nobody() {
    for (version, local) in [("v1", b"PROXY UNKNOWN\r\nGET /up ".to_vec()), ("v2", v2(0x20, 0, &[]))] {
        let backend = Wire::http().await;
        let check = "    health_check: { http: { path: /up }, interval: 100ms }\n";
        let tidegate = proxy(&backend, version, check).await;
        eventually(std::time::Duration::from_secs(15), async || {
            let cluster = tidegate.admin_json("/v1/clusters/web").await.to_string();
            if cluster.contains("\"up\"") { Ok(()) } else { Err(cluster) }
        })
        .await;
        let heard = backend.heard();
        let checks: Vec<_> = heard.iter().filter(|bytes| !bytes.is_empty()).collect();
        let told: Vec<_> = checks.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        assert!(!checks.is_empty() && checks.iter().all(|bytes| bytes.starts_with(&local)), "{told:?}");
    }
}
