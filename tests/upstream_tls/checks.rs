//! Health checks go the way of the requests, unless they say otherwise.

use std::net::SocketAddr;
use std::time::Duration;

use super::server::Endpoint;
use super::to;
use crate::support::{Authority, Backend, Tidegate, TidegateProcess, eventually};

/// Waits for the check's word on the one endpoint.
async fn health(tidegate: &TidegateProcess, passes: bool) {
    let labels: &[&str] = if passes { &["result=\"success\""] } else { &["result=\"failure\""] };
    eventually(Duration::from_secs(10), async || {
        let probes = tidegate.metric("tidegate_health_checks_total", labels).await;
        let up = tidegate.metric("tidegate_endpoint_up", &["cluster=\"web\""]).await;
        if probes >= 1.0 && (up == 1.0) == passes { Ok(()) } else { Err(format!("{probes} {up}")) }
    })
    .await;
}

async fn checked(address: SocketAddr, cluster: &str, passes: bool) {
    let tidegate = Tidegate::new(&to(&[address], cluster, "")).start().await;
    health(&tidegate, passes).await;
}

#[tokio::test]
async fn probes_speak_what_requests_speak() {
    let ca = Authority::new();
    let issued = ca.issue(&["web.test"]);
    let (h2, h1): (&[u8], &[u8]) = (b"\x02h2", b"\x08http/1.1");
    let file = ca.ca().display().to_string();
    for (alpn, protocol, check, passes) in [
        (h1, "http1", "http: {}", true),
        (h2, "http2", "http: {}", true),
        (h2, "auto", "http: {}", true),
        (h1, "http2", "http: {}", false),
        (h1, "http2", "http: { protocol: http1 }", true),
        (h1, "http1", "http: {}, tls: false", false),
        (h1, "http1", "tcp: {}", true),
    ] {
        let endpoint = Endpoint::new(&issued).alpn(alpn).start().await;
        let check = format!("health_check: {{ {check}, interval: 100ms, unhealthy_threshold: 1 }}");
        let cluster = format!("protocol: {protocol}, tls: {{ sni: web.test, ca: {file} }}, {check}");
        checked(endpoint.addr, &cluster, passes).await;
    }
    for (check, passes) in [("http: {}", true), ("http: { host: other.test }", false), ("tcp: {}", true)] {
        // By the name of the check, else by the address.
        let endpoint = Endpoint::new(&ca.issue(&["127.0.0.1"])).start().await;
        let check = format!("health_check: {{ {check}, interval: 100ms, unhealthy_threshold: 1 }}");
        checked(endpoint.addr, &format!("tls: {{ ca: {file} }}, {check}"), passes).await;
    }
    let plain = Backend::start("one").await;
    let check = "health_check: { http: {}, interval: 100ms }";
    checked(plain.addr(), &format!("protocol: http2, {check}"), true).await;
    let check = "health_check: { http: {}, tls: false, interval: 100ms }";
    checked(plain.addr(), &format!("tls: {{ ca: {file} }}, {check}"), true).await;
}

#[tokio::test]
async fn what_a_handshake_failed_for_is_said() {
    let (ca, other) = (Authority::new(), Authority::new());
    let endpoint = Endpoint::new(&ca.issue(&["web.test"])).start().await;
    let check = "health_check: { http: {}, interval: 100ms, unhealthy_threshold: 1 }";
    let cluster = format!("tls: {{ sni: web.test, ca: {} }}, {check}", other.ca().display());
    let tidegate = Tidegate::new(&to(&[endpoint.addr], &cluster, "")).start().await;
    health(&tidegate, false).await;
    let clusters = tidegate.admin_get("/v1/clusters/web").await.unwrap().1;
    assert!(clusters.contains("certificate verify failed"), "{clusters}");
}
