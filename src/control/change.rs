//! What can be asked of the writer, and what it answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::config::{Name, Problem};
use crate::control::heritage::{HANDING_OVER, Heritage};
use crate::control::{drains, weights};
use crate::split::Standing;

/// A change of the world. Members come over a channel of their own, from `discovery`.
#[derive(Debug)]
pub enum Change {
    /// Read the config file again. `cause` is `SIGHUP`, `file` or `api`.
    Reload { cause: &'static str, reply: Option<oneshot::Sender<Result<Applied, Rejected>>> },
    /// Take an endpoint or a cluster out for new requests, or back.
    Drain { request: drains::Request, reply: oneshot::Sender<Result<Applied, DrainError>> },
    /// Give a split other weights, on this node.
    Weights { request: weights::Request, reply: oneshot::Sender<Result<weights::Done, weights::Refused>> },
    /// All that the fleet's documents below a prefix say now, by route. See `Ledger::fleet`.
    Documents { prefix: String, said: BTreeMap<Name, Standing> },
    /// The documents below this prefix are not heard; nobody is to wait for them.
    NoDocuments { prefix: String },
    /// Asks whether anybody is there.
    Ping { reply: oneshot::Sender<()> },
    /// Tell another process what is known. See [`Inbox::bequeath`].
    Bequeath { last: bool, reply: oneshot::Sender<Heritage> },
    /// The other process has not come about.
    Thaw,
    /// What another process knew. See [`Inbox::inherit`].
    Inherit { heritage: Box<Heritage>, reply: oneshot::Sender<Result<Applied, Rejected>> },
}

/// The change serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The generation that serves it.
    pub generation: u64,
    /// Boot fields that differ from the running ones; they wait for an upgrade or a restart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_upgrade: Vec<String>,
    /// What is odd but serves, as a cluster without an answer yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Nothing changed; here is why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejected {
    pub problems: Vec<Problem>,
}

/// Why nothing was drained or undrained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrainError {
    #[error("no cluster `{0}`")]
    Cluster(Name),
    #[error("cluster `{0}` has no endpoint {1}")]
    Endpoint(Name, SocketAddr),
    #[error("the change cannot be written to {path}: {why}", path = path.display())]
    Unsaved { path: PathBuf, why: String },
    #[error("{HANDING_OVER}")]
    HandingOver,
    #[error("the process is stopping")]
    Stopping,
}

/// There is no heritage: the process is stopping, or the hand-over was called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process is stopping, or the hand-over was called off")]
pub struct CalledOff;

/// Where changes are sent.
#[derive(Clone, Debug)]
pub struct Inbox(mpsc::UnboundedSender<Change>);

// === impl Rejected ===

impl Rejected {
    /// Nothing is reloaded while another process takes over.
    pub(super) fn handing_over() -> Self {
        Self { problems: vec![Problem::new("", HANDING_OVER)] }
    }

    /// Whether that is why.
    pub fn is_handing_over(&self) -> bool {
        *self == Self::handing_over()
    }
}

// === impl Inbox ===

impl Inbox {
    /// An inbox and the end that the writer reads.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Change>) {
        let (send, receive) = mpsc::unbounded_channel();
        (Self(send), receive)
    }

    /// Asks for a reload and does not wait.
    pub fn reload_soon(&self, cause: &'static str) {
        let _ = self.0.send(Change::Reload { cause, reply: None });
    }

    /// Reloads; returns once the new config serves.
    ///
    /// # Errors
    ///
    /// Every problem of the new config. The old one serves on.
    pub async fn reload(&self, cause: &'static str) -> Result<Applied, Rejected> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Rejected { problems: vec![Problem::new("", "the process is stopping")] };
        self.0.send(Change::Reload { cause, reply: Some(reply) }).map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Drains an endpoint or a cluster, or ends that; returns once it holds and is on disk.
    ///
    /// # Errors
    ///
    /// Why nothing changed.
    pub async fn drain(&self, request: drains::Request) -> Result<Applied, DrainError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Change::Drain { request, reply }).map_err(|_| DrainError::Stopping)?;
        answer.await.unwrap_or(Err(DrainError::Stopping))
    }

    /// Gives a split other weights; returns once they serve and are on disk.
    ///
    /// # Errors
    ///
    /// Why nothing changed.
    pub async fn weights(&self, request: weights::Request) -> Result<weights::Done, weights::Refused> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Change::Weights { request, reply }).map_err(|_| weights::Refused::Stopping)?;
        answer.await.unwrap_or(Err(weights::Refused::Stopping))
    }

    /// Whether the writer answers; waits until it does, or has ended.
    pub async fn ping(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        self.0.send(Change::Ping { reply }).is_ok() && answer.await.is_ok()
    }

    /// Tells all that the fleet's documents below a prefix say now, and does not wait.
    pub fn documents(&self, prefix: String, said: BTreeMap<Name, Standing>) {
        let _ = self.0.send(Change::Documents { prefix, said });
    }

    /// What another process is to know to go on from here.
    ///
    /// `last`: from now on operators' changes are refused and reloads wait, until
    /// [`thaw`](Self::thaw); answers once all that was asked before serves and is on disk, and
    /// nothing more is written to `state_dir`. A disk that hangs keeps it waiting, so give it a
    /// limit.
    ///
    /// # Errors
    ///
    /// [`CalledOff`].
    pub async fn bequeath(&self, last: bool) -> Result<Heritage, CalledOff> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Change::Bequeath { last, reply }).map_err(|_| CalledOff)?;
        answer.await.map_err(|_| CalledOff)
    }

    /// Goes on as if no other process had been to take over, and does not wait.
    pub fn thaw(&self) {
        let _ = self.0.send(Change::Thaw);
    }

    /// Takes the last that another process knew over what it knew first; returns when it serves.
    ///
    /// # Errors
    ///
    /// Problems of the config, if the other process has loaded another one meanwhile and this one
    /// cannot.
    pub async fn inherit(&self, heritage: Heritage) -> Result<Applied, Rejected> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Rejected { problems: vec![Problem::new("", "the process is stopping")] };
        let heritage = Box::new(heritage);
        self.0.send(Change::Inherit { heritage, reply }).map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Tells that they are not heard.
    pub fn no_documents(&self, prefix: &str) {
        let _ = self.0.send(Change::NoDocuments { prefix: prefix.into() });
    }
}
