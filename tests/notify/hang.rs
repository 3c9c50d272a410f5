//! Real hangs: what a process does that systemd is to kill.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use pingora::http::RequestHeader;
use tidegate::app::Builder;
use tidegate::filter::{Exchange, Filter, Verdict};

use super::ear::Ear;
use super::support::{Backend, RawClient, Tidegate, TidegateProcess, eventually, http, until};
use super::{SOON, live};

/// Longer than a test.
const FOR_EVER: Duration = Duration::from_secs(600);

/// What `WATCHDOG_USEC` says.
const PATIENCE: Duration = Duration::from_secs(4);

/// A filter with two bugs: it blocks the thread of a request for `/b/lock`; and once it has seen
/// another one, also whoever drops it, which is the control task after a reload.
#[derive(Default)]
struct Block(AtomicBool);

impl Filter for Block {
    fn on_request(&self, request: &mut RequestHeader, _: &mut Exchange<'_>) -> Verdict {
        match request.uri.path() {
            "/b/lock" => std::thread::sleep(FOR_EVER),
            _ => self.0.store(true, Relaxed),
        }
        Verdict::Continue
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.0.load(Relaxed) {
            std::thread::sleep(FOR_EVER);
        }
    }
}

/// Not a test: what the other tests start.
#[test]
#[ignore = "started by the other tests, as a process of its own"]
fn serve() {
    if let Some(file) = std::env::var_os("TIDEGATE_CONFIG") {
        tracing_subscriber::fmt().with_writer(std::io::stderr).init();
        let _ = Builder::file(file).filter("block", |_| Ok(Box::<Block>::default())).run();
    }
}

/// A config that uses the filter.
fn bugged(backend: &Backend) -> String {
    live(backend.addr()).replace(
        "name: slow, match: { path: { prefix: /slow } }",
        "name: bugged, match: { path: { prefix: /b } }, filters: [ { name: block } ]",
    )
}

async fn watched(ear: &Ear, backend: &Backend) -> TidegateProcess {
    let own = std::env::current_exe().unwrap();
    let live = bugged(backend);
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
        client.send("GET /b/lock HTTP/1.1\r\nhost: a\r\n\r\n").await;
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

#[tokio::test]
async fn a_blocked_control_task_is_not_called_alive() {
    let (ear, backend) = (Ear::open(), Backend::start("a").await);
    let tidegate = watched(&ear, &backend).await;
    assert_eq!(http::client().get(tidegate.url("/b")).send().await.unwrap().status(), 200);
    until(SOON, "it beats", || ear.beats().len() >= 2).await;
    tidegate.write_live(&live(backend.addr()));
    tidegate.hup();
    until(SOON, "systemd would kill it", || ear.silence() > PATIENCE).await;
    assert!(tidegate.stderr().contains("the control task does not answer"), "{}", tidegate.stderr());
    assert!(missed(&tidegate, "control").await >= 2);
    assert_eq!(missed(&tidegate, "workers").await, 0);
    // Requests go on; that is no reason to leave it so.
    assert_eq!(http::client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
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
