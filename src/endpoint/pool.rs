//! The facts about a whole cluster that outlive snapshots: what is on its way, and how many of its
//! endpoints are ejected. Atomics, as [`State`](crate::endpoint::State).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// So many retries can be saved up for, or as many as there are requests on their way if these are
/// more: an endpoint that dies takes no more of them with it.
const SAVED: u32 = 100;

/// How many requests pay for a retry by default.
const SHARE: u32 = 5;

/// The live state of one cluster.
#[derive(Debug, Default)]
pub struct Pool {
    requests: AtomicU32,
    retries: AtomicU32,
    /// Requests that pause before another try, so have no connection.
    waiting: AtomicU32,
    /// Requests that were let in and not spent on retries; see [`Pool::spend`].
    saved: AtomicU32,
    ejected: AtomicU32,
}

/// One of something, counted in a pool until it is dropped.
#[derive(Debug)]
pub struct Permit {
    pool: Arc<Pool>,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Request,
    Retry,
    Wait,
}

// === impl Pool ===

impl Pool {
    /// Requests on their way to the cluster.
    pub fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// Tries after the first on their way.
    pub fn retries(&self) -> u32 {
        self.retries.load(Relaxed)
    }

    /// Connections in use: a request on its way has one, unless it waits for its next try. (Derived, so
    /// that a request counts in one place and not in two.)
    pub fn connections(&self) -> u32 {
        self.requests().saturating_sub(self.waiting.load(Relaxed))
    }

    /// Endpoints that are ejected.
    pub fn ejected(&self) -> u32 {
        self.ejected.load(Relaxed)
    }

    /// Counts a request in, if fewer than `limit` are. None: the limit is reached.
    pub fn request(self: &Arc<Self>, limit: u32) -> Option<Permit> {
        let before = take(&self.requests, limit)?;
        // As a rule it is full, and so only read.
        if self.saved.load(Relaxed) < before.max(SAVED).saturating_mul(SHARE) {
            self.saved.fetch_add(1, Relaxed);
        }
        Some(Permit { pool: self.clone(), what: What::Request })
    }

    /// Pays for a try after the first with so many of the requests that were let in. False: there are
    /// not as many.
    pub fn spend(&self, requests: u32) -> bool {
        self.saved.fetch_update(Relaxed, Relaxed, |saved| saved.checked_sub(requests)).is_ok()
    }

    /// What was let in and not spent.
    pub fn saved(&self) -> u32 {
        self.saved.load(Relaxed)
    }

    /// Goes on from what another process has saved.
    pub fn set_saved(&self, requests: u32) {
        self.saved.store(requests.min(SAVED * SHARE), Relaxed);
    }

    /// Counts a try after the first in, if fewer than `limit` are.
    pub fn retry(self: &Arc<Self>, limit: u32) -> Option<Permit> {
        take(&self.retries, limit).map(|_| Permit { pool: self.clone(), what: What::Retry })
    }

    /// Says that a request has no connection until the permit is dropped.
    pub fn wait(self: &Arc<Self>) -> Permit {
        self.waiting.fetch_add(1, Relaxed);
        Permit { pool: self.clone(), what: What::Wait }
    }

    /// Counts one more ejected endpoint, if `allowed` says so of the number before. Two that race for
    /// the last place do not both get it.
    pub fn eject(&self, allowed: impl Fn(u32) -> bool) -> bool {
        self.ejected.fetch_update(Relaxed, Relaxed, |ejected| allowed(ejected).then_some(ejected + 1)).is_ok()
    }

    /// Takes an ejection back: it did not come about, or is over.
    pub fn spare(&self) {
        let _ = self.ejected.fetch_update(Relaxed, Relaxed, |ejected| ejected.checked_sub(1));
    }

    /// Sets how many are ejected, as the one who sees them all has counted, unless it is no longer
    /// `before`: then another was ejected while they were counted.
    pub fn recount(&self, before: u32, counted: u32) {
        let _ = self.ejected.compare_exchange(before, counted, Relaxed, Relaxed);
    }
}

/// Counts one in. The count before; None: the limit is reached.
fn take(counter: &AtomicU32, limit: u32) -> Option<u32> {
    counter.fetch_update(Relaxed, Relaxed, |count| (count < limit).then(|| count + 1)).ok()
}

// === impl Permit ===

impl Drop for Permit {
    fn drop(&mut self) {
        let counter = match self.what {
            What::Request => &self.pool.requests,
            What::Retry => &self.pool.retries,
            What::Wait => &self.pool.waiting,
        };
        counter.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_bounded_and_given_back() {
        let pool = Arc::new(Pool::default());
        let one = pool.request(2);
        let two = pool.request(2);
        assert!(one.is_some() && two.is_some() && pool.request(2).is_none());
        drop(one);
        assert_eq!(pool.requests(), 1);
        assert!(pool.request(2).is_some() && pool.retry(0).is_none());
    }

    #[test]
    fn a_request_that_waits_has_no_connection() {
        let pool = Arc::new(Pool::default());
        let _request = pool.request(1);
        assert_eq!(pool.connections(), 1);
        let wait = pool.wait();
        assert_eq!((pool.connections(), pool.requests()), (0, 1));
        drop(wait);
        assert_eq!(pool.connections(), 1);
    }

    #[test]
    fn requests_save_for_retries() {
        let pool = Arc::new(Pool::default());
        for _ in 0..9 {
            drop(pool.request(1));
        }
        assert!(pool.spend(5) && !pool.spend(5) && pool.spend(4) && !pool.spend(1));
        for _ in 0..10_000 {
            drop(pool.request(1));
        }
        assert!(pool.spend(SAVED * SHARE) && !pool.spend(1), "no more is saved");
    }

    #[test]
    fn ejections_ask_the_rule() {
        let pool = Pool::default();
        assert!(pool.eject(|ejected| ejected < 1));
        assert!(!pool.eject(|ejected| ejected < 1));
        pool.recount(0, 7);
        assert_eq!(pool.ejected(), 1, "counted before the last ejection");
        pool.recount(1, 0);
        assert!(pool.eject(|ejected| ejected < 1));
    }
}
