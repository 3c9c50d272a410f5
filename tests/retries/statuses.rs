//! Answers that are a reason for another try.

use std::time::Duration;

use super::{ask, retries, to};
use crate::support::{Backend, Fault, Scripted, Tidegate, eventually, http, send};

const ON: &str = "retry: { attempts: 3, on: [ 5xx, too_many_requests ] }";

#[tokio::test]
async fn a_5xx_is_tried_on_another_endpoint() {
    let (bad, good) = (Backend::start("bad").await, Backend::start("good").await);
    bad.set_fault(Fault::Status(500));
    let tidegate = Tidegate::new(&to(&[bad.addr(), good.addr()], "", ON)).start().await;
    for i in 0..20 {
        let got = http::client().get(tidegate.url(&format!("/echo?{i}"))).send().await.unwrap();
        assert_eq!((got.status().as_u16(), got.headers()["x-backend"].to_str().unwrap()), (200, "good"));
        let echo: serde_json::Value = got.json().await.unwrap();
        let attempts = echo["headers"]["x-tidegate-attempts"].clone();
        assert!(attempts.is_null() || attempts == "2" || attempts == serde_json::json!(["2"]), "{attempts}");
    }
    assert_eq!((good.requests(), bad.requests()), (20, 10), "round robin: every second one");
    // Counted after the client has its answer.
    eventually(Duration::from_secs(5), async || {
        let seen = (retries(&tidegate, "success").await, retries(&tidegate, "failure").await);
        if seen == (10.0, 0.0) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    assert_eq!(tidegate.metric("tidegate_http_response_flags_total", &["route=\"all\""]).await, 0.0);
    let line = tidegate.logged(|line| line["attempts"] == 2).await;
    assert_eq!((&line["status"], &line["flags"]), (&200.into(), &"".into()), "{line}");
}

/// The endpoint learns which try it is; a client cannot pretend.
#[tokio::test]
async fn the_endpoint_is_told_which_try_it_is() {
    let tried = |head: &str| {
        head.to_lowercase().lines().find_map(|l| l.strip_prefix("x-tidegate-attempts: ").map(str::to_owned))
    };
    let refuse =
        || async { Scripted::start(vec![send("HTTP/1.1 503 No\r\ncontent-length: 3\r\n\r\nno\n")]).await };
    let (one, two, three) = (refuse().await, refuse().await, refuse().await);
    let tidegate = Tidegate::new(&to(&[one.addr, two.addr, three.addr], "", ON)).start().await;
    let got = http::client().get(tidegate.url("/")).header("x-tidegate-attempts", "9").send().await.unwrap();
    // The last try's answer is the client's, as it is.
    assert_eq!((got.status().as_u16(), got.text().await.unwrap().as_str()), (503, "no\n"));
    let mut told: Vec<_> =
        [&one, &two, &three].iter().flat_map(|s| s.seen()).map(|head| tried(&head)).collect();
    told.sort();
    assert_eq!(told, [None, Some("2".into()), Some("3".into())]);
    let line = tidegate.logged(|line| line["attempts"] == 3).await;
    assert_eq!((&line["status"], &line["flags"]), (&503.into(), &"".into()), "its own answer: no flag");
    assert_eq!((retries(&tidegate, "success").await, retries(&tidegate, "failure").await), (0.0, 2.0));
}

#[tokio::test]
async fn the_only_endpoint_is_asked_again_if_it_answered() {
    let backend = Backend::start("one").await;
    backend.set_fault(Fault::Status(500));
    let tidegate = Tidegate::new(&to(&[backend.addr()], "", ON)).start().await;
    assert_eq!(ask(&tidegate, "GET", "/").await.status, 500);
    assert_eq!(backend.requests(), 3);
    // Not if it broke off.
    let broken = Backend::start("two").await;
    broken.set_fault(Fault::ResetBeforeAnswer);
    tidegate.reload(&to(&[broken.addr()], "", "retry: { attempts: 3, on: [ reset ] }")).await;
    assert_eq!((ask(&tidegate, "GET", "/").await.status, broken.requests()), (502, 1));
}

#[tokio::test]
async fn a_post_is_answered_with_what_it_got() {
    let (bad, good) = (Backend::start("bad").await, Backend::start("good").await);
    bad.set_fault(Fault::Status(503));
    let tidegate = Tidegate::new(&to(&[bad.addr(), good.addr()], "", ON)).start().await;
    let mut failed = 0;
    for _ in 0..10 {
        failed += u32::from(ask(&tidegate, "POST", "/").await.status == 503);
    }
    assert_eq!((failed, bad.requests(), good.requests()), (5, 5, 5));
    let may = "retry: { on: [ 5xx ], non_idempotent: true }";
    tidegate.reload(&to(&[bad.addr(), good.addr()], "", may)).await;
    for i in 0..10 {
        let request = http::client().post(tidegate.url("/echo")).body("b".repeat(i * 1000));
        let got: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(got["body_length"], i * 1000);
    }
    assert_eq!((bad.requests(), good.requests()), (10, 15));
}

#[tokio::test]
async fn a_list_takes_the_place_of_the_default_one() {
    let (bad, good) = (Backend::start("bad").await, Backend::start("good").await);
    bad.set_fault(Fault::ResetBeforeAnswer);
    let only = "retry: { on: [ gateway_error ] }";
    let tidegate = Tidegate::new(&to(&[bad.addr(), good.addr()], "", only)).start().await;
    let answers = [ask(&tidegate, "GET", "/").await.status, ask(&tidegate, "GET", "/").await.status];
    assert!(answers.contains(&502) && answers.contains(&200), "{answers:?}");
    bad.set_fault(Fault::Status(500));
    let answers = [ask(&tidegate, "GET", "/").await.status, ask(&tidegate, "GET", "/").await.status];
    assert!(answers.contains(&500) && answers.contains(&200), "500 is no gateway's error: {answers:?}");
    bad.set_fault(Fault::Status(502));
    let answers = [ask(&tidegate, "GET", "/").await.status, ask(&tidegate, "GET", "/").await.status];
    assert_eq!(answers, [200, 200]);
}

#[tokio::test]
async fn a_body_that_is_too_large_to_keep_is_sent_once() {
    let (bad, good) = (Backend::start("bad").await, Backend::start("good").await);
    bad.set_fault(Fault::Status(500));
    let tidegate = Tidegate::new(&to(&[bad.addr(), good.addr()], "", ON)).start().await;
    for (length, fails) in [(60_000, false), (1_000_000, true)] {
        let mut failed = 0;
        for _ in 0..4 {
            let request = http::client().put(tidegate.url("/echo")).body("b".repeat(length));
            let got = request.send().await.unwrap();
            if got.status() == 200 {
                assert_eq!(got.json::<serde_json::Value>().await.unwrap()["body_length"], length);
            } else {
                failed += 1;
            }
        }
        assert_eq!(failed > 0, fails, "{length}: {failed}");
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_if_asked() {
    let route = "retry: { on: [ too_many_requests ], respect_retry_after: true }, timeout: 5s";
    for (after, status, least, tries) in
        [("1", 200, 1000.0, 2), ("60", 429, 0.0, 1), ("6", 429, 0.0, 1), ("soon", 200, 0.0, 2)]
    {
        let busy = format!("HTTP/1.1 429 Wait\r\nretry-after: {after}\r\ncontent-length: 0\r\n\r\n");
        let upstream = Scripted::by_head(move |head| {
            let again = head.to_lowercase().contains("x-tidegate-attempts: 2");
            vec![if again { send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") } else { send(&busy) }]
        })
        .await;
        let tidegate = Tidegate::new(&to(&[upstream.addr], "", route)).start().await;
        assert_eq!(ask(&tidegate, "GET", "/").await.status, status, "{after}");
        let line = tidegate.logged(|line| line["path"] == "/").await;
        let took = line["duration_ms"].as_f64().unwrap();
        assert!((least..least + 800.0).contains(&took) && line["attempts"] == tries, "{after}: {line}");
    }
}
