//! Everything that a client can leave open has an end.

use std::time::Duration;

use tokio::time::Instant;

use super::frames::Outcome::{Reset, Status};
use super::frames::{
    Client, DATA, END_HEADERS, GOAWAY, HEADERS, PING, PREFACE, RESET, SETTINGS, frame, request,
};
use super::{SOON, ended, start};
use crate::support::{Backend, until};

const SHORT: &str = "{ handshake_timeout: 1s, h2_idle_timeout: 1s, body_timeout: 1s, write_timeout: 1s }";

/// An answer that was not read whole by the client.
const INTERNAL_ERROR: u32 = 2;

#[tokio::test]
async fn half_a_preface_and_no_settings_are_not_waited_for() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), SHORT).await;
    let addr = tidegate.addr("http");
    let begin = Instant::now();
    let mut half = Client::silent(addr).await;
    half.send(&PREFACE[..12]).await;
    assert_eq!(half.goaway().await, None, "there is nobody to tell");
    let mut bare = Client::silent(addr).await;
    bare.send(PREFACE).await;
    assert_eq!(bare.goaway().await, Some(4), "SETTINGS_TIMEOUT");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    ended(&tidegate, "handshake", 2.0).await;
}

#[tokio::test]
async fn a_connection_without_streams_is_told_to_go() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), SHORT).await;
    // One that pings all the while, and never answers our pings, is idle too.
    let mut client = Client::connect(tidegate.addr("http")).await;
    client.get(1, "/a").await;
    assert_eq!(client.outcome().await, Status(200));
    client.send(&frame(PING, 0, 0, &[0; 8])).await;
    let begin = Instant::now();
    assert_eq!(client.goaway().await, Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    ended(&tidegate, "idle", 1.0).await;
    // A stream that is open keeps it.
    let mut slow = Client::connect(tidegate.addr("http")).await;
    slow.get(1, "/slow?ms=3000").await;
    assert_eq!(slow.outcome().await, Status(200));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), SHORT).await;
    let mut client = Client::connect(tidegate.addr("http")).await;
    client.post(1, "/echo").await;
    client.send(&frame(DATA, 0, 1, b"ab")).await;
    assert_eq!(client.outcome().await, Status(408));
    ended(&tidegate, "body_timeout", 1.0).await;
    let line = tidegate.logged(|line| line["path"] == "/echo").await;
    assert_eq!((&line["status"], &line["flags"]), (&408.into(), &"DPE".into()));
    client.get(3, "/after").await;
    assert!(client.wait(HEADERS).await.is_some(), "the others go on");
}

#[tokio::test]
async fn a_body_that_trickles_is_a_408() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{ body_timeout: 60s, min_body_rate: 1000 }").await;
    let mut client = Client::connect(tidegate.addr("http")).await;
    client.post(1, "/echo").await;
    let begin = Instant::now();
    let outcome = loop {
        client.send(&frame(DATA, 0, 1, b"a")).await;
        match tokio::time::timeout(Duration::from_millis(300), client.outcome()).await {
            Ok(outcome) => break outcome,
            Err(_) => assert!(begin.elapsed() < Duration::from_secs(20)),
        }
    };
    assert_eq!(outcome, Status(408));
    assert!(begin.elapsed() > Duration::from_secs(8), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_reset() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), SHORT).await;
    // No window for streams at all.
    let mut client = Client::with_settings(tidegate.addr("http"), &[(4, 0)]).await;
    client.get(1, "/bytes?n=100000").await;
    assert_eq!(client.outcome().await, Status(200));
    assert_eq!(client.outcome().await, Reset(INTERNAL_ERROR));
    ended(&tidegate, "write_timeout", 1.0).await;
    until(SOON, "the endpoint is free of it", || backend.in_flight() == 0).await;
    let line = tidegate.logged(|line| line["path"] == "/bytes?n=100000").await;
    assert_eq!(line["flags"], "DC");
}

/// The windows are open, but nobody reads the socket.
#[tokio::test]
async fn a_socket_that_takes_nothing_is_closed() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), SHORT).await;
    let large = u32::MAX >> 1;
    let mut client = Client::with_settings(tidegate.addr("http"), &[(4, large)]).await;
    client.send(&frame(super::frames::WINDOW, 0, 0, &(large - 65_535).to_be_bytes())).await;
    client.get(1, "/bytes?n=60000000").await;
    until(SOON, "it is on its way", || backend.requests() == 1).await;
    until(SOON, "the endpoint is free of it", || backend.in_flight() == 0).await;
    let begin = Instant::now();
    while tidegate.metric("tidegate_connections", &[]).await > 0.0 {
        assert!(begin.elapsed() < SOON, "the connection is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_drain_says_goaway_and_lets_streams_finish() {
    let backend = Backend::start("a").await;
    let mut tidegate = start(backend.addr(), "{}").await;
    let mut client = Client::connect(tidegate.addr("http")).await;
    client.get(1, "/slow?ms=2000").await;
    until(SOON, "it is on its way", || backend.in_flight() == 1).await;
    // Has a connection and no stream, and does not answer pings.
    let mut idle = Client::connect(tidegate.addr("http")).await;
    idle.wait(SETTINGS).await.unwrap();
    tidegate.term();
    assert_eq!(idle.goaway().await, Some(0));
    let first = client.wait(GOAWAY).await.unwrap();
    assert_eq!(super::frames::code(&first.payload[4..]), 0);
    // As a proper client does.
    let ping = client.wait(PING).await.unwrap();
    client.send(&frame(PING, 1, 0, &ping.payload)).await;
    assert_eq!(client.outcome().await, super::frames::Outcome::Goaway(0));
    assert_eq!(client.outcome().await, Status(200));
    assert!(tidegate.exited(SOON).await.success());
}

#[tokio::test]
async fn a_client_that_gives_up_frees_the_endpoint() {
    let backend = Backend::start("a").await;
    let tidegate = start(backend.addr(), "{}").await;
    let mut client = Client::connect(tidegate.addr("http")).await;
    client.get(1, "/slow?ms=20000").await;
    let head = request("POST", "/slow?ms=20000", &[]);
    client.send(&frame(HEADERS, END_HEADERS, 3, &head)).await;
    client.send(&frame(DATA, 1, 3, b"whole")).await;
    until(SOON, "both are on their way", || backend.in_flight() == 2).await;
    for stream in [1, 3] {
        client.send(&frame(RESET, 0, stream, &8_u32.to_be_bytes())).await;
    }
    until(SOON, "nobody waits for them", || backend.in_flight() == 0).await;
}
