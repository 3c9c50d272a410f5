//! The parts of the process as Pingora services, each with a runtime of its own: control, a few
//! tasks; the active checks; the proxy; the admin API.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use pingora::services::ServiceReadyNotifier;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::Signal;
use tokio::sync::{Mutex, Notify, mpsc};

use crate::admin::{Admin, World};
use crate::cluster::announce::keepalive;
use crate::config::{Boot, boot};
use crate::control::fleet::{self, Heard};
use crate::control::ready::Ready;
use crate::control::{Change, Inbox, Writer, watch};
use crate::discovery::hub::Hub;
use crate::discovery::{Statuses, Stop};
use crate::health;
use crate::outlier;
use crate::proxy::Proxy;
use crate::proxy::door::Door;
use crate::register::{self, Register};
use crate::snapshot::Cell;
use crate::tls::{self, Terminator};
use crate::upgrade::gate::Gate;
use crate::upgrade::sockets::Sockets;

use super::ended;
use super::listening::{Endpoint, Ends, Listening};

/// The buffers of a connection below what speaks on it, in bytes. Who speaks HTTP/1.1, HTTP/2 or TLS
/// has buffers of its own; Pingora's default of 64 KiB is allocated for each connection, idle or
/// not. None for reading: it would cut what came in one packet in two, so that a chunk that is not
/// valid would be seen after the head that came with it.
const READ_BUFFER: usize = 0;

/// A header and a small body leave in one packet.
const WRITE_BUFFER: usize = 1460;

/// What the service runs with.
pub(super) struct Parts {
    pub(super) writer: Writer,
    pub(super) changes: mpsc::UnboundedReceiver<Change>,
    pub(super) inbox: Inbox,
    /// The config file, and what it was when it was read.
    pub(super) file: Option<(PathBuf, watch::Stamp)>,
    /// SIGHUP.
    pub(super) hangups: Option<Signal>,
    pub(super) statuses: Statuses,
    /// How the watch of the fleet's weights does.
    pub(super) heard: Heard,
    pub(super) state_dir: Option<PathBuf>,
    /// Turns true when the process has drained. Pingora's own shutdown signal is not used: requests
    /// in flight may still need new members for a retry.
    pub(super) stop: Stop,
    /// What serves, for whoever watches endpoints.
    pub(super) cell: Arc<Cell>,
    /// The entry of this process in Consul.
    pub(super) registering: register::Task,
    /// Starts it when traffic may come. None: somebody else does, as the elder of an heir.
    pub(super) register: Option<(Register, Arc<Ready>)>,
    /// Of the TLS listeners, whose files are watched.
    pub(super) terminators: Vec<Arc<Terminator>>,
    /// Dropped when the state is safely on disk.
    pub(super) stopped: mpsc::Sender<()>,
}

/// Writer, hub, the fleet's weights, file watch and SIGHUP.
pub(super) struct Control(Mutex<Option<Parts>>);

/// The active checks, on a runtime of their own, so that they never wait for control nor it for
/// them.
pub(super) struct Health(Mutex<Option<(health::service::Service, Stop)>>);

/// What accepts on the sockets of all listeners.
pub(super) fn proxy(
    boot: &Boot,
    (gate, sockets): (Gate, Sockets),
    conf: Arc<ServerConf>,
    proxy: Proxy,
) -> Listening<Door> {
    let claimed: Vec<_> = boot.listeners.iter().map(|listener| listener.address).collect();
    let endpoints = boot.listeners.iter().map(|listener| Endpoint {
        address: listener.address,
        buffers: L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER),
        // Clients whose bytes are passed through may be silent for long, so a host that is gone
        // without a word is looked for.
        keepalive: listener.tcp.is_some().then(keepalive),
    });
    let endpoints = endpoints.collect();
    let bound = sockets.clone();
    Listening::new("proxy", endpoints, (gate, sockets), move |leaving| {
        let addresses = claimed.iter().map(|claimed| bound.local(*claimed).unwrap_or(*claimed));
        Door::new(&conf, proxy.term(addresses.collect(), leaving))
    })
}

/// What accepts on the socket of the admin API, on one thread, as long as the process lives: whoever
/// looks should see how it ends.
pub(super) fn admin(
    config: &boot::Admin,
    (gate, sockets): (Gate, Sockets),
    world: Arc<dyn World>,
) -> Listening<Admin> {
    let buffers = L4BufferSettings::default();
    let endpoint = Endpoint { address: config.address, buffers, keepalive: None };
    let config = config.clone();
    let make = move |_| Admin::new(world.clone(), &config);
    Listening::new("admin", vec![endpoint], (gate, sockets), make).threads(1).ends(Ends::Never)
}

// === impl Control ===

impl Control {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Mutex::new(Some(parts)))
    }
}

#[async_trait]
impl BackgroundService for Control {
    async fn start_with_ready_notifier(&self, _shutdown: ShutdownWatch, ready: ServiceReadyNotifier) {
        let Some(parts) = self.0.lock().await.take() else { return };
        let Parts { mut writer, changes, inbox, file, hangups, statuses, heard, state_dir, .. } = parts;
        let (stop, stopped, cell, terminators) = (parts.stop, parts.stopped, parts.cell, parts.terminators);
        let (updates, members) = mpsc::unbounded_channel();
        let hub = Hub::new(updates, state_dir, statuses).owned(writer.owner());
        writer.keeper(hub.line());
        let hub = hub.run(writer.wanted(), stop.clone());
        tokio::spawn(async move {
            hub.await;
            drop(stopped);
        });
        tokio::spawn(parts.registering.run(writer.wanted(), stop.clone()));
        if let Some((register, ready)) = parts.register {
            tokio::spawn(register.start_when(ready, stop.clone()));
        }
        let known = writer.ledger().known().map(|(prefix, all)| (prefix.to_owned(), all));
        tokio::spawn(fleet::follow(writer.wanted(), known, inbox.clone(), heard, stop.clone()));
        let certificates = Arc::new(Notify::new());
        tokio::spawn(tls::watch::follow(terminators, certificates.clone(), stop.clone()));
        if let Some(mut hangups) = hangups {
            let inbox = inbox.clone();
            tokio::spawn(async move {
                while hangups.recv().await.is_some() {
                    inbox.reload_soon("SIGHUP");
                    certificates.notify_one();
                }
            });
        }
        if let Some((file, read)) = file {
            tokio::spawn(watch::file(file, read, inbox, stop.clone()));
        }
        tokio::spawn(outlier::service::run(cell, stop.clone()));
        writer.run(changes, members, || ready.notify_ready(), stop.clone()).await;
        if !*stop.borrow() {
            ended("control");
        }
    }
}

// === impl Health ===

impl Health {
    pub(super) fn new(service: health::service::Service, stop: Stop) -> Self {
        Self(Mutex::new(Some((service, stop))))
    }
}

#[async_trait]
impl BackgroundService for Health {
    async fn start_with_ready_notifier(&self, _shutdown: ShutdownWatch, ready: ServiceReadyNotifier) {
        let Some((service, stop)) = self.0.lock().await.take() else { return };
        service.run(|| ready.notify_ready(), stop.clone()).await;
        if !*stop.borrow() {
            ended("health");
        }
    }
}
