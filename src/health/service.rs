//! The one task that probes: it follows the snapshots, says who is due, and writes what came of it.
//!
//! ```text
//! Cell --changes--> targets --new: due now--> agenda --at most 128 at once-> probes
//!                      ^                         ^                             |
//!                      |                         +------- due again -----------+
//!                      +--- verdict, states, board, log, metrics <--- outcome --+
//! ```
//!
//! All verdicts are kept and all states written by this task, so a transition is told once and
//! nothing is locked against anything. What the first probes of a cluster find is told in one line
//! ([`rounds`]). Nobody waits for it but the listeners at the very start: they
//! open when each endpoint that was known first was asked once, or after a second more than the
//! longest timeout, at most [`GATE`]. Otherwise a fresh process would spread its first requests over
//! dead endpoints.
//!
//! At most [`AT_ONCE`] probes are in flight. One that is due and finds no place waits for its turn,
//! which is not held against its endpoint. Endpoints that are down have half of the places, so where
//! hundreds of them hang until their timeout it is they who are probed less often, and not those that
//! serve. The bad side: until they are found to be down, they do hold up the others.

mod agenda;
pub mod board;
mod rounds;
mod targets;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use pingora_load_balancing::Backend;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use self::agenda::{Agenda, jittered};
use self::board::Board;
use self::rounds::Rounds;
use self::targets::{Id, Target, Targets};
use crate::cluster::Transport;
use crate::config::value::Span;
use crate::config::{Name, live};
use crate::discovery::Stop;
use crate::endpoint::Checked;
use crate::health::probe::{self, Connectors, Probe};
use crate::observe::Metrics;
use crate::snapshot::Cell;

/// Probes in flight at once, over all clusters.
pub const AT_ONCE: usize = 128;

/// Of these, probes of endpoints that are down.
const LAME: usize = AT_ONCE / 2;

/// The longest that the first probes can keep the listeners closed.
pub const GATE: Duration = Duration::from_secs(5);

/// Between two looks for what the roster has forgotten.
const SWEEP: Duration = Duration::from_secs(60);

/// The service before it runs.
pub struct Service {
    cell: Arc<Cell>,
    board: Arc<Board>,
    rng: fastrand::Rng,
    targets: Targets,
    /// All but those of the next.
    agenda: Agenda,
    /// Targets that are down.
    lame: Agenda,
    running: JoinSet<Done>,
    /// Held by each probe of a target that is down, and by this.
    limping: Arc<()>,
    first: First,
    rounds: Rounds,
}

/// How one probe ended.
#[derive(Debug)]
enum Outcome {
    Passed,
    Failed(String),
    TimedOut(Span),
}

struct Done {
    id: Id,
    begun: Instant,
    outcome: Outcome,
}

/// The first round, which the listeners wait for.
enum First {
    /// There is no snapshot yet.
    Ahead,
    Running {
        waiting: HashSet<Id>,
        latest: Instant,
    },
    Over,
}

// === impl Service ===

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Service")
    }
}

impl Service {
    /// A service that follows `cell` and probes over the network.
    pub fn new(cell: Arc<Cell>, metrics: Arc<Metrics>, board: Arc<Board>, rng: fastrand::Rng) -> Self {
        let connectors = Arc::new(Connectors::default());
        Self::with(cell, metrics, board, rng, move |check, way| probe::probe(check, way, &connectors))
    }

    /// The same with probes of one's own.
    pub fn with(
        cell: Arc<Cell>,
        metrics: Arc<Metrics>,
        board: Arc<Board>,
        rng: fastrand::Rng,
        make: impl Fn(&Arc<live::HealthCheck>, &Transport) -> Probe + Send + 'static,
    ) -> Self {
        let targets = Targets::new(metrics, board.clone(), Box::new(make));
        let (agenda, lame, running) = (Agenda::default(), Agenda::default(), JoinSet::new());
        let (first, rounds) = (First::Ahead, Rounds::default());
        let limping = Arc::default();
        Self { cell, board, rng, targets, agenda, lame, running, limping, first, rounds }
    }

