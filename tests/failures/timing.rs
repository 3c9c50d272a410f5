//! Time-outs: of endpoints that never answer, that trickle, that stop in the middle.

use std::time::Duration;

use tokio::time::Instant;

use super::{assert_logged, to};
use crate::support::{Backend, Fault, RawClient, Scripted, Step, Tidegate, curl_with, send};

/// What 1 s may become: 20 %, and what a busy machine adds.
const WINDOW: std::ops::Range<u128> = 950..1250;

#[tokio::test]
async fn an_endpoint_that_never_answers_is_ut() {
    let (backend, other) = (Backend::start("hanging").await, Backend::start("other").await);
    backend.set_fault(Fault::Hang);
    let tidegate = Tidegate::new(&to(&[backend.addr(), other.addr()], ", timeout: 1s")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    // Time is up is not tried again: the time was the whole request's. One of two requests meets the hanging one.
    let mut late = 0;
    for path in ["/a", "/b"] {
        let begin = Instant::now();
        let response = raw.ask(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        if response.status == 504 {
            late += 1;
            let took = begin.elapsed().as_millis();
            assert!(WINDOW.contains(&took), "{took} ms");
            assert_eq!(response.text(), "upstream did not answer in time\n");
            let line = assert_logged(&tidegate, path, 504, "UT").await;
            assert_eq!(line["attempts"], 1);
            raw = RawClient::connect(tidegate.addr("http")).await;
        }
    }
    assert_eq!((late, backend.requests()), (1, 1));
}

/// The time of a large upload's answer begins at its end.
#[tokio::test]
async fn an_upload_has_its_time_and_then_the_answer_its_own() {
    let backend = Backend::start("slow").await;
    let tidegate = Tidegate::new(&to(&[backend.addr()], ", timeout: 1s")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("PUT /echo?slow HTTP/1.1\r\nhost: h\r\ncontent-length: 150000\r\n\r\n").await;
    for _ in 0..15 {
        raw.send("b".repeat(10_000)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let echo = raw.response().await.unwrap();
    assert_eq!((echo.status, &echo.json()["body_length"]), (200, &150_000.into()));
    backend.set_fault(Fault::Hang);
    for (path, how) in [("/sized", ["--data-binary", "@-"]), ("/chunked", ["-T", "-"])] {
        let begin = Instant::now();
        let hung =
            curl_with(&["-H", "Expect:", how[0], how[1], &tidegate.url(path)], &vec![b'x'; 300_000]).await;
        let took = begin.elapsed().as_millis();
        assert_eq!((hung.code, hung.status), (0, 504), "{hung:?}");
        assert!(WINDOW.contains(&took), "{path}: {took} ms");
        assert_logged(&tidegate, path, 504, "UT").await;
    }
}

#[tokio::test]
async fn a_trickling_body_ends_at_the_deadline() {
    let backend = Backend::start("drip").await;
    let tidegate = Tidegate::new(&to(&[backend.addr()], ", timeout: 1s")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let begin = Instant::now();
    raw.send("GET /drip?n=100&ms=50 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let broken = raw.response().await.unwrap_err();
    let took = begin.elapsed().as_millis();
    assert!(WINDOW.contains(&took), "{took} ms");
    assert!(broken.starts_with("closed after"), "no end of the chunks: {broken}");
    assert_logged(&tidegate, "/drip?n=100&ms=50", 200, "UT").await;
}

#[tokio::test]
async fn a_body_that_stops_ends_at_the_deadline() {
    let upstream = Scripted::by_head(|head| {
        let late = if head.contains("/late") { 800 } else { 0 };
        vec![
            Step::Wait(Duration::from_millis(late)),
            send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"),
            Step::Wait(Duration::from_secs(20)),
        ]
    })
    .await;
    let tidegate = Tidegate::new(&to(&[upstream.addr], ", timeout: 1s")).start().await;
    for path in ["/soon", "/late"] {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        let begin = Instant::now();
        raw.send(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        let broken = raw.response().await.unwrap_err();
        let took = begin.elapsed().as_millis();
        assert!(WINDOW.contains(&took), "{path}: {took} ms");
        assert!(broken.contains("abc"), "what came is passed on: {broken}");
        assert_logged(&tidegate, path, 200, "UT").await;
    }
}

#[tokio::test]
async fn a_stream_may_outlive_its_silence_but_not_its_idle_time() {
    let backend = Backend::start("drip").await;
    let tidegate = Tidegate::new(&to(&[backend.addr()], ", timeout: 0s, idle_timeout: 400ms")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let drip = raw.ask("GET /drip?n=10&ms=150 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(drip.text(), "..........");
    raw.send("GET /drip?n=2&ms=900 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(raw.response().await.is_err());
    assert_logged(&tidegate, "/drip?n=2&ms=900", 200, "UT").await;
}
