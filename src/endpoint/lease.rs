//! One request on its way to an endpoint: it counts in `in_flight`, and says once what became of it.
//!
//! A lease on an endpoint that is [`Returning`](Standing::Returning) is its *trial*: the one request
//! that finds out whether it works again. A trial that is dropped before it has said anything (the
//! client went away) leaves the question to the next request. Two picks at the very same moment may
//! both see an endpoint that returns; one of them gets the trial, and the other goes there as well.

use std::sync::Arc;

use crate::endpoint::{Standing, State};

/// One request on its way to an endpoint. Dropping it ends the request's share of `in_flight`.
#[derive(Debug)]
pub struct Lease {
    state: Arc<State>,
    trial: bool,
    answered: bool,
    settled: bool,
}

// === impl Lease ===

impl Lease {
    /// On a request that has been counted in.
    pub(super) fn new(state: Arc<State>, trial: bool) -> Self {
        Self { state, trial, answered: false, settled: false }
    }

    /// The state it counts in.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether the endpoint is on trial with this request.
    pub fn is_trial(&self) -> bool {
        self.trial
    }

    /// Notes that the header of a good answer has come.
    pub fn answer(&mut self) {
        self.answered = true;
    }

    /// Whether the header of a good answer has come.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// Takes the right to say what became of the request. False: that has been said.
    pub fn settle(&mut self) -> bool {
        !std::mem::replace(&mut self.settled, true)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.state.release();
        if self.trial && !self.settled && !self.answered {
            self.state.turn(Standing::Trying, Standing::Returning);
        }
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

    #[test]
    fn one_lease_is_the_trial_and_passes_it_on() {
        let state = Arc::new(State::default());
        assert!(!state.lease().is_trial());
        assert!(state.turn(Standing::In, Standing::Ejected) && !state.lease().is_trial());
        assert!(state.turn(Standing::Ejected, Standing::Returning));
        assert!(!state.lease_aside().is_trial());
        let (first, second) = (state.lease(), state.lease());
        assert!(first.is_trial() && !second.is_trial());
        assert_eq!(state.standing(), Standing::Trying);
        drop(second);
        assert_eq!(state.standing(), Standing::Trying);
        drop(first);
        assert_eq!(state.standing(), Standing::Returning);
        let mut third = state.lease();
        assert!(third.settle() && !third.settle());
        drop(third);
        assert_eq!(state.standing(), Standing::Trying, "who has said it changes the standing too");
    }
}
