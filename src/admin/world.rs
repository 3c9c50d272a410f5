//! What the admin API needs of the rest of the program, and nothing more.
//!
//! Implemented once, where everything is wired; a fake one serves the tests. Each reading method
//! looks at the current snapshot by itself: two calls may see two generations, and say so by their
//! content.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::admin::explain::Probe;
use crate::admin::view::{Cluster, Route, Snapshot, Source};
use crate::admin::view::{Preview, Split};
use crate::config::{Name, Problem};
use crate::control::weights::{self, Refused};
use crate::control::{DrainError, drains};
use crate::register;

/// The running proxy, as the admin API sees it.
#[async_trait]
pub trait World: Send + Sync + 'static {
    /// Whether traffic may come. Err: what is awaited, a sentence each.
    fn ready(&self) -> Result<(), Vec<String>>;

    /// The snapshot that serves. None before the first one.
    fn snapshot(&self) -> Option<Snapshot>;

    /// The routes in the order of the file.
    fn routes(&self) -> Vec<Route>;

    /// The clusters by name.
    fn clusters(&self) -> Vec<Cluster>;

    /// One of them.
    fn cluster(&self, name: &str) -> Option<Cluster>;

    /// The splits in the order of the file's routes.
    fn splits(&self) -> Vec<Split>;

    /// One of them, by its route.
    fn split(&self, route: &str) -> Result<Split, Refused>;

    /// Which keys would move under other weights; variants that are not named keep theirs.
    fn preview(&self, route: &str, weights: &BTreeMap<Name, u64>) -> Result<Preview, Refused>;

    /// Gives a split other weights. Returns when they serve.
    async fn set_weights(&self, request: weights::Request) -> Result<weights::Done, Refused>;

    /// What is known of the sources of endpoints.
    fn sources(&self) -> Vec<Source>;

    /// The entry of this process in Consul. None: the config registers nothing.
    fn register(&self) -> Option<register::Status>;

    /// The whole config as it serves, secrets hidden (`config::value::Secret` serialises as
    /// `<secret>`).
    fn config(&self) -> Value;

    /// Decides a request with the code that decides traffic, without sending it, and says why.
    fn explain(&self, probe: &Probe) -> Value;

    /// The Prometheus text page.
    fn metrics(&self) -> Vec<u8>;

    /// Reads the config file again. Returns when the new generation serves.
    async fn reload(&self) -> Result<Reloaded, ReloadError>;

    /// Takes an endpoint or a cluster out of rotation, or puts it back; idempotent. Returns when it
    /// holds, with what is odd about it.
    async fn drain(&self, request: drains::Request) -> Result<Vec<String>, DrainError>;
}

/// A reload that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The generation that serves now; the old one if nothing changed.
    pub generation: u64,
    /// Config paths whose change waits for a binary upgrade or restart.
    pub needs_upgrade: Vec<String>,
    /// What is odd but serves, as a cluster whose source has not answered yet.
    pub warnings: Vec<String>,
}

/// Why a reload was not applied. The old generation goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadError {
    /// What is wrong with the new config: all of it.
    Invalid(Vec<Problem>),
    /// Another process is taking over.
    HandingOver,
    /// The process is stopping.
    Stopping,
}
