//! The control plane as Pingora services, each with a runtime of its own: control, a few tasks, and
//! the active checks.

use std::path::PathBuf;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::ServiceReadyNotifier;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::Signal;
use tokio::sync::{Mutex, mpsc};

use crate::control::{Change, Inbox, Writer, watch};
use crate::discovery::hub::Hub;
use crate::discovery::{Statuses, Stop};
use crate::health;

use super::ended;

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
    pub(super) state_dir: Option<PathBuf>,
    /// Turns true when the process has drained. Pingora's own shutdown signal is not used: requests
    /// in flight may still need new members for a retry.
    pub(super) stop: Stop,
    /// Dropped when the state is safely on disk.
    pub(super) stopped: mpsc::Sender<()>,
}

/// Writer, hub, file watch and SIGHUP.
pub(super) struct Control(Mutex<Option<Parts>>);

/// The active checks, on a runtime of their own, so that they never wait for control nor it for
/// them.
pub(super) struct Health(Mutex<Option<(health::service::Service, Stop)>>);

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
        let Parts { writer, changes, inbox, file, hangups, statuses, state_dir, stop, stopped } = parts;
        let (updates, heard) = mpsc::unbounded_channel();
        let hub = Hub::new(updates, state_dir, statuses).run(writer.wanted(), stop.clone());
        tokio::spawn(async move {
            hub.await;
            drop(stopped);
        });
        if let Some(mut hangups) = hangups {
            let inbox = inbox.clone();
            tokio::spawn(async move {
                while hangups.recv().await.is_some() {
                    inbox.reload_soon("SIGHUP");
                }
            });
        }
        if let Some((file, read)) = file {
            tokio::spawn(watch::file(file, read, inbox, stop.clone()));
        }
        writer.run(changes, heard, || ready.notify_ready(), stop.clone()).await;
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
