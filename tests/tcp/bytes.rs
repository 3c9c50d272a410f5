//! The bytes themselves: whole, in both directions, to the end of each.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::support::{RawClient, Wire, eventually};
use super::{SOON, cluster, kit, passing, talk};

#[tokio::test]
async fn a_closed_side_leaves_the_other_open_and_the_log_says_it_all() {
    let backend = Wire::start("backend").await;
    let tidegate = passing("{ cluster: c }", &[cluster("c", &[backend.addr()], "")]).await;
    // The name comes only after the end of what was sent.
    assert_eq!(talk(tidegate.addr("bytes"), b"hello ").await.unwrap(), b"hello backend");
    let line = tidegate.logged(|line| line["listener"] == "bytes").await;
    let expected = serde_json::json!({
        "protocol": "TCP", "status": 0, "client": "127.0.0.1", "cluster": "c", "attempts": 1,
        "endpoint": backend.addr().to_string(), "bytes_in": 6, "bytes_out": 13,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(line[key], *value, "{key}: {line}");
    }
    assert!(line["duration_ms"].as_f64() > Some(0.0) && line["ttfb_ms"].is_number(), "{line}");
    for (name, label, value) in [
        ("tcp_downstream_connections_total", "listener=\"bytes\"", 1.0),
        ("tcp_downstream_connections_active", "listener=\"bytes\"", 0.0),
        ("tcp_downstream_received_bytes_total", "listener=\"bytes\"", 6.0),
        ("tcp_downstream_sent_bytes_total", "listener=\"bytes\"", 13.0),
        ("tcp_upstream_sent_bytes_total", "cluster=\"c\"", 6.0),
        ("tcp_upstream_received_bytes_total", "cluster=\"c\"", 13.0),
    ] {
        let name = format!("tidegate_{name}");
        eventually(SOON, async || match tidegate.metric(&name, &[label]).await {
            seen if seen == value => Ok(()),
            seen => Err(format!("{name}: {seen}, not {value}")),
        })
        .await;
    }
}

#[tokio::test]
async fn a_hundred_megabytes_each_way_are_the_same_bytes() {
    const SIZE: usize = 100 << 20;
    let backend = Wire::start("").await;
    let tidegate = passing("{ cluster: c }", &[cluster("c", &[backend.addr()], "")]).await;
    let stream = TcpStream::connect(tidegate.addr("bytes")).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let begin = Instant::now();
    let writer = tokio::spawn(async move {
        let (mut rng, mut piece) = (fastrand::Rng::with_seed(7), vec![0; 1 << 20]);
        for _ in 0..SIZE >> 20 {
            rng.fill(&mut piece);
            write.write_all(&piece).await.unwrap();
        }
        write.shutdown().await.unwrap();
    });
    let (mut rng, mut piece, mut expected) =
        (fastrand::Rng::with_seed(7), vec![0; 1 << 20], vec![0; 1 << 20]);
    for _ in 0..SIZE >> 20 {
        read.read_exact(&mut piece).await.unwrap();
        rng.fill(&mut expected);
        assert!(piece == expected);
    }
    assert_eq!(read.read(&mut piece).await.unwrap(), 0);
    writer.await.unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    eprintln!("100 MiB there and back in {seconds:.2} s: {:.0} MiB/s each way", 100.0 / seconds);
    let line = tidegate.logged(|line| line["bytes_in"] == SIZE).await;
    assert_eq!(line["bytes_out"], SIZE);
}

#[tokio::test]
async fn nothing_moves_for_the_idle_time_and_it_ends() {
    let backend = Wire::start("backend").await;
    let tidegate = passing("{ cluster: c, idle_timeout: 1s }", &[cluster("c", &[backend.addr()], "")]).await;
    let mut client = RawClient::connect(tidegate.addr("bytes")).await;
    let begin = Instant::now();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        client.send(b"x").await;
        assert_eq!(client.read_some().await.unwrap(), b"x", "after {:?}", begin.elapsed());
    }
    let quiet = Instant::now();
    assert_eq!(client.read_some().await.unwrap_or_default(), b"");
    let waited = quiet.elapsed();
    eprintln!("idle for {waited:?} at a limit of 1 s");
    assert!((1.0..3.0).contains(&waited.as_secs_f64()), "{waited:?}");
    assert_eq!(tidegate.logged(|line| line["listener"] == "bytes").await["flags"], "UT");
}

#[tokio::test]
async fn on_a_stop_connections_live_until_the_grace_period_is_over() {
    let backend = Wire::start("backend").await;
    let clusters = [cluster("c", &[backend.addr()], "")];
    let mut tidegate = kit("{ cluster: c }", &clusters).server("grace_period: 3s").start().await;
    let mut client = RawClient::connect(tidegate.addr("bytes")).await;
    client.send(b"a").await;
    assert_eq!(client.read_some().await.unwrap(), b"a");
    let begin = Instant::now();
    tidegate.term();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    client.send(b"b").await;
    assert_eq!(client.read_some().await.unwrap(), b"b", "it goes on while the process drains");
    tidegate.exited(SOON).await;
    let lived = begin.elapsed();
    assert!((2.5..6.0).contains(&lived.as_secs_f64()), "{lived:?}");

    let mut tidegate = kit("{ cluster: c }", &clusters).server("grace_period: 30s").start().await;
    let mut client = RawClient::connect(tidegate.addr("bytes")).await;
    client.send(b"a").await;
    client.read_some().await.unwrap();
    tidegate.term();
    tokio::time::sleep(Duration::from_millis(700)).await;
    drop(client);
    let begin = Instant::now();
    tidegate.exited(SOON).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "the last one was gone");
}
