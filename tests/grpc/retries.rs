//! Another try for a call that failed at once, and endpoints that are taken out for what they answer.

use serde_json::json;

use super::peers::{Server, call, grpcio};
use super::to;
use crate::support::{Tidegate, free_port};

#[tokio::test]
async fn a_status_that_is_named_is_tried_again_before_the_caller_sees_it() {
    if !grpcio() {
        return;
    }
    let server = Server::start().await;
    let retry = "retry: { attempts: 3, on: [ unavailable, resource_exhausted ] }";
    let tidegate = Tidegate::new(&to(&[server.port], "", retry)).start().await;
    let tried = call(&tidegate, &["call", "/t.T/Fail", "10", "UNAVAILABLE 2"]).await;
    assert_eq!((&tried["answer"], &tried["code"]), (&json!("fine"), &json!("OK")), "{tried}");
    assert_eq!(server.seen().await["calls"], 3);
    assert_eq!(server.seen().await["metadata"]["x-tidegate-attempts"], "3");
    let failed = call(&tidegate, &["call", "/t.T/Fail", "10", "RESOURCE_EXHAUSTED"]).await;
    assert_eq!((&failed["code"], &failed["details"]), (&json!("RESOURCE_EXHAUSTED"), &json!("at once")));
    assert_eq!(server.seen().await["calls"], 6, "three tries, and then the caller gets it");
    let other = call(&tidegate, &["call", "/t.T/Fail", "10", "INTERNAL"]).await;
    assert_eq!((&other["code"], &server.seen().await["calls"]), (&json!("INTERNAL"), &json!(7)), "not named");
    let line = tidegate.logged(|line| line["attempts"] == 3 && line["grpc_status"] == 0).await;
    assert_eq!(line["status"], 200);
}

#[tokio::test]
async fn a_call_goes_on_to_the_next_endpoint_if_one_is_dead() {
    if !grpcio() {
        return;
    }
    let server = Server::start().await;
    let tidegate = Tidegate::new(&to(&[free_port(), server.port], "", "")).start().await;
    for _ in 0..4 {
        assert_eq!(call(&tidegate, &["call", "/t.T/Echo", "10", "x"]).await["code"], "OK");
    }
}

#[tokio::test]
async fn outcomes_that_blame_the_endpoint_eject_it() {
    if !grpcio() {
        return;
    }
    let (one, two) = (Server::start().await, Server::start().await);
    let outlier = "outlier_detection: { consecutive_errors: 2, base_ejection: 60s }";
    let tidegate = Tidegate::new(&to(&[one.port, two.port], outlier, "")).start().await;
    // Neither what a caller does wrong, nor a method that is not there, in any number.
    for method in ["/t.T/Fail", "/t.T/Missing"] {
        for _ in 0..4 {
            call(&tidegate, &["call", method, "10", "INVALID_ARGUMENT"]).await;
        }
    }
    let ejections = async || tidegate.metric("tidegate_outlier_ejections_total", &["cluster=\"t\""]).await;
    assert_eq!(ejections().await, 0.0);
    // One of them among the trailers after a header, one without.
    for (method, body) in [("/t.T/Fail", "UNAVAILABLE"), ("/t.T/Echo", "fail:INTERNAL")].repeat(2) {
        call(&tidegate, &["call", method, "10", body]).await;
    }
    assert_eq!(ejections().await, 1.0);
}
