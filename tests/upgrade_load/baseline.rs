//! The clients themselves: without an upgrade nothing fails, whatever else happens; and a client
//! that gets a wrong answer says so.

use std::time::Duration;

use super::SOON;
use super::stage::{Stage, linger};
use crate::support::load::{self, Crowd, assert_clean, judges};
use crate::support::{Fault, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_upgrade_nothing_fails_and_each_request_has_its_line() {
    let stage = Stage::start(&[]).await;
    let crowd = stage.crowd();
    let wrk = judges::wrk(stage.tidegate.addr("http"), 4, Duration::from_secs(5));
    let hey = judges::hey(stage.tidegate.addr("http"), Duration::from_secs(5));
    linger(5_000).await;
    for (who, judge) in [("wrk", wrk), ("hey", hey)] {
        if let Some(judge) = judge {
            judge.verdict().await.assert_clean(who);
        }
    }
    let tallies = crowd.end().await;
    assert_clean("no upgrade", &tallies);
    stage.lines_are(&tallies).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_fail_nothing() {
    let stage = Stage::start(&[]).await;
    let crowd = stage.crowd();
    for round in 0..5 {
        stage.tidegate.reload(&stage.live(&format!("-{round}"))).await;
        linger(500).await;
    }
    assert_clean("5 reloads", &crowd.end().await);
}

/// What is under way when SIGTERM comes is finished; who comes later finds nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_what_is_in_flight() {
    let mut stage = Stage::start(&["grace_period: 20s"]).await;
    let crowd = stage.crowd();
    linger(2_000).await;
    stage.tidegate.term();
    assert!(stage.tidegate.exited(SOON).await.success());
    let mut tallies = crowd.end().await;
    for tally in &mut tallies {
        tally.failures.retain(|failure| !failure.why.starts_with("connect: "));
    }
    assert_clean("a stop", &tallies);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_see_what_is_wrong() {
    let stage = Stage::start(&[]).await;
    let crowd = stage.crowd();
    linger(500).await;
    stage.backend.set_fault(Fault::CloseInBody);
    linger(1_000).await;
    let wrk = judges::wrk(stage.http(), 2, Duration::from_secs(1));
    if let Some(wrk) = wrk {
        let verdict = wrk.verdict().await;
        assert!(!verdict.errors.is_empty(), "{verdict:#?}");
    }
    for tally in crowd.end().await {
        let hit = !matches!(tally.who, "websocket" | "tcp" | "download");
        assert_eq!(tally.failed() > 0, hit, "{tally}");
    }
    // Killed without a word: each kind notices.
    let stage = Stage::start(&[]).await;
    let crowd = stage.crowd();
    linger(800).await;
    crate::support::tidegate::signal("KILL", stage.main());
    until(SOON, "it is gone", || !super::stage::runs(stage.main())).await;
    linger(800).await;
    for tally in crowd.end().await {
        assert!(tally.failed() > 0, "{tally}");
    }
}

/// A server that answers another thing than it should.
#[tokio::test]
async fn bytes_are_compared() {
    let liar = crate::support::Backend::start("liar").await;
    let addr = liar.addr();
    let mut crowd = Crowd::new();
    crowd.add("name", 1, |shift| load::keep_alive(addr, Duration::from_millis(10), shift));
    linger(200).await;
    let tally = crowd.end().await.remove(0);
    assert!(tally.ok == 0 && tally.reasons().contains_key("another body: \"liar\""), "{tally}");
}
