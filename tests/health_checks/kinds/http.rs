//! The HTTP probe.

use serde_json::json;

use super::super::support::{Backend, Fault, Scripted, Step, send};
use super::{Prober, ask, nobody, says};

fn answer(body: &str) -> Vec<Step> {
    vec![send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))]
}

#[tokio::test]
async fn the_status_decides() {
    let web = Backend::start("web").await;
    let check = json!({"http": {"path": "/healthz"}});
    assert_eq!(ask(check.clone(), web.addr()).await, Ok(()));
    web.set_healthy(false);
    assert_eq!(ask(check, web.addr()).await, says("status 503, expected 200"));
    let either = json!({"http": {"path": "/status/204", "expect": [200, 204]}});
    assert_eq!(ask(either, web.addr()).await, Ok(()));
    let neither = json!({"http": {"path": "/status/404", "expect": [200, 204]}});
    assert_eq!(ask(neither, web.addr()).await, says("status 404, expected 200 or 204"));
}

#[tokio::test]
async fn the_request_is_as_written() {
    let server = Scripted::start(answer("")).await;
    assert_eq!(ask(json!({"http": {}}), server.addr).await, Ok(()));
    let check = json!({"http": {"path": "/a?b=c", "host": "web.internal:81", "method": "OPTIONS",
        "headers": {"X-Probe": "1", "User-Agent": "mine"}}, "reuse_connection": true});
    assert_eq!(ask(check, server.addr).await, Ok(()));
    let seen = server.seen();
    let has = |request: usize, line: &str| {
        let found = seen[request].lines().any(|l| l.eq_ignore_ascii_case(line));
        assert!(found, "no `{line}` in {}", seen[request]);
    };
    has(0, "GET / HTTP/1.1");
    has(0, &format!("host: {}", server.addr));
    has(0, "user-agent: tidegate-health");
    has(0, "connection: close");
    has(1, "OPTIONS /a?b=c HTTP/1.1");
    has(1, "host: web.internal:81");
    has(1, "x-probe: 1");
    has(1, "user-agent: mine");
    assert!(!seen[1].to_ascii_lowercase().contains("connection:"), "{}", seen[1]);
}

#[tokio::test]
async fn the_body_is_looked_at() {
    let server = Scripted::start(answer("all is ok here")).await;
    let check = |text: &str| json!({"http": {"body": text}});
    assert_eq!(ask(check("ok"), server.addr).await, Ok(()));
    assert_eq!(ask(check("ready"), server.addr).await, says("the body does not hold `ready`"));
    // In pieces, and with an answer before the answer.
    let chunked = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                   3\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n";
    let server = Scripted::start(vec![send(chunked)]).await;
    assert_eq!(ask(check("ready"), server.addr).await, Ok(()));
    let server = Scripted::start(answer(&"x".repeat(100_000))).await;
    let why = "the body's first 64 KiB do not hold `ok`";
    assert_eq!(ask(check("ok"), server.addr).await, says(why));
}

#[tokio::test]
async fn what_is_no_answer_is_said() {
    let check = json!({"http": {}});
    assert_eq!(ask(check.clone(), nobody()).await, says("connection refused"));
    for (steps, why) in [
        (vec![Step::Close], "the connection was closed before the answer"),
        (vec![Step::Reset], "connection reset"),
    ] {
        let server = Scripted::start(steps).await;
        assert_eq!(ask(check.clone(), server.addr).await, says(why));
    }
    let server = Scripted::start(vec![send("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Step::Close]).await;
    let why = ask(check, server.addr).await.unwrap_err();
    assert!(why.starts_with("not an HTTP answer: "), "{why}");
}

#[tokio::test]
async fn a_port_of_its_own_is_asked() {
    let web = Backend::start("web").await;
    let check = json!({"http": {"path": "/healthz"}, "port": web.port()});
    assert_eq!(ask(check, nobody()).await, Ok(()));
}

#[tokio::test]
async fn a_connection_is_kept_if_asked_for() {
    for (reuse, connections) in [(true, 1), (false, 5)] {
        let web = Backend::start("web").await;
        let prober = Prober::new(json!({"http": {"path": "/healthz"}, "reuse_connection": reuse}));
        for _ in 0..5 {
            assert_eq!(prober.ask(web.addr()).await, Ok(()));
        }
        assert_eq!(web.connections(), connections, "reuse: {reuse}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_no_failure() {
    let mut web = Backend::start("web").await;
    let prober = Prober::new(json!({"http": {"path": "/healthz"}, "reuse_connection": true}));
    for _ in 0..20 {
        assert_eq!(prober.ask(web.addr()).await, Ok(()));
        web.restart().await;
    }
    web.set_fault(Fault::CloseOnAccept);
    let why = "the connection was closed before the answer";
    let found = prober.ask(web.addr()).await;
    assert!([says(why), says("connection reset")].contains(&found), "{found:?}");
}
