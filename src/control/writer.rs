//! The task behind `control`: its state and its loop.

mod drains;
mod handover;
mod weights;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, interval, sleep_until};
use tracing::{info, warn};

use crate::config::{Boot, Config, Live, Name, Problem};
use crate::control::desk::{Desk, Wanted};
use crate::control::drains::Posted;
use crate::control::heritage::Heritage;
use crate::control::ledger::Ledger;
use crate::control::members::Book;
use crate::control::overlay;
use crate::control::pending::{Pending, documents, waiting};
use crate::control::reading::{Candidate, Reader, Request, compile, open_log};
use crate::control::ready::Ready;
use crate::control::reloads::Reloads;
use crate::control::writer::handover::Handover;
use crate::control::{Applied, Change, Rejected, WARM};
use crate::discovery::{Stop, Update};
use crate::endpoint::Roster;
use crate::observe::access::AccessLog;
use crate::snapshot::compile::{Plan, Step, Surroundings};
use crate::snapshot::{Cell, diff};
use crate::state_file::Owner;

/// The one owner of members, roster and generations.
#[derive(Debug)]
pub struct Writer {
    around: Arc<Surroundings>,
    cell: Arc<Cell>,
    ready: Arc<Ready>,
    book: Book,
    roster: Roster,
    /// The config that serves; None before the first.
    serving: Option<Plan>,
    pending: Option<Pending>,
    /// The boot half that this process runs with.
    boot: Boot,
    reader: Reader,
    /// What stands over the file's weights.
    ledger: Ledger,
    desk: Desk,
    /// What is drained, for the admin API.
    drains: Posted,
    /// How reloads go, for systemd.
    reloads: watch::Sender<Reloads>,
    handover: Handover,
    /// What the sources are to watch: the pending config, else the serving one.
    wanted: watch::Sender<Arc<Live>>,
}

// === impl Writer ===

impl Writer {
    /// Prepares a writer whose first config is `config`. Goes on from the heritage of another
    /// process, or else from the weights that are on disk. `owner`: of the files in `state_dir`.
    ///
    /// # Errors
    ///
    /// Every problem of the config that only shows when it is compiled.
    pub fn new(
        config: Config,
        file: Option<PathBuf>,
        around: Arc<Surroundings>,
        cell: Arc<Cell>,
        ready: Arc<Ready>,
        heritage: Option<Heritage>,
        owner: Owner,
    ) -> Result<Self, Vec<Problem>> {
        let Config { boot, live } = config;
        let access_log = open_log(&live, &around)?;
        let plan = compile(None, Arc::new(live), &around)?;
        let mut book = Book::default();
        book.enter_static(&plan.live);
        let (wanted, _) = watch::channel(plan.live.clone());
        let inherits = heritage.is_some();
        let mut heritage = heritage.unwrap_or_default();
        let dir = boot.server.state_dir.as_deref();
        let kept = || dir.map(if inherits { overlay::peek } else { overlay::load }).unwrap_or_default();
        let stored = heritage.overlay.take().unwrap_or_else(kept);
        let mut ledger = Ledger::restored(stored, plan.live.splits.consul_kv.as_deref());
        ledger.judge(&plan.live);
        let desk = Desk::new(boot.server.state_dir.clone());
        let drains = Posted::default();
        drains.post(ledger.drains.clone());
        let now = Instant::now();
        let mut roster = Roster::default();
        roster.recall(&heritage.clusters, |name| plan.judges(name), now.into_std());
        let pending = Pending::first(plan, boot.clone(), access_log, inherits.then_some(&ledger), now);
        let reader = Reader::new(file, around.clone(), cell.clone());
        let handover = Handover::new(owner, heritage);
        let (serving, pending) = (None, Some(pending));
        Ok(Self {
            around,
            cell,
            ready,
            book,
            roster,
            serving,
            pending,
            boot,
            reader,
            ledger,
            desk,
            drains,
            reloads: watch::Sender::default(),
            handover,
            wanted,
        })
    }

    /// What the sources should watch, for the hub.
    pub fn wanted(&self) -> watch::Receiver<Arc<Live>> {
        self.wanted.subscribe()
    }

    /// What is drained, for the admin API.
    pub fn drains(&self) -> Posted {
        self.drains.clone()
    }

    /// How reloads go, as they go.
    pub fn reloads(&self) -> watch::Receiver<Reloads> {
        self.reloads.subscribe()
    }

