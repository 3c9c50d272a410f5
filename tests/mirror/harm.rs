//! A mirror that misbehaves does nothing to the real requests, and is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{
    Backend, Fault, Scripted, Tidegate, TidegateProcess, eventually, free_port, http, send, until,
};
use crate::{DEADLINE, counted, live, results};

const MIRROR: &str = ", timeout: 3s, mirror: { cluster: shadow }";

async fn start(web: &Backend, shadow: SocketAddr) -> TidegateProcess {
    Tidegate::new(&live(web.addr(), shadow, MIRROR)).start().await
}

/// Asks so often, one after the other; each answer is the real one's.
async fn ask(tidegate: &TidegateProcess, count: usize) {
    let client = http::client();
    for _ in 0..count {
        let answer = client.get(tidegate.url("/")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "web"));
    }
}

/// Every real answer has come while the mirror holds every copy.
#[tokio::test]
async fn one_that_hangs() {
    let (web, shadow) = (Backend::start("web").await, Backend::start("shadow").await);
    shadow.set_fault(Fault::Hang);
    let tidegate = start(&web, shadow.addr()).await;
    ask(&tidegate, 20).await;
    until(DEADLINE, "all copies are held", || shadow.in_flight() == 20).await;
    counted(&tidegate, "timeout", 20.0).await;
    until(DEADLINE, "the copies are given up", || shadow.in_flight() == 0).await;
    assert_eq!(tidegate.metric("tidegate_http_response_flags_total", &[]).await, 0.0);
    assert_eq!(tidegate.metric("tidegate_mirror_duration_seconds_count", &[]).await, 0.0);
}

#[tokio::test]
async fn one_that_breaks_off_or_says_no() {
    let web = Backend::start("web").await;
    for (fault, result) in [
        (Fault::CloseOnAccept, "failed"),
        (Fault::ResetOnAccept, "failed"),
        (Fault::CloseBeforeAnswer, "failed"),
        (Fault::ResetBeforeAnswer, "failed"),
        (Fault::CloseInBody, "failed"),
        (Fault::Status(500), "5xx"),
        (Fault::Status(404), "4xx"),
        (Fault::Status(302), "3xx"),
    ] {
        let shadow = Backend::start("shadow").await;
        shadow.set_fault(fault);
        let tidegate = start(&web, shadow.addr()).await;
        ask(&tidegate, 10).await;
        counted(&tidegate, result, 10.0).await;
        assert!(shadow.requests() <= 10, "{fault:?}: tried again");
        assert_eq!(tidegate.metric("tidegate_http_response_flags_total", &[]).await, 0.0);
    }
    assert_eq!(web.requests(), 80);
}

#[tokio::test]
async fn one_that_is_not_there() {
    let web = Backend::start("web").await;
    let nobody = ([127, 0, 0, 1], free_port()).into();
    let tidegate = start(&web, nobody).await;
    ask(&tidegate, 20).await;
    counted(&tidegate, "failed", 20.0).await;
    let endpoint = tidegate.admin_json("/v1/clusters/shadow").await["endpoints"][0].clone();
    assert_eq!((&endpoint["connect_failures"], &endpoint["in_flight"]), (&20.into(), &0.into()));
    let drain = format!("/v1/clusters/shadow/endpoints/{nobody}/drain");
    assert_eq!(tidegate.admin_post(&drain, &json!({})).await.unwrap().0, 200);
    ask(&tidegate, 5).await;
    eventually(DEADLINE, async || match results(&tidegate, "no_endpoint").await {
        5.0 => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test]
async fn one_that_speaks_no_http_or_never_comes_to_the_point() {
    let web = Backend::start("web").await;
    for (answer, result) in [
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "failed"),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "2xx"),
        ("HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "other"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "timeout"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "timeout"),
    ] {
        let shadow = Scripted::start(vec![send(answer)]).await;
        let tidegate = start(&web, shadow.addr).await;
        ask(&tidegate, 3).await;
        counted(&tidegate, result, 3.0).await;
    }
}

/// Of 100 MB a little over 1 MiB is read, beside what the kernel has room for.
#[tokio::test]
async fn one_that_says_too_much() {
    const SIZE: usize = 100_000_000;
    let web = Backend::start("web").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (written, closed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (wrote, ended) = (written.clone(), closed.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (wrote, ended) = (wrote.clone(), ended.clone());
            tokio::spawn(async move {
                let mut head = [0; 4096];
                assert_ne!(stream.read(&mut head).await.unwrap(), 0);
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                while let Ok(length) = stream.write(&[b'x'; 65536]).await {
                    wrote.fetch_add(length as u64, SeqCst);
                }
                ended.fetch_add(1, SeqCst);
            });
        }
    });
    let tidegate = start(&web, address).await;
    ask(&tidegate, 3).await;
    counted(&tidegate, "2xx", 3.0).await;
    until(DEADLINE, "the connections are closed", || closed.load(SeqCst) == 3).await;
    let each = written.load(SeqCst) / 3;
    assert!((1 << 20..30 << 20).contains(&each), "{each} bytes");
}

#[tokio::test]
async fn nothing_waits_for_copies_at_the_end() {
    let (web, shadow) = (Backend::start("web").await, Backend::start("shadow").await);
    shadow.set_fault(Fault::Hang);
    let config = live(web.addr(), shadow.addr(), ", timeout: 60s, mirror: { cluster: shadow }");
    let mut tidegate = Tidegate::new(&config).server("grace_period: 60s").start().await;
    ask(&tidegate, 5).await;
    until(DEADLINE, "all copies are held", || shadow.in_flight() == 5).await;
    tidegate.term();
    assert!(tidegate.exited(Duration::from_secs(10)).await.success());
}
