//! Weights for the whole fleet: one JSON document for each route, in a folder of Consul's KV store.
//!
//! [`watch`] follows the folder and tells the one writer the whole picture after each answer;
//! [`Fleet`] writes a document, by compare-and-set. What a document says is read in [`document`].
//!
//! Only a good answer changes the picture. A document that is missing in a list may be deleted, or
//! this token may not see it any more (Consul answers both alike), or the store was lost; so the
//! leader is asked for that key before it counts as gone, and anything but its clear word keeps the
//! document, with the reason beside it. The bad side: an operator who deletes a key that this token
//! may not read keeps its weights here, and whoever wipes a store on purpose must say `reset`.
//!
//! A document that cannot be read says so in its place and touches no other; its route goes on with
//! the last good one.

pub mod document;
mod fleet;
mod follow;
mod picture;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::config::live::{self, Consistency};
use crate::config::{Name, Problem};
use crate::consul::kv::{Folder, Prefix};
use crate::consul::{Client, Error, Settings};
use crate::discovery::consul::Timing;
use crate::discovery::consul::splits::follow::Follow;
use crate::discovery::{Stop, stopped};
use crate::split::{Amendment, Origin, Standing};

pub use self::fleet::{Change, Fleet, FleetError, Written};

/// After a client could not be built (a CA file that is missing), how long until the next try.
const REBUILD: Duration = Duration::from_secs(30);

/// What the watch and the writes are built from. Equal: both may go on after a reload.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    pub settings: Result<Settings, Error>,
    pub timing: Timing,
    pub prefix: Result<Prefix, Error>,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All documents: the first answer, and each that changed them.
    Documents(Documents),
    /// Consul answered, and nothing is new.
    Unchanged,
    /// There was no good answer. What was told before stays.
    Failed {
        /// A short word for metrics.
        kind: &'static str,
        /// For people.
        why: String,
    },
}

/// All documents of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// Without slashes at its ends.
    pub prefix: String,
    /// By route, whether or not there is such a route. A route that is not here has no document.
    pub all: BTreeMap<Name, Document>,
    /// How many keys are no name of a route.
    pub ignored: usize,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Of the key. 0: not known, as of one that comes from disk.
    pub modify_index: u64,
    pub outcome: Result<Amendment, Problem>,
    /// Why it is kept although Consul does not show it any more.
    pub kept: Option<String>,
}

/// Follows a folder until `stop`, or until nobody listens. `known`: the documents that were good
/// before this start; a list that lacks one of them is doubted.
pub async fn watch(
    setup: Setup,
    known: BTreeMap<Name, Document>,
    out: UnboundedSender<Event>,
    mut stop: Stop,
) {
    tokio::select! {
        () = follow(setup, known, &out) => {}
        () = out.closed() => {}
        () = stopped(&mut stop) => {}
    }
}

async fn follow(setup: Setup, known: BTreeMap<Name, Document>, out: &UnboundedSender<Event>) {
    let folder = loop {
        match setup.folder() {
            Ok(folder) => break folder,
            // Nobody listens: `watch` ends by itself.
            Err(error) => drop(out.send(Event::failed(&error))),
        }
        tokio::time::sleep(REBUILD).await;
    };
    Follow::new(folder, setup.timing, known, out.clone()).run().await;
}

// === impl Setup ===

impl Setup {
    /// Reads the `consul` section and the prefix together with the environment.
    pub fn new(consul: &live::Consul, prefix: &str, env: &dyn Fn(&str) -> Option<String>) -> Self {
        // The agents' cache does not hold keys.
        let consistency = match consul.consistency {
            Consistency::Cached => Consistency::Stale,
            other => other,
        };
        let timing = Timing { wait: consul.wait.0, max_stale: consul.max_stale.0, consistency };
        Self { settings: Settings::resolve(consul, env), timing, prefix: Prefix::parse(prefix) }
    }

    /// For writing. Keeps connections of its own.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings or the prefix.
    pub fn fleet(&self) -> Result<Fleet, Error> {
        self.folder().map(Fleet::new)
    }

    fn folder(&self) -> Result<Folder, Error> {
        let prefix = self.prefix.clone()?;
        let client = Client::new(self.settings.as_ref().map_err(Error::clone)?)?;
        Ok(Folder::new(client, prefix))
    }
}

// === impl Event ===

impl Event {
    fn failed(error: &Error) -> Self {
        Self::Failed { kind: error.kind(), why: error.to_string() }
    }
}

// === impl Document ===

impl Document {
    /// What stands for the route now, after `before`: a document that cannot be read leaves the last
    /// good one.
    pub fn standing(&self, before: &Standing) -> Standing {
        let problem = self.outcome.as_ref().err().map(ToString::to_string).or_else(|| self.kept.clone());
        let last = || before.amendment.clone().filter(|_| before.origin == Origin::ConsulKv);
        let amendment = self.outcome.as_ref().ok().cloned().or_else(last);
        Standing { origin: Origin::ConsulKv, amendment, problem, index: self.modify_index }
    }
}
