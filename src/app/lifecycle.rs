//! The end of a process: draining, and leaving as soon as nothing is in flight.
//!
//! Pingora sleeps the whole grace period, deaf to signals, whatever is left to do. So a thread of
//! our own watches for the phase in which it would, counts connections and requests in flight, and
//! exits once there are none, or when the grace period is over. A connection that stays open
//! without a request is not waited for beyond [`LINGER`], or [`PATIENT_LINGER`] after an upgrade.
//!
//! After an upgrade the process leaves alone what another one has now: pid file, upgrade socket,
//! `state_dir`. One that was upgraded to, and is told to stop while some before it still drain,
//! waits for them: a service manager kills what is left when its main process ends. One that was
//! upgraded waits for nobody: it has told the one after it who there is ([`Reins::wait_for`]).

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pingora::server::ExecutionPhase;
use tokio::sync::{Mutex, broadcast, mpsc, watch};
use tracing::{info, warn};

use crate::config::Boot;
use crate::control::ready::Ready;
use crate::discovery::Stop;
use crate::proxy::Proxy;
use crate::proxy::door::{LINGER, PATIENT_LINGER};
use crate::register::Register;
use crate::snapshot::Cell;
use crate::upgrade::elder::{Ask, Ending};
use crate::upgrade::front::Place;
use crate::upgrade::gate::Gate;
use crate::upgrade::progress::{Progress, Report, Step};
use crate::upgrade::spawn::Process;

use super::pid_file::PidFile;
use super::signals::{Ends, Signals};

/// How often the requests in flight are counted while draining.
const COUNT: Duration = Duration::from_millis(20);

/// How long the last state and log lines may take to be written.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How often what is left is told to those who asked for an upgrade.
const REPORT: Duration = Duration::from_secs(1);

/// So many seconds after the grace period Pingora ends the process, should the thread here not
/// have.
pub(super) const MARGIN: u64 = 10;

/// What is needed to end in good order.
pub(super) struct Lifecycle {
    grace: Duration,
    ready: Arc<Ready>,
    cell: Arc<Cell>,
    phases: broadcast::Receiver<ExecutionPhase>,
    stop: watch::Sender<bool>,
    stopped: (mpsc::Sender<()>, mpsc::Receiver<()>),
    hurry: Arc<AtomicBool>,
    reins: Reins,
}

/// What those who hand over share with the end of the process. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Reins {
    pub(super) ending: watch::Sender<Ending>,
    pub(super) pid_file: PidFile,
    /// The upgrade socket, once there is one.
    pub(super) place: Arc<OnceLock<Place>>,
    /// The processes before this one that still run.
    pub(super) elders: watch::Sender<Vec<u32>>,
    pub(super) progress: Progress,
}

// === impl Reins ===

impl Reins {
    /// A process before the one that we took over from, by its number: it drains until it is gone.
    /// To be called in a runtime.
    pub(super) fn wait_for(&self, pid: u32) {
        // An error: it is gone.
        let Ok(mut process) = Process::other(pid) else { return };
        let elders = self.elders.clone();
        elders.send_modify(|all| all.push(pid));
        tokio::spawn(async move {
            process.ended().await;
            elders.send_modify(|all| all.retain(|one| *one != pid));
        });
    }
}

// === impl Lifecycle ===

impl Lifecycle {
    pub(super) fn new(
        boot: &Boot,
        ready: Arc<Ready>,
        cell: Arc<Cell>,
        phases: broadcast::Receiver<ExecutionPhase>,
    ) -> Self {
        Self {
            grace: boot.server.grace_period.0,
            ready,
            cell,
            phases,
            stop: watch::Sender::new(false),
            stopped: mpsc::channel(1),
            hurry: Arc::default(),
            reins: Reins {
                ending: watch::Sender::new(Ending::No),
                pid_file: PidFile(boot.server.pid_file.clone()),
                place: Arc::default(),
                elders: watch::Sender::new(Vec::new()),
                progress: Progress::new(),
            },
        }
    }

