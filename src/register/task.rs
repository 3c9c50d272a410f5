//! The loop: heartbeat, comparison, and the clearing up of old entries, each when it is due.
//!
//! One task does all that is said to the agent, so nothing is registered after it was removed. An order
//! ends whatever is under way, at any await; so what may have happened is written down before it is
//! asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::config::Boot;
use crate::config::live::{Live, Register};
use crate::consul::agent::{Known, Service, Word};
use crate::consul::{Error, Settings, from_environment};
use crate::discovery::consul::backoff::Backoff;
use crate::discovery::{Stop, stopped};
use crate::register::board::{Board, State, Work};
use crate::register::decide::{Action, Why, decide, ours};
use crate::register::entry::entry;
use crate::register::goal::{Book, Entry};
use crate::register::{Order, Phase};

/// Between two comparisons beside a heartbeat, which sees by itself when the agent has forgotten.
const LOOK: Duration = Duration::from_secs(30);

/// Between two comparisons where there is no heartbeat.
const LOOK_ALONE: Duration = Duration::from_secs(10);

/// After an entry could not be made of the config (a CA file that is missing), until the next try.
const REBUILD: Duration = Duration::from_secs(30);

/// So many steps lead from any state to the wanted one, with one to spare.
const ROUNDS: u32 = 4;

/// Keeps the entry in Consul as the config says.
#[derive(Debug)]
pub struct Task {
    boot: Boot,
    orders: watch::Receiver<Order>,
    /// Turns true when nothing is left at the agent.
    pub(super) done: watch::Sender<bool>,
    pub(super) board: Board,
    pub(super) book: Book,
    due: Due,
    pub(super) backoff: Backoff,
    pub(super) rng: fastrand::Rng,
    /// Steps since the agent last had all as it should be.
    rounds: u32,
}

/// When what is to be done. None: not at all.
#[derive(Debug, Default)]
struct Due {
    follow: Option<Instant>,
    beat: Option<Instant>,
    look: Option<Instant>,
    drop: Option<Instant>,
}

// === impl Task ===

impl Task {
    pub(super) fn new(
        boot: Boot,
        orders: watch::Receiver<Order>,
        done: watch::Sender<bool>,
        board: Board,
    ) -> Self {
        let (book, due) = (Book::default(), Due::default());
        Self {
            boot,
            orders,
            done,
            board,
            book,
            due,
            backoff: Backoff::default(),
            rng: fastrand::Rng::new(),
            rounds: 0,
        }
    }

    /// Does as it is told until `stop`. `live`: the config.
    pub async fn run(mut self, mut live: watch::Receiver<Arc<Live>>, mut stop: Stop) {
        let mut orders = self.orders.clone();
        loop {
            let order = orders.borrow_and_update().clone();
            let work = async {
                match order.phase {
                    Phase::Waiting => {}
                    Phase::Serving => self.serve(&mut live, order.inherited).await,
                    Phase::Draining => self.drain().await,
                    Phase::Leaving => self.leave().await,
                    Phase::Silent => self.fall_silent(),
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                told = orders.changed() => if told.is_err() { return },
                () = work => {}
            }
        }
    }

    fn fall_silent(&self) {
        if !self.board.registered().is_empty() {
            info!("the registration in Consul is another process's from now on");
        }
        self.board.enter(State::Kept);
        self.done.send_replace(true);
    }

    async fn serve(&mut self, live: &mut watch::Receiver<Arc<Live>>, inherited: Vec<Service>) {
        let now = live.borrow_and_update().clone();
        self.inherit(&now, inherited);
        self.follow(&now);
        loop {
            let due = self.due.next();
            tokio::select! {
                biased;
                changed = live.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = live.borrow_and_update().clone();
                    self.follow(&now);
                }
                () = until(due) => {
                    if self.due.follow.is_some_and(|at| at <= Instant::now()) {
                        let now = live.borrow().clone();
                        self.follow(&now);
                    }
                    self.step().await;
                }
            }
        }
    }

    /// Takes over what an elder left.
    fn inherit(&mut self, live: &Live, inherited: Vec<Service>) {
        let Ok(settings) = Settings::resolve(&live.consul, &from_environment) else { return };
        for service in inherited {
            let ttl = service.check.ttl.strip_suffix("ms").and_then(|ms| ms.parse().ok());
            if let Ok(left) = self.book.entry(settings.clone(), service, ttl.map(Duration::from_millis)) {
                self.book.inherit(left);
            }
        }
    }

    /// Takes the config's wish.
    fn follow(&mut self, live: &Live) {
        self.due.follow = None;
        let wish = match live.register.as_ref().map(|register| self.entry(register, live)).transpose() {
            Ok(wish) => wish,
            Err(why) => {
                if self.board.told(Work::Look, why.clone()) {
                    warn!(why, "not registered in Consul as the config says");
                }
                self.due.follow = Some(Instant::now() + REBUILD);
                return;
            }
        };
        if !self.book.want(wish) {
            return;
        }
        let (now, book) = (Instant::now(), &self.book);
        self.board.want(book.goal.as_ref().map(|goal| goal.service.clone()));
        self.due = Due {
            follow: None,
            beat: book.sent().next().map(|_| now),
            look: book.goal.as_ref().map(|_| now),
            drop: book.may_drop().then_some(now),
        };
        self.rounds = 0;
        self.listed();
    }

    fn entry(&self, register: &Register, live: &Live) -> Result<Entry, String> {
        let (service, ttl) = entry(register, &self.boot, host().as_deref())?;
        let settings = Settings::resolve(&live.consul, &from_environment).map_err(|e| e.to_string())?;
        self.book.entry(settings, service, ttl).map_err(|e| e.to_string())
    }

