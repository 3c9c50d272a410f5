//! Passive detection: who is taken out for what real requests see of it.
//!
//! The request path says once for each try what became of it; [`Outlier`] counts that in the
//! endpoint's [`State`] and ejects at so many failures in a row. [`success_rate`] and
//! [`failure_percentage`] are looked at every `interval`. [`service`] follows what was ejected: it
//! dates it, and lets it return when its time is over ([`ejection`]). An endpoint that returns is
//! available to one request, its *trial*: if that fails it is out again, for longer.
//!
//! What counts:
//! - A failure is: a connection that can't be opened, one that breaks before the answer is whole, no
//!   answer in time, a status of 500 or more. All else that the endpoint answered is a success.
//! - Neither is: a client that went away, an answer of our own, and a pooled connection that broke
//!   before the answer began, since closing an idle one is the endpoint's right.
//! - But a client that went away after it had waited for half of the route's `timeout`, without so much
//!   as a header, is a failure. Envoy does not count it, and so never ejects an endpoint that hangs
//!   where all clients are less patient than the route. The bad side: an endpoint whose good answers
//!   take that long is ejected by clients who leave, if five do with no answer in between.
//! - While an endpoint is out, nothing counts but its trial. So requests that panic mode sends it, or
//!   that were on their way, neither prolong its ejection nor shorten it, and it changes hands at
//!   most once per ejection time however many fail: panic mode does not oscillate.
//! - A trial is over with the header of its answer, for the body may be a stream of hours. Should the
//!   body break, that one failure is enough to be out again, and so is any other until an answer is
//!   whole.
//!
//! At most `max_ejected_percent` of the endpoints are out, but one always may be, and never the last
//! that is available. Who returns is still out in this sense, until its trial has passed. The bad
//! side of the limit: of a cluster with more bad endpoints than that, some stay in.
//!
//! An endpoint that refuses everybody at once for their own sake (a POST that it can't parse, say,
//! answered 500) is ejected for it; that is the price of looking at statuses.

pub mod ejection;
pub mod failure_percentage;
pub mod service;
pub mod success_rate;
use std::sync::Arc;

use crate::config::live::OutlierDetection;
use crate::endpoint::{Endpoint, Failure, Lease, Pool, Reason, Standing, State};
use crate::observe::metrics::OutlierMetrics;

/// The rules of one cluster, and what they count in.
#[derive(Debug)]
pub struct Outlier {
    pub rules: OutlierDetection,
    pub pool: Arc<Pool>,
    pub metrics: OutlierMetrics,
}

/// Whether one more of `present` endpoints may be ejected, when `ejected` are.
pub fn may_eject(ejected: u32, present: usize, percent: u8) -> bool {
    let part = present * usize::from(percent.min(100)) / 100;
    let most = part.max(1).min(present.saturating_sub(1));
    (ejected as usize) < most
}

// === impl Outlier ===

impl Outlier {
    /// The header of an answer has come. True: the endpoint is back in by it.
    pub fn answered(&self, endpoints: &[Endpoint], lease: &mut Lease, status: u16) -> bool {
        if status >= 500 {
            self.failed(endpoints, lease, Failure::Status);
            return false;
        }
        lease.answer();
        if !lease.is_trial() {
            return false;
        }
        let state = lease.state();
        state.set_streak(self.rules.consecutive_errors.saturating_sub(1));
        // Returning: it took so long that another trial was admitted.
        let back =
            state.turn(Standing::Trying, Standing::In) || state.turn(Standing::Returning, Standing::In);
        if back {
            self.pool.spare();
        }
        back
    }

    /// The answer is whole.
    pub fn succeeded(&self, lease: &mut Lease) {
        let state = lease.state();
        if state.standing() == Standing::In && lease.is_answered() && lease.settle() {
            lease.state().succeeded();
        }
    }

    /// The try has failed.
    pub fn failed(&self, endpoints: &[Endpoint], lease: &mut Lease, failure: Failure) {
        if !lease.settle() {
            return;
        }
        let state = lease.state();
        let stands = |standing| state.standing() == standing;
        if lease.is_trial() && (stands(Standing::Trying) || stands(Standing::Returning)) {
            state.faults.note(failure);
            state.faults.blame(Reason::ConsecutiveErrors);
            state.failed();
            let _ = state.turn(Standing::Trying, Standing::Ejected)
                || state.turn(Standing::Returning, Standing::Ejected);
            return;
        }
        if !stands(Standing::In) {
            return;
        }
        state.faults.note(failure);
        let row = state.failed();
        let limit = self.rules.consecutive_errors;
        // Where it may not be, it is asked again after as many more: asking looks at everybody.
        if row.checked_rem(limit) == Some(0) {
            self.eject(endpoints, state, Reason::ConsecutiveErrors);
        }
    }

    /// Ejects an endpoint, if the limits allow it.
    pub fn eject(&self, endpoints: &[Endpoint], state: &State, reason: Reason) -> bool {
        let present = endpoints.iter().filter(|e| !e.withdrawn()).count();
        let is_other = |e: &&Endpoint| !std::ptr::eq(&*e.state, state);
        let is_in = |e: &Endpoint| e.available() && e.state.standing() == Standing::In;
        let percent = self.rules.max_ejected_percent;
        let allowed = endpoints.iter().filter(is_other).any(is_in)
            && self.pool.eject(|ejected| may_eject(ejected, present, percent));
        if !allowed {
            self.metrics.overflow.inc();
            return false;
        }
        state.faults.blame(reason);
        if !state.turn(Standing::In, Standing::Ejected) {
            self.pool.spare();
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests;
