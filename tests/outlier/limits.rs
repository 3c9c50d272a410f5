//! Who is never ejected, and what a reload changes.

use super::{ejections, gets, shown, stands, to};
use crate::support::{Backend, Fault, Tidegate, http};

#[tokio::test]
async fn the_last_one_is_never_ejected() {
    let only = Backend::start("only").await;
    only.set_fault(Fault::Status(501));
    let tidegate = Tidegate::new(&to(&[only.addr()], "", "", "")).start().await;
    assert_eq!(gets(&tidegate, 20).await, [501; 20]);
    assert_eq!(shown(&tidegate, only.addr()).await["standing"], "in");
    assert_eq!(ejections(&tidegate, "").await, 0.0);
    let overflow = tidegate.metric("tidegate_outlier_ejections_overflow_total", &["cluster=\"web\""]).await;
    assert_eq!(overflow, 4.0, "asked after each five");
}

#[tokio::test]
async fn of_two_bad_ones_one_stays() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    one.set_fault(Fault::Status(500));
    two.set_fault(Fault::Status(500));
    let rules = "max_ejected_percent: 100, base_ejection: 1s";
    let tidegate = Tidegate::new(&to(&[one.addr(), two.addr()], rules, "", "")).start().await;
    assert_eq!(gets(&tidegate, 100).await, [500; 100], "the endpoint's own, never 503 of ours");
    assert_eq!(one.requests() + two.requests(), 100);
    let (a, b) = (shown(&tidegate, one.addr()).await, shown(&tidegate, two.addr()).await);
    assert!((a["standing"] == "in") != (b["standing"] == "in"), "{a} {b}");
    assert_eq!(tidegate.metric("tidegate_cluster_panic_total", &[]).await, 0.0);
}

#[tokio::test]
async fn answers_of_our_own_do_not_count() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let tidegate =
        Tidegate::new(&to(&[one.addr(), two.addr()], "consecutive_errors: 1", "", "")).start().await;
    for backend in [&one, &two] {
        let path = format!("/v1/clusters/web/endpoints/{}/drain", backend.addr());
        assert_eq!(tidegate.admin_post(&path, &serde_json::json!({})).await.unwrap().0, 200);
    }
    assert_eq!(gets(&tidegate, 5).await, [503; 5]);
    for backend in [&one, &two] {
        let path = format!("/v1/clusters/web/endpoints/{}/undrain", backend.addr());
        assert_eq!(tidegate.admin_post(&path, &serde_json::json!({})).await.unwrap().0, 200);
        assert_eq!(shown(&tidegate, backend.addr()).await["standing"], "in");
    }
    let answer = http::client().get(tidegate.url("/status/499")).send().await.unwrap();
    assert_eq!(answer.status(), 499);
    assert_eq!(ejections(&tidegate, "").await, 0.0);
}

#[tokio::test]
async fn a_reload_keeps_who_is_out_and_no_rules_let_all_in() {
    let (bad, good) = (Backend::start("bad").await, Backend::start("good").await);
    bad.set_fault(Fault::Status(500));
    let endpoints = [bad.addr(), good.addr()];
    let tidegate = Tidegate::new(&to(&endpoints, "", "", "")).start().await;
    gets(&tidegate, 20).await;
    stands(&tidegate, bad.addr(), "ejected").await;
    tidegate
        .reload(&to(&endpoints, "consecutive_errors: 7", ", load_balancing: { policy: random }", ""))
        .await;
    assert_eq!(shown(&tidegate, bad.addr()).await["standing"], "ejected");
    assert_eq!((gets(&tidegate, 20).await, bad.requests()), (vec![200; 20], 5));
    let without = to(&endpoints, "", "", "").replace(", outlier_detection: {  }", "");
    tidegate.reload(&without).await;
    stands(&tidegate, bad.addr(), "in").await;
}

#[tokio::test]
async fn who_fails_too_large_a_share_is_ejected_at_the_interval() {
    let (bad, good) = (Backend::start("bad").await, Backend::start("good").await);
    let rules =
        "consecutive_errors: 0, interval: 1s, failure_percentage: { threshold: 50, minimum_requests: 5 }";
    let tidegate = Tidegate::new(&to(&[bad.addr(), good.addr()], rules, "", "")).start().await;
    bad.set_fault(Fault::Status(500));
    assert_eq!(gets(&tidegate, 20).await.iter().filter(|status| **status == 500).count(), 10);
    let out = stands(&tidegate, bad.addr(), "ejected").await;
    assert!(out["standing_why"].as_str().unwrap().starts_with("failure_percentage"), "{out}");
    assert_eq!(ejections(&tidegate, "failure_percentage").await, 1.0);
    assert_eq!(gets(&tidegate, 10).await, [200; 10]);
}
