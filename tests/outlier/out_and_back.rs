//! An endpoint goes out for each kind of failure, and comes back by one request.

use std::time::Duration;

use tokio::time::Instant;

use super::{ejections, gets, shown, stands, to, told};
use crate::support::{Backend, Fault, RawClient, Tidegate, TidegateProcess, http, until};

async fn pair() -> (Backend, Backend) {
    (Backend::start("bad").await, Backend::start("good").await)
}

async fn start(bad: &Backend, good: &Backend, rules: &str, route: &str) -> TidegateProcess {
    Tidegate::new(&to(&[bad.addr(), good.addr()], rules, "", route)).start().await
}

#[tokio::test]
async fn five_errors_and_it_is_out_one_request_and_it_is_back() {
    let (bad, good) = pair().await;
    bad.set_fault(Fault::Status(500));
    let tidegate = start(&bad, &good, "base_ejection: 1s", "").await;
    let statuses = gets(&tidegate, 20).await;
    assert_eq!(statuses.iter().filter(|s| **s == 500).count(), 5, "{statuses:?}");
    assert_eq!((bad.requests(), good.requests()), (5, 15));
    let out = stands(&tidegate, bad.addr(), "ejected").await;
    assert_eq!(out["state"], "ejected");
    let ask = serde_json::json!({ "url": "http://h/" });
    let (_, explained) = tidegate.admin_post("/v1/explain", &ask).await.unwrap();
    assert!(explained.contains("\"ejected for its errors\""), "{explained}");
    let clusters = ["cluster=\"web\"", "state=\"ejected\""];
    assert_eq!(tidegate.metric("tidegate_cluster_endpoints", &clusters).await, 1.0);

    // Still bad: one request finds out, and it is out for twice as long.
    stands(&tidegate, bad.addr(), "returning").await;
    let statuses = gets(&tidegate, 20).await;
    assert_eq!(statuses.iter().filter(|s| **s == 500).count(), 1, "{statuses:?}");
    assert_eq!(bad.requests(), 6);
    let out = stands(&tidegate, bad.addr(), "ejected").await;
    let begin = Instant::now();
    // The task that dates it may not have looked yet.
    until(Duration::from_secs(1), "two ejections", || told(&tidegate, bad.addr(), "endpoint ejected") == 2)
        .await;
    assert_eq!(out["standing_why"], "consecutive_errors; the last was an answer of 500 or more");
    stands(&tidegate, bad.addr(), "returning").await;
    let took = begin.elapsed();
    assert!((1700..2600).contains(&took.as_millis()), "{took:?} of 2 s");

    // Mended: one request goes there first, and then its share does.
    bad.set_fault(Fault::Delay(Duration::from_millis(300)));
    let before = bad.requests();
    let client = http::client();
    let many = futures::future::join_all((0..20).map(|_| client.get(tidegate.url("/x")).send())).await;
    assert!(many.iter().all(|answer| answer.as_ref().unwrap().status() == 200));
    assert_eq!(bad.requests() - before, 1, "one trial, and nobody else until it is over");
    bad.set_fault(Fault::None);
    stands(&tidegate, bad.addr(), "in").await;
    assert_eq!(gets(&tidegate, 20).await, [200; 20]);
    assert_eq!(bad.requests() - before, 11, "its full share");

    assert_eq!(ejections(&tidegate, "consecutive_errors").await, 2.0);
    assert_eq!(shown(&tidegate, bad.addr()).await["ejections"], 2);
    for (what, times) in [("endpoint ejected", 2), ("endpoint returning", 2), ("endpoint back in", 1)] {
        until(Duration::from_secs(1), what, || told(&tidegate, bad.addr(), what) == times).await;
    }
    assert_eq!(told(&tidegate, good.addr(), "endpoint "), 0);
}

