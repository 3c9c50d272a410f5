//! Which variant a request gets: a pure function of the split's config, its weights, the request and
//! the dice.
//!
//! In this order:
//! 1. An *override* whose conditions hold names the variant, whatever its weight.
//! 2. The *key*, if the request has one, decides by weighted [`rendezvous`] hashing: the same variant
//!    on every node and every time, with the least possible movement when weights change.
//! 3. Without a key, the dice decide by weight.
//!
//! A variant of weight 0 gets nothing from 2 and 3. Availability is not looked at here: whoever finds
//! that the variant's cluster has no usable endpoint asks again with that variant *excluded* and gets
//! the next of the same rule. So a key whose variant is down always goes to the same other one, and
//! back when its own is up again; what linkerd calls "random over available", with a memory. The bad
//! side: while a variant is down, its users see another; who would rather fail says
//! `on_unhealthy: fail`.
//!
//! Weights are not part of a [`Split`]: they change at run time, see [`weights`].

pub mod chi_square;
pub mod cookie;
pub mod key;
pub mod moves;
pub mod rendezvous;
pub mod sample;
pub mod weights;

#[doc = include_str!("split/vectors.md")]
pub mod vectors {}

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use http::HeaderValue;

use crate::config::live::{self, OnUnhealthy};
use crate::config::validate::split::unknown_variant;
use crate::config::{Name, Problem};
use crate::route::{RequestView, Router, Rule};

pub use self::key::{Key, Mint};
pub use self::rendezvous::Draw;
pub use self::weights::{Amendment, Origin, Standing, Weights};

/// A split, compiled.
#[derive(Debug)]
pub struct Split {
    pub key: Key,
    pub variants: Box<[Variant]>,
    pub on_unhealthy: OnUnhealthy,
    /// Whether the answer names the variant.
    pub tell_client: bool,
    overrides: Box<[Override]>,
}

/// A variant, compiled.
#[derive(Debug)]
pub struct Variant {
    pub name: Name,
    /// Index into the snapshot's clusters.
    pub cluster: usize,
    /// The name as a header's value.
    pub header: HeaderValue,
}

#[derive(Debug)]
struct Override {
    /// Of one rule: it finds the request or it does not.
    conditions: Router,
    variant: usize,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignment {
    Variant {
        index: usize,
        reason: Reason,
        /// Who was assigned, for the [`sample`]-ratio check. None: the request has no key.
        unit: Option<u64>,
    },
    /// All weights are 0.
    Drained,
    /// Every variant that has a weight is excluded.
    Exhausted,
}

/// Why a variant was chosen. The order is that of [`Reason::ALL`], which metrics index by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    Key,
    Random,
    Override,
    /// The variant that was due had no usable endpoint.
    Shifted,
}

/// The variants that a request may not use, by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Excluded(u64);

// === impl Split ===

impl Split {
    /// Compiles a split. `cluster`: finds the index of a cluster.
    ///
    /// # Errors
    ///
    /// Every problem, with its place under `at`.
    pub fn compile(
        config: &live::Split,
        cluster: &dyn Fn(&Name) -> Option<usize>,
        at: &str,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let key = Key::compile(&config.key, &format!("{at}.key")).map_err(|more| problems.extend(more));
        let variants: Box<[_]> = config
            .variants
            .iter()
            .enumerate()
            .filter_map(|(index, variant)| {
                let variant = Variant::compile(variant, cluster, &format!("{at}.variants[{index}]"));
                variant.map_err(|problem| problems.push(problem)).ok()
            })
            .collect();
        let overrides: Box<[_]> = config
            .overrides
            .iter()
            .enumerate()
            .filter_map(|(index, over)| {
                let over = Override::compile(over, config, &format!("{at}.overrides[{index}]"));
                over.map_err(|more| problems.extend(more)).ok()
            })
            .collect();
        match key {
            Ok(key) if problems.is_empty() => {
                let live::Split { on_unhealthy, tell_client, .. } = *config;
                Ok(Self { key, variants, on_unhealthy, tell_client, overrides })
            }
            _ => Err(problems),
        }
    }

