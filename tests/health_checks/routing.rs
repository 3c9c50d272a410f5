//! What a check does to the traffic.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::support::probe::ask;
use super::support::{Backend, Load, Tidegate, eventually, http, until};
use super::{QUICK, SOON, checked, endpoint, live};

#[tokio::test]
async fn who_fails_gets_no_requests_and_who_passes_again_does() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let tidegate = Tidegate::new(&live(&[a.addr(), b.addr()], QUICK)).start().await;
    checked(&tidegate, b.addr(), "up").await;
    let (report, out) = Load::new(tidegate.addr("http"))
        .during(async {
            until(SOON, "requests on b", || b.requests() > 20).await;
            b.set_healthy(false);
            let begin = Instant::now();
            let mut last = (b.requests(), Duration::ZERO);
            // Quiet for half a second: out.
            while begin.elapsed() < last.1 + Duration::from_millis(500) {
                if b.requests() > last.0 {
                    last = (b.requests(), begin.elapsed());
                }
                sleep(Duration::from_millis(2)).await;
            }
            b.set_healthy(true);
            let begin = Instant::now();
            until(SOON, "requests on b again", || b.requests() > last.0).await;
            (last.1, begin.elapsed())
        })
        .await;
    report.assert_clean();
    eprintln!("failing to last request {:?}, passing to first {:?}", out.0, out.1);
    // Two probes 100 ms apart, with jitter and a busy machine.
    assert!(out.0 < Duration::from_millis(600), "failing to last request: {:?}", out.0);
    assert!(out.1 < Duration::from_millis(600), "passing to first request: {:?}", out.1);
    let log = tidegate.stdout() + &tidegate.stderr();
    let told: Vec<_> = log.lines().filter(|line| line.contains("health check")).collect();
    let of_b = |to: &str| {
        let to = format!("to=\"{to}\"");
        told.iter().filter(|l| l.contains(&b.addr().to_string()) && l.contains(&to)).count()
    };
    assert_eq!((of_b("down"), told.len()), (1, 3), "both up, b down, b up: {told:#?}");
}

#[tokio::test]
async fn the_first_round_of_a_cluster_is_one_line() {
    let a = Backend::start("a").await;
    // Nobody listens there.
    let dead = (1..=300).map(|port| ([127, 0, 0, 2], port).into());
    let all: Vec<SocketAddr> = [a.addr()].into_iter().chain(dead).collect();
    let tidegate =
        Tidegate::new(&live(&all, "tcp: {}, unhealthy_threshold: 1, interval: 100ms")).start().await;
    let log = tidegate.stderr();
    let told: Vec<_> = log.lines().filter(|line| line.contains("health check")).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    for part in ["WARN first health checks cluster=web up=1 down=300", "127.0.0.2:", "; and 297 more"] {
        assert!(told[0].contains(part), "{part}: {told:#?}");
    }
    drop(a);
    let down = async || match tidegate.stderr().matches("to=\"down\"").count() {
        1 => Ok(()),
        count => Err(count.to_string()),
    };
    eventually(SOON, down).await;
}

#[tokio::test]
async fn the_state_and_its_reason_are_shown() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    b.set_healthy(false);
    let tidegate = Tidegate::new(&live(&[a.addr(), b.addr()], QUICK)).start().await;
    let found = checked(&tidegate, b.addr(), "down").await;
    assert_eq!(found["checked_why"], "status 503, expected 200");
    assert_eq!(found["state"], "unhealthy");
    assert!(found["checked_since_seconds"].as_f64().unwrap() < 15.0, "{found}");
    let found = checked(&tidegate, a.addr(), "up").await;
    assert_eq!((&found["checked_why"], &found["state"]), (&serde_json::Value::Null, &"available".into()));
    let cluster = tidegate.admin_json("/v1/clusters/web").await;
    assert_eq!((&cluster["available"], &cluster["panic"]), (&1.into(), &false.into()));
    let ask = serde_json::json!({ "url": "http://h/" });
    let (_, told) = tidegate.admin_post("/v1/explain", &ask).await.unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let states: Vec<_> = told["cluster"]["endpoints"].as_array().unwrap().iter().collect();
    let state =
        |addr: SocketAddr| states.iter().find(|e| e["address"] == addr.to_string()).unwrap()["state"].clone();
    assert_eq!((state(a.addr()), state(b.addr())), ("available".into(), "fails its health check".into()));
    let count = async |result: &str| {
        let result = format!("result=\"{result}\"");
        tidegate.metric("tidegate_health_checks_total", &["cluster=\"web\"", &result]).await
    };
    assert!(count("success").await >= 1.0 && count("failure").await >= 1.0);
    assert!(count("timeout").await < 1.0);
    let up = format!("endpoint=\"{}\"", b.addr());
    assert!(tidegate.metric("tidegate_endpoint_up", &[&up]).await < 0.5);
}

#[tokio::test]
async fn a_fresh_process_sends_nothing_to_the_dead() {
    let (a, mut b) = (Backend::start("a").await, Backend::start("b").await);
    b.set_healthy(false);
    let tidegate = Tidegate::new(&live(&[a.addr(), b.addr()], QUICK)).spawn();
    let client = http::client();
    let mut answered = 0;
    let begin = Instant::now();
    while answered < 50 {
        assert!(begin.elapsed() < SOON, "it does not listen");
        if let Ok((status, name)) = ask(&client, &tidegate.url("/")).await {
            assert_eq!((status, name.as_str()), (200, "a"));
            answered += 1;
        }
    }
    assert_eq!(b.requests(), 0);
    b.kill().await;
}

#[tokio::test]
async fn a_new_endpoint_waits_for_its_first_pass_unless_all_are_new() {
    let (a, b, c) = (Backend::start("a").await, Backend::start("b").await, Backend::start("c").await);
    c.set_fault(super::support::Fault::Hang);
    // It never passes: /healthz answers, but this check asks elsewhere.
    let hanging = "http: { path: /hang }, interval: 100ms, timeout: 60s";
    let tidegate = Tidegate::new(&live(&[a.addr(), b.addr()], hanging)).start().await;
    checked(&tidegate, a.addr(), "up").await;
    checked(&tidegate, b.addr(), "up").await;
    tidegate.reload(&live(&[a.addr(), b.addr(), c.addr()], hanging)).await;
    let probes = c.requests();
    let report = Load::new(tidegate.addr("http")).path("/load").run_for(Duration::from_millis(500)).await;
    report.assert_clean();
    assert_eq!(endpoint(&tidegate, "web", c.addr()).await["checked"], "unknown");
    assert!(c.requests() <= probes + 1 && !c.seen().iter().any(|seen| seen.contains("/load")));

    let only_new = Backend::start("new").await;
    only_new.set_fault(super::support::Fault::Delay(Duration::from_secs(3)));
    tidegate.reload(&live(&[only_new.addr()], hanging)).await;
    let client = http::client();
    let (status, name) = ask(&client, &tidegate.url("/load")).await.unwrap();
    assert_eq!((status, name.as_str()), (200, "new"), "all are new, so panic uses them");
}