/// Faults that a GET does not feel, since it is tried once more elsewhere.
#[tokio::test]
async fn resets_and_refusals_eject_and_fail_no_get() {
    for fault in
        [Some(Fault::ResetBeforeAnswer), Some(Fault::CloseBeforeAnswer), Some(Fault::ResetOnAccept), None]
    {
        let (mut bad, good) = pair().await;
        match fault {
            Some(fault) => bad.set_fault(fault),
            None => bad.kill().await,
        }
        let tidegate = start(&bad, &good, "base_ejection: 10s", "").await;
        assert_eq!(gets(&tidegate, 30).await, [200; 30], "{fault:?}");
        let out = stands(&tidegate, bad.addr(), "ejected").await;
        let why = out["standing_why"].as_str().unwrap();
        // A reset at once may be seen by the connect or by the request.
        let fits = match fault {
            None => why.contains("could not be opened"),
            Some(Fault::ResetOnAccept) => why.contains("could not be opened") || why.contains("that broke"),
            Some(_) => why.contains("that broke"),
        };
        assert!(fits, "{why}");
        let retries = tidegate.metric("tidegate_retries_total", &["result=\"success\""]).await;
        assert_eq!(retries, 5.0, "{fault:?}: each try counts for itself");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_ejects() {
    let (bad, good) = pair().await;
    bad.set_fault(Fault::CloseInBody);
    let tidegate = start(&bad, &good, "base_ejection: 1s", "").await;
    let client = http::client();
    let broken = async || {
        let mut broken = 0;
        for _ in 0..20 {
            let answer = client.get(tidegate.url("/x")).send().await.unwrap();
            broken += u32::from(answer.bytes().await.is_err());
        }
        broken
    };
    assert_eq!(broken().await, 5);
    stands(&tidegate, bad.addr(), "ejected").await;
    stands(&tidegate, bad.addr(), "returning").await;
    // The header of its trial is good, but one failure is enough now.
    assert_eq!(broken().await, 1);
    stands(&tidegate, bad.addr(), "ejected").await;
}

#[tokio::test]
async fn hanging_ejects() {
    for (client, method) in [
        (http::client(), reqwest::Method::GET),
        (http::client(), reqwest::Method::POST),
        (http::h2c_client(), reqwest::Method::GET),
        (http::h2c_client(), reqwest::Method::POST),
    ] {
        let (bad, good) = pair().await;
        bad.set_fault(Fault::Hang);
        let tidegate = start(&bad, &good, "consecutive_errors: 3", ", timeout: 1s").await;
        let ask = || client.request(method.clone(), tidegate.url("/x")).send();
        let many = futures::future::join_all((0..6).map(|_| ask())).await;
        let late = many.iter().filter(|answer| answer.as_ref().unwrap().status() == 504).count();
        assert_eq!(late, 3);
        let out = stands(&tidegate, bad.addr(), "ejected").await;
        assert!(out["standing_why"].as_str().unwrap().contains("no answer in time"), "{out}");
        assert_eq!(gets(&tidegate, 10).await, [200; 10]);
    }
}

#[tokio::test]
async fn a_client_of_http_2_counts_as_any_other() {
    let (bad, good) = pair().await;
    bad.set_fault(Fault::Status(503));
    let tidegate = start(&bad, &good, "", "").await;
    let client = http::h2c_client();
    let mut failed = 0;
    for _ in 0..20 {
        let status = client.get(tidegate.url("/x")).send().await.unwrap().status();
        failed += u32::from(status == 503);
    }
    assert_eq!(failed, 5);
    stands(&tidegate, bad.addr(), "ejected").await;
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_failure_and_no_success() {
    let (bad, good) = pair().await;
    let tidegate = start(&bad, &good, "base_ejection: 1s", "").await;
    bad.set_fault(Fault::Hang);
    good.set_fault(Fault::Hang);
    for _ in 0..20 {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        let before = bad.requests() + good.requests();
        raw.send("GET /x HTTP/1.1\r\nhost: h\r\n\r\n").await;
        until(Duration::from_secs(5), "it has arrived", || bad.requests() + good.requests() > before).await;
    }
    until(Duration::from_secs(5), "all are gone", || bad.in_flight() + good.in_flight() == 0).await;
    assert_eq!(shown(&tidegate, bad.addr()).await["standing"], "in");

    // A trial whose client goes away is left to the next request.
    bad.set_fault(Fault::Status(500));
    good.set_fault(Fault::None);
    gets(&tidegate, 20).await;
    stands(&tidegate, bad.addr(), "ejected").await;
    stands(&tidegate, bad.addr(), "returning").await;
    bad.set_fault(Fault::Hang);
    let before = bad.requests();
    while bad.requests() == before {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        let arrived = bad.requests() + good.requests();
        raw.send("GET /x HTTP/1.1\r\nhost: h\r\n\r\n").await;
        until(Duration::from_secs(5), "arrived", || bad.requests() + good.requests() > arrived).await;
    }
    stands(&tidegate, bad.addr(), "returning").await;
    bad.set_fault(Fault::None);
    assert_eq!(gets(&tidegate, 4).await, [200; 4]);
    stands(&tidegate, bad.addr(), "in").await;
}

/// As clients are that are less patient than the route.
#[tokio::test]
async fn clients_that_wait_long_and_go_away_eject() {
    for client in [http::client(), http::h2c_client()] {
        let (bad, good) = pair().await;
        let tidegate = start(&bad, &good, "base_ejection: 1s", ", timeout: 1s").await;
        bad.set_fault(Fault::Hang);
        let mut gave_up = 0;
        let mut ask = async |patience: u64, method: reqwest::Method| {
            let ask = client.request(method, tidegate.url("/x")).timeout(Duration::from_millis(patience));
            let answer = ask.body("x").send().await;
            gave_up += u32::from(answer.is_err_and(|error| error.is_timeout()));
            gave_up
        };
        // Far from half of the route's second: nobody's failure.
        while ask(100, reqwest::Method::POST).await < 6 {}
        assert_eq!(shown(&tidegate, bad.addr()).await["standing"], "in");
        while ask(700, reqwest::Method::POST).await < 11 {}
        let out = stands(&tidegate, bad.addr(), "ejected").await;
        assert!(out["standing_why"].as_str().unwrap().contains("no answer in time"), "{out}");
        assert_eq!(gets(&tidegate, 10).await, [200; 10]);
        // A trial is over in the same way, and is not left to the next client.
        stands(&tidegate, bad.addr(), "returning").await;
        while ask(700, reqwest::Method::GET).await < 12 {}
        stands(&tidegate, bad.addr(), "ejected").await;
    }
}
