//! What 10,000 clients cost that send a header byte by byte, with and without a limit of connections,
//! and whether others are served beside them. Only with `TIDEGATE_LONG=1`, and 11,000 open files
//! (`ulimit -n`): `TIDEGATE_LONG=1 cargo test --test slow_clients -- --nocapture --test-threads 1`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use self::support::probe::{Cost, long};
use self::support::{Backend, RawClient, Tidegate, eventually};

const CLIENTS: usize = 10_000;

const GET: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";

/// Sends a header that never ends, a byte every half second, until it is cut off.
async fn trickle(addr: SocketAddr, open: Arc<AtomicUsize>) {
    let Ok(mut stream) = TcpStream::connect(addr).await else { return };
    open.fetch_add(1, SeqCst);
    for byte in GET.trim_end().bytes().chain(std::iter::repeat(b'x')) {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    open.fetch_sub(1, SeqCst);
}

async fn measure(what: &str, limits: &str) -> (Cost, Cost) {
    let backend = Backend::start("a").await;
    let live = format!(
        "{limits}clusters:\n  web: {{ static: {{ endpoints: [ {{ address: '{}' }} ] }} }}\nroutes:\n  - {{ name: all, cluster: web }}\n",
        backend.addr()
    );
    let tidegate = Tidegate::new(&live).start().await;
    let addr = tidegate.addr("http");
    let mut kept = RawClient::connect(addr).await;
    assert_eq!(kept.ask(GET).await.status, 200);
    let (before, open) = (Cost::of(tidegate.pid()), Arc::<AtomicUsize>::default());
    let mut slow = tokio::task::JoinSet::new();
    let (mut most, mut worst, mut served, mut peak) = (before, Duration::ZERO, 0, 0);
    let begin = Instant::now();
    // Longer than the deadline of a header, so that all are cut off in the end.
    while begin.elapsed() < Duration::from_secs(15) {
        for _ in 0..(CLIENTS.min(250 * served + 250).saturating_sub(slow.len())) {
            slow.spawn(trickle(addr, open.clone()));
        }
        let asked = Instant::now();
        assert_eq!(kept.ask(GET).await.status, 200, "{what}");
        worst = worst.max(asked.elapsed());
        served += 1;
        let now = Cost::of(tidegate.pid());
        most = Cost { rss_kib: most.rss_kib.max(now.rss_kib), fds: most.fds.max(now.fds), ..now };
        peak = peak.max(open.load(SeqCst));
        sleep(Duration::from_millis(50)).await;
    }
    slow.shutdown().await;
    // Whoever comes after them is served.
    eventually(Duration::from_secs(15), async || {
        let mut raw = RawClient::connect(addr).await;
        raw.send(GET).await;
        raw.response().await.and_then(|a| if a.status == 200 { Ok(()) } else { Err(a.head) })
    })
    .await;
    let after = Cost::of(tidegate.pid());
    println!(
        "{what}: {peak} open at once; before {before:?}; most {most:?}; after {after:?}; another client: {served} served, worst {worst:?}"
    );
    (before, most)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_slow_clients_are_bounded_by_a_limit() {
    if !long() {
        return;
    }
    let (before, most) = measure("max_connections: 500", "limits: { max_connections: 500 }\n").await;
    // Those that were let in, those that are told there is no place, and the let in ones of the round
    // before, which linger after their 408.
    assert!(most.fds < before.fds + 500 + 256 + 500 + 50, "{before:?} {most:?}");
    assert!(most.rss_kib < before.rss_kib + 100 * 1024, "{before:?} {most:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_slow_clients_without_a_limit() {
    if !long() {
        return;
    }
    let (before, most) = measure("no limit", "").await;
    assert!(most.fds > before.fds + 9_000, "not all came in: {most:?}");
    assert!(most.rss_kib < before.rss_kib + 10_000 * 100, "over 100 KiB each: {before:?} {most:?}");
}
