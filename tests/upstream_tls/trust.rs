//! Whose certificates are taken, and for which name.

use super::server::Endpoint;
use super::to;
use crate::support::{Authority, Tidegate, TidegateProcess, curl};

async fn get(tidegate: &TidegateProcess, host: &str) -> (u16, String) {
    let host = format!("host: {host}");
    let answer = curl(&["-H", &host, &tidegate.url("/")]).await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn only_certificates_of_the_authority_and_for_the_name_are_taken() {
    let (ours, other) = (Authority::new(), Authority::named("another authority"));
    let ca = ours.ca().display().to_string();
    for (issued, tls, host, status) in [
        (ours.issue(&["web.test"]), "sni: web.test, ", "anything", 200),
        (ours.issue(&["web.test"]), "", "web.test:8080", 200),
        (ours.issue(&["*.web.test"]), "", "a.web.test", 200),
        (ours.issue(&["web.test"]), "", "other.test", 503),
        (ours.issue(&["web.test"]), "sni: other.test, ", "web.test", 503),
        (ours.issue(&["127.0.0.1"]), "", "127.0.0.1", 200),
        (ours.issue(&["127.0.0.2"]), "", "127.0.0.1", 503),
        (ours.issue(&["web.test"]), "", "127.0.0.1", 503),
        (other.issue(&["web.test"]), "", "web.test", 503),
        (other.issue(&["127.0.0.1"]), "", "127.0.0.1", 503),
        (ours.leaf(&["web.test"]).valid(-7200, -60).issue(), "", "web.test", 503),
    ] {
        let endpoint = Endpoint::new(&issued).start().await;
        let live = to(&[endpoint.addr], &format!("tls: {{ {tls}ca: {ca} }}"), "");
        let tidegate = Tidegate::new(&live).start().await;
        let (found, text) = get(&tidegate, host).await;
        assert_eq!(found, status, "{tls} {host}: {text}");
        if status == 503 {
            assert_eq!(text, "upstream connection failed\n");
            let line = tidegate.logged(|line| line["status"] == 503).await;
            assert_eq!(line["flags"], "UF", "{line}");
            let failures =
                tidegate.metric("tidegate_tcp_upstream_connect_failures_total", &["cluster=\"web\""]).await;
            assert!(failures >= 1.0);
            let (again, _) = get(&tidegate, host).await;
            assert_eq!(again, 503, "what was refused does not come back from the pool");
        }
    }
}

#[tokio::test]
async fn without_verification_anything_goes_and_without_a_ca_the_systems_hold() {
    let ours = Authority::new();
    let endpoint = Endpoint::new(&ours.leaf(&["x.test"]).valid(-7200, -60).issue()).start().await;
    let tidegate = Tidegate::new(&to(&[endpoint.addr], "tls: { verify: false }", "")).start().await;
    let (status, text) = get(&tidegate, "web.test").await;
    assert_eq!(status, 200);
    assert!(text.contains("sni=web.test"), "{text}");
    let (status, text) = get(&tidegate, "127.0.0.1").await;
    assert!(status == 200 && text.contains("sni=none"), "an address is no name: {text}");
    let tidegate = Tidegate::new(&to(&[endpoint.addr], "tls: {}", "")).start().await;
    assert_eq!(get(&tidegate, "x.test").await.0, 503);
}

#[tokio::test]
async fn the_name_is_that_of_the_host_which_is_sent() {
    let ours = Authority::new();
    let endpoint = Endpoint::new(&ours.issue(&["inside.test"])).start().await;
    let tls = format!("tls: {{ ca: {} }}", ours.ca().display());
    let tidegate = Tidegate::new(&to(&[endpoint.addr], &tls, "host: inside.test")).start().await;
    let (status, text) = get(&tidegate, "outside.test").await;
    assert_eq!(status, 200);
    assert!(text.contains("sni=inside.test") && text.contains("host=inside.test"), "{text}");
}

/// One that trusts the authority has a connection open; the other would take it over if the pool
/// knew addresses and names only.
#[tokio::test]
async fn two_clusters_of_one_address_and_different_authorities_share_nothing() {
    let (ours, other) = (Authority::new(), Authority::named("another authority"));
    let endpoint = Endpoint::new(&ours.issue(&["web.test"])).alpn(b"\x02h2\x08http/1.1").start().await;
    let cluster = |name: &str, ca: &Authority, protocol: &str| {
        let (address, ca) = (endpoint.addr, ca.ca());
        format!(
            " {name}: {{ static: {{ endpoints: [ {{ address: '{address}' }} ] }}, protocol: {protocol}, tls: {{ sni: web.test, ca: {} }} }}\n",
            ca.display()
        )
    };
    for protocol in ["http1", "http2", "auto"] {
        let live = format!(
            "clusters:\n{}{}{}routes:\n - {{ name: good, match: {{ path: {{ prefix: /good }} }}, cluster: good }}\n \
             - {{ name: twin, match: {{ path: {{ prefix: /twin }} }}, cluster: twin }}\n \
             - {{ name: bad, match: {{ path: {{ prefix: /bad }} }}, cluster: bad }}\n",
            cluster("good", &ours, protocol),
            cluster("twin", &ours, protocol),
            cluster("bad", &other, protocol),
        );
        let tidegate = Tidegate::new(&live).start().await;
        let before = endpoint.connections();
        for _ in 0..5 {
            assert_eq!(curl(&[&tidegate.url("/good")]).await.status, 200, "{protocol}");
            assert_eq!(curl(&[&tidegate.url("/bad")]).await.status, 503, "{protocol}");
            assert_eq!(curl(&[&tidegate.url("/twin")]).await.status, 200, "{protocol}");
        }
        // The handshakes of the bad one end when it has seen the certificate. The others share.
        let opened = endpoint.connections() - before;
        assert!((1..=11).contains(&opened), "{protocol}: {opened}");
    }
}

#[tokio::test]
async fn a_bad_certificate_sends_the_request_to_the_next_endpoint() {
    let (ours, other) = (Authority::new(), Authority::named("another authority"));
    let good = Endpoint::new(&ours.issue(&["web.test"])).start().await;
    let bad = Endpoint::new(&other.issue(&["web.test"])).start().await;
    let nameless = Endpoint::new(&ours.issue(&["127.0.0.9"])).start().await;
    let tls = format!("tls: {{ ca: {} }}", ours.ca().display());
    let tidegate = Tidegate::new(&to(&[bad.addr, good.addr, nameless.addr], &tls, "")).start().await;
    for _ in 0..6 {
        let answer = curl(&["-H", "host: web.test", "-d", "a post", &tidegate.url("/")]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let tried = tidegate.logged(|line| line["attempts"].as_u64() > Some(1)).await;
    assert_eq!(tried["endpoint"], good.addr.to_string());
}