    /// What stands over the file's weights at the start, for those that follow the fleet's documents.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Serves changes until `stop` turns true. `started` is called once, when the first snapshot is
    /// published.
    pub async fn run(
        mut self,
        mut changes: mpsc::UnboundedReceiver<Change>,
        mut updates: mpsc::UnboundedReceiver<Update>,
        started: impl FnOnce() + Send,
        mut stop: Stop,
    ) {
        let mut started = Some(started);
        let mut sweep = interval(Duration::from_secs(60));
        loop {
            self.promote_if_warm();
            self.settle();
            if self.serving.is_some()
                && let Some(started) = started.take()
            {
                started();
            }
            let due = self.pending.as_ref().and_then(Pending::due);
            tokio::select! {
                Some(update) = updates.recv() => {
                    let mut batch = vec![update];
                    while let Ok(more) = updates.try_recv() {
                        batch.push(more);
                    }
                    self.members(batch);
                }
                Some(change) = changes.recv() => self.change(change),
                Some(Ok(errand)) = self.handover.errands.join_next() => {
                    // What the keeper has sent before comes first.
                    self.members(std::iter::from_fn(|| updates.try_recv().ok()).collect());
                    self.done(errand);
                }
                Ok(()) = self.handover.owned.changed() => self.owned(),
                (request, outcome) = self.reader.done() => self.read(request, outcome),
                (change, outcome) = self.desk.written() => self.written(change, outcome),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                _ = sweep.tick() => self.sweep(),
                changed = stop.changed() => if changed.is_err() || *stop.borrow() { return },
            }
        }
    }

    fn change(&mut self, change: Change) {
        if matches!(change, Change::Reload { .. }) {
            // First, and whatever becomes of the rest: a log that was rotated does not wait for a
            // good config.
            self.cell.load().access_log.reopen();
        }
        let Some(change) = self.admit(change) else { return };
        match change {
            Change::Reload { cause, reply } => {
                self.reloads.send_modify(Reloads::begin);
                self.reader.ask(cause, reply);
            }
            Change::Drain { request, reply } => {
                self.desk.waiting.push_back(Wanted::Drain(request, reply));
                self.next();
            }
            Change::Weights { request, reply } => self.weights(request, reply),
            Change::Documents { prefix, said } => {
                self.documents_answered(&prefix);
                self.handover.fleet_heard = true;
                self.documents(&prefix, said);
            }
            Change::NoDocuments { prefix } => self.documents_answered(&prefix),
            Change::Ping { reply } => drop(reply.send(())),
            Change::Bequeath { last, reply } => self.bequeath(last, reply),
            Change::Thaw => self.thaw(),
            Change::Inherit { heritage, reply } => self.inherit(*heritage, reply),
        }
    }

    /// Nobody waits for the fleet's documents any longer.
    fn documents_answered(&mut self, prefix: &str) {
        if let Some(pending) = &mut self.pending {
            pending.waiting.remove(&documents(prefix));
        }
    }

    /// Enters new members; publishes if the serving config uses them.
    fn members(&mut self, batch: Vec<Update>) {
        let mut causes = Vec::new();
        for update in batch {
            let (cluster, fingerprint) = (update.cluster.clone(), update.fingerprint);
            if let Some(pending) = &mut self.pending {
                pending.answered(&cluster, fingerprint);
            }
            if self.serving.as_ref().is_some_and(|plan| plan.asks(&cluster, fingerprint)) {
                causes.push(update.cause.clone());
            }
            self.book.enter(update);
        }
        if !causes.is_empty() {
            self.publish(None, causes.join("; "));
        }
        self.note_ready();
    }

    /// Takes what was read: a good config becomes pending, a bad one changes nothing.
    fn read(&mut self, request: Request, outcome: Result<Candidate, Vec<Problem>>) {
        let Request { cause, mut replies } = request;
        self.around.metrics.reloaded(outcome.is_ok());
        let problems = outcome.as_ref().err().map_or(&[][..], Vec::as_slice);
        self.reloads.send_modify(|reloads| reloads.read(problems));
        let Candidate { boot, plan, access_log } = match outcome {
            Ok(candidate) => candidate,
            Err(problems) => {
                for problem in &problems {
                    warn!(cause, %problem, "reload refused, the running config serves on");
                }
                for reply in replies {
                    let _ = reply.send(Err(Rejected { problems: problems.clone() }));
                }
                return;
            }
        };
        // Another config may have been published since the file was read.
        let access_log = self.cell.load().access_log_of(&plan.live).unwrap_or(access_log);
        self.book.enter_static(&plan.live);
        self.wanted.send_replace(plan.live.clone());
        let now = Instant::now();
        let before = self.pending.take();
        let waiting = waiting(&plan, self.serving.as_ref(), before.as_ref(), now);
        let latest = before.as_ref().map_or(now + 2 * WARM, |before| before.latest);
        replies.extend(before.into_iter().flat_map(|before| before.replies));
        let cause = format!("reload: {cause}");
        self.pending = Some(Pending { plan, boot, access_log, cause, waiting, latest, replies });
    }

