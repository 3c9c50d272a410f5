//! How tunnels end: by either side, by idle time, by a stop.

use std::time::Duration;

use super::{OPENED, active, live, open};
use crate::support::{Scripted, Step, Tidegate, send, until};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn either_side_may_end_it_and_it_is_counted() {
    let endpoint = Scripted::start(vec![send(OPENED), Step::Echo]).await;
    let tidegate = Tidegate::new(&live(endpoint.addr, "")).start().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(open(&tidegate).await);
    }
    assert_eq!(active(&tidegate).await, 3.0);
    let mut first = clients.remove(0);
    first.send("last words").await;
    assert_eq!(first.read_some().await.unwrap(), b"last words");
    first.finish().await;
    assert!(first.closed().await);
    drop(clients);
    eventually_closed(&tidegate).await;
    let line = tidegate.logged(|line| line["bytes_in"] == 10).await;
    assert_eq!(
        (&line["status"], &line["bytes_out"], &line["flags"]),
        (&101.into(), &10.into(), &"".into()),
        "{line}"
    );
    assert_eq!(tidegate.metric("tidegate_upgraded_connections_total", &[]).await, 3.0);
}

async fn eventually_closed(tidegate: &crate::support::TidegateProcess) {
    crate::support::eventually(SOON, async || match active(tidegate).await {
        0.0 => Ok(()),
        open => Err(format!("{open} are open")),
    })
    .await;
}

#[tokio::test]
async fn the_endpoint_may_close_or_die() {
    for end in [Step::Close, Step::Reset] {
        let endpoint =
            Scripted::start(vec![send(format!("{OPENED}bye")), Step::Wait(Duration::from_millis(100)), end])
                .await;
        let tidegate = Tidegate::new(&live(endpoint.addr, "")).start().await;
        let mut client = open(&tidegate).await;
        assert_eq!(client.read_some().await.unwrap(), b"bye");
        assert!(client.closed().await);
        eventually_closed(&tidegate).await;
        assert_eq!(tidegate.logged(|line| line["path"] == "/chat").await["status"], 101);
    }
}

/// Either direction keeps it open; silence in both ends it.
#[tokio::test]
async fn silence_ends_it_and_talk_does_not() {
    let quiet = Scripted::start(vec![send(OPENED), Step::Wait(Duration::from_secs(60))]).await;
    let tidegate = Tidegate::new(&live(quiet.addr, ", idle_timeout: 1s, timeout: 1s")).start().await;
    let begun = tokio::time::Instant::now();
    let mut silent = open(&tidegate).await;
    let mut talks = open(&tidegate).await;
    let talk = async {
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            talks.send("on and on").await;
        }
    };
    let ((), closed) = tokio::join!(talk, async {
        let closed = silent.closed().await;
        (closed, begun.elapsed())
    });
    assert!(closed.0 && (1.0..3.0).contains(&closed.1.as_secs_f64()), "{closed:?}");
    assert_eq!(active(&tidegate).await, 1.0, "who talks is not idle");
    assert_eq!(tidegate.logged(|line| line["path"] == "/chat").await["flags"], "UT");
    assert!(talks.closed().await);
}

#[tokio::test]
async fn a_stop_waits_for_it_and_its_grace_period_is_the_end() {
    let endpoint = Scripted::start(vec![send(OPENED), Step::Echo]).await;
    let mut tidegate = Tidegate::new(&live(endpoint.addr, "")).server("grace_period: 3s").start().await;
    let mut client = open(&tidegate).await;
    tidegate.term();
    let begun = tokio::time::Instant::now();
    until(SOON, "it drains", || tidegate.stderr().contains("drain") || begun.elapsed().as_secs() >= 1).await;
    client.send("still here").await;
    assert_eq!(client.read_some().await.unwrap(), b"still here");
    assert!(client.closed().await);
    assert!(tidegate.exited(SOON).await.code().is_some());
    assert!((1.0..8.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
}
