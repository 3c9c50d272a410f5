//! What a signal does: SIGTERM drains, a second one hurries, SIGINT stops at once, SIGUSR2 asks for an
//! upgrade. SIGHUP is `control`'s.
//!
//! Pingora waits for one signal and is deaf from then on; it shuts down when [`Signals`] says so, and
//! that is also when another process has taken over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::control::ready::Ready;
use crate::register::{self, Register};
use crate::upgrade::elder::{Ask, Ending};

/// The longest that Consul may take of a stop at once.
const AT_ONCE: Duration = Duration::from_millis(250);

/// SIGTERM, SIGINT and SIGUSR2, as far as they can be had.
pub(super) type Ends = [Option<Signal>; 3];

/// The signals of [`Ends`], by place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Term,
    Int,
    Upgrade,
}

/// Turns signals into Pingora's ways to shut down.
pub(super) struct Signals {
    pub(super) ends: Arc<Mutex<Ends>>,
    pub(super) ready: Arc<Ready>,
    pub(super) hurry: Arc<AtomicBool>,
    pub(super) ending: watch::Sender<Ending>,
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) register: Register,
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

// === impl Signals ===

impl Signals {
    /// Asks for an upgrade; what comes of it is logged where it is done.
    fn upgrade(&self) {
        let (reply, _) = oneshot::channel();
        if self.asks.try_send(Ask::Spawn { by: "SIGUSR2", reply }).is_err() {
            warn!("SIGUSR2: upgrades are asked for faster than they can be refused");
        }
    }

    /// Waits until the process is to end. Not before it drains: until then Pingora must go on.
    async fn ending(&self) -> Ending {
        let mut upgraded = self.ending.subscribe();
        loop {
            let end = tokio::select! {
                end = first(&self.ends) => end,
                Ok(_) = upgraded.wait_for(|ending| *ending == Ending::Upgraded) => return Ending::Upgraded,
            };
            match end {
                End::Term => return Ending::Drain,
                End::Int => return Ending::Now,
                End::Upgrade => self.upgrade(),
            }
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let ending = self.ending().await;
        self.ready.drain();
        match ending {
            Ending::Now => {
                info!("SIGINT: stopping at once");
                self.hurry.store(true, Relaxed);
            }
            Ending::Upgraded => info!("another process serves: draining"),
            Ending::Drain | Ending::No => info!("SIGTERM: draining"),
        }
        self.ending.send_replace(ending);
        // The first SIGTERM says what is so already, if nobody has said it before.
        tokio::spawn(hurry(self.ends.clone(), self.hurry.clone(), ending != Ending::Upgraded));
        // While the listeners are still open: who watches Consul goes elsewhere before they shut.
        match ending {
            Ending::Upgraded => {}
            Ending::Now => self.register.leave(AT_ONCE).await,
            Ending::Drain | Ending::No => self.register.leave(register::LEAVE).await,
        }
        ShutdownSignal::GracefulTerminate
    }
}

/// What signals do while the process drains. `told`: a SIGTERM has been.
async fn hurry(ends: Arc<Mutex<Ends>>, hurry: Arc<AtomicBool>, mut told: bool) {
    loop {
        match first(&ends).await {
            End::Upgrade => warn!("SIGUSR2: this process is ending; there is no upgrade"),
            End::Term if !told => told = true,
            End::Term | End::Int => return hurry.store(true, Relaxed),
        }
    }
}

/// Waits for a signal.
async fn first(ends: &Mutex<Ends>) -> End {
    let [term, int, upgrade] = &mut *ends.lock().await;
    tokio::select! {
        () = next(term) => End::Term,
        () = next(int) => End::Int,
        () = next(upgrade) => End::Upgrade,
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
