//! The kit tested: what the other tests believe of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use serde_json::Value;

use self::support::{Backend, Fault, Load, RawClient, Tidegate, eventually, http, ports, until};

#[tokio::test]
async fn a_backend_says_who_it_is_and_what_it_got() {
    let backend = Backend::start("one").await;
    for client in [http::client(), http::h2c_client()] {
        let url = format!("http://{}/echo?a=1", backend.addr());
        let sent = client.post(&url).header("x-test", "yes").body("12345").send().await.unwrap();
        let echo: Value = sent.json().await.unwrap();
        assert_eq!((echo["backend"].as_str(), echo["method"].as_str()), (Some("one"), Some("POST")));
        assert_eq!((echo["path"].as_str(), echo["body_length"].as_u64()), (Some("/echo?a=1"), Some(5)));
        assert_eq!(echo["headers"]["x-test"][0], "yes");
    }
    assert_eq!((backend.requests(), backend.connections(), backend.in_flight()), (2, 2, 0));
    let mut raw = RawClient::connect(backend.addr()).await;
    for (path, status, length) in
        [("/status/404", 404, 0), ("/bytes?n=70000", 200, 70_000), ("/drip?n=3&ms=1", 200, 3)]
    {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        let response = raw.send(request).await.response().await.unwrap();
        assert_eq!((response.status, response.body.len()), (status, length), "{path}");
    }
    raw.send("GET /etag HTTP/1.1\r\nhost: x\r\nif-none-match: \"one-1\"\r\n\r\n").await;
    assert_eq!(raw.response().await.unwrap().status, 304);
}

#[tokio::test]
async fn a_backend_misbehaves_when_told_to() {
    let mut backend = Backend::start("one").await;
    let ask = async |fault| {
        backend.set_fault(fault);
        let mut raw = RawClient::connect(backend.addr()).await.deadline(Duration::from_millis(500));
        raw.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.response().await
    };
    assert!(ask(Fault::CloseBeforeAnswer).await.unwrap_err().starts_with("closed"));
    assert!(ask(Fault::ResetBeforeAnswer).await.unwrap_err().contains("reset"));
    assert!(ask(Fault::ResetOnAccept).await.unwrap_err().contains("reset"));
    assert!(ask(Fault::Hang).await.unwrap_err().starts_with("nothing came"));
    assert!(ask(Fault::CloseInBody).await.unwrap_err().starts_with("closed after \"abc\""));
    assert_eq!(ask(Fault::Status(503)).await.unwrap().status, 503);
    assert_eq!(ask(Fault::None).await.unwrap().text(), "one");
    backend.kill().await;
    let refused = tokio::net::TcpStream::connect(backend.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    backend.restart().await;
    let text = http::client().get(format!("http://{}/", backend.addr())).send().await.unwrap().text().await;
    assert_eq!(text.unwrap(), "one");
}

#[tokio::test]
async fn a_stopped_backend_finishes_what_it_has_and_a_killed_one_does_not() {
    for graceful in [true, false] {
        let mut backend = Backend::start("one").await;
        let url = format!("http://{}/slow?ms=300", backend.addr());
        let asked = tokio::spawn(async move { http::client().get(url).send().await });
        until(Duration::from_secs(5), "the request is in flight", || backend.in_flight() == 1).await;
        if graceful {
            backend.stop().await;
        } else {
            backend.kill().await;
        }
        assert_eq!(asked.await.unwrap().is_ok(), graceful);
    }
}

#[tokio::test]
async fn load_counts_what_failed_and_why() {
    let mut backend = Backend::start("one").await;
    let load = Load::new(backend.addr()).connections(2);
    let report = load.run_for(Duration::from_millis(200)).await;
    report.assert_clean();
    assert_eq!(report.backends["one"], report.ok);
    let (report, ()) = load
        .during(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            backend.set_fault(Fault::Status(503));
            let failing = backend.requests();
            until(Duration::from_secs(5), "some fail", || backend.requests() > failing + 4).await;
            backend.kill().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        })
        .await;
    assert!(report.ok > 0 && report.failures["status 503"] >= 3, "{report:?}");
    assert!(report.failures.keys().any(|why| why.starts_with("connect: ")), "{report:?}");
}

#[tokio::test]
#[should_panic(expected = "last seen: still 3")]
async fn eventually_says_what_it_saw_last() {
    eventually(Duration::from_millis(50), async || Err::<(), _>("still 3")).await;
}

#[test]
fn ports_are_given_once_and_can_be_bound() {
    let all: std::collections::BTreeSet<u16> = (0..50).map(|_| ports::free_port()).collect();
    assert_eq!(all.len(), 50);
    for port in all {
        std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
}

#[tokio::test]
async fn a_config_that_is_none_does_not_start() {
    let failed = Tidegate::new("routes: {").try_start().await.err().expect("no start");
    assert!(failed.status.is_some(), "it ends by itself: {failed:?}");
}
