//! What is wrong with a `tcp` listener is said at the check and at a reload.

use std::time::Duration;

use super::support::{Wire, eventually};
use super::{cluster, kit, passing, who};

#[tokio::test]
async fn a_reload_that_takes_a_listeners_cluster_away_changes_nothing() {
    let backend = Wire::start("backend").await;
    let tidegate = passing("{ cluster: c }", &[cluster("c", &[backend.addr()], "")]).await;
    let generation = tidegate.generation().await;
    tidegate.write_live(&format!("clusters:\n{}", cluster("other", &[backend.addr()], "")));
    let (status, text) = tidegate.admin_post("/v1/reload", &serde_json::json!({})).await.unwrap();
    assert_eq!(status, 422, "{text}");
    assert!(text.contains("unknown cluster `c`") && text.contains("listeners[1].tcp.cluster"), "{text}");
    assert_eq!(
        (tidegate.generation().await, who(tidegate.addr("bytes")).await),
        (generation, "backend".into())
    );
}

#[tokio::test]
async fn a_new_endpoint_is_used_by_new_connections() {
    let (a, b) = (Wire::start("a").await, Wire::start("b").await);
    let tidegate = passing("{ cluster: c }", &[cluster("c", &[a.addr()], "")]).await;
    assert_eq!(who(tidegate.addr("bytes")).await, "a");
    tidegate.reload(&format!("clusters:\n{}", cluster("c", &[b.addr()], ""))).await;
    eventually(Duration::from_secs(5), async || match who(tidegate.addr("bytes")).await {
        name if name == "b" => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test]
async fn what_bytes_cannot_have_is_refused() {
    let clusters = [
        cluster("c", &["127.0.0.1:1".parse().unwrap()], ""),
        "  secure:\n    static: { endpoints: [ { address: '127.0.0.1:1' } ] }\n    tls: {}\n".into(),
    ];
    for (tcp, key, told) in [
        ("{ cluster: nobody }", "", "nobody"),
        ("{}", "", "connections go nowhere"),
        ("{ cluster: secure }", "", "has `tls`"),
        ("{ cluster: c }", "allow_trace: true", "allow_trace"),
        ("{ cluster: c }", "limits: { idle_timeout: 5m }", "`tcp.idle_timeout`"),
        ("{ cluster: c }", "tls: { certificates: [ { cert: a, key: b } ] }", "passes TLS through"),
    ] {
        let mut kit = kit(tcp, &clusters);
        if !key.is_empty() {
            kit = kit.listener_key("bytes", key);
        }
        let failed = kit.try_start().await.err().unwrap_or_else(|| panic!("{tcp} {key} was taken"));
        assert!(failed.stderr.contains(told), "{tcp} {key}: {}", failed.stderr);
    }
}
