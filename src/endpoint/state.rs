//! The facts about one address that outlive snapshots: atomics, written by requests and operators,
//! read by the balancer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// The live state of one (cluster, address).
///
/// All accesses are relaxed: each field is a fact on its own, and a pick that misses a change by a
/// moment is as good as one that came a moment earlier.
#[derive(Debug, Default)]
pub struct State {
    in_flight: AtomicU32,
    requests: AtomicU64,
    connect_failures: AtomicU64,
    draining: AtomicBool,
}

/// One request on its way to an endpoint. Dropping it ends the request's share of `in_flight`.
#[derive(Debug)]
pub struct Lease(Arc<State>);

// === impl State ===

impl State {
    /// Counts a request in until the lease is dropped.
    pub fn lease(self: &Arc<Self>) -> Lease {
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        Lease(self.clone())
    }

    /// Requests on their way now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Requests sent since the address was first seen.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Connections that could not be opened since the address was first seen.
    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Relaxed)
    }

    /// Counts a connection that could not be opened.
    pub fn connect_failed(&self) {
        self.connect_failures.fetch_add(1, Relaxed);
    }

    /// Whether an operator drains it: no new requests, in-flight ones finish.
    pub fn draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Sets or ends draining. Returns what it was.
    pub fn drain(&self, on: bool) -> bool {
        self.draining.swap(on, Relaxed)
    }
}

// === impl Lease ===

impl Lease {
    /// The state it counts in.
    pub fn state(&self) -> &State {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_until_it_is_dropped() {
        let state = Arc::new(State::default());
        let (a, b) = (state.lease(), state.lease());
        assert_eq!(state.in_flight(), 2);
        drop(a);
        assert_eq!(b.state().in_flight(), 1);
        drop(b);
        assert_eq!((state.in_flight(), state.requests()), (0, 2));
    }
}
