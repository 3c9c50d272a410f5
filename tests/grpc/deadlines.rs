//! `grpc-timeout` and the route's `timeout`: the earlier one ends the call.

use serde_json::json;

use super::peers::{Server, call, grpcio};
use super::to;
use crate::support::{Tidegate, curl};

#[tokio::test]
async fn the_routes_timeout_ends_a_call_as_deadline_exceeded() {
    if !grpcio() {
        return;
    }
    let server = Server::start().await;
    let tidegate = Tidegate::new(&to(&[server.port], "", "timeout: 700ms")).start().await;
    let silent = call(&tidegate, &["hang", ""]).await;
    assert_eq!((&silent["code"], &silent["got"]), (&json!("DEADLINE_EXCEEDED"), &json!([])), "{silent}");
    assert_eq!(silent["details"], "upstream did not answer in time");
    assert!(silent["seconds"].as_f64().unwrap() < 3.0, "{silent}");
    server.sees("the cancel", |seen| seen["cancelled"] == 1).await;
    // A stream that has begun gets the trailers that the server did not send.
    let begun = call(&tidegate, &["count", "100 100"]).await;
    assert_eq!(begun["code"], "DEADLINE_EXCEEDED", "{begun}");
    let got = begun["got"].as_array().unwrap().len();
    assert!((3..=12).contains(&got), "{begun}");
    let line = tidegate.logged(|line| line["path"] == "/t.T/Count").await;
    assert_eq!((&line["grpc_status"], &line["flags"]), (&json!(4), &json!("UT")), "{line}");
}

#[tokio::test]
async fn without_a_timeout_the_caller_alone_decides() {
    if !grpcio() {
        return;
    }
    let server = Server::start().await;
    let tidegate = Tidegate::new(&to(&[server.port], "", "timeout: 0s")).start().await;
    let long = call(&tidegate, &["count", "18 1000"]).await;
    assert_eq!((&long["code"], long["got"].as_array().unwrap().len()), (&json!("OK"), 18), "not cut at 15 s");
    let short = call(&tidegate, &["count", "100 100", "0.5"]).await;
    assert_eq!(short["code"], "DEADLINE_EXCEEDED");
    let seen = server.seen().await;
    assert!(seen["remaining"].as_f64().unwrap() <= 0.5, "{seen}");
}

/// A caller that does not cancel itself: only the header says how long.
#[tokio::test]
async fn the_callers_deadline_is_kept_for_it_and_not_held_against_the_endpoint() {
    if !grpcio() {
        return;
    }
    let server = Server::start().await;
    let outlier =
        "outlier_detection: { consecutive_errors: 1, base_ejection: 60s, max_ejected_percent: 100 }";
    let other = Server::start().await;
    let tidegate = Tidegate::new(&to(&[server.port, other.port], outlier, "timeout: 5s")).start().await;
    let ask = async |timeout: &str| {
        let timeout = format!("grpc-timeout: {timeout}");
        let url = tidegate.url("/t.T/Hang");
        let headers = ["content-type: application/grpc", "te: trailers", &timeout];
        let headers = headers.iter().flat_map(|header| ["-H", *header]);
        let body = ["--http2-prior-knowledge", "--data-binary", "@tests/grpc/empty", &url];
        curl(&headers.chain(body).collect::<Vec<_>>()).await
    };
    for _ in 0..4 {
        let begin = tokio::time::Instant::now();
        let answer = ask("300m").await;
        let took = begin.elapsed().as_secs_f64();
        assert!((0.25..2.0).contains(&took), "{took} {answer:?}");
        assert!(answer.head.contains("grpc-status: 4"), "{answer:?}");
        assert_eq!(answer.status, 200);
    }
    assert_eq!(tidegate.metric("tidegate_outlier_ejections_total", &["cluster=\"t\""]).await, 0.0);
    let begin = tokio::time::Instant::now();
    let answer = ask("0n").await;
    assert!(answer.head.contains("grpc-status: 4"), "{answer:?}");
    assert!(begin.elapsed().as_secs_f64() < 1.0, "over before it begins");
}
