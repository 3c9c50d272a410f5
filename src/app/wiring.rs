//! What the services of a process share, and how they are put together.

use std::path::PathBuf;
use std::sync::Arc;

use pingora::server::Server;
use pingora::services::ServiceHandle;
use pingora::services::background::background_service;
use tokio::runtime::Handle;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};

use crate::config::Boot;
use crate::control::fleet::Heard;
use crate::control::ready::Ready;
use crate::control::reloads::Reloads;
use crate::control::watch::Stamp;
use crate::control::{Change, Inbox, Writer, drains};
use crate::discovery::Statuses;
use crate::health;
use crate::health::service::board::Board;
use crate::observe::access::AccessLog;
use crate::proxy::{Listener, Proxy};
use crate::register::{self, Register};
use crate::snapshot::compile::Surroundings;
use crate::snapshot::{Cell, Snapshot, Table};
use crate::state_file::Owner;
use crate::tls::Terminator;
use crate::upgrade::activation;
use crate::upgrade::sockets::{BindError, Claim, Sockets};

use super::handover::{Gates, House};
use super::lifecycle::{Lifecycle, Reins};
use super::service::{self, Control};
use super::systemd::{Systemd, Workers};
use super::world;

/// What services share.
pub(super) struct Core {
    pub(super) boot: Boot,
    pub(super) around: Arc<Surroundings>,
    pub(super) gates: Gates,
    /// By listener, in the order of the config; none where one is without TLS.
    pub(super) terminators: Vec<Option<Arc<Terminator>>>,
    sockets: Sockets,
    ready: Arc<Ready>,
    cell: Arc<Cell>,
    owner: Owner,
    inbox: Inbox,
    changes: Option<mpsc::UnboundedReceiver<Change>>,
    statuses: Statuses,
    heard: Heard,
    board: Arc<Board>,
    drains: drains::Posted,
    pub(super) register: Register,
    /// Whether this is the process that a service manager listens to.
    main: watch::Sender<bool>,
    workers: Workers,
    reloads: Option<watch::Receiver<Reloads>>,
    registering: Option<register::Task>,
    heir: bool,
}

// === impl Core ===

impl Core {
    /// Binds the sockets, unless another process is to hand them over.
    pub(super) fn new(boot: &Boot, around: Arc<Surroundings>, heir: bool) -> Result<Self, BindError> {
        let claims = claims(boot);
        let sockets =
            if heir { Sockets::unbound(&claims) } else { Sockets::bind(&claims, activation::take(&claims))? };
        let nothing = Snapshot::empty(Table::empty(&around), Arc::new(AccessLog::default()));
        let (inbox, changes) = Inbox::new();
        let (register, registering) = Register::new(boot.clone());
        Ok(Self {
            boot: boot.clone(),
            around,
            gates: Gates::new(!heir),
            terminators: Vec::new(),
            sockets,
            ready: Arc::new(Ready::new()),
            cell: Arc::new(Cell::new(nothing)),
            owner: if heir { Owner::heir() } else { Owner::default() },
            inbox,
            changes: Some(changes),
            statuses: Statuses::default(),
            heard: Heard::default(),
            board: Arc::default(),
            drains: drains::Posted::default(),
            register,
            main: watch::Sender::new(!heir),
            workers: Workers::default(),
            reloads: None,
            registering: Some(registering),
            heir,
        })
    }

    /// What the writer shares with the rest.
    pub(super) fn shared(&self) -> (Arc<Surroundings>, Arc<Cell>, Arc<Ready>, Owner) {
        (self.around.clone(), self.cell.clone(), self.ready.clone(), self.owner.clone())
    }

    pub(super) fn lifecycle(&self, server: &Server) -> Lifecycle {
        Lifecycle::new(&self.boot, self.ready.clone(), self.cell.clone(), server.watch_execution_phase())
    }

    /// What an upgrade touches.
    pub(super) fn house(&self, reins: Reins) -> House {
        House {
            inbox: self.inbox.clone(),
            sockets: self.sockets.clone(),
            gates: self.gates.clone(),
            owner: self.owner.clone(),
            around: self.around.clone(),
            register: self.register.clone(),
            main: self.main.clone(),
            reins,
        }
    }

