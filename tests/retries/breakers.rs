//! What a circuit breaker turns away, at once, and what it does not.

use std::time::Duration;

use tokio::time::Instant;

use super::{ask, rejected, to};
use crate::support::{Backend, Fault, Tidegate, TidegateProcess, http, until};

/// Keeps so many requests on their way, each on a connection of its own.
async fn hold(
    tidegate: &TidegateProcess,
    backends: &[&Backend],
    count: u64,
) -> Vec<tokio::task::JoinHandle<u16>> {
    let now = || backends.iter().map(|b| b.in_flight()).sum::<u64>();
    let before = now();
    let asked = (0..count).map(|_| {
        let url = tidegate.url("/slow?ms=1500");
        tokio::spawn(async move { http::client().get(url).send().await.unwrap().status().as_u16() })
    });
    let asked: Vec<_> = asked.collect();
    until(Duration::from_secs(5), "all are on their way", || now() == before + count).await;
    asked
}

#[tokio::test]
async fn requests_over_the_limit_are_uo_at_once() {
    for (limit, key) in [("requests", "max_requests"), ("connections", "max_connections")] {
        let (one, two) = (Backend::start("one").await, Backend::start("two").await);
        let breaker = format!("circuit_breaker: {{ {key}: 3 }}");
        let tidegate = Tidegate::new(&to(&[one.addr(), two.addr()], &breaker, "")).start().await;
        let held = hold(&tidegate, &[&one, &two], 3).await;
        let begin = Instant::now();
        let turned = ask(&tidegate, "GET", "/over").await;
        assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
        assert_eq!((turned.status, turned.text().as_str()), (503, "upstream overloaded\n"), "{limit}");
        assert_eq!(turned.header("x-tidegate-overloaded"), Some("true"));
        let line = tidegate.logged(|line| line["path"] == "/over").await;
        assert_eq!((&line["flags"], &line["attempts"]), (&"UO".into(), &0.into()), "{line}");
        assert_eq!(rejected(&tidegate, limit).await, 1.0);
        for request in held {
            assert_eq!(request.await.unwrap(), 200);
        }
        // Connections that wait in the pool are not in use.
        assert_eq!(ask(&tidegate, "GET", "/after").await.status, 200);
        assert_eq!(one.requests() + two.requests(), 4);
    }
}

#[tokio::test]
async fn a_full_endpoint_is_left_out() {
    for policy in ["round_robin", "random", "least_request"] {
        let (one, two) = (Backend::start("one").await, Backend::start("two").await);
        let keys = format!(
            "circuit_breaker: {{ max_requests_per_endpoint: 3 }}, load_balancing: {{ policy: {policy} }}"
        );
        let tidegate = Tidegate::new(&to(&[one.addr(), two.addr()], &keys, "")).start().await;
        let held = hold(&tidegate, &[&one, &two], 6).await;
        assert_eq!((one.in_flight(), two.in_flight()), (3, 3), "{policy}");
        let turned = ask(&tidegate, "GET", "/over").await;
        assert_eq!((turned.status, turned.header("x-tidegate-overloaded")), (503, Some("true")));
        assert_eq!(tidegate.logged(|line| line["path"] == "/over").await["flags"], "UO");
        assert_eq!(rejected(&tidegate, "endpoint_requests").await, 1.0);
        for request in held {
            assert_eq!(request.await.unwrap(), 200);
        }
        assert_eq!(tidegate.metric("tidegate_cluster_panic_total", &[]).await, 0.0, "full is not down");
    }
}

/// The answer that is there is better than none.
#[tokio::test]
async fn a_failed_answer_stays_where_the_others_are_full() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let breaker = "circuit_breaker: { max_requests_per_endpoint: 1 }";
    let tidegate =
        Tidegate::new(&to(&[one.addr(), two.addr()], breaker, "retry: { on: [ 5xx ] }")).start().await;
    let held = hold(&tidegate, &[&one, &two], 2).await;
    let (full, bad) = (&one, &two);
    for request in held {
        assert_eq!(request.await.unwrap(), 200);
    }
    let mut held = Vec::new();
    while full.in_flight() == 0 {
        held.extend(hold(&tidegate, &[full, bad], 1).await);
        if full.in_flight() == 0 {
            held.pop().unwrap().await.unwrap();
        }
    }
    bad.set_fault(Fault::Status(500));
    let before = bad.requests();
    assert_eq!(ask(&tidegate, "GET", "/bad").await.status, 500);
    let tries = tidegate.logged(|line| line["path"] == "/bad").await["attempts"].as_u64().unwrap();
    // The same one may be asked again, for it answered; the full one is not.
    assert_eq!((bad.requests() - before, full.in_flight()), (tries, 1));
    for request in held {
        assert_eq!(request.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn places_are_given_back_whatever_happens() {
    let backend = Backend::start("one").await;
    let breaker = "circuit_breaker: { max_requests: 4, max_connections: 4, max_requests_per_endpoint: 4 }";
    let route =
        "timeout: 300ms, retry: { attempts: 3, on: [ 5xx, reset ], backoff: { base: 1ms, max: 2ms } }";
    let tidegate = Tidegate::new(&to(&[backend.addr()], breaker, route)).start().await;
    for fault in
        [Fault::Status(500), Fault::ResetBeforeAnswer, Fault::Hang, Fault::CloseInBody, Fault::ResetOnAccept]
    {
        backend.set_fault(fault);
        for _ in 0..6 {
            let _ = http::client().get(tidegate.url("/")).timeout(Duration::from_secs(2)).send().await;
        }
        // A client that leaves.
        let _ = http::client().get(tidegate.url("/")).timeout(Duration::from_millis(20)).send().await;
    }
    backend.set_fault(Fault::None);
    for limit in ["requests", "connections", "endpoint_requests"] {
        assert_eq!(rejected(&tidegate, limit).await, 0.0, "{limit}");
    }
    // The counts outlive the reload.
    tidegate.reload(&to(&[backend.addr()], breaker, "")).await;
    for request in hold(&tidegate, &[&backend], 4).await {
        assert_eq!(request.await.unwrap(), 200);
    }
}
