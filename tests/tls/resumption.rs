//! Clients that come back go on where they were, also after the certificate has changed.

use crate::kit::{SOON, s_client, says, tidegate};
use crate::support::{Authority, Backend, eventually};

#[tokio::test]
async fn a_session_goes_on_also_after_a_reload() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let own = ca.leaf(&["a.test"]).common_name("old").issue();
    let other = ca.issue(&["b.test"]);
    let tidegate = tidegate(&backend, &[&other, &own], "").start().await;
    let addr = tidegate.addr("http");
    let kept = |version: &str| ca.dir().join(format!("session{version}"));
    for version in ["-tls1_2", "-tls1_3"] {
        let path = kept(version);
        let path = path.to_str().unwrap();
        let seen = s_client(addr, &[version, "-servername", "a.test", "-sess_out", path]).await;
        assert!(says(&seen, "New, TLSv1."), "{seen}");
        let seen = s_client(addr, &[version, "-servername", "a.test", "-sess_in", path]).await;
        assert!(says(&seen, "Reused, TLSv1.") && seen.contains("HTTP/1.1 200 OK"), "{seen}");
    }
    assert_eq!(tidegate.metric("tidegate_tls_resumed_total", &[]).await, 2.0);
    ca.leaf(&["a.test"]).common_name("new").replace(&own);
    eventually(SOON, async || {
        let seen = s_client(addr, &["-servername", "a.test"]).await;
        if says(&seen, "subject=CN = new") { Ok(()) } else { Err(seen) }
    })
    .await;
    for version in ["-tls1_2", "-tls1_3"] {
        let path = kept(version);
        let seen =
            s_client(addr, &[version, "-servername", "a.test", "-sess_in", path.to_str().unwrap()]).await;
        assert!(says(&seen, "Reused, TLSv1."), "{version}: {seen}");
    }
}

#[tokio::test]
async fn early_data_is_not_taken() {
    let (backend, ca) = (Backend::start("a").await, Authority::new());
    let tidegate = tidegate(&backend, &[&ca.issue(&["a.test"])], "").start().await;
    let seen = s_client(tidegate.addr("http"), &["-tls1_3"]).await;
    assert!(says(&seen, "Max Early Data: 0"), "{seen}");
}