    /// Control, and the active checks after its first snapshot. What depends on the result begins
    /// after the first probes.
    pub(super) fn background(
        &mut self,
        server: &mut Server,
        lifecycle: &Lifecycle,
        writer: Writer,
        (file, hangups): (Option<(PathBuf, Stamp)>, Option<Signal>),
    ) -> ServiceHandle {
        self.drains = writer.drains();
        self.reloads = Some(writer.reloads());
        // Taken once: this is called once.
        let taken = self.changes.take().zip(self.registering.take());
        let Some((changes, registering)) = taken else { unreachable!("one writer") };
        // An heir is told when it is main.
        let register = (!self.heir).then(|| (self.register.clone(), self.ready.clone()));
        let control = Control::new(service::Parts {
            writer,
            changes,
            inbox: self.inbox.clone(),
            file,
            hangups,
            statuses: self.statuses.clone(),
            heard: self.heard.clone(),
            state_dir: self.boot.server.state_dir.clone(),
            cell: self.cell.clone(),
            stop: lifecycle.stop(),
            stopped: lifecycle.stopped(),
            registering,
            register,
            terminators: self.terminators.iter().flatten().cloned().collect(),
        });
        let control = server.add_service(background_service("control", control));
        let (cell, metrics) = (self.cell.clone(), self.around.metrics.clone());
        let checks = health::service::Service::new(cell, metrics, self.board.clone(), fastrand::Rng::new());
        let health = service::Health::new(checks, lifecycle.stop());
        let health = server.add_service(background_service("health", health));
        health.add_dependency(&control);
        health
    }

    /// The listeners and the admin API, after `health`.
    pub(super) fn edges(&mut self, server: &mut Server, health: &ServiceHandle) -> Proxy {
        let terminators = std::mem::take(&mut self.terminators);
        let listeners = self.boot.listeners.iter().zip(terminators);
        let metrics = &self.around.metrics;
        let listeners = listeners.map(|(l, tls)| Listener::new(&self.boot, l, tls, metrics)).collect();
        let proxy = Proxy::new(self.cell.clone(), self.ready.clone(), listeners);
        // Until it accepts, whatever else holds.
        self.ready.close();
        let (listening, conf) = (self.ready.clone(), server.configuration.clone());
        let gate = (self.gates.proxy.clone(), self.sockets.clone());
        let door = service::proxy(&self.boot, gate, conf, proxy.clone());
        let workers = self.workers.clone();
        let opened = move || {
            // It is called on the runtime of requests; the first time counts, there is but one.
            let _ = workers.set(Handle::current());
            listening.open();
        };
        server.add_service(door.opened(opened)).add_dependency(health);
        let gate = (self.gates.admin.clone(), self.sockets.clone());
        let admin = service::admin(&self.boot.admin, gate, Arc::new(self.world()));
        server.add_service(admin).add_dependency(health);
        proxy
    }

    /// What tells systemd of the process. None before [`Core::background`].
    pub(super) fn systemd(&mut self, proxy: Proxy) -> Option<Systemd> {
        Some(Systemd {
            cell: self.cell.clone(),
            ready: self.ready.clone(),
            inbox: self.inbox.clone(),
            proxy,
            around: self.around.clone(),
            reloads: self.reloads.take()?,
            main: self.main.subscribe(),
            workers: self.workers.clone(),
            doors: (self.gates.proxy.clone(), self.sockets.clone()),
            grace: self.boot.server.grace_period.0,
        })
    }

    fn world(&self) -> world::Process {
        world::Process {
            cell: self.cell.clone(),
            ready: self.ready.clone(),
            inbox: self.inbox.clone(),
            statuses: self.statuses.clone(),
            heard: self.heard.clone(),
            register: self.register.clone(),
            board: self.board.clone(),
            drains: self.drains.clone(),
            around: self.around.clone(),
            boot: self.boot.clone(),
        }
    }
}

/// What the process listens on.
fn claims(boot: &Boot) -> Vec<Claim> {
    let listeners = boot.listeners.iter().map(|l| Claim::listener(l.name.as_str(), l.address));
    listeners.chain([Claim::admin(boot.admin.address)]).collect()
}
