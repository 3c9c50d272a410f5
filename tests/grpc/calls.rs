//! Calls that go well, of all four kinds.

use serde_json::json;

use super::peers::{Server, call, grpcio};
use super::to;
use crate::support::{Authority, Tidegate};

#[tokio::test]
async fn all_kinds_of_calls_and_what_comes_with_them() {
    if !grpcio() {
        return;
    }
    let server = Server::start().await;
    let tidegate = Tidegate::new(&to(&[server.port], "", "timeout: 0s")).start().await;
    let unary = call(&tidegate, &["echo", "hello"]).await;
    assert_eq!((&unary["answer"], &unary["code"]), (&json!("hello"), &json!("OK")), "{unary}");
    assert_eq!(
        (&unary["initial"]["x-init"], &unary["trailing"]["x-trail"]),
        (&json!("begin"), &json!("end"))
    );
    assert_eq!(unary["initial"]["x-init-bin"], json!([0, 255]));
    assert_eq!(unary["trailing"]["x-trail-bin"], json!([1, 254]), "trailers as they were");
    let seen = server.seen().await;
    assert_eq!(seen["metadata"]["x-mine"], "1");
    let remaining = seen["remaining"].as_f64().unwrap();
    assert!((15.0..=20.0).contains(&remaining), "the deadline travels along: {remaining}");

    let failed = call(&tidegate, &["echo", "fail:NOT_FOUND"]).await;
    assert_eq!((&failed["code"], &failed["details"]), (&json!("NOT_FOUND"), &json!("no good: ü 100 %")));
    assert_eq!(failed["trailing"]["x-trail"], "end");

    assert_eq!(call(&tidegate, &["collect", "0", "10", "100000", "5"]).await, json!([0, 10, 100_000, 5]));
    let count = call(&tidegate, &["count", "5 30"]).await;
    assert_eq!((&count["got"], &count["code"]), (&json!(["0", "1", "2", "3", "4"]), &json!("OK")));
    let chat = call(&tidegate, &["chat", "5"]).await;
    assert_eq!(
        (&chat["got"], &chat["code"]),
        (&json!(["re:0", "re:1", "re:2", "re:3", "re:4"]), &json!("OK"))
    );

    let code = |code: &str| format!("grpc_status=\"{code}\"");
    for (number, calls) in [("0", 4.0), ("5", 1.0), ("14", 0.0)] {
        let labels = ["route=\"calls\"", "cluster=\"t\"", &code(number)];
        assert_eq!(tidegate.metric("tidegate_grpc_requests_total", &labels).await, calls, "{number}");
    }
    let line = tidegate.logged(|line| line["grpc_status"] == 5).await;
    assert_eq!((&line["status"], &line["protocol"]), (&json!(200), &json!("HTTP/2")), "{line}");
}

#[tokio::test]
async fn messages_of_4_mb_and_hundreds_of_streams() {
    if !grpcio() {
        return;
    }
    let server = Server::start().await;
    let tidegate = Tidegate::new(&to(&[server.port], "", "")).start().await;
    let large = call(&tidegate, &["large", "4194304"]).await;
    assert_eq!(large, json!({ "same": true, "code": "OK" }));
    assert_eq!(call(&tidegate, &["many", "250"]).await, 1250);
    let peers = server.seen().await["peers"].as_array().unwrap().clone();
    let connections: std::collections::HashSet<_> = peers.iter().map(ToString::to_string).collect();
    // Calls that come while the first connection is being opened open their own.
    assert!(connections.len() <= 60, "{} connections for 251 calls", connections.len());
}

#[tokio::test]
async fn a_call_that_is_cancelled_ends_at_the_server() {
    if !grpcio() {
        return;
    }
    let server = Server::start().await;
    let tidegate = Tidegate::new(&to(&[server.port], "", "timeout: 0s")).start().await;
    let cancelled = call(&tidegate, &["cancel"]).await;
    assert_eq!((&cancelled["got"], &cancelled["code"]), (&json!(["go"]), &json!("CANCELLED")));
    server.sees("the cancel", |seen| seen["cancelled"] == 1).await;
    let line = tidegate.logged(|line| line["path"] == "/t.T/Hang").await;
    assert_eq!((&line["grpc_status"], &line["flags"]), (&json!(1), &json!("DC")), "{line}");
}

#[tokio::test]
async fn over_tls_to_the_server_it_is_the_same() {
    if !grpcio() {
        return;
    }
    let ca = Authority::new();
    let server = Server::secure(&ca.issue(&["calls.test"])).await;
    for protocol in ["http2", "auto"] {
        let tls = format!("tls: {{ sni: calls.test, ca: {} }}", ca.ca().display());
        let live = to(&[server.port], &tls, "timeout: 0s");
        let live = live.replace("protocol: http2", &format!("protocol: {protocol}"));
        let tidegate = Tidegate::new(&live).start().await;
        let unary = call(&tidegate, &["echo", "hello"]).await;
        assert_eq!(
            (&unary["answer"], &unary["trailing"]["x-trail"]),
            (&json!("hello"), &json!("end")),
            "{unary}"
        );
        assert_eq!(call(&tidegate, &["chat", "3"]).await["got"], json!(["re:0", "re:1", "re:2"]));
        assert_eq!(call(&tidegate, &["large", "4194304"]).await["same"], true);
    }
}
