//! How soon the old process is gone: at once if nothing is in flight, and with what is in flight at
//! the latest when the grace period is over.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::SOON;
use super::stage::{Stage, gone, runs};
use crate::support::load::{open, say};
use crate::support::tidegate::signal;
use crate::support::{RawClient, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_one_is_gone_at_once() {
    let stage = Stage::start(&["grace_period: 60s"]).await;
    // Open and without a request; it must not be waited for.
    let mut kept = RawClient::connect(stage.http()).await;
    assert_eq!(kept.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.status, 200);
    let began = Instant::now();
    let (old, new) = stage.must_upgrade().await;
    let settled = began.elapsed();
    gone(old, SOON).await;
    let took = began.elapsed();
    eprintln!("idle: in charge after {settled:.2?}, the old one gone after {took:.2?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    let began = Instant::now();
    signal("TERM", new);
    gone(new, SOON).await;
    let took = began.elapsed();
    eprintln!("idle: gone {took:.2?} after SIGTERM");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(!stage.tidegate.dir().join("pid").exists());
}

/// A tunnel and a passed connection live on in the old process until the grace period is over, and a
/// connection that asks now and then moves over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_is_cut_when_the_grace_period_is_over() {
    let stage = Stage::start(&["grace_period: 4s"]).await;
    let mut tunnel = open(stage.http(), true).await.unwrap();
    let mut bytes = open(stage.tidegate.addr("bytes"), false).await.unwrap();
    let mut download = RawClient::connect(stage.http()).await;
    download.send("GET /noise?n=30&ms=50 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(SOON, "it is under way", || stage.backend.requests() > 0).await;
    let (old, _) = stage.must_upgrade().await;
    let settled = Instant::now();
    while settled.elapsed() < Duration::from_millis(2_500) {
        say(&mut tunnel).await.unwrap();
        say(&mut bytes).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(runs(old));
    let answer = download.response().await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 30 * 700));
    gone(old, SOON).await;
    let took = settled.elapsed();
    eprintln!("grace period of 4s: gone {took:.2?} after the hand-over");
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert!(matches!(tunnel.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    assert!(matches!(bytes.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    // As soon as the last one is through, and not at the end of the period.
    let mut tunnel = open(stage.http(), true).await.unwrap();
    let (old, _) = stage.must_upgrade().await;
    say(&mut tunnel).await.unwrap();
    let began = Instant::now();
    drop(tunnel);
    gone(old, SOON).await;
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
}

/// `--wait` stays until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_waits_for_the_end() {
    let stage = Stage::start(&["grace_period: 40s"]).await;
    let mut slow = RawClient::connect(stage.http()).await;
    slow.send("GET /slow?ms=10000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(SOON, "it is under way", || stage.backend.in_flight() > 0).await;
    let old = stage.main();
    let went = stage.ask(&["--wait"]).await;
    assert!(went.ok && went.told["gone_after"].as_f64().is_some_and(|after| after > 0.5), "{:#}", went.told);
    assert_eq!(slow.response().await.unwrap().status, 200);
    gone(old, Duration::from_secs(2)).await;
}
