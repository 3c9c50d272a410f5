//! Writes the document of a route, which the whole fleet serves.
//!
//! A write is read, changed and compared-and-set with the leader, so that two operators never
//! overwrite each other unseen: who asked for an epoch is told of another, and who did not is tried
//! again on top of what was written meanwhile. A document that cannot be read or served is written
//! over, since mending it is what `set` is for; the weights it is based on are then the last good
//! ones, which are served. The bad side: where this node's config is the old one, a variant that only
//! a newer config has loses its weight in the document. No write is sent twice: one that got no answer is looked up, and if it is not there the
//! error says that it may still arrive.

use std::collections::BTreeMap;

use crate::config::{Name, Problem};
use crate::consul::Error;
use crate::consul::kv::{Folder, uncertain};
use crate::discovery::consul::splits::document::{self, MAX_EPOCH};
use crate::split::Amendment;

/// How often a change without `if_epoch` is tried when others write too.
const TRIES: usize = 3;

/// What keeps an amendment from being served by the split of a route.
type Check<'a> = &'a (dyn Fn(&Amendment) -> Vec<Problem> + Sync);

/// Writes documents. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fleet {
    folder: Folder,
}

/// What an operator wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Laid over the document's weights. None: back to the file, its seed included.
    pub weights: Option<BTreeMap<Name, u64>>,
    pub author: String,
    pub why: String,
    /// In seconds since 1970.
    pub at: u64,
    /// Only if the document has this epoch; 0: only if there is none.
    pub if_epoch: Option<u64>,
    /// The last good document that this node knows, which stands in for one that is lost or cannot
    /// be read.
    pub known: Option<Amendment>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub epoch: u64,
    /// The watch has heard of it when its document has this index or a higher one. None: it could
    /// not be read back.
    pub modify_index: Option<u64>,
    pub amendment: Amendment,
}

/// Why nothing was written, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// The document has another epoch than was asked for, or others write all the time.
    #[error("the document in Consul is at epoch {epoch} now; nothing was written")]
    Conflict { epoch: u64 },
    /// The change cannot be served.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    #[error("nothing was written: {0}{hint}", hint = hint(.0))]
    Consul(Error),
    /// Sent, and not answered.
    #[error("the change may have been written, or may still be: {0}; look before you try again")]
    Unsure(Error),
}

/// A document as it is before a write.
struct Present {
    /// For compare-and-set.
    index: u64,
    epoch: u64,
    /// What a change is laid over.
    base: Amendment,
}

// === impl Fleet ===

impl Fleet {
    /// Writes below a folder.
    pub fn new(folder: Folder) -> Self {
        Self { folder }
    }

    /// Changes the weights of a route. `check`: what keeps the result from being served, as
    /// [`Amendment::problems`] says it.
    ///
    /// # Errors
    ///
    /// See [`FleetError`].
    pub async fn set(&self, route: &Name, change: &Change, check: Check<'_>) -> Result<Written, FleetError> {
        let tries = if change.if_epoch.is_some() { 1 } else { TRIES };
        for _ in 0..tries {
            let present = self.present(route, change, check).await?;
            if change.if_epoch.is_some_and(|wanted| !present.is(wanted)) {
                return Err(FleetError::Conflict { epoch: present.epoch });
            }
            let amendment = change.over(&present);
            let problems = check(&amendment);
            if !problems.is_empty() {
                return Err(FleetError::Problems(problems));
            }
            let document = self.document(route, &amendment)?;
            if self.put(route, &document, present.index).await? {
                let read = self.folder.read(route.as_str()).await;
                let modify_index = read.ok().and_then(|read| read.entry).map(|entry| entry.modify_index);
                return Ok(Written { epoch: amendment.epoch, modify_index, amendment });
            }
        }
        let epoch = self.present(route, change, check).await?.epoch;
        Err(FleetError::Conflict { epoch })
    }

    async fn present(&self, route: &Name, change: &Change, check: Check<'_>) -> Result<Present, FleetError> {
        let reading = self.folder.read(route.as_str()).await.map_err(FleetError::Consul)?;
        let known = || change.known.clone().unwrap_or_default();
        let Some(entry) = reading.entry else {
            let base = known();
            return Ok(Present { index: 0, epoch: base.epoch, base });
        };
        let index = entry.modify_index;
        match document::parse("", &entry.value) {
            Ok(base) if check(&base).is_empty() => Ok(Present { index, epoch: base.epoch, base }),
            read => {
                let epoch = read.map_or_else(|_| document::salvage(&entry.value), |said| said.epoch);
                let base = known();
                Ok(Present { index, epoch: epoch.max(base.epoch), base })
            }
        }
    }

    /// The document's bytes, which every node can read.
    fn document(&self, route: &Name, amendment: &Amendment) -> Result<Vec<u8>, FleetError> {
        let key = self.folder.prefix().key(route.as_str());
        serde_json::to_vec(amendment)
            .map_err(|error| Problem::new(&key, error.to_string()))
            .and_then(|bytes| document::parse(&key, &bytes).map(|_| bytes))
            .map_err(|problem| FleetError::Problems(vec![problem]))
    }

    async fn put(&self, route: &Name, document: &[u8], index: u64) -> Result<bool, FleetError> {
        match self.folder.put(route.as_str(), document.to_vec(), index).await {
            Ok(done) => Ok(done),
            Err(error) if uncertain(&error) => {
                let read = self.folder.read(route.as_str()).await.ok();
                let there = read.and_then(|read| read.entry).is_some_and(|entry| entry.value == document);
                if there { Ok(true) } else { Err(FleetError::Unsure(error)) }
            }
            Err(error) => Err(FleetError::Consul(error)),
        }
    }
}

// === impl Present ===

impl Present {
    /// Whether it is what somebody saw who names this epoch: that of the document, or where it cannot
    /// be read that of the one which is served.
    fn is(&self, epoch: u64) -> bool {
        epoch == self.epoch || epoch == self.base.epoch
    }
}

// === impl Change ===

impl Change {
    fn over(&self, present: &Present) -> Amendment {
        let (mut weights, mut seed) = (BTreeMap::new(), None);
        if let Some(said) = &self.weights {
            weights.clone_from(&present.base.weights);
            weights.extend(said.iter().map(|(name, weight)| (name.clone(), *weight)));
            seed.clone_from(&present.base.seed);
        }
        let epoch = present.epoch.saturating_add(1).min(MAX_EPOCH);
        let (author, why, at) = (self.author.clone(), self.why.clone(), self.at);
        Amendment { weights, seed, epoch, author, why, at }
    }
}

fn hint(error: &Error) -> &'static str {
    match error.kind() {
        "forbidden" => "; the token needs `key_prefix` write on `splits.consul_kv`",
        _ => "",
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
