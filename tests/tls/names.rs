//! Which certificate a client gets, and which protocol.

use crate::kit::{get, s_client, says, tidegate};
use crate::support::{Authority, Backend};

#[tokio::test]
async fn a_client_gets_the_certificate_for_its_name() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let first = ca.leaf(&["first.test"]).common_name("first").issue();
    let wild = ca.leaf(&["*.wild.test", "wild.test"]).common_name("wild").issue();
    let exact = ca.leaf(&["exact.wild.test"]).common_name("exact").issue();
    let tidegate = tidegate(&backend, &[&first, &wild, &exact], "").start().await;
    let addr = tidegate.addr("http");
    for (asked, served) in [
        (Some("first.test"), "first"),
        (Some("wild.test"), "wild"),
        (Some("any.wild.test"), "wild"),
        (Some("EXACT.wild.test"), "exact"),
        (Some("a.b.wild.test"), "first"),
        (Some("nowhere.test"), "first"),
        (None, "first"),
    ] {
        let args = asked.map_or_else(|| vec!["-noservername"], |name| vec!["-servername", name]);
        let seen = s_client(addr, &args).await;
        assert!(says(&seen, &format!("subject=CN = {served}")), "{asked:?}: {seen}");
    }
    for name in ["first.test", "any.wild.test"] {
        let got = get(addr, name, &ca.ca(), &[]).await;
        assert_eq!(got.status, 200, "{got:?}");
        let headers = &got.json()["headers"];
        assert!(headers.to_string().contains("\"https\""), "{headers}");
    }
    // The client refuses it, which is counted.
    assert_eq!(get(addr, "nowhere.test", &ca.ca(), &[]).await.code, 60);
    let line = tidegate.logged(|line| line["sni"] == "any.wild.test" && line["status"] == 200).await;
    assert_eq!(line["tls_version"], "TLSv1.3", "{line}");
    assert!(tidegate.metric("tidegate_tls_handshakes_total", &["result=\"ok\""]).await >= 9.0);
}

#[tokio::test]
async fn a_name_can_have_a_certificate_of_each_kind_of_key() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let rsa = ca.leaf(&["a.test"]).common_name("rsa").rsa().issue();
    let ecdsa = ca.leaf(&["a.test"]).common_name("ecdsa").issue();
    let tidegate = tidegate(&backend, &[&rsa, &ecdsa], "").start().await;
    let addr = tidegate.addr("http");
    for (algorithms, served) in
        [("RSA-PSS+SHA256", "rsa"), ("ECDSA+SHA256", "ecdsa"), ("RSA+SHA256:RSA-PSS+SHA256", "rsa")]
    {
        for version in ["-tls1_2", "-tls1_3"] {
            let seen = s_client(addr, &["-servername", "a.test", "-sigalgs", algorithms, version]).await;
            assert!(says(&seen, &format!("subject=CN = {served}")), "{algorithms} {version}: {seen}");
        }
    }
    let text = tidegate.admin_get("/metrics").await.unwrap().1;
    for label in ["a.test", "a.test#1"] {
        assert!(text.contains(&format!("{{listener=\"http\",certificate=\"{label}\"}} ")), "{label}");
    }
}

#[tokio::test]
async fn the_chain_is_sent_whole() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let own = ca.issue(&["a.test"]);
    let chain = [std::fs::read(&own.cert).unwrap(), std::fs::read(ca.ca()).unwrap()].concat();
    std::fs::write(&own.cert, chain).unwrap();
    let tidegate = tidegate(&backend, &[&own], "").start().await;
    // A group that the server doesn't have first makes the client say hello twice.
    for groups in ["X25519", "secp521r1:P-256"] {
        let seen =
            s_client(tidegate.addr("http"), &["-showcerts", "-groups", groups, "-servername", "a.test"])
                .await;
        assert_eq!(seen.matches("BEGIN CERTIFICATE").count(), 2, "{groups}: {seen}");
    }
}

#[tokio::test]
async fn the_protocol_is_what_client_and_server_have_in_common() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let own = ca.issue(&["a.test"]);
    let tidegate = tidegate(&backend, &[&own], "").start().await;
    let addr = tidegate.addr("http");
    for (offered, chosen) in [
        ("h2,http/1.1", "ALPN protocol: h2"),
        ("http/1.1,h2", "ALPN protocol: h2"),
        ("http/1.1", "ALPN protocol: http/1.1"),
        ("h3,http/1.1", "ALPN protocol: http/1.1"),
        ("http/1.0,http/1.1", "ALPN protocol: http/1.1"),
        ("http/1.0", "ALPN protocol: http/1.0"),
    ] {
        let seen = s_client(addr, &["-alpn", offered]).await;
        assert!(says(&seen, chosen), "{offered}: {seen}");
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let seen = s_client(addr, &["-alpn", "h3,imap", version]).await;
        assert!(seen.contains("no application protocol"), "{seen}");
    }
    assert_eq!(tidegate.metric("tidegate_tls_handshakes_total", &["result=\"no_alpn\""]).await, 2.0);
    let seen = s_client(addr, &[]).await;
    assert!(says(&seen, "No ALPN negotiated") && seen.contains("HTTP/1.1 200 OK"), "{seen}");
    for (arg, version) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")] {
        let got = get(addr, "a.test", &ca.ca(), &[arg]).await;
        assert!(got.status == 200 && got.head.starts_with(version), "{arg}: {got:?}");
    }
}
