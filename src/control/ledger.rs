//! What was said over the file's weights, by whom, and which of it counts.
//!
//! Two may say something of a route: this node's operator (the overlay), and the document that the
//! whole fleet reads (`splits.consul_kv`). The fleet's counts first: a node that serves something of
//! its own is what the document is there to prevent. It hides the overlay, and does not erase it.
//!
//! A document that can't be served (not JSON, an unknown variant, weights that are all 0) disables
//! only itself: the last good one stays, and the problem is shown until a better one comes. All
//! documents are judged again when the config changes, since it may be the config that was late.
//!
//! What is said of routes that the config has not is kept: the next reload may bring them back. The
//! bad side: a route that comes back after a year comes back with the weights of a year ago; the
//! API says so by their date.
//!
//! Pure: nothing here reads a file, a clock or the network.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::config::live::{Live, MAX_WEIGHT, Split};
use crate::config::validate::split::{bad_seed, is_seed, too_heavy};
use crate::config::{Name, Problem};
use crate::control::drains::Drains;
use crate::split::{Amendment, Origin, Standing};

/// All that stands over the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// By this node's operators.
    overlay: BTreeMap<Name, Amendment>,
    /// What they drained.
    pub drains: Drains,
    fleet: Fleet,
    /// What was heard of a place that a config which waits yet names.
    early: Option<(String, BTreeMap<Name, Standing>)>,
}

/// The documents of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fleet {
    /// Where they come from. None: the config names no place.
    prefix: Option<String>,
    /// What the source says now.
    said: BTreeMap<Name, Standing>,
    /// The last of each that could be served.
    good: BTreeMap<Name, Amendment>,
    /// Where in the history of their store these were.
    indexes: BTreeMap<Name, u64>,
    /// Why the newest is not served.
    problems: BTreeMap<Name, String>,
}

/// Amendments by route, with their indexes in the store that they come from. 0: not known.
pub type Indexed = BTreeMap<Name, (Amendment, u64)>;

/// What outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub splits: BTreeMap<Name, Amendment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<StoredFleet>,
    #[serde(default, skip_serializing_if = "Drains::is_empty")]
    pub drains: Drains,
}

/// The fleet's documents as they were last heard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFleet {
    /// Documents of another prefix are not this fleet's.
    pub prefix: String,
    pub splits: BTreeMap<Name, Amendment>,
    /// Of each in its store: what tells a store that lost the document from one that deleted it, after
    /// a restart too.
    #[serde(default)]
    pub indexes: BTreeMap<Name, u64>,
}

// === impl Ledger ===

impl Ledger {
    /// Goes on from what an earlier process stored. `prefix`: `splits.consul_kv` of the config.
    pub fn restored(stored: Stored, prefix: Option<&str>) -> Self {
        let mut ledger = Self { overlay: stored.splits, drains: stored.drains, ..Self::default() };
        ledger.watch(prefix);
        let kept = stored.fleet.filter(|kept| Some(&kept.prefix) == ledger.fleet.prefix.as_ref());
        let Some(StoredFleet { splits, indexes, .. }) = kept else { return ledger };
        // Taken as said, until the source says otherwise.
        let said = |(route, said): (&Name, &Amendment)| {
            let index = indexes.get(route).copied().unwrap_or_default();
            (route.clone(), Standing { index, ..of_fleet(said) })
        };
        ledger.fleet.said = splits.iter().map(said).collect();
        (ledger.fleet.good, ledger.fleet.indexes) = (splits, indexes);
        ledger
    }

    /// Takes what another process has stored by now. `heard`: the fleet's documents were heard here,
    /// and count more. Judge them afterwards.
    pub fn inherit(&mut self, stored: Stored, heard: bool) {
        let before = std::mem::take(self);
        *self = Self::restored(stored, before.fleet.prefix.as_deref());
        self.early = before.early;
        if heard {
            self.fleet = before.fleet;
        }
    }

    /// What is to outlive the process.
    pub fn stored(&self) -> Stored {
        let Fleet { prefix, good, indexes, .. } = &self.fleet;
        let (splits, indexes) = (good.clone(), indexes.clone());
        let fleet = prefix.clone().map(|prefix| StoredFleet { prefix, splits, indexes });
        Stored { splits: self.overlay.clone(), fleet, drains: self.drains.clone() }
    }

