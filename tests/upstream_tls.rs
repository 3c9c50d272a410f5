//! TLS towards endpoints: who is trusted, under which name, who we are, which protocol.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

#[path = "upstream_tls/checks.rs"]
mod checks;
#[path = "upstream_tls/files.rs"]
mod files;
#[path = "upstream_tls/protocols.rs"]
mod protocols;
#[path = "upstream_tls/server.rs"]
mod server;
#[path = "upstream_tls/trust.rs"]
mod trust;

use std::net::SocketAddr;

/// A cluster `web` with these endpoints and `cluster` keys (`tls: {..}`), and a route to it with
/// `route` keys.
fn to(endpoints: &[SocketAddr], cluster: &str, route: &str) -> String {
    let list: Vec<_> = endpoints.iter().map(|e| format!("{{ address: '{e}' }}")).collect();
    let more = |keys: &str| if keys.is_empty() { String::new() } else { format!(", {keys}") };
    format!(
        "clusters: {{ web: {{ static: {{ endpoints: [ {} ] }}{} }} }}\nroutes: [ {{ name: all, cluster: web{} }} ]\n",
        list.join(", "),
        more(cluster),
        more(route),
    )
}

#[test]
fn an_authority_issues_what_openssl_accepts() {
    let ca = support::Authority::new();
    let leaf = ca.leaf(&["localhost", "127.0.0.1"]).uri("spiffe://example.org/web").issue();
    let verify = |name: &str, file: &std::path::Path| {
        let mut verify = std::process::Command::new("openssl");
        verify.args(["verify", "-verify_hostname", name, "-CAfile"]).arg(ca.ca()).arg(file);
        verify.output().unwrap().status.success()
    };
    assert!(verify("localhost", &leaf.cert));
    assert!(!verify("other.test", &leaf.cert));
    assert!(!verify("localhost", &ca.leaf(&["localhost"]).valid(-7200, -3600).issue().cert));
}
