//! Which cluster would serve in place of the one that is named, with the numbers that say so.

use std::net::IpAddr;

use serde::Serialize;

use crate::balance::Mode;
use crate::priority;
use crate::route::RequestView;
use crate::snapshot::Snapshot;

/// How requests are shared between a cluster and those that stand in for it.
#[derive(Clone, Debug, Serialize)]
pub struct FailoverExplanation {
    /// The named cluster, then its `failover` list.
    pub places: Vec<Place>,
    /// The whole in a sentence.
    pub why: String,
}

/// One of the clusters.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    pub cluster: String,
    /// From 0 to 1: the share of its endpoints that are available, times 1.4.
    pub score: f64,
    /// The part of the requests that it gets.
    pub share: f64,
}

/// The cluster that is explained, and who it may use.
pub(super) struct Served {
    pub(super) cluster: usize,
    pub(super) mode: Mode,
    pub(super) told: Option<FailoverExplanation>,
}

/// Where a request to the cluster `home` goes; where the dice decide, to whom most go.
pub(super) fn serve(
    snapshot: &Snapshot,
    home: usize,
    request: &RequestView<'_>,
    ip: Option<IpAddr>,
) -> Served {
    let fallbacks = snapshot.table.fallbacks(home);
    if fallbacks.is_empty() {
        return Served { cluster: home, mode: Mode::Usual, told: None };
    }
    let indexes: Vec<_> = std::iter::once(home).chain(fallbacks.iter().map(|to| to.cluster)).collect();
    let scores: Vec<_> = indexes.iter().map(|index| snapshot.clusters[*index].exact_score()).collect();
    let shares = priority::shares(&scores);
    let own = &snapshot.clusters[home];
    let key = own.hash.key(request.headers, request.query, ip).filter(|_| own.keyed());
    let certain = key.is_some() || shares.iter().any(|share| *share >= 1.0);
    let place = match key {
        Some(key) => priority::choose(&scores, priority::unit(key)).unwrap_or(0),
        None => most(&shares),
    };
    let name = |place: usize| snapshot.clusters[indexes[place]].name.as_str();
    let why = if scores.iter().all(|score| *score <= 0.0) {
        format!("nobody is available in any of them, so {} is used in panic mode", name(0))
    } else if place == 0 && shares[0] >= 1.0 {
        format!("enough endpoints of {} are available for all requests", name(0))
    } else if certain {
        let by = if key.is_some() { ", and the key says" } else { ":" };
        format!("too few endpoints of {} are available for all requests{by} {}", name(0), name(place))
    } else {
        format!("too few endpoints of {} are available for all requests: the dice decide, by share", name(0))
    };
    let tell = |((index, score), share): ((&usize, &f64), &f64)| Place {
        cluster: snapshot.clusters[*index].name.to_string(),
        score: *score,
        share: *share,
    };
    let places = indexes.iter().zip(&scores).zip(&shares).map(tell).collect();
    let mode = if priority::enough(&scores) { Mode::Available } else { Mode::Usual };
    Served { cluster: indexes[place], mode, told: Some(FailoverExplanation { places, why }) }
}

/// The first of the largest.
fn most(shares: &[f64]) -> usize {
    let mut best = 0;
    for (place, share) in shares.iter().enumerate() {
        if *share > shares[best] {
            best = place;
        }
    }
    best
}
