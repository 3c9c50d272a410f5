//! A wish for other weights of one split, and what is said to it.
//!
//! Judging it is pure: against the snapshot that serves, since that is what whoever asks has seen.
//! Variants that are not named keep what they have now, and the amendment names all of them; so a
//! later change of the file moves nobody under a weight that was set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::config::problem::closest;
use crate::config::{Name, Problem, live};
use crate::control::heritage::HANDING_OVER;
use crate::snapshot::{Serving, Snapshot};
use crate::split::{Amendment, Origin};

/// Who wants what, and on which condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub route: Name,
    pub wish: Wish,
    pub author: String,
    pub why: String,
    /// Only if this generation serves.
    pub if_generation: Option<u64>,
    /// Only if the split has changed so often.
    pub if_epoch: Option<u64>,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// These weights; other variants keep theirs.
    Set(BTreeMap<Name, u64>),
    /// The file's.
    Reset,
}

/// The new weights serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The generation that serves them.
    pub generation: u64,
    pub epoch: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Nothing changed; here is why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{what}")]
    Unknown { what: String, hint: String },
    /// A condition does not hold.
    #[error("{what}")]
    Stale { what: String, generation: u64, epoch: u64 },
    /// The fleet's document counts first, so this would not serve.
    #[error("the weights of `{route}` come from Consul's KV store, for the whole fleet")]
    OfFleet { route: Name, generation: u64, epoch: u64 },
    #[error("the weights cannot be served")]
    Invalid(Vec<Problem>),
    /// The document in Consul can't be written, or nobody knows whether it was.
    #[error("{what}")]
    Fleet { what: String },
    #[error("the change cannot be written to {path}: {why}", path = path.display())]
    Unsaved { path: PathBuf, why: String },
    #[error("{HANDING_OVER}")]
    HandingOver,
    #[error("the process is stopping")]
    Stopping,
}

/// The split of a route: as the config has it, and as it serves.
///
/// # Errors
///
/// [`Refused::Unknown`].
pub fn find<'a>(snapshot: &'a Snapshot, route: &str) -> Result<(&'a live::Split, &'a Arc<Serving>), Refused> {
    let written = snapshot.live.routes.iter().find(|written| written.name.as_str() == route);
    let split = written.and_then(|written| written.split.as_ref());
    if let (Some(split), Some(serving)) = (split, snapshot.split(route)) {
        return Ok((split, serving));
    }
    let what = match written {
        Some(_) => format!("route `{route}` has no split"),
        None => format!("there is no route `{route}`"),
    };
    let hint = match closest(route, snapshot.splits.iter().map(|serving| serving.route.as_str())) {
        Some(close) => format!("did you mean `{close}`?"),
        None => "`/v1/splits` lists the routes that have one".into(),
    };
    Err(Refused::Unknown { what, hint })
}

/// The amendment that fulfils a wish. `now`: in seconds since 1970.
///
/// # Errors
///
/// Why it can't be: all but [`Refused::OfFleet`], [`Refused::Unsaved`] and [`Refused::Stopping`].
pub fn judge(snapshot: &Snapshot, request: &Request, now: u64) -> Result<Amendment, Refused> {
    let (split, serving) = find(snapshot, request.route.as_str())?;
    let (generation, epoch) = (snapshot.generation, serving.epoch());
    let stale = |what: String| Err(Refused::Stale { what, generation, epoch });
    if let Some(wanted) = request.if_generation.filter(|wanted| *wanted != generation) {
        return stale(format!("generation {generation} serves, and not {wanted}"));
    }
    if let Some(wanted) = request.if_epoch.filter(|wanted| *wanted != epoch) {
        return stale(format!("`{}` is at epoch {epoch}, and not {wanted}", request.route));
    }
    let said = serving.standing.amendment.as_ref();
    let (weights, seed) = match &request.wish {
        Wish::Reset => (BTreeMap::new(), None),
        Wish::Set(wanted) => (filled(serving, wanted), said.and_then(|said| said.seed.clone())),
    };
    let (author, why) = (request.author.clone(), request.why.clone());
    let amendment = Amendment { weights, seed, epoch: epoch.saturating_add(1), author, why, at: now };
    let problems = amendment.problems(split, "weights");
    if problems.is_empty() { Ok(amendment) } else { Err(Refused::Invalid(problems)) }
}

/// Refuses what would only be hidden behind the fleet's document.
///
/// # Errors
///
/// [`Refused::OfFleet`] or [`Refused::Unknown`].
pub fn own(snapshot: &Snapshot, route: &Name) -> Result<(), Refused> {
    let (_, serving) = find(snapshot, route.as_str())?;
    let standing = &serving.standing;
    if standing.origin != Origin::ConsulKv || standing.amendment.is_none() {
        return Ok(());
    }
    let (generation, epoch) = (snapshot.generation, serving.epoch());
    Err(Refused::OfFleet { route: route.clone(), generation, epoch })
}

/// The wanted weights, and of all others those that serve.
pub fn filled(serving: &Serving, wanted: &BTreeMap<Name, u64>) -> BTreeMap<Name, u64> {
    let live = serving.variants.iter().cloned().zip(serving.weights.values().iter().copied());
    let mut weights: BTreeMap<_, _> = live.collect();
    weights.extend(wanted.iter().map(|(name, weight)| (name.clone(), *weight)));
    weights
}

#[cfg(test)]
mod tests;
