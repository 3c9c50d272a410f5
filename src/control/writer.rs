//! The task behind `control`: its state and its loop.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, interval, sleep_until};
use tracing::{info, warn};

use crate::config::{Boot, Config, Live, Name, Problem};
use crate::control::members::Book;
use crate::control::pending::{Pending, Reply};
use crate::control::ready::Ready;
use crate::control::{Applied, Change, DrainError, Rejected, WARM};
use crate::discovery::{Stop, Update};
use crate::endpoint::Roster;
use crate::observe::access::AccessLog;
use crate::snapshot::compile::{Plan, Step, Surroundings};
use crate::snapshot::{Cell, diff};

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
    /// The config file; None where the config is built in.
    file: Option<PathBuf>,
    /// What the sources are to watch: the pending config, else the serving one.
    wanted: watch::Sender<Arc<Live>>,
}

/// A config read from the file and compiled.
struct Candidate {
    boot: Boot,
    plan: Plan,
    access_log: Arc<AccessLog>,
}

// === impl Writer ===

impl Writer {
    /// Prepares a writer whose first config is `config`.
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
    ) -> Result<Self, Vec<Problem>> {
        let Config { boot, live } = config;
        let access_log = open_log(&live, &around)?;
        let plan = Plan::new(Arc::new(live), &around)?;
        let mut book = Book::default();
        book.enter_static(&plan.live);
        let waiting = book.missing(&plan.live);
        let (wanted, _) = watch::channel(plan.live.clone());
        let pending = Pending {
            plan,
            boot: boot.clone(),
            access_log,
            cause: "start".into(),
            waiting,
            deadline: Instant::now() + WARM,
            replies: Vec::new(),
        };
        let roster = Roster::default();
        let pending = Some(pending);
        Ok(Self { around, cell, ready, book, roster, serving: None, pending, boot, file, wanted })
    }

    /// What the sources should watch, for the hub.
    pub fn wanted(&self) -> watch::Receiver<Arc<Live>> {
        self.wanted.subscribe()
    }

    /// Serves changes until `stop` turns true. `started` is called once, when the first snapshot is published.
    pub async fn run(
        mut self,
        mut changes: mpsc::UnboundedReceiver<Change>,
        mut updates: mpsc::UnboundedReceiver<Update>,
        started: impl FnOnce() + Send,
        mut stop: Stop,
    ) {
        let mut started = Some(started);
        let mut sweep = interval(Duration::from_secs(60));
        if let Some(pending) = &mut self.pending {
            pending.deadline = Instant::now() + WARM;
        }
        self.promote_if_warm();
        loop {
            if self.serving.is_some()
                && let Some(started) = started.take()
            {
                started();
            }
            let deadline = self.pending.as_ref().map_or_else(Instant::now, |pending| pending.deadline);
            tokio::select! {
                Some(update) = updates.recv() => {
                    let mut batch = vec![update];
                    while let Ok(more) = updates.try_recv() {
                        batch.push(more);
                    }
                    self.members(batch);
                }
                Some(change) = changes.recv() => self.change(change).await,
                () = sleep_until(deadline), if self.pending.is_some() => self.promote(),
                _ = sweep.tick() => self.sweep(),
                changed = stop.changed() => if changed.is_err() || *stop.borrow() { return },
            }
        }
    }

    async fn change(&mut self, change: Change) {
        match change {
            Change::Reload { cause, reply } => self.reload(cause, reply).await,
            Change::Drain { cluster, address, on, reply } => {
                let _ = reply.send(self.drain(cluster, address, on));
            }
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
        self.promote_if_warm();
        self.note_ready();
    }

    /// Reads the file; a good config becomes pending, a bad one changes nothing.
    async fn reload(&mut self, cause: &'static str, reply: Option<Reply>) {
        let candidate = self.candidate().await;
        self.around.metrics.reloaded(candidate.is_ok());
        let Candidate { boot, plan, access_log } = match candidate {
            Ok(candidate) => candidate,
            Err(problems) => {
                for problem in &problems {
                    warn!(cause, %problem, "reload refused, the running config serves on");
                }
                if let Some(reply) = reply {
                    let _ = reply.send(Err(Rejected { problems }));
                }
                return;
            }
        };
        access_log.reopen();
        let mut replies = self.pending.take().map(|pending| pending.replies).unwrap_or_default();
        replies.extend(reply);
        self.book.enter_static(&plan.live);
        let waiting = self.book.missing(&plan.live);
        self.wanted.send_replace(plan.live.clone());
        let deadline = Instant::now() + WARM;
        let cause = format!("reload: {cause}");
        self.pending = Some(Pending { plan, boot, access_log, cause, waiting, deadline, replies });
        self.promote_if_warm();
    }

    async fn candidate(&self) -> Result<Candidate, Vec<Problem>> {
        let Some(file) = self.file.clone() else {
            return Err(vec![Problem::new(
                "",
                "this process runs a built-in config; there is no file to reload",
            )]);
        };
        let around = self.around.clone();
        let running = self.cell.load();
        // Parsing and compiling a large file takes milliseconds of one core; members must not wait for it.
        let work = tokio::task::spawn_blocking(move || {
            let (config, places) = crate::config::load::file(&file)?;
            let Config { boot, live } = config;
            let access_log = if live.access_log == running.live.access_log {
                running.access_log.clone()
            } else {
                open_log(&live, &around).map_err(|p| places.place(p))?
            };
            let plan = Plan::new(Arc::new(live), &around).map_err(|p| places.place(p))?;
            Ok(Candidate { boot, plan, access_log })
        });
        work.await
            .unwrap_or_else(|e| Err(vec![Problem::new("", format!("the config could not be compiled: {e}"))]))
    }

    fn promote_if_warm(&mut self) {
        if self.pending.as_ref().is_some_and(|pending| pending.waiting.is_empty()) {
            self.promote();
        }
    }

    /// Makes the pending config the serving one.
    fn promote(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let warnings = pending.warnings();
        let needs_upgrade = self.boot.changed(&pending.boot);
        for warning in &warnings {
            warn!(warning, "serving without members");
        }
        if !needs_upgrade.is_empty() {
            warn!(fields = ?needs_upgrade, "these fields changed and wait for an upgrade or a restart");
        }
        let Pending { plan, access_log, cause, replies, .. } = pending;
        let unchanged = self.serving.as_ref().is_some_and(|serving| serving.live == plan.live);
        if !unchanged {
            self.serving = Some(plan);
            self.publish(Some(access_log), cause);
        }
        let generation = self.cell.load().generation;
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
        let step = Step { previous: &previous, members: &members, access_log, cause, now };
        let snapshot = Arc::new(plan.snapshot(step, &mut self.roster, &self.around));
        if snapshot.digest == previous.digest
            && Arc::ptr_eq(&snapshot.access_log, &previous.access_log)
            && previous.generation > 0
        {
            return;
        }
        self.cell.publish(snapshot.clone());
        self.around.metrics.set_generation(snapshot.generation);
        let changes = diff::describe(&previous, &snapshot).join(", ");
        info!(generation = snapshot.generation, cause = snapshot.cause, changes, "published");
    }

    fn drain(&self, cluster: Name, address: std::net::SocketAddr, on: bool) -> Result<Applied, DrainError> {
        let snapshot = self.cell.load();
        let found = snapshot.cluster(cluster.as_str()).ok_or_else(|| DrainError::Cluster(cluster.clone()))?;
        let endpoint = found.endpoints.iter().find(|e| e.member.address == address);
        let endpoint = endpoint.ok_or_else(|| DrainError::Endpoint(cluster.clone(), address))?;
        if endpoint.state.drain(on) != on {
            info!(%cluster, %address, on, "drain");
        }
        let generation = snapshot.generation;
        Ok(Applied { generation, needs_upgrade: Vec::new(), warnings: Vec::new() })
    }

    fn sweep(&mut self) {
        let snapshot = self.cell.load();
        let named: HashSet<_> = snapshot
            .clusters
            .iter()
            .flat_map(|c| c.endpoints.iter().map(|e| (c.name.clone(), e.member.address)))
            .collect();
        self.roster.sweep(&named, Instant::now().into_std());
        let configs = [self.serving.as_ref(), self.pending.as_ref().map(|pending| &pending.plan)];
        let live: Vec<_> = configs.into_iter().flatten().map(|plan| &*plan.live).collect();
        if !live.is_empty() {
            self.book.retain(&live);
        }
    }

    /// Tells readiness what of the serving config is still unanswered, until all of it was answered once.
    fn note_ready(&self) {
        let Some(plan) = self.serving.as_ref().filter(|_| !self.ready.reached()) else { return };
        let mut awaited: Vec<_> = self
            .book
            .missing(&plan.live)
            .iter()
            .map(|(name, _)| format!("members of cluster `{name}`"))
            .collect();
        awaited.sort();
        self.ready.await_only(awaited);
    }
}

fn open_log(live: &Live, around: &Surroundings) -> Result<Arc<AccessLog>, Vec<Problem>> {
    let dropped = around.metrics.access_log_dropped();
    AccessLog::new(&live.access_log, dropped).map(Arc::new).map_err(|why| {
        vec![Problem::new("access_log.path", format!("cannot open `{}`: {why}", live.access_log.path))]
    })
}