    /// Does what is due.
    async fn step(&mut self) {
        let now = Instant::now();
        if self.due.beat.is_some_and(|at| at <= now) {
            let beaten = self.beat().await;
            self.due.beat = self.done(Work::Beat, beaten);
        }
        if self.due.look.is_some_and(|at| at <= now) {
            let looked = self.look().await;
            self.due.look = Some(self.done(Work::Look, looked));
        }
        if self.due.drop.is_some_and(|at| at <= now) {
            let dropped = self.drop_old().await;
            self.due.drop = self.done(Work::Drop, dropped);
        }
    }

    /// The next time after work, or after its failure.
    fn done<T: From<Instant>>(&mut self, work: Work, result: Result<T, Error>) -> T {
        match result {
            Ok(next) => {
                self.backoff.reset();
                if self.board.answered(work) {
                    info!("Consul takes the registration again");
                }
                next
            }
            Err(error) => T::from(Instant::now() + self.failed(work, &error)),
        }
    }

    /// Says that all entries with a TTL are well. Gives the time of the next word.
    async fn beat(&mut self) -> Result<Option<Instant>, Error> {
        let mut shortest: Option<Duration> = None;
        for entry in self.book.sent() {
            let Some(ttl) = entry.ttl else { continue };
            shortest = Some(shortest.map_or(ttl, |other| other.min(ttl)));
            let known = entry.agent.report(&entry.service.check.id, Word::Pass, "").await?;
            if known == Known::No && self.book.goal.is_some() {
                self.due.look = Some(Instant::now());
            }
        }
        // A little early and uneven, so that the nodes of a fleet do not speak in step.
        let part = 0.9 + self.rng.f64() / 10.0;
        Ok(shortest.map(|ttl| Instant::now() + (ttl / 3).mul_f64(part)))
    }

    /// One step towards what is wanted. Gives the time of the next look.
    async fn look(&mut self) -> Result<Instant, Error> {
        let now = Instant::now();
        let Some(goal) = &mut self.book.goal else { return Ok(now + LOOK) };
        let action = decide(&goal.service, goal.agent.look(&goal.service.id).await?.as_ref());
        if action == Action::Nothing || self.rounds >= ROUNDS {
            self.rounds = 0;
            let period = if goal.ttl.is_some() { LOOK } else { LOOK_ALONE };
            if let Action::Register(Why::Differs(what)) = action {
                warn!(what, id = goal.service.id, "Consul does not keep what it is told of this proxy");
            }
            // A status that is not `passing` outlasts a registration; only a word lifts it.
            if !goal.settled {
                (goal.settled, goal.sent) = (true, true);
                self.due.beat = goal.ttl.map(|_| now);
                self.due.drop = self.book.may_drop().then_some(now);
                self.listed();
            }
            self.board.enter(State::Registered);
            return Ok(now + period.mul_f64(0.9 + self.rng.f64() / 10.0));
        }
        self.rounds += 1;
        match action {
            Action::Register(why) => self.register(why).await?,
            Action::DropCheck(check) => drop(goal.agent.deregister_check(&check).await?),
            Action::Nothing => {}
        }
        Ok(now)
    }

    async fn register(&mut self, why: Why) -> Result<(), Error> {
        let Some(goal) = &mut self.book.goal else { return Ok(()) };
        let before = goal.sent;
        (goal.sent, goal.settled) = (true, false);
        self.board.list(self.book.registered());
        let Some(goal) = &self.book.goal else { return Ok(()) };
        goal.agent.register(&goal.service).await?;
        self.board.counted();
        let Service { id, name, .. } = &goal.service;
        match why {
            Why::Missing if before => info!(id, name, "registered in Consul again, which had forgotten"),
            Why::Missing => info!(id, name, "registered in Consul"),
            Why::Differs(what) => info!(id, name, what, "registered in Consul again, where it was otherwise"),
        }
        Ok(())
    }

    /// Removes what the config does not name any more.
    async fn drop_old(&mut self) -> Result<Option<Instant>, Error> {
        while let Some(old) = self.book.old.last() {
            remove(old).await?;
            self.book.old.pop();
            self.listed();
        }
        Ok(None)
    }

    fn listed(&self) {
        self.board.list(self.book.registered());
    }

    /// Tells a failure if it is news. Gives the time to wait.
    fn failed(&mut self, work: Work, error: &Error) -> Duration {
        if self.board.failed(work, error) {
            let (kind, why) = (error.kind(), error.to_string());
            let name = self.book.goal.as_ref().map_or("", |goal| &goal.service.name);
            if kind == "forbidden" {
                warn!(kind, why, "not registered in Consul: the token needs `service:write` for `{name}`");
            } else {
                warn!(kind, why, name, "Consul does not take the registration; it is tried again");
            }
        }
        self.backoff.after(error, &mut self.rng)
    }
}

/// Takes an entry out, if it is there and ours.
pub(super) async fn remove(entry: &Entry) -> Result<(), Error> {
    let (service, id) = (&entry.service, &entry.service.id);
    match entry.agent.look(id).await? {
        None => info!(id, "already removed from Consul"),
        Some(seen) if !ours(service, &seen) => {
            warn!(id, "left in Consul: another process has registered it since");
        }
        Some(_) => {
            entry.agent.deregister(id).await?;
            info!(id, name = service.name, "removed from Consul");
        }
    }
    Ok(())
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The name of this machine.
fn host() -> Option<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(host.trim().to_owned()).filter(|host| !host.is_empty() && host != "(none)")
}

// === impl Due ===

impl Due {
    fn next(&self) -> Option<Instant> {
        [self.follow, self.beat, self.look, self.drop].into_iter().flatten().min()
    }
}
