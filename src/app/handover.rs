//! Upgrades, as a service of the process: what an [elder](crate::upgrade::elder) does to the rest of
//! it, and how an [heir](crate::upgrade::heir) becomes main.
//!
//! The service begins when there is something to serve. An heir takes over then, and becomes one that
//! can hand over itself. If it can't, it ends with status 1: the process that it was to take over
//! from serves on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::{Mutex, mpsc, watch};
use tracing::{error, info, warn};

use crate::consul::agent::Service;
use crate::control::Inbox;
use crate::control::heritage::Heritage;
use crate::observe::Metrics;
use crate::register::Register;
use crate::snapshot::compile::Surroundings;
use crate::state_file::Owner;
use crate::upgrade::elder::{Ask, Elder, Ending, Estate, Offer};
use crate::upgrade::front::Front;
use crate::upgrade::gate::{Gate, State};
use crate::upgrade::heir::{Handed, Heir, HeirError, TakingOver, Word};
use crate::upgrade::notify;
use crate::upgrade::sockets::{Claim, Sockets};
use crate::upgrade::spawn::Program;

use super::lifecycle::Reins;

/// As many may ask before the first is heard.
const ASKS: usize = 16;

/// In front of the listeners, and in front of the admin API.
#[derive(Clone, Debug)]
pub(super) struct Gates {
    pub(super) proxy: Gate,
    pub(super) admin: Gate,
}

/// What an upgrade touches.
#[derive(Clone)]
pub(super) struct House {
    pub(super) inbox: Inbox,
    pub(super) sockets: Sockets,
    pub(super) gates: Gates,
    /// Of the files in `state_dir`.
    pub(super) owner: Owner,
    pub(super) around: Arc<Surroundings>,
    pub(super) register: Register,
    /// Whether a service manager listens to this process.
    pub(super) main: watch::Sender<bool>,
    pub(super) reins: Reins,
}

/// What the service runs with.
pub(super) struct Parts {
    pub(super) house: House,
    /// None: this process was started alone.
    pub(super) heir: Option<Heir>,
    pub(super) program: Result<Program, String>,
    /// `server.upgrade_socket`. None: nobody may ask.
    pub(super) front: Option<PathBuf>,
    pub(super) patience: Duration,
    pub(super) asks: (mpsc::Sender<Ask>, mpsc::Receiver<Ask>),
}

/// The service.
pub(super) struct Upgrades(Mutex<Option<Parts>>);

/// A channel for those who ask.
pub(super) fn asks() -> (mpsc::Sender<Ask>, mpsc::Receiver<Ask>) {
    mpsc::channel(ASKS)
}

// === impl Gates ===

impl Gates {
    pub(super) fn new(open: bool) -> Self {
        Self { proxy: Gate::new(open), admin: Gate::new(open) }
    }

    fn open(&self) {
        self.proxy.open();
        self.admin.open();
    }

    fn shut(&self) {
        self.proxy.shut();
        self.admin.shut();
    }

    /// Opens both in turn. An heir's `/ready` says no until the listeners are open, and the elder, which
    /// accepts on the same socket, says yes: so the admin API comes last. False: the process is stopping.
    async fn open_in_turn(&self) -> bool {
        self.proxy.open();
        if self.proxy.reached(State::Accepting).await != State::Accepting {
            return false;
        }
        self.admin.open();
        self.admin.reached(State::Accepting).await == State::Accepting
    }

    /// Waits until both accept. False: the process is stopping.
    async fn accepting(&self) -> bool {
        let reached =
            tokio::join!(self.proxy.reached(State::Accepting), self.admin.reached(State::Accepting));
        reached == (State::Accepting, State::Accepting)
    }
}

// === impl House ===

impl House {
    fn metrics(&self) -> &Metrics {
        &self.around.metrics
    }

    /// This process is main now.
    fn settle(&self, registered: Vec<Service>) {
        if let Err(error) = self.reins.pid_file.write() {
            warn!(%error, "the pid file names the process before");
        }
        self.owner.take();
        self.sockets.taken_back();
        self.metrics().handed_over(true);
        self.register.start(registered);
        self.main.send_replace(true);
    }
}

#[async_trait]
impl Estate for House {
    async fn bequeath(&self, last: bool) -> Result<Heritage, String> {
        let mut heritage = self.inbox.bequeath(last).await.map_err(|error| error.to_string())?;
        heritage.registered = self.register.registered();
        heritage.elders = self.reins.elders.borrow().clone();
        Ok(heritage)
    }

    fn thaw(&self) {
        self.inbox.thaw();
    }

    fn sockets(&self, claims: &[Claim]) -> Offer {
        let held = self.sockets.all();
        let claimed = |address| claims.iter().any(|claim| claim.address == address);
        let unclaimed: Vec<_> = held.iter().map(|(at, _)| *at).filter(|at| !claimed(*at)).collect();
        self.sockets.share(&unclaimed);
        Offer { held, lent: self.sockets.lent() }
    }

