//! A variant whose cluster has others that stand in for it.

use serde_json::json;

use super::support::Tidegate;
use super::{cluster, crowd, drain, share};

#[tokio::test]
async fn its_own_failover_comes_before_another_variant() {
    let (control, candidate) = (crowd("control", 1).await, crowd("candidate", 1).await);
    let spare = crowd("spare", 1).await;
    let text = format!(
        "clusters:\n{}{}{}routes:\n  - name: shop\n    split:\n      key: [ {{ header: x-user }} ]\n      variants: [ {{ name: a, cluster: control, weight: 1 }}, {{ name: b, cluster: candidate, weight: 1 }} ]\n",
        cluster("control", &control, ""),
        cluster("candidate", &candidate, ", failover: [ spare ]"),
        cluster("spare", &spare, "")
    );
    let tidegate = Tidegate::new(&text).start().await;
    let even = |share: f64| (0.35..0.65).contains(&share);
    assert!(even(share(&tidegate, "candidate", 300).await));
    drain(&tidegate, "candidate", candidate[0].addr(), "drain").await;
    assert!(even(share(&tidegate, "spare", 300).await));
    let line = tidegate.logged(|line| line["cluster"] == "spare").await;
    assert_eq!((&line["variant"], &line["status"]), (&json!("b"), &json!(200)));
    let shifted = tidegate.metric("tidegate_split_assignments_total", &[r#"reason="shifted""#]).await;
    assert!(shifted.abs() < 0.5, "{shifted}");
    let served =
        tidegate.metric("tidegate_http_requests_total", &[r#"cluster="spare""#, r#"variant="b""#]).await;
    assert!(served > 50.0, "{served}");
    drain(&tidegate, "spare", spare[0].addr(), "drain").await;
    assert!((share(&tidegate, "control", 100).await - 1.0).abs() < 1e-9, "now the other variant takes over");
    let shifted = tidegate.metric("tidegate_split_assignments_total", &[r#"reason="shifted""#]).await;
    assert!(shifted > 20.0, "{shifted}");
}
