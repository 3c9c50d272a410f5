//! TLS towards endpoints.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may panic, as the test does")]

mod support;

use support::Authority;

#[test]
fn an_authority_issues_what_openssl_accepts() {
    let ca = Authority::new();
    let leaf = ca.leaf(&["localhost", "127.0.0.1"]).uri("spiffe://example.org/web").issue();
    let verify = std::process::Command::new("openssl")
        .args(["verify", "-verify_hostname", "localhost", "-CAfile"])
        .arg(ca.ca())
        .arg(&leaf.cert)
        .output()
        .unwrap();
    assert!(verify.status.success(), "{verify:?}");
    let old = ca.leaf(&["localhost"]).valid(-7200, -3600).issue();
    let verify = std::process::Command::new("openssl")
        .args(["verify", "-CAfile"])
        .arg(ca.ca())
        .arg(&old.cert)
        .output();
    assert!(!verify.unwrap().status.success());
}
