//! Clients that go away, or do not send what they said.

use std::time::Duration;

use super::{assert_logged, to};
use crate::support::{Backend, Fault, RawClient, Tidegate, http, until};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_client_that_goes_away_is_dc() {
    let backend = Backend::start("slow").await;
    backend.set_fault(Fault::Hang);
    let tidegate = Tidegate::new(&to(&[backend.addr()], "")).start().await;
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("GET /gone HTTP/1.1\r\nhost: h\r\n\r\n").await;
    until(SOON, "it is in flight", || backend.in_flight() == 1).await;
    drop(raw);
    let line = assert_logged(&tidegate, "/gone", 499, "DC").await;
    assert_eq!((&line["attempts"], &line["bytes_out"]), (&1.into(), &0.into()));
    until(SOON, "the endpoint is let go too", || backend.in_flight() == 0).await;
    assert_eq!(tidegate.metric("tidegate_http_requests_in_flight", &[]).await, 0.0);
    // In the middle of an upload.
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("POST /half HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\nhalf").await;
    until(SOON, "it is in flight", || backend.in_flight() == 1).await;
    drop(raw);
    assert_logged(&tidegate, "/half", 499, "DC").await;
    // And in the middle of the answer.
    backend.set_fault(Fault::None);
    let mut raw = RawClient::connect(tidegate.addr("http")).await;
    raw.send("GET /drip?n=1000&ms=5 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    raw.read_some().await.unwrap();
    drop(raw);
    let line = assert_logged(&tidegate, "/drip?n=1000&ms=5", 200, "DC").await;
    assert!(line["duration_ms"].as_f64().unwrap() < 4000.0, "{line}");
    assert_eq!(tidegate.metric("tidegate_http_requests_total", &["code_class=\"4xx\""]).await, 2.0);
}

#[tokio::test]
async fn an_h2_client_that_cancels_is_dc() {
    let backend = Backend::start("slow").await;
    backend.set_fault(Fault::Hang);
    let tidegate = Tidegate::new(&to(&[backend.addr()], "")).start().await;
    let client = http::h2c_client();
    let asked = tokio::spawn(client.get(tidegate.url("/cancelled")).send());
    until(SOON, "it is in flight", || backend.in_flight() == 1).await;
    asked.abort();
    assert_logged(&tidegate, "/cancelled", 499, "DC").await;
    until(SOON, "the endpoint is let go too", || backend.in_flight() == 0).await;
    backend.set_fault(Fault::None);
    // The connection goes on.
    assert_eq!(client.get(tidegate.url("/next")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_that_is_not_valid_is_the_clients_fault() {
    let backend = Backend::start("one").await;
    let tidegate = Tidegate::new(&to(&[backend.addr()], "")).start().await;
    for (path, body) in [
        ("/size", "zz\r\nabc\r\n0\r\n\r\n"),
        ("/sign", "+3\r\nabc\r\n0\r\n\r\n"),
        ("/huge", "fffffffffffffffff\r\nabc"),
        ("/end", "3\r\nabcd\r\n0\r\n\r\n"),
    ] {
        let mut raw = RawClient::connect(tidegate.addr("http")).await;
        let request = format!("POST {path} HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        let answer = raw.ask(request).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(raw.closed().await, "{path}: where the next request would begin is not known");
        let line = tidegate.logged(|line| line["path"] == path).await;
        assert_eq!((&line["status"], &line["flags"]), (&400.into(), &"DPE".into()), "{line}");
    }
    assert_eq!(http::client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
}