    /// Turns true when control and sources should end.
    pub(super) fn stop(&self) -> Stop {
        self.stop.subscribe()
    }

    /// To be dropped when the last state is on disk.
    pub(super) fn stopped(&self) -> mpsc::Sender<()> {
        self.stopped.0.clone()
    }

    pub(super) fn reins(&self) -> Reins {
        self.reins.clone()
    }

    /// Ends the process by the signals of [`listen`](super::signals::listen).
    pub(super) fn signals(&self, ends: Ends, asks: mpsc::Sender<Ask>, register: Register) -> Signals {
        Signals {
            ends: Arc::new(Mutex::new(ends)),
            ready: self.ready.clone(),
            hurry: self.hurry.clone(),
            ending: self.reins.ending.clone(),
            asks,
            register,
        }
    }

    /// Ends the process in time, from a thread of its own.
    pub(super) fn watch(self, proxy: Proxy, gate: Gate) {
        let thread = std::thread::Builder::new().name("lifecycle".into());
        let spawned = thread.spawn(move || self.end(&proxy, &gate));
        if let Err(error) = spawned {
            warn!(%error, "cannot watch the end of the process; it will sleep out its grace period");
        }
    }

    fn end(mut self, proxy: &Proxy, gate: &Gate) {
        loop {
            match self.phases.blocking_recv() {
                Ok(ExecutionPhase::ShutdownStarted | ExecutionPhase::ShutdownGracePeriod) => break,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
        let upgraded = *self.reins.ending.borrow() == Ending::Upgraded;
        self.drain(proxy, gate, upgraded);
        let left = proxy.in_flight();
        if left > 0 {
            let why = if self.hurry.load(Relaxed) { "told to hurry" } else { "the grace period is over" };
            warn!(left, why, "these requests are cut");
        }
        self.reins.progress.tell(Report::left(Step::Drained, proxy.connections(), left));
        self.last_words();
        info!("stopped");
        std::process::exit(0);
    }

    /// Waits until nothing is left, or no longer.
    fn drain(&self, proxy: &Proxy, gate: &Gate, upgraded: bool) {
        let linger = if upgraded { PATIENT_LINGER } else { LINGER };
        let mut waited = Duration::ZERO;
        let mut told = Duration::ZERO;
        // One count may fall between two requests of a connection that is about to close; two in a
        // row do not.
        let mut idle = 0;
        while waited < self.grace && !self.hurry.load(Relaxed) {
            // Who was upgraded has told the one after it whom to wait for.
            if idle >= 3 && (upgraded || self.reins.elders.borrow().is_empty()) {
                return;
            }
            std::thread::sleep(COUNT);
            waited += COUNT;
            // A connection that is open may have a request on its way. The door closes those that
            // say nothing.
            let quiet = gate.is_quiet() && (proxy.connections() == 0 || waited >= linger);
            idle = if quiet && proxy.in_flight() == 0 { idle + 1 } else { 0 };
            if upgraded && waited >= told + REPORT {
                told = waited;
                let report = Report::left(Step::Draining, proxy.connections(), proxy.in_flight());
                self.reins.progress.tell(report);
            }
        }
    }

    fn last_words(mut self) {
        let _ = self.stop.send(true);
        drop(self.stopped.0);
        let mut waited = Duration::ZERO;
        while waited < LAST_WORDS && self.stopped.1.try_recv() == Err(mpsc::error::TryRecvError::Empty) {
            std::thread::sleep(COUNT);
            waited += COUNT;
        }
        self.cell.load().access_log.finish(LAST_WORDS);
        // Another config may have other paths; what the one after us has is not ours any more.
        self.reins.pid_file.leave();
        self.reins.place.get().into_iter().for_each(Place::leave);
        // Whoever asked for an upgrade hears the last report, and goes.
        while waited < LAST_WORDS && self.reins.progress.heard() {
            std::thread::sleep(COUNT);
            waited += COUNT;
        }
    }
}
