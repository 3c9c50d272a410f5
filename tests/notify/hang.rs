//! Real hangs: what a process does that systemd is to kill.

use std::time::Duration;

use pingora::http::RequestHeader;
use tidegate::app::Builder;
use tidegate::filter::{Exchange, Filter, Verdict};

use super::ear::Ear;
use super::support::{Backend, RawClient, Tidegate, TidegateProcess, eventually, http, until};
use super::{SOON, live};

/// `WATCHDOG_USEC`, in seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// A filter with a bug: it blocks the thread.
struct Block;

impl Filter for Block {
    fn on_request(&self, _: &mut RequestHeader, _: &mut Exchange<'_>) -> Verdict {
        std::thread::sleep(Duration::from_secs(600));
        Verdict::Continue
    }
}

/// Not a test: what the other tests start.
#[test]
#[ignore = "started by the other tests, as a process of its own"]
fn serve() {
    if let Some(file) = std::env::var_os("TIDEGATE_CONFIG") {
        let _ = Builder::file(file).filter("block", |_| Ok(Box::new(Block))).run();
    }
}

async fn watched(ear: &Ear, backend: &Backend) -> TidegateProcess {
    let own = std::env::current_exe().unwrap();
    let live = live(backend.addr())
        .replace("prefix: /slow } }, ", "prefix: /block } }, filters: [ { name: block } ], ");
    let usec = PATIENCE.as_micros().to_string();
    Tidegate::new(&live)
        .program(own, &["--exact", "hang::serve", "--ignored", "--nocapture"])
        .env("NOTIFY_SOCKET", &ear.path())
        .env("WATCHDOG_USEC", &usec)
        .start()
        .await
}

/// Metrics are read from the admin API, whose runtime does not hang.
async fn missed(tidegate: &TidegateProcess, part: &str) -> u64 {
    let (_, page) = tidegate.admin_get("/metrics").await.unwrap();
    let name = format!("tidegate_watchdog_missed_total{{part=\"{part}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{page}"));
    value.parse().unwrap()
}

#[tokio::test]
async fn blocked_workers_are_not_called_alive() {
    let (ear, backend) = (Ear::open(), Backend::start("a").await);
    let tidegate = watched(&ear, &backend).await;
    assert_eq!(http::client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
    until(SOON, "three beats", || ear.beats().len() >= 3).await;
    let longest = ear.beats().windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest <= PATIENCE / 2, "{longest:?}");
    // As many as there are threads: each blocks the one that took it.
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = RawClient::connect(tidegate.addr("http")).await;
        client.send("GET /block HTTP/1.1\r\nhost: a\r\n\r\n").await;
        clients.push(client);
    }
    until(SOON, "systemd would kill it", || ear.silence() > PATIENCE).await;
    assert!(tidegate.stderr().contains("no worker thread takes up a task"), "{}", tidegate.stderr());
    assert!(missed(&tidegate, "workers").await >= 2);
    assert_eq!(missed(&tidegate, "control").await, 0);
    // Those who come now stay in the kernel's queue.
    let _late = RawClient::connect(tidegate.addr("http")).await;
    eventually(SOON, async || match missed(&tidegate, "accept").await {
        0 => Err("the listener is not said to hang"),
        _ => Ok(()),
    })
    .await;
    assert!(tidegate.stderr().contains("listener `http` takes no connections though some wait"));
}

/// Whoever is stopped for a while and goes on has not hung, though nobody was let in meanwhile.
#[tokio::test]
async fn a_process_that_was_stopped_is_alive_again() {
    let (ear, backend) = (Ear::open(), Backend::start("a").await);
    let tidegate = watched(&ear, &backend).await;
    until(SOON, "it beats", || ear.beats().len() >= 2).await;
    tidegate.signal("STOP");
    let mut waits = RawClient::connect(tidegate.addr("http")).await;
    waits.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(SOON, "systemd would kill it", || ear.silence() > PATIENCE).await;
    let before = ear.beats().len();
    tidegate.signal("CONT");
    until(SOON, "it beats again", || ear.beats().len() >= before + 3).await;
    assert_eq!(waits.response().await.unwrap().status, 200);
    for part in ["control", "workers", "accept"] {
        assert_eq!(missed(&tidegate, part).await, 0, "{part}: {}", tidegate.stderr());
    }
}
