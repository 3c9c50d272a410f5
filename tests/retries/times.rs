//! The time of a try, and of all of them.

use std::time::Duration;

use super::{retries, to};
use crate::support::{Backend, Fault, RawClient, Scripted, Step, Tidegate, curl, http, send};

const TRY: &str = "timeout: 2s, retry: { on: [ timeout ], per_try_timeout: 300ms }";

fn took(line: &serde_json::Value) -> f64 {
    line["duration_ms"].as_f64().unwrap()
}

#[tokio::test]
async fn one_that_hangs_costs_one_try() {
    let (hangs, good) = (Backend::start("hangs").await, Backend::start("good").await);
    hangs.set_fault(Fault::Hang);
    let tidegate = Tidegate::new(&to(&[hangs.addr(), good.addr()], "", TRY)).start().await;
    for i in 0..4 {
        let got = http::client().get(tidegate.url(&format!("/g{i}"))).send().await.unwrap();
        assert_eq!((got.status().as_u16(), got.text().await.unwrap().as_str()), (200, "good"));
    }
    assert_eq!((hangs.requests(), good.requests()), (2, 4));
    let line = tidegate.logged(|line| line["attempts"] == 2).await;
    assert!((300.0..700.0).contains(&took(&line)) && line["flags"] == "", "{line}");
    // With a body, which is sent again.
    for _ in 0..2 {
        let sent = http::client().put(tidegate.url("/echo")).body("b".repeat(20_000)).send().await.unwrap();
        assert_eq!(sent.json::<serde_json::Value>().await.unwrap()["body_length"], 20_000);
    }
    // Over HTTP/2 as well.
    for _ in 0..2 {
        let got = curl(&["--http2-prior-knowledge", &tidegate.url("/h2")]).await;
        assert_eq!((got.status, got.text().as_str()), (200, "good"), "{got:?}");
    }
    assert_eq!(hangs.requests(), 4);
    // One that may have arrived stays a failure.
    let mut late = 0;
    for _ in 0..2 {
        let sent = http::client().post(tidegate.url("/post")).body("b").send().await.unwrap();
        late += u32::from(sent.status() == 504);
    }
    let line = tidegate.logged(|line| line["status"] == 504).await;
    assert!(late == 1 && line["flags"] == "UT" && (300.0..700.0).contains(&took(&line)), "{late} {line}");
}

#[tokio::test]
async fn the_time_of_a_try_ends_with_the_header() {
    let backend = Backend::start("slow").await;
    let tidegate = Tidegate::new(&to(&[backend.addr()], "", TRY)).start().await;
    let got = http::client().get(tidegate.url("/drip?n=3&ms=450")).send().await.unwrap();
    assert_eq!((got.status().as_u16(), got.text().await.unwrap().as_str()), (200, "..."));
    // Without it in the list it is an end of the request.
    let only = "timeout: 2s, retry: { attempts: 1, per_try_timeout: 300ms }";
    tidegate.reload(&to(&[backend.addr()], "", only)).await;
    assert_eq!(http::client().get(tidegate.url("/slow?ms=1000")).send().await.unwrap().status(), 504);
    let line = tidegate.logged(|line| line["path"] == "/slow?ms=1000").await;
    assert!(line["flags"] == "UT" && (300.0..700.0).contains(&took(&line)), "{line}");
}

/// A client may take its time for the body: the clock of a try starts when all of it was sent.
#[tokio::test]
async fn a_slow_upload_is_no_slow_try() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&to(&[backend.addr()], "", TRY)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("PUT /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 8\r\n\r\n").await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        raw.send("b").await;
    }
    let echo = raw.response().await.unwrap();
    assert_eq!((echo.status, &echo.json()["body_length"]), (200, &8.into()));
}

#[tokio::test]
async fn the_whole_request_bounds_all_tries_and_pauses() {
    let (one, two, three) =
        (Backend::start("one").await, Backend::start("two").await, Backend::start("three").await);
    for backend in [&one, &two, &three] {
        backend.set_fault(Fault::Hang);
    }
    let route = "timeout: 1s, retry: { attempts: 10, on: [ timeout ], per_try_timeout: 400ms, budget: { percent: 100, min: 10 } }";
    let tidegate = Tidegate::new(&to(&[one.addr(), two.addr(), three.addr()], "", route)).start().await;
    assert_eq!(http::client().get(tidegate.url("/")).send().await.unwrap().status(), 504);
    let line = tidegate.logged(|line| line["path"] == "/").await;
    assert!(line["flags"] == "UT" && (950.0..1300.0).contains(&took(&line)), "{line}");
    assert_eq!((line["attempts"].as_u64(), retries(&tidegate, "failure").await), (Some(3), 2.0));
    // Pauses that do not fit are not begun: the answer comes before the time is up.
    let busy = Scripted::start(vec![
        Step::Wait(Duration::from_millis(100)),
        send("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"),
    ])
    .await;
    let route = "timeout: 1s, retry: { attempts: 10, on: [ 5xx ], backoff: { base: 30s, max: 60s } }";
    tidegate.reload(&to(&[busy.addr], "", route)).await;
    assert_eq!(http::client().get(tidegate.url("/busy")).send().await.unwrap().status(), 503);
    let line = tidegate.logged(|line| line["path"] == "/busy").await;
    assert!(took(&line) < 1000.0, "{line}");
}
