//! Clients of HTTP/1 that say nothing, or too little, or take nothing: each wait has its end, a
//! status where one is due, and a counter. And what many idle ones cost.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::support::probe::{self, Cost, metric};
use self::support::{Backend, RawClient, Tidegate, TidegateProcess, eventually, until};

const GET: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";

async fn start(backend: &Backend, limits: &str) -> TidegateProcess {
    let live = format!(
        "limits: {limits}\nclusters: {{ web: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }} }}\n\
         routes: [ {{ name: all, cluster: web, timeout: 60s }} ]\n",
        backend.addr()
    );
    Tidegate::new(&live).start().await
}

/// Waits until so many connections ended by a limit.
async fn ended(tidegate: &TidegateProcess, limit: &str, times: f64) {
    let series = format!("tidegate_listener_timeouts_total{{listener=\"http\",limit=\"{limit}\"}}");
    eventually(Duration::from_secs(5), async || match metric(tidegate, &series).await {
        Some(count) if count == times => Ok(()),
        other => Err(format!("{limit}: {other:?}")),
    })
    .await;
}

#[track_caller]
fn took(begin: Instant, seconds: f64) {
    let took = begin.elapsed().as_secs_f64();
    assert!((seconds * 0.9..seconds + 3.0).contains(&took), "{took} instead of {seconds}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let backend = Backend::start("a").await;
    let tidegate = start(&backend, "{ idle_timeout: 800ms }").await;
    let begin = Instant::now();
    let mut silent = RawClient::connect(tidegate.addr("http")).await;
    assert_eq!(silent.read_to_end().await, Ok(Vec::new()));
    took(begin, 0.8);
    let mut used = RawClient::connect(tidegate.addr("http")).await;
    for _ in 0..3 {
        // Each request begins a new wait.
        sleep(Duration::from_millis(400)).await;
        assert_eq!(used.ask(GET).await.status, 200);
    }
    let begin = Instant::now();
    assert_eq!(used.read_to_end().await, Ok(Vec::new()));
    took(begin, 0.8);
    ended(&tidegate, "idle_timeout", 2.0).await;
}

#[tokio::test]
async fn a_header_must_be_whole_in_time() {
    let backend = Backend::start("a").await;
    let tidegate = start(&backend, "{ header_timeout: 800ms }").await;
    let mut used = RawClient::connect(tidegate.addr("http")).await;
    assert_eq!(used.ask(GET).await.status, 200);
    for mut raw in [RawClient::connect(tidegate.addr("http")).await, used] {
        let begin = Instant::now();
        // Half a header, and a byte now and then.
        raw.send("GET /a HTTP/1.1\r\nhost: h\r\nx-a: ").await;
        while begin.elapsed() < Duration::from_millis(600) {
            sleep(Duration::from_millis(100)).await;
            raw.send("x").await;
        }
        let answer = raw.response().await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (408, Some("close")), "{answer:?}");
        assert_eq!(answer.text(), "the header did not arrive in time\n");
        assert!(raw.closed().await);
        took(begin, 0.8);
    }
    ended(&tidegate, "header_timeout", 2.0).await;
    let line = tidegate.logged(|line| line["status"] == 408).await;
    assert_eq!(
        (&line["flags"], &line["method"], &line["path"]),
        (&"DPE".into(), &"GET".into(), &"/a".into())
    );
    assert_eq!(backend.requests(), 1);
}

#[tokio::test]
async fn a_body_must_go_on() {
    let backend = Backend::start("a").await;
    let tidegate = start(&backend, "{ body_timeout: 800ms }").await;
    for framing in ["content-length: 100\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        let begin = Instant::now();
        raw.send(format!("POST /echo HTTP/1.1\r\nhost: h\r\n{framing}")).await;
        let answer = raw.response().await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (408, Some("close")), "{answer:?}");
        assert_eq!(answer.text(), "the body did not arrive in time\n");
        assert!(raw.closed().await);
        took(begin, 0.8);
    }
    ended(&tidegate, "body_timeout", 2.0).await;
    let line = tidegate.logged(|line| line["status"] == 408).await;
    assert_eq!((&line["flags"], &line["route"]), (&"DPE".into(), &"all".into()), "{line}");
    until(Duration::from_secs(5), "the endpoint is let go", || backend.in_flight() == 0).await;
}

#[tokio::test]
async fn a_body_must_come_at_a_rate() {
    let backend = Backend::start("a").await;
    let tidegate = start(&backend, "{ min_body_rate: 10000 }").await;
    let upload = async |pause: u64| {
        let mut raw = RawClient::connect(tidegate.addr("http")).await.deadline(Duration::from_millis(pause));
        raw.send("POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 12000\r\n\r\n").await;
        let begin = Instant::now();
        for _ in 0..120 {
            raw.send("x".repeat(100)).await;
            if let Ok(answer) = raw.response().await {
                return (answer.status, begin);
            }
        }
        (raw.deadline(Duration::from_secs(5)).response().await.unwrap().status, begin)
    };
    // 600 bytes a second are too few in the long run; what is there in ten seconds is not asked.
    let (slow, fast) = tokio::join!(upload(166), upload(50));
    assert_eq!((slow.0, fast.0), (408, 200));
    ended(&tidegate, "min_body_rate", 1.0).await;
}

#[tokio::test]
async fn a_client_must_take_its_answer() {
    let backend = Backend::start("a").await;
    let tidegate = start(&backend, "{ write_timeout: 800ms }").await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("GET /bytes?n=50000000 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    ended(&tidegate, "write_timeout", 1.0).await;
    let line = tidegate.logged(|line| line["path"] == "/bytes?n=50000000").await;
    assert_eq!(line["flags"], "DC", "{line}");
    until(Duration::from_secs(5), "the endpoint is let go", || backend.in_flight() == 0).await;
    drop(raw);
}

/// Connections that asked once and are idle now.
async fn idle(addr: SocketAddr, count: usize) -> Vec<RawClient> {
    let mut all = Vec::new();
    for _ in 0..count {
        let mut raw = RawClient::connect(addr).await;
        assert_eq!(raw.ask(GET).await.status, 200);
        all.push(raw);
    }
    all
}

/// What bare Pingora keeps is 90 KB each.
#[tokio::test]
async fn an_idle_connection_costs_little() {
    let backend = Backend::start("a").await;
    let tidegate = start(&backend, "{}").await;
    let count = if probe::long() { 10_000 } else { 1_000 };
    let warm = idle(tidegate.addr("http"), 100).await;
    let before = Cost::of(tidegate.pid());
    let held = idle(tidegate.addr("http"), count).await;
    let after = Cost::of(tidegate.pid());
    let each = (after.rss_kib.saturating_sub(before.rss_kib)) as f64 / count as f64;
    println!("{count} idle connections: {each:.2} KiB each ({before:?}, {after:?})");
    assert!(each < 8.0, "{each} KiB each");
    drop((warm, held));
}
