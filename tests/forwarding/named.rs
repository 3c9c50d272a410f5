//! What names the way and the request: `via`, `traceparent`, `x-request-id`.

use std::time::Duration;

use super::{echo, live, values};
use crate::support::{Backend, RawClient, Tidegate, curl, until};

#[tokio::test]
async fn via_is_told_to_both_sides_and_a_loop_ends() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&live(backend.addr(), "via: true", "")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    let seen = echo(&mut client, &["via: 1.0 fred"]).await;
    assert_eq!(values(&seen, "via").join(", "), "1.0 fred, 1.1 tidegate");
    let answer = client.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!((answer.header("via"), answer.count("via")), (Some("1.1 tidegate"), 1));
    let seen = curl(&["--http2-prior-knowledge", &tidegate.url("/echo")]).await.json();
    assert_eq!(values(&seen, "via"), ["2 tidegate"]);
    let many = format!("via: {}", ["1.1 tidegate"; 10].join(", "));
    let answer = client.ask(format!("GET / HTTP/1.1\r\nhost: h\r\n{many}\r\n\r\n")).await;
    assert_eq!(answer.status, 508);

    // Back to itself: the request goes round ten times, and not for ever.
    tidegate.reload(&live(tidegate.addr("http"), "via: true", "")).await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    assert_eq!(client.ask("GET /round HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 508);
    let rounds = || tidegate.access_log().iter().filter(|line| line["path"] == "/round").count();
    until(Duration::from_secs(5), "ten rounds are logged", || rounds() >= 10).await;
    assert!(rounds() <= 11, "{}", rounds());
}

#[tokio::test]
async fn a_trace_goes_on_or_begins_and_a_retry_keeps_it() {
    let backend = Backend::start("one").await;
    let config = "traceparent: make, request_id: replace";
    let tidegate = Tidegate::new(&live(backend.addr(), config, "")).start().await;
    let mut client = RawClient::connect(tidegate.addr("http")).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let seen =
        echo(&mut client, &[&format!("traceparent: {parent}"), "tracestate: a=1", "x-request-id: mine"])
            .await;
    assert_eq!(
        (values(&seen, "traceparent"), values(&seen, "tracestate")),
        (vec![parent.to_owned()], vec!["a=1".to_owned()])
    );
    assert_eq!(values(&seen, "x-request-id")[0].len(), 36);
    let seen = echo(&mut client, &["traceparent: 00-0-0-00", "tracestate: a=1"]).await;
    let made = values(&seen, "traceparent");
    assert!(made.len() == 1 && made[0].len() == 55 && made[0].ends_with("-01"), "{made:?}");
    assert_eq!(values(&seen, "tracestate"), [""; 0]);

    tidegate.reload(&live(backend.addr(), "", "")).await;
    let long = format!("x-request-id: {}", "x".repeat(200));
    let seen = echo(&mut client, &["traceparent: 00-0-0-00", &long]).await;
    assert_eq!(
        (values(&seen, "traceparent")[0].as_str(), values(&seen, "x-request-id")[0].len()),
        ("00-0-0-00", 36)
    );
    let seen = echo(&mut client, &["x-request-id: mine"]).await;
    assert_eq!(values(&seen, "x-request-id"), ["mine"]);
}