    /// The last good documents of the fleet with their indexes, and the prefix that they come from.
    pub fn known(&self) -> Option<(&str, Indexed)> {
        let index = |route: &Name| self.fleet.indexes.get(route).copied().unwrap_or_default();
        let good = self.fleet.good.iter();
        let good = good.map(|(route, said)| (route.clone(), (said.clone(), index(route)))).collect();
        self.fleet.prefix.as_deref().map(|prefix| (prefix, good))
    }

    /// Enters what an operator of this node said of a route.
    pub fn set(&mut self, route: Name, amendment: Amendment) {
        self.overlay.insert(route, amendment);
    }

    /// Follows the config that serves: documents that come from elsewhere now are forgotten.
    pub fn watch(&mut self, prefix: Option<&str>) {
        let prefix = prefix.map(bare);
        if self.fleet.prefix.as_deref() != prefix {
            self.fleet = Fleet { prefix: prefix.map(str::to_owned), ..Fleet::default() };
            if let Some((from, said)) = self.early.take().filter(|(from, _)| Some(from.as_str()) == prefix) {
                self.fleet(&from, said);
            }
        }
    }

    /// Enters all that the fleet's source says now; what it no longer says is gone. A standing with a
    /// problem and no amendment is a document that could not be read. Judge them afterwards.
    /// `prefix`: where they come from; a source may be a config ahead or behind.
    pub fn fleet(&mut self, prefix: &str, said: BTreeMap<Name, Standing>) {
        let prefix = bare(prefix);
        if self.fleet.prefix.as_deref() != Some(prefix) {
            self.early = Some((prefix.to_owned(), said));
            return;
        }
        let says = |standing: &Standing| standing.amendment.is_some() || standing.problem.is_some();
        self.fleet.said = said.into_iter().filter(|(_, standing)| says(standing)).collect();
    }

    /// Judges the fleet's documents by what the splits of a config can serve.
    pub fn judge(&mut self, live: &Live) {
        let splits: HashMap<_, _> =
            live.routes.iter().filter_map(|route| Some((&route.name, route.split.as_ref()?))).collect();
        let Fleet { said, good, indexes, problems, .. } = &mut self.fleet;
        good.retain(|route, _| said.contains_key(route));
        indexes.retain(|route, _| said.contains_key(route));
        problems.clear();
        for (route, standing) in said {
            let unfit = standing.amendment.as_ref().map(|said| misfit(said, splits.get(route).copied()));
            if let (Some(amendment), Some(None)) = (&standing.amendment, &unfit) {
                good.insert(route.clone(), amendment.clone());
                indexes.insert(route.clone(), standing.index);
            }
            if let Some(problem) = unfit.flatten().or_else(|| standing.problem.clone()) {
                problems.insert(route.clone(), problem);
            }
        }
    }

    /// What counts for a route.
    pub fn standing(&self, route: &Name) -> Standing {
        let problem = self.fleet.problems.get(route).cloned();
        match (self.fleet.good.get(route), self.overlay.get(route)) {
            (Some(good), _) => Standing { problem, ..of_fleet(good) },
            (None, Some(own)) => {
                Standing { origin: Origin::Overlay, amendment: Some(own.clone()), problem, index: 0 }
            }
            (None, None) => Standing { problem, ..Standing::default() },
        }
    }
}

/// `tidegate/splits/` and `tidegate/splits` are one place.
fn bare(prefix: &str) -> &str {
    prefix.trim_matches('/')
}

fn of_fleet(amendment: &Amendment) -> Standing {
    Standing { origin: Origin::ConsulKv, amendment: Some(amendment.clone()), ..Standing::default() }
}

/// Why a document can't be served. Of a route without a split only that is known which is wrong for
/// any.
fn misfit(amendment: &Amendment, split: Option<&Split>) -> Option<String> {
    let problems = match split {
        Some(split) => amendment.problems(split, "weights"),
        None => {
            let heavy = amendment.weights.iter().filter(|(_, weight)| **weight > MAX_WEIGHT);
            let heavy = heavy.map(|(name, weight)| too_heavy(&format!("weights.{name}"), *weight));
            let seed = amendment.seed.as_deref().filter(|seed| !is_seed(seed));
            heavy.chain(seed.map(|seed| bad_seed("seed", seed))).collect()
        }
    };
    let problems: Vec<_> = problems.iter().map(Problem::to_string).collect();
    (!problems.is_empty()).then(|| problems.join("; "))
}

#[cfg(test)]
mod tests;