    /// The variant of a request, leaving out those that are `excluded`. `source`: the client.
    pub fn assign(
        &self,
        weights: &Weights,
        request: &RequestView<'_>,
        source: Option<IpAddr>,
        excluded: Excluded,
        rng: &mut fastrand::Rng,
    ) -> Assignment {
        let because = |reason| if excluded.is_empty() { reason } else { Reason::Shifted };
        if let Some(index) = self.forced(request).filter(|index| !excluded.has(*index)) {
            return Assignment::Variant { index, reason: because(Reason::Override), unit: None };
        }
        let rate = |index: usize| if excluded.has(index) { 0.0 } else { weights.rates()[index] };
        let (chosen, reason, unit) = match self.key.find(request.headers, request.query, source) {
            Some(found) => {
                let mut draw = Draw::new(weights.seed.as_bytes(), found.bytes());
                let candidates = self.variants.iter().enumerate().map(|(i, v)| (v.name.as_str(), rate(i)));
                (rendezvous::choose(&mut draw, candidates), Reason::Key, Some(sample::unit(found.bytes())))
            }
            None => (throw(self.variants.len(), rate, rng), Reason::Random, None),
        };
        match chosen {
            Some(index) => Assignment::Variant { index, reason: because(reason), unit },
            None if weights.total() > 0.0 => Assignment::Exhausted,
            None => Assignment::Drained,
        }
    }

    /// The variant that the first matching override names.
    pub fn forced(&self, request: &RequestView<'_>) -> Option<usize> {
        self.overrides.iter().find(|over| over.conditions.find(request).is_some()).map(|over| over.variant)
    }

    /// The index of the first override that matches.
    pub fn override_of(&self, request: &RequestView<'_>) -> Option<usize> {
        self.overrides.iter().position(|over| over.conditions.find(request).is_some())
    }
}

/// Chooses by weight. None: all are 0.
fn throw(count: usize, rate: impl Fn(usize) -> f64, rng: &mut fastrand::Rng) -> Option<usize> {
    let total: f64 = (0..count).map(&rate).sum();
    let mut left = rng.f64() * total;
    let mut last = None;
    for index in (0..count).filter(|index| rate(*index) > 0.0) {
        last = Some(index);
        left -= rate(index);
        if left < 0.0 {
            break;
        }
    }
    last
}

// === impl Variant ===

impl Variant {
    fn compile(
        config: &live::Variant,
        cluster: &dyn Fn(&Name) -> Option<usize>,
        at: &str,
    ) -> Result<Self, Problem> {
        let found = cluster(&config.cluster).ok_or_else(|| {
            Problem::new(format!("{at}.cluster"), format!("unknown cluster `{}`", config.cluster))
        })?;
        let header = HeaderValue::from_str(config.name.as_str())
            .map_err(|_| Problem::new(format!("{at}.name"), "the name does not fit in a header"))?;
        Ok(Self { name: config.name.clone(), cluster: found, header })
    }
}

// === impl Override ===

impl Override {
    fn compile(config: &live::Override, split: &live::Split, at: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let variant = split.variants.iter().position(|variant| variant.name == config.variant);
        if variant.is_none() {
            problems.push(unknown_variant(&format!("{at}.variant"), &config.variant, split));
        }
        let rule = Rule { name: &config.variant, priority: 0, conditions: &config.r#match };
        let conditions = Router::compile(&[rule]).map_err(|more| {
            problems.extend(
                more.into_iter()
                    .map(|problem| Problem { path: problem.path.replacen("routes[0]", at, 1), ..problem }),
            );
        });
        match (variant, conditions) {
            (Some(variant), Ok(conditions)) if problems.is_empty() => Ok(Self { conditions, variant }),
            _ => Err(problems),
        }
    }
}

// === impl Reason ===

impl Reason {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Key, Self::Random, Self::Override, Self::Shifted];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Random => "random",
            Self::Override => "override",
            Self::Shifted => "shifted",
        }
    }
}

// === impl Excluded ===

impl Excluded {
    /// Excludes one more. A split has at most 64 variants.
    pub fn add(&mut self, index: usize) {
        self.0 |= 1 << (index & 63);
    }

    /// Whether a variant is excluded.
    pub fn has(self, index: usize) -> bool {
        self.0 & (1 << (index & 63)) != 0
    }

    /// Whether none is.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
