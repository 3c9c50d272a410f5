//! What a listener takes at most: the rest is told so at once, costs next to nothing, and may come
//! again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use tokio::time::Instant;

use self::support::probe::{Cost, metric};
use self::support::{Backend, RawClient, RawResponse, Tidegate, TidegateProcess, eventually, http, until};

/// Longer than anything takes that works.
const SOON: Duration = Duration::from_secs(15);

const GET: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";

/// One cluster and a route to it, with limits as YAML at the top.
fn to(backend: &Backend, limits: &str) -> String {
    format!(
        "limits: {limits}\nclusters:\n  web: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}\nroutes:\n  - {{ name: all, cluster: web }}\n",
        backend.addr()
    )
}

async fn rejected(tidegate: &TidegateProcess, limit: &str) -> Option<f64> {
    let series = format!("tidegate_listener_rejected_total{{listener=\"http\",limit=\"{limit}\"}}");
    metric(tidegate, &series).await
}

fn is_full(answer: &RawResponse) {
    let said = (answer.status, answer.header("retry-after"), answer.header("x-tidegate-overloaded"));
    assert_eq!(said, (503, Some("1"), Some("true")), "{}", answer.head);
    assert_eq!(answer.text(), "overloaded\n");
}

/// Waits until a place is free.
async fn served_again(addr: std::net::SocketAddr) {
    eventually(SOON, async || {
        let mut raw = RawClient::connect(addr).await;
        raw.send(GET).await;
        match raw.response().await {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_closed() {
    let backend = Backend::start("a").await;
    let tidegate = Tidegate::new(&to(&backend, "{ max_connections: 2 }")).start().await;
    let addr = tidegate.addr("http");
    assert_eq!(rejected(&tidegate, "max_connections").await, Some(0.0));
    let (mut one, mut two) = (RawClient::connect(addr).await, RawClient::connect(addr).await);
    for kept in [&mut one, &mut two] {
        assert_eq!(kept.ask(GET).await.status, 200);
    }
    let mut three = RawClient::connect(addr).await;
    // Large enough that a close with unread bytes would reset it before the answer is read.
    let body = "x".repeat(100_000);
    let answer =
        three.ask(format!("POST /b HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\n{body}")).await;
    is_full(&answer);
    assert!(three.closed().await);
    // HTTP/2 can't be answered in HTTP/1.1.
    let mut h2 = RawClient::connect(addr).await;
    h2.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(h2.closed().await);
    // One that says nothing is not waited for.
    let mut silent = RawClient::connect(addr).await;
    let begin = Instant::now();
    assert!(silent.closed().await && begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(rejected(&tidegate, "max_connections").await, Some(3.0));
    assert_eq!(one.ask(GET).await.status, 200, "those that were in are served");
    assert_eq!(backend.requests(), 3);
    drop(one);
    served_again(addr).await;
}

#[tokio::test]
async fn a_request_too_many_is_told_so_and_its_connection_stays() {
    let backend = Backend::start("a").await;
    let tidegate = Tidegate::new(&to(&backend, "{ max_in_flight: 2 }")).start().await;
    let slow = |_| {
        let url = tidegate.url("/slow?ms=2000");
        tokio::spawn(async move { http::client().get(url).send().await.unwrap().status().as_u16() })
    };
    let held: Vec<_> = (0..2).map(slow).collect();
    until(SOON, "both are on their way", || backend.in_flight() == 2).await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let begin = Instant::now();
    for _ in 0..3 {
        is_full(&raw.ask("POST /over HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi").await);
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(rejected(&tidegate, "max_in_flight").await, Some(3.0));
    let line = tidegate.logged(|line| line["path"] == "/over").await;
    assert_eq!((&line["flags"], &line["status"], &line["route"]), (&"UO".into(), &503.into(), &"".into()));
    for request in held {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(raw.ask(GET).await.status, 200, "on the same connection");
    assert_eq!(backend.requests(), 3);
}

#[tokio::test]
async fn a_listener_of_its_own_limits_takes_the_rest_from_the_top() {
    let backend = Backend::start("a").await;
    // The kit's listeners are the last of what it writes, so these keys are of the last of them.
    let live = format!("    limits: {{ max_connections: 1 }}\n{}", to(&backend, "{ max_connections: 9 }"));
    let tidegate = Tidegate::new(&live).listener("inner").start().await;
    let mut inner = RawClient::connect(tidegate.addr("inner")).await;
    assert_eq!(inner.ask(GET).await.status, 200);
    is_full(&RawClient::connect(tidegate.addr("inner")).await.ask(GET).await);
    let mut outer = Vec::new();
    for _ in 0..9 {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        assert_eq!(raw.ask(GET).await.status, 200, "each counts for itself");
        outer.push(raw);
    }
    is_full(&RawClient::connect(tidegate.addr("http")).await.ask(GET).await);
    // A reload can't change it, and says so.
    let text = std::fs::read_to_string(tidegate.config_path()).unwrap();
    tidegate.write_config(&text.replace("max_connections: 9", "max_connections: 10"));
    let (status, told) = tidegate.admin_post("/v1/reload", &serde_json::json!({})).await.unwrap();
    assert!(status == 200 && told.contains(r#""limits""#), "{told}");
}

#[tokio::test]
async fn two_thousand_slow_clients_cost_what_five_hundred_do() {
    let backend = Backend::start("a").await;
    let tidegate = Tidegate::new(&to(&backend, "{ max_connections: 500 }")).start().await;
    let addr = tidegate.addr("http");
    let mut kept = Vec::new();
    for _ in 0..5 {
        let mut raw = RawClient::connect(addr).await;
        assert_eq!(raw.ask(GET).await.status, 200);
        kept.push(raw);
    }
    let before = Cost::of(tidegate.pid());
    let mut slow = Vec::new();
    let mut cost = before;
    for round in 0..20 {
        for _ in 0..100 {
            let mut raw = RawClient::connect(addr).await;
            raw.send("GET /slow HTTP/1.1\r\nhost: h\r\nx-half: ").await;
            slow.push(raw);
        }
        for raw in &mut kept {
            assert_eq!(raw.ask(GET).await.status, 200, "round {round}");
        }
        let now = Cost::of(tidegate.pid());
        cost = Cost { rss_kib: cost.rss_kib.max(now.rss_kib), fds: cost.fds.max(now.fds), ..now };
    }
    let turned = rejected(&tidegate, "max_connections").await.unwrap();
    println!("before {before:?}, most {cost:?}, turned away {turned}");
    assert!(turned >= 1_400.0, "{turned}");
    assert!(cost.fds < before.fds + 500 + 256 + 50, "{cost:?}");
    assert!(cost.rss_kib < before.rss_kib + 750 * 100, "{before:?} {cost:?}");
    // The deadline of the header ends them, also while they stay.
    served_again(addr).await;
    drop(slow);
}
