//! The end of a process: signals, draining, and leaving as soon as nothing is in flight.
//!
//! Pingora sleeps the whole grace period, deaf to signals, whatever is left to do. So a thread of
//! our own watches for the phase in which it would, counts connections and requests in flight, and
//! exits once there are none, or when the grace period is over. A connection that stays open
//! without a request is not waited for beyond [`LINGER`].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ExecutionPhase, ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, broadcast, mpsc, watch};
use tracing::{info, warn};

use crate::config::Boot;
use crate::control::ready::Ready;
use crate::discovery::Stop;
use crate::proxy::Proxy;
use crate::proxy::door::LINGER;
use crate::snapshot::Cell;
use crate::upgrade::gate::Gate;

use super::StartError;

/// How often the requests in flight are counted while draining.
const COUNT: Duration = Duration::from_millis(20);

/// How long the last state and log lines may take to be written.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// So many seconds after the grace period Pingora ends the process, should the thread here not
/// have.
pub(super) const MARGIN: u64 = 10;

/// What is needed to end in good order.
pub(super) struct Lifecycle {
    grace: Duration,
    pid_file: Option<PathBuf>,
    ready: Arc<Ready>,
    cell: Arc<Cell>,
    phases: broadcast::Receiver<ExecutionPhase>,
    stop: watch::Sender<bool>,
    stopped: (mpsc::Sender<()>, mpsc::Receiver<()>),
    hurry: Arc<AtomicBool>,
}

/// SIGTERM, SIGINT and SIGUSR2, as far as they can be had.
pub(super) type Ends = [Option<Signal>; 3];

/// The signals of [`Ends`], by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Term,
    Int,
    /// Asks for an upgrade in place, which this version has not. Taken, since left alone it would
    /// kill.
    Upgrade,
}

/// Turns signals into Pingora's ways to shut down.
pub(super) struct Signals {
    ends: Arc<Mutex<Ends>>,
    ready: Arc<Ready>,
    hurry: Arc<AtomicBool>,
}

/// Takes the signals of [`Ends`] and (the second value) SIGHUP from now on; those that come before
/// somebody waits for them are kept.
///
/// To be called before anybody can know the process. Until then a signal does what the system does
/// with one that nobody takes: it ends the process, and a hangup that asks for a reload must not.
pub(super) fn listen() -> (Ends, Option<Signal>) {
    // Only registering needs a runtime; any other one then passes the signals on.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let listen = |kind| {
        let heard = runtime.as_ref().map_err(|e| e.to_string()).and_then(|runtime| {
            let _inside = runtime.enter();
            signal(kind).map_err(|e| e.to_string())
        });
        heard.map_err(|error| warn!(error, "cannot listen for a signal")).ok()
    };
    let kinds =
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::user_defined2(), SignalKind::hangup()];
    let [term, int, upgrade, hangup] = kinds.map(listen);
    ([term, int, upgrade], hangup)
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
            pid_file: boot.server.pid_file.clone(),
            ready,
            cell,
            phases,
            stop: watch::Sender::new(false),
            stopped: mpsc::channel(1),
            hurry: Arc::default(),
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

    /// Ends the process by the signals of [`listen`].
    pub(super) fn signals(&self, ends: Ends) -> Signals {
        Signals { ends: Arc::new(Mutex::new(ends)), ready: self.ready.clone(), hurry: self.hurry.clone() }
    }

    pub(super) fn write_pid_file(&self) -> Result<(), StartError> {
        let Some(path) = &self.pid_file else { return Ok(()) };
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = folder.and_then(|()| std::fs::write(path, format!("{}\n", std::process::id())));
        written.map_err(|why| StartError::PidFile(path.clone(), why))
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
        let mut waited = Duration::ZERO;
        // One count may fall between two requests of a connection that is about to close; two in a
        // row do not.
        let mut idle = 0;
        while idle < 3 && waited < self.grace && !self.hurry.load(Relaxed) {
            std::thread::sleep(COUNT);
            waited += COUNT;
            // A connection that is open may have a request on its way. The door closes those that
            // say nothing.
            let quiet = gate.is_quiet() && (proxy.connections() == 0 || waited >= LINGER);
            idle = if quiet && proxy.in_flight() == 0 { idle + 1 } else { 0 };
        }
        let left = proxy.in_flight();
        if left > 0 {
            let why = if self.hurry.load(Relaxed) { "told to hurry" } else { "the grace period is over" };
            warn!(left, why, "these requests are cut");
        }
        self.last_words();
        info!("stopped");
        std::process::exit(0);
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
        if let Some(path) = &self.pid_file {
            let own =
                std::fs::read_to_string(path).is_ok_and(|text| text.trim() == std::process::id().to_string());
            if own {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

// === impl Signals ===

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let which = first(&self.ends).await;
        self.ready.drain();
        if which == End::Int {
            info!("SIGINT: stopping at once");
            self.hurry.store(true, Relaxed);
            return ShutdownSignal::GracefulTerminate;
        }
        info!("SIGTERM: draining");
        let (hurry, ends) = (self.hurry.clone(), self.ends.clone());
        tokio::spawn(async move {
            first(&ends).await;
            hurry.store(true, Relaxed);
        });
        ShutdownSignal::GracefulTerminate
    }
}

/// Waits for a signal to end.
async fn first(ends: &Mutex<Ends>) -> End {
    let [term, int, upgrade] = &mut *ends.lock().await;
    loop {
        let end = tokio::select! {
            () = next(term) => End::Term,
            () = next(int) => End::Int,
            () = next(upgrade) => End::Upgrade,
        };
        if end != End::Upgrade {
            return end;
        }
        warn!("SIGUSR2: this version cannot be upgraded in place; it serves on. Restart it instead");
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
