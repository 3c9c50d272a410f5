//! What a client can make us hold.

use super::frames::{Client, DATA, WINDOW, frame};
use super::start;
use crate::support::probe::Cost;
use crate::support::{Backend, Fault, until};
use std::time::Duration;

/// The limit, for 500 streams of 1 MB on one connection.
const MOST_KIB: u64 = 32 * 1024;

const STREAMS: u32 = 500;

/// Lets it settle, and says how much it holds at most meanwhile.
async fn most(pid: u32) -> u64 {
    let mut most = 0;
    for _ in 0..30 {
        most = most.max(Cost::of(pid).rss_kib);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    most
}

#[tokio::test]
async fn stalled_answers_hold_little() {
    let backend = Backend::start("a").await;
    let large = u32::MAX >> 1;
    // Closed windows, and open ones with a socket that nobody reads.
    for (what, window) in [("windows", None), ("socket", Some(large))] {
        let tidegate = start(backend.addr(), "{ h2_max_streams: 600 }").await;
        let settings: Vec<_> = window.map(|window| (4, window)).into_iter().collect();
        let mut client = Client::with_settings(tidegate.addr("http"), &settings).await;
        if let Some(window) = window {
            client.send(&frame(WINDOW, 0, 0, &(window - 65_535).to_be_bytes())).await;
        }
        client.get(1, "/a").await;
        client.outcome().await;
        let before = Cost::of(tidegate.pid()).rss_kib;
        for stream in 0..STREAMS {
            client.get(3 + 2 * stream, "/bytes?n=1000000").await;
        }
        let held = most(tidegate.pid()).await - before;
        println!("{STREAMS} stalled answers ({what}): {held} KiB above idle");
        assert!(held < MOST_KIB, "{what}: {held} KiB");
    }
}

#[tokio::test]
async fn stalled_uploads_hold_little() {
    let backend = Backend::start("a").await;
    backend.set_fault(Fault::Hang);
    let tidegate = start(backend.addr(), "{ h2_max_streams: 600 }").await;
    let mut client = Client::connect(tidegate.addr("http")).await;
    let before = Cost::of(tidegate.pid()).rss_kib;
    for stream in 0..STREAMS {
        client.post(1 + 2 * stream, "/echo").await;
    }
    until(Duration::from_secs(20), "all are there", || backend.requests() >= u64::from(STREAMS)).await;
    // As much as the windows let through.
    let mut room = 65_535_usize;
    let mut sent = 0;
    'all: for _ in 0..5 {
        for stream in 0..STREAMS {
            while room < 12_000 {
                let next = tokio::time::timeout(Duration::from_secs(2), client.wait(WINDOW)).await;
                let Ok(update) = next else { break 'all };
                let update = update.expect("the connection is open");
                if update.stream == 0 {
                    room += super::frames::code(&update.payload) as usize;
                }
            }
            client.send(&frame(DATA, 0, 1 + 2 * stream, &[0; 12_000])).await;
            (room, sent) = (room - 12_000, sent + 12_000);
        }
    }
    let held = most(tidegate.pid()).await - before;
    println!("{STREAMS} stalled uploads of which {sent} bytes were taken: {held} KiB above idle");
    assert!(held < MOST_KIB, "{held} KiB");
}
