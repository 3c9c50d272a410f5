//! What of a new config is as it was, so that it need not be compiled again.
//!
//! A reload mostly changes one route among thousands. The conditions of a route are kept if its name
//! and its `match` are the same, and all of it is if everything it was compiled from is: its part of the
//! config, and where the clusters stand and who stands in for them, since compiled routes name clusters
//! by index. What serves goes on with its series and the scratch memory of its regexes.
//!
//! The parts themselves are compared, not their digests: a change that is missed would serve the old
//! route for ever. A route with filters is always made anew, as their factories may read whatever they
//! like, once a snapshot.

use std::collections::HashMap;

use crate::config::Name;
use crate::config::live::{self, Live};
use crate::snapshot::Snapshot;

/// The snapshot that a config would take the place of.
pub(super) struct Before<'a> {
    snapshot: &'a Snapshot,
    /// Whether indexes of clusters mean the same.
    clusters: bool,
    /// Filled when a route is not where it was.
    by_name: Option<HashMap<&'a Name, usize>>,
}

/// What of a route is as it was, and where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Conditions(usize),
    Whole(usize),
}

// === impl Before ===

impl<'a> Before<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, live: &Live) -> Self {
        let stand = |live: &'a Live| live.clusters.iter().map(|(name, cluster)| (name, &cluster.failover));
        let clusters = stand(&snapshot.live).eq(live.clusters.iter().map(|(name, c)| (name, &c.failover)));
        Self { snapshot, clusters, by_name: None }
    }

    /// What is known of a route that now stands at `position`.
    pub(super) fn known(&mut self, position: usize, route: &live::Route) -> Option<Known> {
        let index = self.find(position, &route.name)?;
        let old = &self.snapshot.live.routes[index];
        if self.clusters && route.filters.is_empty() && old == route {
            return Some(Known::Whole(index));
        }
        (old.r#match == route.r#match).then_some(Known::Conditions(index))
    }

    fn find(&mut self, position: usize, name: &Name) -> Option<usize> {
        // Mostly where it was.
        let routes = &self.snapshot.live.routes;
        if routes.get(position).is_some_and(|old| old.name == *name) {
            return Some(position);
        }
        let all = || routes.iter().enumerate().map(|(index, old)| (&old.name, index)).collect();
        self.by_name.get_or_insert_with(all).get(name).copied()
    }
}

// === impl Known ===

impl Known {
    pub(super) fn index(self) -> usize {
        match self {
            Self::Conditions(index) | Self::Whole(index) => index,
        }
    }

    /// Where it stood, if all of it is as it was.
    pub(super) fn whole(self) -> Option<usize> {
        match self {
            Self::Conditions(_) => None,
            Self::Whole(index) => Some(index),
        }
    }
}

#[cfg(test)]
mod tests;
