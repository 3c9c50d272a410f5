//! How much a listener takes, and what becomes of the rest.
//!
//! Both limits are per listener and end early: a connection that is one too many is never given to
//! an HTTP session, which is what costs memory, and a request that is one too many is never routed.
//! Both are told 503 with `retry-after`, which proxies and clients know how to treat; a connection
//! that just hangs in the kernel's queue, as HAProxy's `maxconn` leaves it, tells a client nothing.
//!
//! Places are taken by compare-and-swap, so there are never more than the limit. Idle connections
//! hold theirs until [`http1`](super::http1) ends them, and ones that never finish a header until its
//! deadline; a client that opens many therefore keeps others out for so long (no limit per client
//! is served). Where no limit is set nothing is counted here.
//!
//! To say 503 costs a moment too: the client must be heard first, since HTTP/2's preface can't be
//! answered in HTTP/1.1, and what it still sends must be read, or the kernel throws the answer away
//! (see [`linger`](super::linger)). So only [`AT_ONCE`] are told at a time, for [`PATIENCE`] at
//! most; more are closed without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::config::boot::Bounds;
use crate::observe::Metrics;
use crate::observe::metrics::Counter;

/// When the client may come again, in seconds.
pub(super) const RETRY_AFTER: &str = "1";

/// The answer to a connection that is one too many.
const ANSWER: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nx-tidegate-overloaded: true\r\nretry-after: 1\r\n\
content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\ncontent-length: 11\r\n\
connection: close\r\n\r\noverloaded\n";

/// How many connections are being turned away at a time, for each listener.
const AT_ONCE: u32 = 256;

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The limits of a listener.
#[derive(Debug)]
pub(crate) struct Limits {
    connections: Places,
    requests: Places,
    /// Connections that are being turned away.
    leaving: Places,
    connections_full: Counter,
    requests_full: Counter,
}

/// A count with an end.
#[derive(Debug)]
struct Places {
    taken: Arc<AtomicUsize>,
    /// None: nothing is counted.
    limit: Option<usize>,
}

/// One of them, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Option<Arc<AtomicUsize>>);

// === impl Limits ===

impl Limits {
    pub(super) fn new(limits: &Bounds, listener: &str, metrics: &Metrics) -> Self {
        Self {
            connections: Places::new(limits.max_connections),
            requests: Places::new(limits.max_in_flight),
            leaving: Places::new(Some(AT_ONCE)),
            connections_full: metrics.turned_away(listener, "max_connections"),
            requests_full: metrics.turned_away(listener, "max_in_flight"),
        }
    }

    /// A place for a connection. None: it is counted as turned away.
    pub(super) fn connection(&self) -> Option<Place> {
        self.connections.take().or_else(|| {
            self.connections_full.inc();
            None
        })
    }

    /// A place for a request. None: it is counted as turned away.
    pub(super) fn request(&self) -> Option<Place> {
        self.requests.take().or_else(|| {
            self.requests_full.inc();
            None
        })
    }

    /// Tells a client that there is no place for it, and closes.
    pub(super) async fn turn_away(&self, mut stream: Stream) {
        let Some(_place) = self.leaving.take() else { return };
        let tell = async {
            let mut start = [0; 3];
            let asks = stream.try_peek(&mut start).await.is_ok();
            if !asks || &start == b"PRI" {
                return;
            }
            if stream.write_all(ANSWER).await.is_err() || stream.shutdown().await.is_err() {
                return;
            }
            let mut waste = [0; 1024];
            while stream.read(&mut waste).await.is_ok_and(|length| length > 0) {}
        };
        // A client that is slower gets what it has got.
        let _ = timeout(PATIENCE, tell).await;
    }
}

// === impl Places ===

impl Places {
    fn new(limit: Option<u32>) -> Self {
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self { taken: Arc::default(), limit }
    }

    /// The next place, if there is one.
    fn take(&self) -> Option<Place> {
        let Some(limit) = self.limit else { return Some(Place(None)) };
        let more = |taken: usize| (taken < limit).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Place(Some(self.taken.clone())))
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(taken) = &self.0 {
            taken.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_places_than_the_limit() {
        let places = Places::new(Some(3));
        let rounds = || {
            for _ in 0..10_000 {
                let place = places.take();
                assert!(places.taken.load(Relaxed) <= 3);
                drop(place);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(rounds);
            }
        });
        assert_eq!(places.taken.load(Relaxed), 0, "all are given back");
        let held: Vec<_> = (0..3).map(|_| places.take().unwrap()).collect();
        assert!(places.take().is_none());
        drop(held);
        assert!(places.take().is_some());
        assert!(Places::new(None).take().is_some());
    }

    #[test]
    fn the_answer_says_its_own_length() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert!(head.contains(&format!("retry-after: {RETRY_AFTER}\r\n")));
        assert!(head.contains(&format!("{}: true\r\n", crate::proxy::error::OVERLOADED)));
    }
}
