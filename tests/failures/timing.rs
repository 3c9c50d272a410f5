//! Time-outs: of endpoints that never answer, that trickle, that stop in the middle.

use std::time::Duration;

use super::{assert_logged, to};
use crate::support::{Backend, Fault, RawClient, Scripted, Step, Tidegate, curl_with, send};

/// A second, by the log, which is not so far from the truth as a client on a busy machine: 20 %,
/// and something for the machine.
fn assert_a_second(line: &serde_json::Value) {
    let took = line["duration_ms"].as_f64().unwrap();
    assert!((950.0..1300.0).contains(&took), "{line}");
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_ut() {
    let (backend, other) = (Backend::start("hanging").await, Backend::start("other").await);
    backend.set_fault(Fault::Hang);
    let tidegate = Tidegate::new(&to(&[backend.addr(), other.addr()], ", timeout: 1s")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    // Time is up is not tried again: the time was the whole request's. One of two requests meets
    // the hanging one.
    let mut late = 0;
    for path in ["/a", "/b"] {
        let response = raw.ask(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        if response.status == 504 {
            late += 1;
            assert_eq!(response.text(), "upstream did not answer in time\n");
            let line = assert_logged(&tidegate, path, 504, "UT").await;
            assert_eq!(line["attempts"], 1);
            assert_a_second(&line);
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
    let upstream = Scripted::start(vec![Step::Wait(Duration::from_secs(20))]).await;
    tidegate.reload(&to(&[upstream.addr], ", timeout: 1s")).await;
    for (path, how) in [("/sized", ["--data-binary", "@-"]), ("/chunked", ["-T", "-"])] {
        let hung =
            curl_with(&["-H", "Expect:", how[0], how[1], &tidegate.url(path)], &vec![b'x'; 300_000]).await;
        assert_eq!((hung.code, hung.status), (0, 504), "{hung:?}");
        assert_a_second(&assert_logged(&tidegate, path, 504, "UT").await);
    }
    assert_eq!(upstream.seen().len(), 2, "each once, and whole");
}

/// One that reads nothing is found out twice as late.
#[tokio::test]
async fn an_endpoint_that_does_not_read_is_ut() {
    let backend = Backend::start("hanging").await;
    backend.set_fault(Fault::Hang);
    let tidegate = Tidegate::new(&to(&[backend.addr()], ", timeout: 1s")).start().await;
    for (path, how) in [("/sized", ["--data-binary", "@-"]), ("/chunked", ["-T", "-"])] {
        let hung =
            curl_with(&["-H", "Expect:", how[0], how[1], &tidegate.url(path)], &vec![b'x'; 20 << 20]).await;
        assert_eq!(hung.status, 504, "{hung:?}");
        let line = assert_logged(&tidegate, path, 504, "UT").await;
        let took = line["duration_ms"].as_f64().unwrap();
        assert!((950.0..2600.0).contains(&took), "{line}");
    }
}

#[tokio::test]
async fn a_client_that_stops_amid_its_body_is_late_itself() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&to(&[backend.addr()], ", timeout: 1s")).start().await;
    for (path, length) in [("/small", 10), ("/large", 1_000_000)] {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        let answer =
            raw.ask(format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\nhalf")).await;
        assert_eq!((answer.status, answer.text().as_str()), (408, "the request did not arrive in time\n"));
        assert_a_second(&assert_logged(&tidegate, path, 408, "DPE").await);
    }
}

#[tokio::test]
async fn a_trickling_body_ends_at_the_deadline() {
    let backend = Backend::start("drip").await;
    let tidegate = Tidegate::new(&to(&[backend.addr()], ", timeout: 1s")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("GET /drip?n=100&ms=50 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let broken = raw.response().await.unwrap_err();
    assert!(broken.starts_with("closed after"), "no end of the chunks: {broken}");
    assert_a_second(&assert_logged(&tidegate, "/drip?n=100&ms=50", 200, "UT").await);
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
        raw.send(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        let broken = raw.response().await.unwrap_err();
        assert!(broken.contains("abc"), "what came is passed on: {broken}");
        assert_a_second(&assert_logged(&tidegate, path, 200, "UT").await);
    }
}

#[tokio::test]
async fn a_stream_may_outlive_its_silence_but_not_its_idle_time() {
    let backend = Backend::start("drip").await;
    let tidegate = Tidegate::new(&to(&[backend.addr()], ", timeout: 0s, idle_timeout: 1500ms")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let drip = raw.ask("GET /drip?n=10&ms=150 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(drip.text(), "..........");
    raw.send("GET /drip?n=2&ms=4000 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(raw.response().await.is_err());
    assert_logged(&tidegate, "/drip?n=2&ms=4000", 200, "UT").await;
}
