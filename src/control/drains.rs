//! What operators drained: endpoints and whole clusters, with who, why and when.
//!
//! Kept by cluster and address and not by endpoint: one that leaves the registry and comes back, be
//! it after a restart or a year, is still drained, until somebody undrains it. The bad side: another
//! process at that address is too; `/v1/clusters` says since when and why. An endpoint and its
//! cluster are drained apart: undraining the cluster leaves the endpoint that has a word of its own,
//! and the other way round.
//!
//! Pure but for [`Posted`], which shows them to the admin API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::config::Name;
use crate::control::DrainError;
use crate::snapshot::Snapshot;

/// By cluster.
pub type Drains = BTreeMap<Name, Drained>;

/// What is drained of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drained {
    /// All of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<Word>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<SocketAddr, Word>,
}

/// Who said so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Word {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When, in seconds since 1970. 0: not known.
    pub at: u64,
}

/// A wish to drain or undrain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub cluster: Name,
    /// None: the whole cluster.
    pub address: Option<SocketAddr>,
    pub on: bool,
    pub author: String,
    pub why: String,
}

/// What is in force, for whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct Posted(Arc<ArcSwap<Drains>>);

/// Whether a wish can be fulfilled: of what is there, and of what was drained while it was.
///
/// # Errors
///
/// [`DrainError::Cluster`], [`DrainError::Endpoint`].
pub fn judge(snapshot: &Snapshot, drains: &Drains, request: &Request) -> Result<(), DrainError> {
    let Request { cluster, address, .. } = request;
    let (there, said) = (snapshot.cluster(cluster.as_str()), drains.get(cluster));
    if there.is_none() && said.is_none() {
        return Err(DrainError::Cluster(cluster.clone()));
    }
    let Some(address) = *address else { return Ok(()) };
    let member = there.is_some_and(|there| there.endpoints.iter().any(|e| e.member.address == address));
    let known = member || said.is_some_and(|said| said.endpoints.contains_key(&address));
    if known { Ok(()) } else { Err(DrainError::Endpoint(cluster.clone(), address)) }
}

/// Enters a wish that was found good. Who drains what is drained and says nothing new leaves the word that
/// is there, and its date: scripts do that.
pub fn enter(drains: &mut Drains, request: &Request, now: u64) {
    let Request { cluster, address, on, author, why } = request;
    let drained = drains.entry(cluster.clone()).or_default();
    let known = match address {
        None => drained.whole.clone(),
        Some(address) => drained.endpoints.get(address).cloned(),
    };
    let says_no_more = |known: &Word| {
        (author.is_empty() || *author == known.author) && (why.is_empty() || *why == known.why)
    };
    let new = || Word { author: author.clone(), why: why.clone(), at: now };
    let word = on.then(|| known.filter(says_no_more).unwrap_or_else(new));
    match (address, word) {
        (None, word) => drained.whole = word,
        (Some(address), Some(word)) => drop(drained.endpoints.insert(*address, word)),
        (Some(address), None) => drop(drained.endpoints.remove(address)),
    }
    drains.retain(|_, drained| *drained != Drained::default());
}

// === impl Drained ===

impl Drained {
    /// The word that drains an endpoint: its own first.
    pub fn word(&self, address: SocketAddr) -> Option<&Word> {
        self.endpoints.get(&address).or(self.whole.as_ref())
    }
}

// === impl Posted ===

impl Posted {
    /// What is in force now.
    pub fn load(&self) -> Arc<Drains> {
        self.0.load_full()
    }

    pub(super) fn post(&self, drains: Drains) {
        self.0.store(Arc::new(drains));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_and_its_cluster_are_drained_apart() {
        let (web, one): (Name, SocketAddr) = ("web".parse().unwrap(), ([127, 0, 0, 1], 1).into());
        let wish = |address, on, why: &str| Request {
            cluster: web.clone(),
            address,
            on,
            author: String::new(),
            why: why.into(),
        };
        let why = |drains: &Drains, address| Some(drains.get(&web)?.word(address)?.why.clone());
        let other = ([127, 0, 0, 1], 2).into();
        let mut drains = Drains::new();
        enter(&mut drains, &wish(Some(one), true, "disk"), 1);
        let before = drains.clone();
        for why in ["", "disk"] {
            enter(&mut drains, &wish(Some(one), true, why), 9);
            assert_eq!(drains, before, "nothing new is said");
        }
        enter(&mut drains, &wish(Some(one), true, "fan"), 9);
        assert_eq!((why(&drains, one).as_deref(), drains[&web].endpoints[&one].at), (Some("fan"), 9));
        enter(&mut drains, &wish(Some(one), true, "disk"), 1);
        enter(&mut drains, &wish(None, true, "move"), 2);
        let text = serde_json::to_string(&drains).unwrap();
        assert_eq!(serde_json::from_str::<Drains>(&text).unwrap(), drains);
        assert_eq!(why(&drains, one).as_deref(), Some("disk"));
        assert_eq!(why(&drains, other).as_deref(), Some("move"));
        enter(&mut drains, &wish(None, false, ""), 3);
        assert_eq!((why(&drains, one).as_deref(), why(&drains, other)), (Some("disk"), None));
        enter(&mut drains, &wish(Some(one), false, ""), 4);
        enter(&mut drains, &wish(Some(one), false, ""), 5);
        assert!(drains.is_empty());
    }
}
