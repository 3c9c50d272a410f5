//! What is copied, and what the copy looks like.

use std::time::Duration;

use crate::support::{Backend, RawClient, Scripted, Step, Tidegate, curl, http, send, until};
use crate::{DEADLINE, counted, live};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The lines of a request's head, sorted.
fn head(request: &str) -> Vec<&str> {
    let mut lines: Vec<_> = request.split("\r\n\r\n").next().unwrap().lines().collect();
    lines.sort_unstable();
    lines
}

async fn both() -> (Scripted, Scripted) {
    (Scripted::start(vec![send(OK)]).await, Scripted::start(vec![send(OK)]).await)
}

#[tokio::test]
async fn the_mirror_gets_what_the_endpoint_gets_and_one_header_more() {
    let (web, shadow) = both().await;
    let keys = ", match: { path: { prefix: /api } }, rewrite: { prefix: /v2 }, host: inner.example, \
                request_headers: { set: { x-edge: '1' }, remove: [ x-secret ] }, mirror: { cluster: shadow }";
    let tidegate = Tidegate::new(&live(web.addr, shadow.addr, keys)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let request = "GET /api/a%20b?c=d&e HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9\r\nX-Secret: s\r\n\
                   Cookie: a=1\r\nconnection: x-hop\r\nx-hop: 1\r\nX-Double: 1\r\nX-Double: 2\r\n\r\n";
    assert_eq!(raw.ask(request).await.status, 200);
    until(DEADLINE, "the copy came", || shadow.seen().len() == 1).await;
    let (real, copy) = (web.seen(), shadow.seen());
    let mut expected = head(&real[0]);
    assert!(expected.contains(&"GET /v2/a%20b?c=d&e HTTP/1.1"), "{expected:?}");
    assert!(expected.iter().any(|line| line.starts_with("x-request-id: ")), "{expected:?}");
    expected.push("x-tidegate-mirror: all");
    expected.sort_unstable();
    assert_eq!(head(&copy[0]), expected);
    counted(&tidegate, "2xx", 1.0).await;
    assert_eq!(tidegate.metric("tidegate_mirror_duration_seconds_count", &["route=\"all\""]).await, 1.0);
    let lines = tidegate.access_log();
    assert_eq!(lines.len(), 1, "the copy has no line: {lines:?}");
}

#[tokio::test]
async fn only_safe_methods_unless_others_are_named() {
    let (web, shadow) = (Backend::start("web").await, Backend::start("shadow").await);
    let config = |mirror: &str| live(web.addr(), shadow.addr(), &format!(", mirror: {{ {mirror} }}"));
    let tidegate = Tidegate::new(&config("cluster: shadow")).start().await;
    let ask_all = async || {
        for method in ["POST", "GET", "PUT", "HEAD", "DELETE", "PATCH", "PURGE", "OPTIONS"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let answer = http::client().request(method, tidegate.url("/x")).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    };
    ask_all().await;
    counted(&tidegate, "2xx", 3.0).await;
    let mut seen = shadow.seen();
    seen.sort_unstable();
    assert_eq!(seen, ["GET /x", "HEAD /x", "OPTIONS /x"]);
    tidegate.reload(&config("cluster: shadow, methods: [ POST, PURGE ]")).await;
    ask_all().await;
    counted(&tidegate, "2xx", 5.0).await;
    let mut seen = shadow.seen().split_off(3);
    seen.sort_unstable();
    assert_eq!(seen, ["POST /x", "PURGE /x"]);
    assert_eq!(web.requests(), 16);
}

#[tokio::test]
async fn a_clients_mark_is_taken_off_and_marked_requests_are_not_copied() {
    let (web, shadow) = both().await;
    let tidegate = Tidegate::new(&live(web.addr, shadow.addr, ", mirror: { cluster: shadow }")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.ask("GET /marked HTTP/1.1\r\nhost: h\r\nX-Tidegate-Mirror: forged\r\n\r\n").await;
    raw.ask("GET /plain HTTP/1.1\r\nhost: h\r\n\r\n").await;
    until(DEADLINE, "the copy came", || shadow.seen().len() == 1).await;
    assert!(shadow.seen()[0].starts_with("GET /plain "));
    assert!(web.seen().iter().all(|seen| !seen.to_lowercase().contains("mirror")), "{:?}", web.seen());
    counted(&tidegate, "2xx", 1.0).await;
}

/// A route whose mirror is the proxy itself: the copy is served, and is not copied again.
#[tokio::test]
async fn a_mirror_in_a_circle_comes_to_an_end() {
    let web = Backend::start("web").await;
    let port = crate::support::free_port();
    let circle = ([127, 0, 0, 1], port).into();
    let first = Tidegate::new(&live(web.addr(), circle, ", mirror: { cluster: shadow }")).start().await;
    let config = live(web.addr(), first.addr("http"), ", mirror: { cluster: shadow }");
    let second = Tidegate::new(&config).start().await;
    let config = live(web.addr(), second.addr("http"), ", mirror: { cluster: shadow }");
    first.reload(&config).await;
    for _ in 0..5 {
        assert_eq!(http::client().get(first.url("/")).send().await.unwrap().status(), 200);
    }
    counted(&first, "2xx", 5.0).await;
    counted(&second, "2xx", 0.0).await;
    assert_eq!(web.requests(), 10);
}

#[tokio::test]
async fn upgrades_are_not_mirrored() {
    let switch = Scripted::start(vec![
        send("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
        Step::Echo,
    ])
    .await;
    let shadow = Scripted::start(vec![send(OK)]).await;
    let keys = ", mirror: { cluster: shadow }";
    let tidegate = Tidegate::new(&live(switch.addr, shadow.addr, keys)).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    let socket = "GET /ws HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    raw.send(socket).await;
    assert_eq!(raw.head().await.unwrap().status, 101);
    raw.send("ping").await;
    assert_eq!(raw.read_some().await.unwrap(), b"ping");
    // An offer that the proxy does not pass on is no upgrade.
    RawClient::connect(tidegate.addr("http"))
        .await
        .send("GET /h2c HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
        .await;
    until(DEADLINE, "the second is mirrored", || shadow.seen().len() == 1).await;
    assert!(shadow.seen()[0].starts_with("GET /h2c "), "{:?}", shadow.seen());
}

#[tokio::test]
async fn http2_requests_are_mirrored_as_they_are_sent_on() {
    let (web, shadow) = both().await;
    let keys = ", mirror: { cluster: shadow, methods: [ GET, POST ] }";
    let tidegate = Tidegate::new(&live(web.addr, shadow.addr, keys)).start().await;
    let client = http::h2c_client();
    client.get(tidegate.url("/get?a")).header("cookie", "a=1").send().await.unwrap();
    client.post(tidegate.url("/post")).body("some body").send().await.unwrap();
    let h2 = ["--http2-prior-knowledge", "-d", "more", &tidegate.url("/curl")];
    assert_eq!(curl(&h2).await.status, 200);
    until(DEADLINE, "all are mirrored", || shadow.seen().len() == 3).await;
    let host = format!("host: {}", tidegate.addr("http"));
    let mut seen = shadow.seen();
    seen.sort_unstable();
    for (copy, (line, body)) in seen.iter().zip([
        ("GET /get?a HTTP/1.1", ""),
        ("POST /curl HTTP/1.1", "more"),
        ("POST /post HTTP/1.1", "some body"),
    ]) {
        let lines = head(copy);
        assert!(lines.contains(&line), "{copy}");
        assert!(lines.iter().any(|line| line.eq_ignore_ascii_case(&host)), "{copy}");
        assert!(copy.ends_with(&format!("\r\n\r\n{body}")), "{copy}");
    }
    counted(&tidegate, "2xx", 3.0).await;
}

/// One request is one copy, however often it is tried.
#[tokio::test]
async fn a_retry_mirrors_nothing_more() {
    let broken = Scripted::start(vec![Step::Reset]).await;
    let (web, shadow) = (Backend::start("web").await, Backend::start("shadow").await);
    let second = format!("}}, {{ address: '{}' }} ] }} }}\n  shadow", web.addr());
    let config = live(broken.addr, shadow.addr(), ", mirror: { cluster: shadow }")
        .replace("} ] } }\n  shadow", &second);
    let tidegate = Tidegate::new(&config).start().await;
    for _ in 0..10 {
        assert_eq!(http::client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
    }
    assert!(!broken.seen().is_empty() && web.requests() == 10);
    counted(&tidegate, "2xx", 10.0).await;
    assert_eq!(shadow.requests(), 10);
}

#[tokio::test]
async fn the_admin_api_shows_it() {
    let (web, shadow) = both().await;
    let keys = ", mirror: { cluster: shadow, fraction: 0.25 }";
    let tidegate = Tidegate::new(&live(web.addr, shadow.addr, keys)).start().await;
    let digest = async || tidegate.admin_json("/v1/snapshot").await["digest"].clone();
    let before = digest().await;
    let shown = tidegate.admin_json("/v1/routes").await[0]["mirror"].clone();
    let expected = serde_json::json!(
        { "cluster": "shadow", "fraction": 0.25, "methods": ["GET", "HEAD", "OPTIONS"] }
    );
    assert_eq!(shown, expected);
    tidegate.reload(&live(web.addr, shadow.addr, "")).await;
    assert_eq!(tidegate.admin_json("/v1/routes").await[0]["mirror"], serde_json::Value::Null);
    assert_ne!(digest().await, before);
    // Its series go with it.
    crate::support::eventually(Duration::from_secs(5), async || {
        let page = tidegate.admin_get("/metrics").await.unwrap().1;
        if page.contains("tidegate_mirror_requests_total{") { Err("still there") } else { Ok(()) }
    })
    .await;
}
