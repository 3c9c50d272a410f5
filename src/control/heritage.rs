//! What a process that hands over leaves to the one that takes over: all that it would otherwise
//! have to find out again.
//!
//! - the *generation*, so that it goes on: clients hold it as a condition of their changes;
//! - the *overlay*: weights, the fleet's documents, drains. It is on disk too, but the file is the
//!   elder's until the hand-over is settled;
//! - the *members* of each cluster with their holds ([`keep::estate`](crate::discovery::keep::estate)),
//!   so that the heir serves the same endpoints with its registry away;
//! - what is *registered* in Consul, so that what the heir's config no longer names goes;
//! - what is known of each *endpoint* ([`endpoint::memory`](crate::endpoint::memory)), so that its
//!   first request is not spent on one that is known to be dead.
//!
//! It is told twice. The first is what the heir starts on, beside the elder that serves on; the last,
//! when the elder changes no more ([`Inbox::bequeath`](crate::control::Inbox::bequeath)), brings what
//! changed meanwhile ([`Inbox::inherit`](crate::control::Inbox::inherit)). Over it counts what the
//! heir has found out itself: the answers of its own sources, and its own probes. A config that the
//! elder has loaded meanwhile is read by the heir then, since it may have read the file before.
//!
//! Each version reads what another one wrote: a field that it does not know is nothing to it, and one
//! that it cannot read is as if it had not been told. What an heir lacks it finds out as after a
//! restart. The bad side: an heir that cannot read a thing goes on without it and does not say so.
//!
//! The elder goes on changing generations while it drains, for its members still change. So that no
//! number of it names another thing in the heir, the last heritage leaves [`ROOM`] numbers out.

use serde::{Deserialize, Serialize};

use crate::consul::agent::Service;
use crate::control::ledger::Stored;
use crate::discovery::keep::estate::Estate;
use crate::endpoint::memory::Memories;
use crate::state_file::lenient::{self, is_default};

/// What is said to operators who want to change something meanwhile.
pub const HANDING_OVER: &str = "this process is handing over to a new one; ask again in a second";

/// So many generations an elder may go through after its last heritage.
pub const ROOM: u64 = 1000;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heritage {
    /// The heir's begin above this.
    #[serde(deserialize_with = "lenient::field")]
    pub generation: u64,
    /// How many configs were loaded; another number than before tells that it was another.
    #[serde(deserialize_with = "lenient::field")]
    pub configs: u64,
    /// None: it cannot be read; then what is on disk counts.
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "is_default")]
    pub overlay: Option<Stored>,
    #[serde(deserialize_with = "lenient::map")]
    pub members: Estate,
    #[serde(deserialize_with = "lenient::map")]
    pub clusters: Memories,
    /// What it has registered of itself in Consul.
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "is_default")]
    pub registered: Vec<Service>,
    /// Processes before it that still drain: whoever is main, and is told to stop, waits for all.
    #[serde(deserialize_with = "lenient::field", skip_serializing_if = "is_default")]
    pub elders: Vec<u32>,
}

// === impl Heritage ===

impl Heritage {
    /// The generation, such that it can still be counted up.
    pub(super) fn floor(&self) -> u64 {
        self.generation.min(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests;
