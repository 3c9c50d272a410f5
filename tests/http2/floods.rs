//! Frames without end.

use std::time::Duration;

use tokio::time::Instant;

use super::frames::{
    CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RESET, SETTINGS, WINDOW,
    frame, request,
};
use super::{SOON, ended, start};
use crate::support::{Backend, until};

const ENHANCE_YOUR_CALM: u32 = 11;

/// Requests that are reset as soon as they have reached the endpoint, for as long as it goes.
#[tokio::test]
async fn a_client_may_not_reset_for_ever() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{ h2_max_resets: 50 }").await;
    let mut client = Client::connect(tidegate.addr("http")).await;
    let begin = Instant::now();
    let mut stream = 1;
    while begin.elapsed() < Duration::from_secs(4) {
        client.get(stream, "/slow?ms=5000").await;
        // Not at once: `h2` itself counts those that it has not given out yet.
        tokio::time::sleep(Duration::from_millis(2)).await;
        client.send(&frame(RESET, 0, stream, &8_u32.to_be_bytes())).await;
        stream += 2;
    }
    assert_eq!(client.goaway().await, Some(ENHANCE_YOUR_CALM));
    println!("{} requests were sent, {} reached the endpoint", stream / 2, backend.requests());
    assert!((40..=60).contains(&backend.requests()), "{}", backend.requests());
    ended(&tidegate, "flood", 1.0).await;
    until(SOON, "nobody waits for them", || backend.in_flight() == 0).await;
}

/// A thousand requests and resets in one write.
#[tokio::test]
async fn resets_in_one_burst_reach_next_to_nobody() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    let mut client = Client::connect(tidegate.addr("http")).await;
    let mut bytes = Vec::new();
    for stream in (1..2000).step_by(2) {
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &request("GET", "/slow?ms=5000", &[])));
        bytes.extend(frame(RESET, 0, stream, &8_u32.to_be_bytes()));
    }
    client.send(&bytes).await;
    assert_eq!(client.goaway().await, Some(ENHANCE_YOUR_CALM));
    assert!(backend.requests() <= 350, "{}", backend.requests());
    ended(&tidegate, "flood", 1.0).await;
}

/// The client makes us reset instead (CVE-2025-8671): a window that overflows.
#[tokio::test]
async fn a_client_may_not_make_us_reset_for_ever() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{ h2_max_resets: 50 }").await;
    let mut client = Client::connect(tidegate.addr("http")).await;
    let mut stream = 1;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        client.get(stream, "/slow?ms=5000").await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        client.send(&frame(WINDOW, 0, stream, &(u32::MAX >> 1).to_be_bytes())).await;
        stream += 2;
    }
    assert_eq!(client.goaway().await, Some(ENHANCE_YOUR_CALM));
    assert!(backend.requests() <= 60, "{}", backend.requests());
    ended(&tidegate, "flood", 1.0).await;
}

#[tokio::test]
async fn frames_that_ask_for_nothing_have_an_end() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    let mut priority = vec![0; 4];
    priority.push(1);
    let floods = [
        ("ping", frame(PING, 1, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("priority", frame(PRIORITY, 0, 1, &priority)),
        ("empty data", frame(DATA, 0, 1, &[])),
        ("continuation", frame(CONTINUATION, 0, 1, &[])),
    ];
    for (count, (name, bytes)) in floods.into_iter().enumerate() {
        let mut client = Client::connect(tidegate.addr("http")).await;
        match name {
            "empty data" => client.post(1, "/echo").await,
            "continuation" => client.send(&frame(HEADERS, 0, 1, &request("GET", "/", &[]))).await,
            _ => {}
        }
        // Beside reading: what is answered must be taken, or nothing more is read.
        for _ in 0..30 {
            client.send(&bytes.repeat(500)).await;
            while tokio::time::timeout(Duration::from_millis(1), client.next())
                .await
                .is_ok_and(|f| f.is_some())
            {}
        }
        assert_eq!(client.goaway().await.or(Some(ENHANCE_YOUR_CALM)), Some(ENHANCE_YOUR_CALM), "{name}");
        ended(&tidegate, "flood", count as f64 + 1.0).await;
    }
    assert!(backend.requests() <= 1, "{:?}", backend.seen());
}

#[tokio::test]
async fn streams_over_the_limit_are_refused_alone() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{ h2_max_streams: 3 }").await;
    let mut client = Client::connect(tidegate.addr("http")).await;
    client.wait(SETTINGS).await.unwrap();
    // The limit holds once it has been acknowledged.
    client.send(&frame(SETTINGS, 1, 0, &[])).await;
    for stream in [1, 3, 5, 7] {
        client.get(stream, "/slow?ms=1000").await;
    }
    let refused = client.wait(RESET).await.unwrap();
    assert_eq!((refused.stream, super::frames::code(&refused.payload)), (7, 7), "REFUSED_STREAM");
    for _ in 0..3 {
        assert!(client.wait(HEADERS).await.is_some());
    }
    assert_eq!(backend.requests(), 3);
    ended(&tidegate, "max_streams", 1.0).await;
}
