//! What Tidegate itself has to say to a caller.

use serde_json::json;

use super::peers::{Running, Server, call, grpcio};
use super::to;
use crate::support::{Tidegate, curl, free_port};

#[tokio::test]
async fn our_own_errors_are_outcomes_of_calls() {
    if !grpcio() {
        return;
    }
    let live = format!(
        "clusters:\n  dead: {{ static: {{ endpoints: [ {{ address: '127.0.0.1:{}' }} ] }}, protocol: http2 }}\n  \
           none: {{ static: {{ endpoints: [ {{ address: '127.0.0.1:1', weight: 0 }} ] }}, protocol: http2 }}\n\
         routes:\n - {{ name: dead, match: {{ path: {{ prefix: /t.T/Dead }} }}, cluster: dead }}\n \
         - {{ name: none, match: {{ path: {{ prefix: /t.T/None }} }}, cluster: none }}\n",
        free_port()
    );
    let tidegate = Tidegate::new(&live).start().await;
    for (method, code, details, flag) in [
        ("/t.T/Dead", "UNAVAILABLE", "upstream connection failed", "UF"),
        ("/t.T/None", "UNAVAILABLE", "no healthy upstream", "UH"),
        ("/t.T/Nowhere", "UNIMPLEMENTED", "no route", "NR"),
    ] {
        let refused = call(&tidegate, &["call", method, "10"]).await;
        assert_eq!((&refused["code"], &refused["details"]), (&json!(code), &json!(details)), "{refused}");
        let line = tidegate.logged(|line| line["path"] == method).await;
        assert_eq!((&line["flags"], &line["status"]), (&json!(flag), &json!(200)), "{line}");
        assert_eq!(line["grpc_status"], if code == "UNAVAILABLE" { 14 } else { 12 });
    }
    // Others are answered as ever.
    let plain = curl(&["--http2-prior-knowledge", &tidegate.url("/t.T/Dead")]).await;
    assert_eq!(plain.status, 503);
    let unrouted = ["route=\"\"", "grpc_status=\"12\""];
    assert_eq!(tidegate.metric("tidegate_grpc_requests_total", &unrouted).await, 1.0);
}

#[tokio::test]
async fn an_endpoint_that_dies_amid_a_stream_is_unavailable() {
    if !grpcio() {
        return;
    }
    let mut server = Server::start().await;
    let tidegate = Tidegate::new(&to(&[server.port], "", "timeout: 0s")).start().await;
    let mut running = Running::start(&tidegate, &["follow", "1000 20"]);
    assert_eq!(running.line().await, "0");
    server.kill().await;
    let ended = running.result().await;
    assert_eq!(
        (&ended["code"], &ended["details"]),
        (&json!("UNAVAILABLE"), &json!("upstream closed the connection")),
        "{ended}"
    );
    let line = tidegate.logged(|line| line["path"] == "/t.T/Count").await;
    assert_eq!(
        (&line["grpc_status"], &line["flags"], &line["status"]),
        (&json!(14), &json!("UC"), &json!(200))
    );
    // The next one on the port is found again.
    let _next = Server::on(server.port).await;
    assert_eq!(call(&tidegate, &["call", "/t.T/Echo", "10", "x"]).await["code"], "OK");
}
