//! One cluster that is followed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::endpoint::{Endpoint, Reason, Standing, State};
use crate::outlier::ejection::{Change, Term};
use crate::outlier::service::Moment;
use crate::outlier::service::warmth::Warmth;
use crate::outlier::{Outlier, failure_percentage, success_rate};

/// What is known of a cluster's endpoints.
#[derive(Debug)]
pub(super) struct Watched {
    known: HashMap<SocketAddr, Known>,
    /// When the statistical rules last looked.
    judged: Instant,
    warmth: Warmth,
}

#[derive(Debug)]
struct Known {
    /// The roster's.
    state: Arc<State>,
    term: Term,
}

// === impl Watched ===

impl Watched {
    pub(super) fn new(now: Instant) -> Self {
        Self { known: HashMap::new(), judged: now, warmth: Warmth::default() }
    }

    /// Looks at each endpoint.
    pub(super) fn look(&mut self, cluster: &Cluster, at: Moment) {
        match &cluster.outlier {
            Some(outlier) => self.follow(cluster, outlier, at),
            None => self.reinstate(),
        }
        self.warmth.look(cluster, at.now);
    }

    /// Lets everybody in: nobody will look any more.
    pub(super) fn release(&mut self) {
        self.reinstate();
        self.warmth.release();
    }

    fn reinstate(&mut self) {
        for (_, known) in self.known.drain() {
            known.state.reinstate();
        }
    }

    fn follow(&mut self, cluster: &Cluster, outlier: &Outlier, at: Moment) {
        if at.now.saturating_duration_since(self.judged) >= outlier.rules.interval.0 {
            self.judged = at.now;
            judge(&cluster.endpoints, outlier);
        }
        let before = outlier.pool.ejected();
        for Endpoint { member, state, .. } in &*cluster.endpoints {
            if let Some(left) = state.sentence.take() {
                let term = Term::resume(left, &outlier.rules, at.now);
                self.known.insert(member.address, Known { state: state.clone(), term });
            }
            let out = state.standing() != Standing::In;
            let known = self.known.get_mut(&member.address);
            // Of most there is nothing to remember.
            if out && known.is_none_or(|known| !Arc::ptr_eq(&known.state, state)) {
                let term = Term::new(at.now);
                self.known.insert(member.address, Known { state: state.clone(), term });
            }
        }
        self.known.retain(|address, known| {
            let found = known.state.standing();
            if let Some(change) = known.term.look(found, &outlier.rules, at.now) {
                if let Some((from, to)) = change.decided(found) {
                    known.state.turn(from, to);
                }
                tell(cluster, outlier, *address, known, change, at);
            }
            known.state.sentence.note(known.term.times(), known.term.left(at.now));
            // Whoever else holds the state is the roster, so it may come back.
            !known.term.is_clear() && Arc::strong_count(&known.state) > 1
        });
        let out = |e: &&Endpoint| e.state.standing() != Standing::In;
        let counted = u32::try_from(cluster.endpoints.iter().filter(out).count()).unwrap_or(u32::MAX);
        if counted != before {
            outlier.pool.recount(before, counted);
        }
    }
}

/// Applies the statistical rules to what was counted since they last looked.
fn judge(endpoints: &[Endpoint], outlier: &Outlier) {
    let rules = &outlier.rules;
    if rules.success_rate.is_none() && rules.failure_percentage.is_none() {
        return;
    }
    let windows: Vec<_> = endpoints.iter().map(|e| e.state.take_window()).collect();
    let eject = |index: usize, reason| {
        let state = &endpoints[index].state;
        if state.standing() == Standing::In {
            outlier.eject(endpoints, state, reason);
        }
    };
    if let Some(rules) = &rules.success_rate {
        success_rate::outliers(rules, &windows).into_iter().for_each(|i| eject(i, Reason::SuccessRate));
    }
    if let Some(rules) = &rules.failure_percentage {
        let found = failure_percentage::outliers(rules, &windows);
        found.into_iter().for_each(|index| eject(index, Reason::FailurePercentage));
    }
}

/// Counts, dates and logs a change.
fn tell(
    cluster: &Cluster,
    outlier: &Outlier,
    address: SocketAddr,
    known: &Known,
    change: Change,
    at: Moment,
) {
    let Change { from, to, after, length } = change;
    let faults = &known.state.faults;
    faults.date(at.date);
    let (name, was, after) = (&cluster.name, from.as_str(), seconds(after));
    match (from, to) {
        (_, Standing::Ejected) => {
            let reason = faults.reason();
            faults.ejected();
            outlier.metrics.ejections[reason as usize].inc();
            let why = if from == Standing::In { reason.as_str() } else { "its trial failed" };
            let (last, times) = (faults.last().as_str(), known.term.times());
            let length = seconds(length.unwrap_or_default());
            warn!(cluster = %name, endpoint = %address, was, why, last, seconds = length, times, "endpoint ejected");
        }
        (_, Standing::Trying) => {}
        (Standing::Trying, Standing::Returning) => {
            let why = "its trial has brought no answer";
            info!(cluster = %name, endpoint = %address, was, why, after, "endpoint returning");
        }
        (_, Standing::Returning) => {
            let why = "its time is over; the next request is its trial";
            info!(cluster = %name, endpoint = %address, was, why, after, "endpoint returning");
        }
        (_, Standing::In) => {
            let why = "its trial was answered";
            info!(cluster = %name, endpoint = %address, was, why, after, "endpoint back in");
        }
    }
}

fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 10.0).round() / 10.0
}