    fn unshare(&self) {
        self.sockets.unshare();
        self.sockets.taken_back();
    }

    fn shut(&self) {
        self.gates.shut();
    }

    fn open(&self) {
        self.gates.open();
    }

    fn main(&self, pid: u32) -> Result<(), String> {
        notify::main_pid(pid).map_err(|why| format!("systemd cannot be told who is main: {why};"))?;
        // After that systemd hears the other one only.
        self.main.send_replace(pid == std::process::id());
        Ok(())
    }

    fn release(&self, claims: &[Claim]) {
        let kept: Vec<_> = claims.iter().map(|claim| claim.address).collect();
        self.sockets.release(&kept);
        self.register.keep();
        let upgraded = |ending: &mut Ending| {
            let first = *ending == Ending::No;
            if first {
                *ending = Ending::Upgraded;
            }
            first
        };
        self.reins.ending.send_if_modified(upgraded);
    }

    fn failed(&self) {
        self.metrics().handed_over(false);
    }
}

// === impl Parts ===

impl Parts {
    async fn run(mut self) {
        let over = self.heir.is_some();
        match self.heir.take() {
            Some(heir) => self.take_over(heir).await,
            None if self.house.gates.accepting().await => {}
            None => return,
        }
        if let Some(path) = &self.front {
            match Front::bind(path, over) {
                Ok(front) => {
                    // Set once: this runs once.
                    let _ = self.house.reins.place.set(front.place());
                    tokio::spawn(front.serve(self.asks.0.clone(), self.house.reins.progress.clone()));
                }
                Err(error) => warn!(
                    socket = %path.display(), %error,
                    "nobody can ask for an upgrade but by SIGUSR2: no socket at server.upgrade_socket"
                ),
            }
        }
        let Self { house, program, patience, asks: (_asker, asks), .. } = self;
        let (progress, ending) = (house.reins.progress.clone(), house.reins.ending.subscribe());
        Elder { estate: house, program, progress, patience, asks, ending }.run().await;
    }

    /// Returns as the main process, or not at all.
    async fn take_over(&self, heir: Heir) {
        let elder = heir.elder.clone();
        let mut taking = match heir.attach() {
            Ok(taking) => taking,
            Err(error) => give_up(&error.to_string()),
        };
        match self.walk(&mut taking).await {
            Ok((word, registered, elders)) => {
                self.house.settle(registered);
                elders.into_iter().for_each(|pid| self.house.reins.wait_for(pid));
                let settled = word == Word::Settled;
                if word == Word::Silent {
                    warn!(elder = elder.pid, "the process before hangs; this one is main without its word");
                }
                info!(elder = elder.pid, before = elder.version, settled, "took over");
            }
            Err(why) => {
                taking.failed(why.clone()).await;
                give_up(&why);
            }
        }
        let elders = self.house.reins.elders.clone();
        elders.send_modify(|all| all.push(elder.pid));
        tokio::spawn(async move {
            taking.elder_ended().await;
            elders.send_modify(|all| all.retain(|pid| *pid != elder.pid));
            info!(elder = elder.pid, "the process before has ended");
        });
    }

    async fn walk(&self, taking: &mut TakingOver) -> Result<(Word, Vec<Service>, Vec<u32>), String> {
        let House { sockets, inbox, gates, .. } = &self.house;
        let text = |error: HeirError| error.to_string();
        let Handed { mut heritage, sockets: had } = taking.ready(sockets.claims()).await.map_err(text)?;
        sockets.fill(had).map_err(|error| error.to_string())?;
        let registered = std::mem::take(&mut heritage.registered);
        let elders = std::mem::take(&mut heritage.elders);
        inbox.inherit(heritage).await.map_err(|rejected| super::list(&rejected.problems))?;
        if !gates.open_in_turn().await {
            return Err("it was told to stop".into());
        }
        let mut ending = self.house.reins.ending.subscribe();
        let stop = async move {
            // Its sender is in `reins`.
            let _ = ending.wait_for(|ending| *ending != Ending::No).await;
        };
        Ok((taking.serving(stop).await.map_err(text)?, registered, elders))
    }
}

/// Ends a process that is not to serve. Nothing of it is to be kept.
fn give_up(why: &str) -> ! {
    error!(why, "cannot take over; the process before serves on");
    std::process::exit(1)
}

// === impl Upgrades ===

impl Upgrades {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Mutex::new(Some(parts)))
    }
}

#[async_trait]
impl BackgroundService for Upgrades {
    async fn start(&self, _shutdown: ShutdownWatch) {
        if let Some(parts) = self.0.lock().await.take() {
            parts.run().await;
        }
    }
}