    fn promote_if_warm(&mut self) {
        let now = Instant::now();
        if self.pending.as_ref().is_some_and(|pending| pending.due().is_none_or(|due| due <= now)) {
            self.promote();
        }
    }

    /// Makes the pending config the serving one.
    fn promote(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let warnings = self
            .unanswered(&pending.plan, |name| format!("cluster `{name}`: its source has not answered yet"));
        let needs_upgrade = self.boot.changed(&pending.boot);
        for warning in &warnings {
            warn!(warning, "serving without members");
        }
        if !needs_upgrade.is_empty() {
            warn!(fields = ?needs_upgrade, "these fields changed and wait for an upgrade or a restart");
        }
        let Pending { plan, access_log, cause, replies, .. } = pending;
        let unchanged = self.serving.as_ref().is_some_and(|serving| serving.same(&plan));
        if !unchanged {
            let stored = self.ledger.stored();
            self.ledger.watch(plan.live.splits.consul_kv.as_deref());
            self.ledger.judge(&plan.live);
            self.desk.stale |= self.desk.dir.is_some() && self.ledger.stored() != stored;
            self.serving = Some(plan);
            self.handover.configs += 1;
            self.publish(Some(access_log), cause);
            self.next();
        }
        let generation = self.cell.load().generation;
        self.reloads.send_modify(Reloads::serves);
        for reply in replies {
            let (needs_upgrade, warnings) = (needs_upgrade.clone(), warnings.clone());
            let _ = reply.send(Ok(Applied { generation, needs_upgrade, warnings }));
        }
        self.note_ready();
    }

    /// Compiles the serving plan with the newest members and makes it current.
    fn publish(&mut self, access_log: Option<Arc<AccessLog>>, cause: String) {
        let Some(plan) = &self.serving else { return };
        let previous = self.cell.load();
        let members = |name: &Name, fingerprint: u64| self.book.find(name, fingerprint).cloned();
        #[expect(clippy::disallowed_methods, reason = "the one place that dates snapshots")]
        let now = std::time::SystemTime::now();
        let access_log = access_log.unwrap_or_else(|| previous.access_log.clone());
        let standing = |route: &Name| self.ledger.standing(route);
        let step =
            Step { previous: &previous, members: &members, standing: &standing, access_log, cause, now };
        let mut snapshot = plan.snapshot(step, &mut self.roster, &self.around);
        snapshot.generation = snapshot.generation.max(self.handover.floor + 1);
        let snapshot = Arc::new(snapshot);
        self.mark(&snapshot);
        if previous.generation > self.handover.floor
            && snapshot.digest == previous.digest
            && Arc::ptr_eq(&snapshot.live, &previous.live)
            && Arc::ptr_eq(&snapshot.access_log, &previous.access_log)
            && snapshot.splits.iter().zip(previous.splits.iter()).all(|(new, old)| Arc::ptr_eq(new, old))
        {
            return;
        }
        self.cell.publish(snapshot.clone());
        self.around.metrics.set_generation(snapshot.generation);
        let changes = diff::describe(&previous, &snapshot).join(", ");
        info!(generation = snapshot.generation, cause = snapshot.cause, changes, "published");
    }

    fn sweep(&mut self) {
        let snapshot = self.cell.load();
        let named: HashSet<_> = snapshot
            .clusters
            .iter()
            .flat_map(|c| c.endpoints.iter().map(|e| (c.name.clone(), e.member.address)))
            .collect();
        self.roster.sweep(&named, Instant::now().into_std());
        let plans = [self.serving.as_ref(), self.pending.as_ref().map(|pending| &pending.plan)];
        self.book.sweep(|name, fingerprint| plans.iter().flatten().any(|plan| plan.asks(name, fingerprint)));
    }

    /// Tells readiness what of the serving config is still unanswered, until all of it was answered
    /// once.
    fn note_ready(&self) {
        let Some(plan) = self.serving.as_ref().filter(|_| !self.ready.reached()) else { return };
        self.ready.await_only(self.unanswered(plan, |name| format!("members of cluster `{name}`")));
    }

    /// The clusters of a config whose source was never heard, by name and in words.
    fn unanswered(&self, plan: &Plan, words: impl Fn(&Name) -> String) -> Vec<String> {
        let missing =
            plan.questions().filter(|(name, fingerprint)| self.book.find(name, *fingerprint).is_none());
        missing.map(|(name, _)| words(name)).collect()
    }
}