    /// Probes until `stop` turns true. `started` is called once, when the first round is over.
    pub async fn run(mut self, started: impl FnOnce() + Send, mut stop: Stop) {
        let mut changes = self.cell.changes();
        let mut started = Some(started);
        let mut sweep = tokio::time::interval(SWEEP);
        self.follow();
        loop {
            let now = Instant::now();
            while let Some(id) = self.take(now) {
                self.begin(id, now);
            }
            if self.first.is_over(now)
                && let Some(started) = started.take()
            {
                self.first = First::Over;
                started();
            }
            let wake = self.next().into_iter().chain(self.first.latest()).min();
            tokio::select! {
                changed = changes.changed() => if changed.is_ok() { self.follow() } else { return },
                Some(done) = self.running.join_next() => if let Ok(done) = done { self.end(done) },
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
                _ = sweep.tick() => self.board.sweep(),
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// When the first is due that has a place.
    fn next(&self) -> Option<Instant> {
        if self.running.len() >= AT_ONCE {
            return None;
        }
        let lame = self.lame.next().filter(|_| Arc::strong_count(&self.limping) <= LAME);
        self.agenda.next().into_iter().chain(lame).min()
    }

    /// Takes it, if it is due now.
    fn take(&mut self, now: Instant) -> Option<Id> {
        let next = self.next().filter(|due| *due <= now)?;
        if self.agenda.next() == Some(next) { self.agenda.take(now) } else { self.lame.take(now) }
    }

    fn follow(&mut self) {
        let (snapshot, now) = (self.cell.load(), Instant::now());
        let fresh = self.targets.follow(&snapshot.clusters, now);
        for id in &fresh {
            self.agenda.enter(*id, now);
        }
        self.rounds.begin(&snapshot.clusters, &fresh, &mut self.targets);
        match &mut self.first {
            First::Ahead if snapshot.generation > 0 => {
                let checks = snapshot.clusters.iter().filter_map(|c| c.config.health_check.as_ref());
                let longest = checks.map(|check| check.timeout.0).max().unwrap_or_default();
                let latest = now + (longest + Duration::from_secs(1)).min(GATE);
                self.first = First::Running { waiting: fresh.into_iter().collect(), latest };
            }
            First::Running { waiting, .. } => waiting.retain(|id| self.targets.holds(*id)),
            First::Ahead | First::Over => {}
        }
    }

    /// Sends a probe, unless its target is gone.
    fn begin(&mut self, id: Id, begun: Instant) {
        let Some(target) = self.targets.find(id) else { return };
        let (probe, backend, limit) = (target.probe.clone(), target.backend.clone(), target.check.timeout);
        let limping = (target.verdict.checked() == Checked::Down).then(|| self.limping.clone());
        let probing = async move {
            let _limping = limping;
            Done { id, begun, outcome: outcome(&probe, &backend, limit).await }
        };
        target.running = Some(self.running.spawn(probing));
    }

    /// Takes what came of a probe.
    fn end(&mut self, Done { id, begun, outcome }: Done) {
        let now = Instant::now();
        if let First::Running { waiting, .. } = &mut self.first {
            waiting.remove(&id);
        }
        let Some(target) = self.targets.find(id) else { return };
        target.running = None;
        count(target, &outcome);
        decide(target, &outcome, &self.board, &mut self.rounds, (id, now));
        let check = &target.check;
        let up = target.verdict.checked() == Checked::Up;
        let span = if up { check.interval } else { check.interval_when_down() };
        let due = begun + jittered(span.0, &mut self.rng);
        let agenda = if up { &mut self.agenda } else { &mut self.lame };
        agenda.enter(id, due.max(now));
    }
}

// === impl First ===

impl First {
    fn is_over(&self, now: Instant) -> bool {
        match self {
            Self::Ahead => false,
            Self::Running { waiting, latest } => waiting.is_empty() || *latest <= now,
            Self::Over => true,
        }
    }

    fn latest(&self) -> Option<Instant> {
        match self {
            Self::Running { latest, .. } => Some(*latest),
            Self::Ahead | Self::Over => None,
        }
    }
}

/// Runs one probe, within its time. A probe that panics has failed; its target must not be
/// forgotten for it.
async fn outcome(probe: &Probe, backend: &Backend, limit: Span) -> Outcome {
    let probing = AssertUnwindSafe(probe.check(backend)).catch_unwind();
    match timeout(limit.0, probing).await {
        Err(_) => Outcome::TimedOut(limit),
        Ok(Ok(Ok(()))) => Outcome::Passed,
        Ok(Ok(Err(error))) => Outcome::Failed(probe::why(&error)),
        Ok(Err(_)) => Outcome::Failed("the probe broke off; see stderr".into()),
    }
}

fn count(target: &Target, outcome: &Outcome) {
    for subscriber in &target.subscribers {
        let metrics = &subscriber.metrics;
        match outcome {
            Outcome::Passed => metrics.success.inc(),
            Outcome::Failed(_) => metrics.failure.inc(),
            Outcome::TimedOut(_) => metrics.timeout.inc(),
        }
    }
}

/// Lets the verdict take the outcome, and tells every cluster that wants to know.
fn decide(
    target: &mut Target,
    outcome: &Outcome,
    board: &Board,
    rounds: &mut Rounds,
    (id, now): (Id, Instant),
) {
    let failure = match outcome {
        Outcome::Passed => None,
        Outcome::Failed(why) => Some(why.clone()),
        Outcome::TimedOut(limit) => Some(format!("no answer within {limit}")),
    };
    let thresholds = target.thresholds();
    let changed = target.verdict.take(failure.is_none(), thresholds);
    let (checked, against) = (target.verdict.checked(), target.verdict.against());
    let why: Option<Arc<str>> = match (checked, failure) {
        (Checked::Up, Some(why)) => Some(format!("{why} ({against} of {})", thresholds.unhealthy).into()),
        (_, Some(why)) => Some(why.into()),
        (Checked::Down, None) => Some(format!("passes again ({against} of {})", thresholds.healthy).into()),
        (_, None) => None,
    };
    for subscriber in &target.subscribers {
        subscriber.state.set_checked(checked);
        let at = (&subscriber.cluster, target.address);
        let lasted = board.note(at, &subscriber.state, why.clone(), now);
        let in_sum = rounds.take((&subscriber.cluster, id), (target.address, checked), why.as_deref());
        if let Some(from) = changed
            && !in_sum
        {
            tell(at, (from, checked), why.as_deref(), lasted.unwrap_or_default());
        }
    }
}

fn tell(
    (cluster, address): (&Name, SocketAddr),
    (from, to): (Checked, Checked),
    why: Option<&str>,
    lasted: Duration,
) {
    let (from, to, after) = (word(from), word(to), format!("{:.1}s", lasted.as_secs_f64()));
    match why {
        Some(why) => warn!(%cluster, endpoint = %address, from, to, after, why, "health check"),
        None => info!(%cluster, endpoint = %address, from, to, after, "health check"),
    }
}

fn word(checked: Checked) -> &'static str {
    match checked {
        Checked::Unknown => "unknown",
        Checked::Up => "up",
        Checked::Down => "down",
    }
}

/// Waits until `stop` is true, or nobody can make it so.
async fn stopped(stop: &mut Stop) {
    let _: Result<watch::Ref<'_, bool>, _> = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
