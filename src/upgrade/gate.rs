//! Whether a process takes connections: what is wanted, and what is so.
//!
//! A process of its own opens its gates before it runs. One that takes over from another opens them
//! when it has the sockets, and the other shuts its own; should the new one fail, the old one's open
//! again. So a gate goes both ways, any number of times, until its sockets are closed for good.

use std::sync::Arc;

use tokio::sync::watch;

/// A switch in front of some listening sockets; clones are the same switch.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: watch::Sender<bool>,
    state: watch::Sender<State>,
}

/// What the sockets behind a gate do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody was let in yet.
    Unopened,
    /// Connections are accepted.
    Accepting,
    /// Nobody accepts; the sockets are kept, and clients wait in their queues, or another process
    /// takes them.
    Paused,
    /// The sockets are closed. This is the end.
    Closed,
}

// === impl Gate ===

impl Gate {
    /// A gate that is to be open or shut from the start.
    pub fn new(open: bool) -> Self {
        Self(Arc::new(Inner { open: watch::Sender::new(open), state: watch::Sender::new(State::Unopened) }))
    }

    /// Connections are to be accepted from now on; see [`Gate::reached`].
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// No connection is to be accepted from now on. Those that are open end as they can.
    pub fn shut(&self) {
        self.0.open.send_replace(false);
    }

    /// Whether it is to be open.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.open.subscribe()
    }

    /// What the sockets do now.
    pub fn state(&self) -> State {
        *self.0.state.borrow()
    }

    /// Waits until the sockets do that, or are closed for good.
    pub async fn reached(&self, wanted: State) -> State {
        let mut states = self.0.state.subscribe();
        let reached = states.wait_for(|state| *state == wanted || *state == State::Closed).await;
        // The sender is in `self`, so it cannot be gone.
        reached.map_or(State::Closed, |state| *state)
    }

    /// Whether nobody can come in any more, nor waits for it.
    pub fn is_quiet(&self) -> bool {
        matches!(self.state(), State::Unopened | State::Closed)
    }

    /// To be said by who accepts.
    pub fn now(&self, state: State) {
        self.0.state.send_replace(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_gate_hears_its_end_too() {
        let gate = Gate::new(false);
        assert!(gate.is_quiet() && !*gate.subscribe().borrow());
        gate.open();
        assert!(*gate.subscribe().borrow() && gate.is_quiet(), "wanted is not done");
        gate.now(State::Accepting);
        assert_eq!(gate.clone().reached(State::Accepting).await, State::Accepting);
        gate.now(State::Paused);
        assert!(!gate.is_quiet());
        gate.now(State::Closed);
        assert_eq!(gate.reached(State::Accepting).await, State::Closed);
    }
}
