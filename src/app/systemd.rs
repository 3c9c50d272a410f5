//! What systemd hears of this process: state, reloads, a line for people, and that it is alive.
//!
//! A thread with a runtime of its own: it judges the other runtimes, so it must need none of them, and
//! a service manager that hangs may hold it up and nobody else. Where none listens there is no
//! thread.

mod pulse;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::warn;

use crate::control::Inbox;
use crate::control::ready::Ready;
use crate::control::reloads::Reloads;
use crate::observe::count;
use crate::proxy::Proxy;
use crate::snapshot::Cell;
use crate::snapshot::compile::Surroundings;
use crate::upgrade::gate::Gate;
use crate::upgrade::notify::herald::{Facts, Herald};
use crate::upgrade::notify::{self, send};
use crate::upgrade::sockets::Sockets;

/// How often the facts are looked at that nobody announces: endpoints, requests in flight.
const LOOK: Duration = Duration::from_secs(1);

/// The runtime of requests, from when it runs.
pub(super) type Workers = Arc<OnceLock<Handle>>;

/// What is looked at.
pub(super) struct Systemd {
    pub(super) cell: Arc<Cell>,
    pub(super) ready: Arc<Ready>,
    pub(super) inbox: Inbox,
    pub(super) proxy: Proxy,
    pub(super) around: Arc<Surroundings>,
    pub(super) reloads: watch::Receiver<Reloads>,
    /// Whether this is the process that systemd listens to.
    pub(super) main: watch::Receiver<bool>,
    pub(super) workers: Workers,
    /// What lets connections in.
    pub(super) doors: (Gate, Sockets),
    pub(super) grace: Duration,
}

// === impl Systemd ===

impl Systemd {
    /// Tells, until the process ends.
    pub(super) fn start(self) {
        if !notify::wanted() {
            return;
        }
        let run = move || match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(async { tokio::join!(self.tell(), pulse::keep(&self)) }),
            Err(error) => {
                warn!(%error, "systemd is told nothing");
                ((), ())
            }
        };
        let spawned = std::thread::Builder::new().name("systemd".into()).spawn(run);
        if let Err(error) = spawned {
            warn!(%error, "systemd is told nothing");
        }
    }

    async fn tell(&self) {
        let (mut reloads, mut main) = (self.reloads.clone(), self.main.clone());
        let mut herald = Herald::new();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A sender that is gone is a process that ends: then the clock goes on.
            tokio::select! {
                _ = look.tick() => {}
                () = self.ready.changed() => {}
                Ok(()) = reloads.changed() => {}
                Ok(()) = main.changed() => {}
            }
            let facts = self.facts();
            while let Some(words) = herald.next(Instant::now(), &facts) {
                send(&words);
            }
        }
    }

    fn facts(&self) -> Facts {
        let reloads = self.reloads.borrow().clone();
        Facts {
            main: *self.main.borrow(),
            open: self.open(),
            reloads: reloads.begun,
            reloading: reloads.running,
            draining: self.ready.draining(),
            grace: self.grace,
            status: self.status(reloads.refusal.as_deref()),
        }
    }

    /// Whether it serves.
    fn open(&self) -> bool {
        self.ready.is_open() && self.cell.load().generation > 0
    }

    /// The line that `systemctl status` shows.
    fn status(&self, refusal: Option<&str>) -> String {
        if self.ready.draining() {
            let requests = count(usize::try_from(self.proxy.in_flight()).unwrap_or_default(), "request");
            return format!("draining: {requests}, {} left", count(self.proxy.connections(), "connection"));
        }
        let awaited = self.ready.check().err().map(|awaited| format!("waiting for {}", awaited.join(", ")));
        if !self.open() {
            return awaited.unwrap_or_else(|| "starting".into());
        }
        let snapshot = self.cell.load();
        let endpoints = snapshot.clusters.iter().flat_map(|cluster| cluster.endpoints.iter());
        let out = endpoints.filter(|endpoint| !endpoint.available()).count();
        let serving = format!(
            "serving generation {}: {}, {}, {}",
            snapshot.generation,
            count(self.around.listeners.len(), "listener"),
            count(snapshot.table.routes.len(), "route"),
            count(snapshot.clusters.len(), "cluster"),
        );
        let refused = refusal.map(|why| format!("reload refused: {why}"));
        let out = (out > 0).then(|| format!("{} out", count(out, "endpoint")));
        [refused, Some(serving), out, awaited].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}
