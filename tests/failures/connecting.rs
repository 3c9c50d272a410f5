//! No endpoint, none that is left, none that can be reached.

use std::time::Duration;

use tokio::time::Instant;

use super::{assert_logged, to};
use crate::support::{Backend, Load, RawClient, Tidegate, TidegateProcess, free_port, http, ports};

const NO_ENDPOINT: &str = r#"
clusters:
  none: { consul: { service: nowhere } }
  zero: { static: { endpoints: [ { address: '127.0.0.1:1', weight: 0 } ] } }
  up: { static: { endpoints: [ { address: '@UP' } ] } }
routes:
  - { name: zero, match: { path: { prefix: /zero } }, cluster: zero }
  - { name: near, match: { path: { prefix: /a/b } }, cluster: zero }
  - { name: drained, match: { path: { prefix: /drained } }, cluster: up }
  - { name: far, match: { path: { prefix: /a } }, cluster: up }
"#;

async fn status(tidegate: &TidegateProcess, path: &str) -> (u16, String) {
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let response = raw.ask(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
    (response.status, response.text())
}

#[tokio::test]
async fn without_an_endpoint_a_route_answers_for_itself() {
    let backend = Backend::start("up").await;
    let live = NO_ENDPOINT
        .replace("@UP", &backend.addr().to_string())
        .replace("  none: { consul: { service: nowhere } }\n", "");
    let tidegate = Tidegate::new(&live).start().await;
    let unhealthy = (503, "no healthy upstream\n".to_owned());
    assert_eq!(status(&tidegate, "/zero").await, unhealthy);
    // A farther route could take it, and must not.
    assert_eq!(status(&tidegate, "/a/b").await, unhealthy);
    assert_eq!(status(&tidegate, "/a/x").await.0, 200);
    assert_eq!(status(&tidegate, "/drained").await.0, 200);
    let drain = format!("/v1/clusters/up/endpoints/{}/drain", backend.addr());
    assert_eq!(tidegate.admin_post(&drain, &serde_json::json!({})).await.unwrap().0, 200);
    assert_eq!(status(&tidegate, "/drained").await, unhealthy);
    for (path, route) in [("/zero", "zero"), ("/a/b", "near")] {
        let line = tidegate.logged(|line| line["path"] == path).await;
        assert_eq!(
            (&line["flags"], &line["route"], &line["attempts"]),
            (&"UH".into(), &route.into(), &0.into())
        );
        assert_eq!(line["endpoint"], serde_json::Value::Null);
    }
    // A request is counted before its line is written, and both after the answer.
    tidegate.logged(|line| line["path"] == "/drained" && line["flags"] == "UH").await;
    assert_eq!(tidegate.metric("tidegate_http_response_flags_total", &["flag=\"UH\""]).await, 3.0);
    assert_eq!(backend.requests(), 2);
}

#[tokio::test]
async fn endpoints_that_refuse_are_uf() {
    let dead = [free_port(), free_port()].map(|port| ([127, 0, 0, 1], port).into());
    let tidegate = Tidegate::new(&to(&dead, "")).start().await;
    assert_eq!(status(&tidegate, "/x").await, (503, "upstream connection failed\n".into()));
    let line = assert_logged(&tidegate, "/x", 503, "UF").await;
    assert_eq!(line["attempts"], 2);
    assert_eq!(
        tidegate.metric("tidegate_tcp_upstream_connect_failures_total", &["cluster=\"web\""]).await,
        2.0
    );
    assert_eq!(tidegate.metric("tidegate_retries_total", &["result=\"failure\""]).await, 1.0);
    assert_eq!(tidegate.metric("tidegate_http_requests_in_flight", &[]).await, 0.0);
}

#[tokio::test]
async fn endpoints_that_do_not_accept_are_uf_in_time() {
    // A listener that accepts nothing, its queue full: further connections get no answer at all.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    let addr = ports::free_addr();
    socket.bind(addr).unwrap();
    let _listener = socket.listen(1).unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(100), tokio::net::TcpStream::connect(addr)).await
    {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue does not fill up");
    }
    let tidegate = Tidegate::new(&to(&[addr], "")).start().await;
    let begin = Instant::now();
    assert_eq!(status(&tidegate, "/x").await.0, 503);
    let took = begin.elapsed().as_millis();
    assert!((450..900).contains(&took), "{took} ms of 500");
    assert_logged(&tidegate, "/x", 503, "UF").await;
}

#[tokio::test]
async fn one_of_two_dead_fails_no_request_of_any_method() {
    let backend = Backend::start("alive").await;
    let dead = ([127, 0, 0, 1], free_port()).into();
    let tidegate = Tidegate::new(&to(&[backend.addr(), dead], "")).start().await;
    let client = http::client();
    for i in 0..200 {
        let url = tidegate.url(&format!("/echo?{i}"));
        let request = if i % 2 == 0 { client.get(url) } else { client.post(url).body("b".repeat(i * 100)) };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{i}");
        let echo: serde_json::Value = response.json().await.unwrap();
        assert_eq!(echo["body_length"], if i % 2 == 0 { 0 } else { i * 100 });
    }
    assert_eq!(backend.requests(), 200);
    // Round robin: at least every second request found the dead one first.
    assert!(tidegate.metric("tidegate_retries_total", &["result=\"success\""]).await >= 100.0);
    let line = tidegate.logged(|line| line["attempts"] == 2).await;
    assert_eq!((&line["flags"], &line["endpoint"]), (&"".into(), &backend.addr().to_string().into()));
}

#[tokio::test]
async fn an_endpoint_that_dies_and_comes_back_fails_nobody() {
    let (one, mut two) = (Backend::start("one").await, Backend::start("two").await);
    let tidegate = Tidegate::new(&to(&[one.addr(), two.addr()], "")).start().await;
    let load = Load::new(tidegate.addr("http"));
    let (report, ()) = load
        .during(async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(150)).await;
                two.kill().await;
                tokio::time::sleep(Duration::from_millis(150)).await;
                two.restart().await;
            }
        })
        .await;
    report.assert_clean();
    assert!(report.backends["two"] > 10, "{report:?}");
}

#[tokio::test]
async fn one_attempt_is_one_attempt() {
    let backend = Backend::start("alive").await;
    let dead = ([127, 0, 0, 1], free_port()).into();
    let tidegate = Tidegate::new(&to(&[backend.addr(), dead], ", retry: { attempts: 1 }")).start().await;
    let mut failed = 0;
    for _ in 0..10 {
        failed += u32::from(status(&tidegate, "/x").await.0 == 503);
    }
    assert_eq!(failed, 5, "every second one");
    assert_eq!(tidegate.metric("tidegate_retries_total", &[]).await, 0.0);
}
