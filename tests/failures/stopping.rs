//! The end of the process: SIGTERM drains, SIGINT does not wait, a second SIGTERM hurries.

use std::time::Duration;

use tokio::time::Instant;

use super::to;
use crate::support::{Backend, Load, RawClient, Tidegate, TidegateProcess, eventually, http, until};

const SOON: Duration = Duration::from_secs(5);

async fn with_a_slow_request(
    grace: &str,
    path: &'static str,
) -> (Backend, TidegateProcess, tokio::task::JoinHandle<Option<u16>>) {
    let backend = Backend::start("slow").await;
    let tidegate =
        Tidegate::new(&to(&[backend.addr()], "")).server(&format!("grace_period: {grace}")).start().await;
    let request = http::client().get(tidegate.url(path)).send();
    let asked = tokio::spawn(async move { request.await.ok().map(|response| response.status().as_u16()) });
    until(SOON, "it is in flight", || backend.in_flight() == 1).await;
    (backend, tidegate, asked)
}

#[tokio::test]
async fn sigterm_lets_requests_finish_and_ends_at_once_then() {
    let (_backend, mut tidegate, asked) = with_a_slow_request("20s", "/slow?ms=1500").await;
    let begin = Instant::now();
    tidegate.term();
    let addr = tidegate.addr("http");
    eventually(SOON, async || match tidegate.admin_get("/ready").await {
        Ok((503, text)) if text.contains("draining") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    eventually(SOON, async || match tokio::net::TcpStream::connect(addr).await {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(!asked.is_finished());
    assert_eq!(asked.await.unwrap(), Some(200));
    let status = tidegate.exited(SOON).await;
    assert_eq!(status.code(), Some(0));
    let took = begin.elapsed().as_millis();
    assert!((1000..2500).contains(&took), "{took} ms: as soon as the request is done");
    let log = tidegate.access_log();
    assert!(log.iter().any(|line| line["path"] == "/slow?ms=1500" && line["status"] == 200), "{log:?}");
    assert!(tidegate.serving_pid().is_none(), "the pid file is gone");
}

#[tokio::test]
async fn sigterm_closes_kept_connections_as_they_answer() {
    let (_backend, mut tidegate, asked) = with_a_slow_request("20s", "/slow?ms=700").await;
    let mut kept = RawClient::connect(tidegate.addr("http")).await;
    kept.send("GET /slow?ms=600 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    until(SOON, "both are in flight", || _backend.in_flight() == 2).await;
    let mut idle = RawClient::connect(tidegate.addr("http")).await;
    assert_eq!(idle.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 200);
    tidegate.term();
    assert!(idle.closed().await, "an idle one is closed");
    assert_eq!(kept.response().await.unwrap().status, 200);
    assert!(kept.closed().await);
    assert_eq!(asked.await.unwrap(), Some(200));
    assert_eq!(tidegate.exited(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn the_grace_period_is_the_end() {
    let (_backend, mut tidegate, asked) = with_a_slow_request("1s", "/slow?ms=20000").await;
    let begin = Instant::now();
    tidegate.term();
    let status = tidegate.exited(SOON).await;
    let took = begin.elapsed().as_millis();
    assert!((900..2500).contains(&took), "{took} ms");
    assert_eq!((status.code(), asked.await.unwrap()), (Some(0), None));
}

#[tokio::test]
async fn sigint_does_not_wait() {
    let (_backend, mut tidegate, asked) = with_a_slow_request("20s", "/slow?ms=20000").await;
    let begin = Instant::now();
    tidegate.signal("INT");
    let status = tidegate.exited(SOON).await;
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!((status.code(), asked.await.unwrap()), (Some(0), None));
}

#[tokio::test]
async fn a_second_sigterm_hurries() {
    let (_backend, mut tidegate, asked) = with_a_slow_request("20s", "/slow?ms=20000").await;
    tidegate.term();
    eventually(SOON, async || match tidegate.admin_get("/ready").await {
        Ok((503, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    tidegate.term();
    let status = tidegate.exited(Duration::from_secs(2)).await;
    assert_eq!((status.code(), asked.await.unwrap()), (Some(0), None));
}

/// Every answer that was begun is whole; who asks after that finds the door shut, which is not
/// counted here.
#[tokio::test]
async fn nothing_is_cut_under_load() {
    let backend = Backend::start("one").await;
    let mut tidegate = Tidegate::new(&to(&[backend.addr()], "")).start().await;
    let load = Load::new(tidegate.addr("http")).path("/slow?ms=20").connections(8);
    let (report, ()) = load
        .during(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            tidegate.term();
            tidegate.exited(SOON).await;
        })
        .await;
    assert!(report.ok > 50, "{report:?}");
    let cut: Vec<_> = report.failures.keys().filter(|why| !why.starts_with("connect: ")).collect();
    assert!(cut.is_empty(), "{report:?}");
}
