//! Tries after the first of a request that has a variant.

use super::ask;
use crate::support::{Backend, Fault, Tidegate, TidegateProcess};

/// All of `shop` is control's; candidate is there to help.
fn live(control: &Backend, candidate: &Backend, breaker: &str, retry: &str) -> String {
    format!(
        "clusters:\n  control: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }}{breaker} }}\n  \
         candidate: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}\n\
         routes:\n  - name: shop\n    timeout: 5s\n    retry: {{ {retry} }}\n    split:\n      variants:\n        \
         - {{ name: control, cluster: control, weight: 99999 }}\n        \
         - {{ name: candidate, cluster: candidate, weight: 1 }}\n",
        control.addr(),
        candidate.addr(),
    )
}

async fn crossings(tidegate: &TidegateProcess) -> f64 {
    let labels = ["route=\"shop\"", "from=\"control\"", "to=\"candidate\""];
    tidegate.metric("tidegate_split_crossings_total", &labels).await
}

#[tokio::test]
async fn a_retry_in_another_variant_is_counted() {
    let (control, candidate) = (Backend::start("control").await, Backend::start("candidate").await);
    control.set_fault(Fault::Status(500));
    let tidegate = Tidegate::new(&live(&control, &candidate, "", "on: [ 5xx ]")).start().await;
    let got = ask(&tidegate, "GET", "/x").await;
    assert_eq!((got.status, got.text().as_str()), (200, "candidate"));
    let line = tidegate.logged(|line| line["path"] == "/x").await;
    assert_eq!((&line["variant"], &line["cluster"]), (&"candidate".into(), &"candidate".into()), "{line}");
    assert_eq!(line["attempts"], 2);
    assert_eq!(crossings(&tidegate).await, 1.0);
    assert_eq!((control.requests(), candidate.requests()), (1, 1));
    // A third try finds the same, not a way back.
    candidate.set_fault(Fault::Status(502));
    tidegate.reload(&live(&control, &candidate, "", "attempts: 3, on: [ 5xx ]")).await;
    assert!(ask(&tidegate, "GET", "/y").await.status >= 500);
    assert_eq!(control.requests() + candidate.requests(), 5);
    // A reset crosses by default.
    let broken = Backend::start("broken").await;
    broken.set_fault(Fault::ResetBeforeAnswer);
    candidate.set_fault(Fault::None);
    tidegate.reload(&live(&broken, &candidate, "", "attempts: 2")).await;
    let before = crossings(&tidegate).await;
    assert_eq!(ask(&tidegate, "GET", "/z").await.status, 200);
    assert_eq!(crossings(&tidegate).await, before + 1.0);
}

#[tokio::test]
async fn a_route_may_keep_retries_in_their_variant() {
    let (control, candidate) = (Backend::start("control").await, Backend::start("candidate").await);
    control.set_fault(Fault::Status(500));
    let stay = "attempts: 3, on: [ 5xx, reset ], other_variant: false";
    let tidegate = Tidegate::new(&live(&control, &candidate, "", stay)).start().await;
    assert_eq!(ask(&tidegate, "GET", "/x").await.status, 500);
    let line = tidegate.logged(|line| line["path"] == "/x").await;
    assert_eq!((&line["variant"], &line["attempts"]), (&"control".into(), &3.into()), "{line}");
    assert_eq!((control.requests(), candidate.requests(), crossings(&tidegate).await), (3, 0, 0.0));
}

/// Overload of one variant does not change who sees which.
#[tokio::test]
async fn a_full_variant_is_not_left() {
    let (control, candidate) = (Backend::start("control").await, Backend::start("candidate").await);
    let breaker = ", circuit_breaker: { max_requests_per_endpoint: 1 }";
    let tidegate = Tidegate::new(&live(&control, &candidate, breaker, "attempts: 2")).start().await;
    let url = tidegate.url("/slow?ms=1000");
    let held =
        tokio::spawn(async move { crate::support::http::client().get(url).send().await.unwrap().status() });
    crate::support::until(std::time::Duration::from_secs(5), "it is on its way", || control.in_flight() == 1)
        .await;
    let turned = ask(&tidegate, "GET", "/x").await;
    assert_eq!((turned.status, turned.header("x-tidegate-overloaded")), (503, Some("true")));
    assert_eq!((candidate.requests(), held.await.unwrap().as_u16()), (0, 200));
}
