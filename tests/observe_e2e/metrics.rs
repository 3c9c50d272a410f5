//! `/metrics`: well-formed, true, and bounded in its labels.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::web;
use crate::support::{Backend, RawClient, Tidegate, TidegateProcess, http, require_peer, until};

const BUCKETS: &str = "0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60 +Inf";

async fn text(tidegate: &TidegateProcess) -> String {
    tidegate.admin_get("/metrics").await.unwrap().1
}

#[tokio::test]
async fn they_pass_promtool() {
    let Some(promtool) = require_peer("promtool") else { return };
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(&[backend.addr()])).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    raw.ask("GET / HTTP/1.1\r\nhost: a b\r\n\r\n").await;
    let mut check = Command::new(promtool);
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = check.spawn().unwrap();
    let text = text(&tidegate).await;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}\n{text}");
    // The process collector's own names are older than the linter's taste; ours have to please it.
    let is_ours = |line: &&str| line.starts_with("tidegate_") || line.starts_with("os_");
    let ours: Vec<_> = said.lines().filter(is_ours).collect();
    assert_eq!(ours, [""; 0]);
}

#[tokio::test]
async fn they_equal_what_was_asked() {
    let backend = Backend::start("one").await;
    let live = web(&[backend.addr()]).replace(
        "routes: [",
        "routes: [ { name: fixed, match: { path: { prefix: /fixed } }, respond: { status: 403 } }, { name: no-host, match: { hosts: [ x.example ] }, redirect: { to: /y } },",
    );
    let tidegate = Tidegate::new(&live).listener("second").start().await;
    let client = http::client();
    let mut asked = [0.0; 4];
    for i in 0..120_usize {
        let path = ["/status/200", "/status/404", "/status/500", "/fixed"][i % 4];
        let listener = if i % 3 == 0 { "second" } else { "http" };
        let url = format!("http://{}{path}", tidegate.addr(listener));
        client.get(url).send().await.unwrap();
        asked[i % 4] += 1.0;
    }
    let requests = async |labels: &[&str]| tidegate.metric("tidegate_http_requests_total", labels).await;
    let mut all = 0.0;
    for _ in 0..200 {
        all = requests(&[]).await;
        if all == 120.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(all, 120.0);
    for (labels, count) in [
        (&["route=\"all\"", "cluster=\"web\"", "code_class=\"2xx\""][..], 30.0),
        (&["route=\"all\"", "code_class=\"4xx\""], 30.0),
        (&["route=\"all\"", "code_class=\"5xx\""], 30.0),
        (&["route=\"fixed\"", "cluster=\"\"", "code_class=\"4xx\""], 30.0),
        (&["listener=\"second\""], 40.0),
        (&["listener=\"http\""], 80.0),
        (&["route=\"no-host\""], 0.0),
    ] {
        assert_eq!(requests(labels).await, count, "{labels:?}");
    }
    let durations = |part: &str| format!("tidegate_http_request_duration_seconds_{part}");
    assert_eq!(tidegate.metric(&durations("count"), &["route=\"all\""]).await, 90.0);
    assert_eq!(tidegate.metric(&durations("bucket"), &["route=\"all\"", "le=\"+Inf\""]).await, 90.0);
    assert_eq!(tidegate.metric("tidegate_http_upstream_ttfb_seconds_count", &["route=\"fixed\""]).await, 0.0);
    // The endpoint's own errors carry no flag.
    assert_eq!(tidegate.metric("tidegate_http_response_flags_total", &[]).await, 0.0);
    assert_eq!(tidegate.metric("tidegate_config_generation", &[]).await, 1.0);
    assert_eq!(asked, [30.0; 4]);
}

#[tokio::test]
async fn in_flight_rises_and_falls() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(&[backend.addr()])).start().await;
    let slow = (0..7).map(|_| {
        let request = http::client().get(tidegate.url("/slow?ms=700")).send();
        tokio::spawn(async move { request.await.unwrap().status() })
    });
    let slow: Vec<_> = slow.collect();
    until(Duration::from_secs(5), "all are in flight", || backend.in_flight() == 7).await;
    let of_listener =
        async || tidegate.metric("tidegate_http_requests_in_flight", &["listener=\"http\""]).await;
    let of_endpoint =
        async || tidegate.metric("tidegate_endpoint_requests_in_flight", &["cluster=\"web\""]).await;
    assert_eq!((of_listener().await, of_endpoint().await), (7.0, 7.0));
    for one in slow {
        assert_eq!(one.await.unwrap(), 200);
    }
    for _ in 0..100 {
        if of_listener().await == 0.0 && of_endpoint().await == 0.0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} and {} are left", of_listener().await, of_endpoint().await);
}

/// Names come from the config; what clients send is in no label, whatever they send.
#[tokio::test]
async fn labels_hold_nothing_of_a_client() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&web(&[backend.addr()])).start().await;
    let before = text(&tidegate).await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    for i in 0..200 {
        let request = format!(
            "GET /needle{i}?needle HTTP/1.1\r\nhost: needle{i}.example\r\nuser-agent: needle\r\n\r\n"
        );
        assert_eq!(raw.ask(request).await.status, 200);
    }
    let after = text(&tidegate).await;
    assert!(!after.contains("needle"), "{after}");
    let names = |text: &str| text.lines().filter(|line| line.starts_with("tidegate_")).count();
    assert_eq!(names(&before), names(&after), "no series more");
    let bucket =
        |line: &str| line.split("le=\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    for family in ["tidegate_http_request_duration_seconds", "tidegate_http_upstream_ttfb_seconds"] {
        let of = after
            .lines()
            .filter(|l| l.starts_with(&format!("{family}_bucket")) && l.contains("route=\"all\""));
        assert_eq!(of.filter_map(bucket).collect::<Vec<_>>().join(" "), BUCKETS, "{family}");
    }
}
