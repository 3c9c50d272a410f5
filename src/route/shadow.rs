//! Routes that can never win, because a nearer one takes all that they could take.
//!
//! Not an error: the order decides, and a table merged from several sources may well hold a spare.
//! But it is what an operator wants to hear of, above all for a regex under a catch-all of the same
//! host, which the order puts first.
//!
//! The finding is sure but not complete: conditions are compared as written (the nearer route's
//! must be among the other's), paths and hosts by what they take. Two regexes that take the same by
//! different words are not seen, nor is a route that two others share out between them, unless each
//! covers all of one of its hosts.

use crate::config::value::HostPattern;
use crate::route::path::Path;
use crate::route::{Conditions, Entry, Router};

impl Router {
    /// Pairs of (a route that can never win, a nearer one that takes its requests), by index, in
    /// order of precedence.
    ///
    /// For `check`, not for requests: the time grows with the square of the number of routes on one
    /// path.
    pub fn shadowed(&self) -> Vec<(usize, usize)> {
        // For each route: how many of its entries are hidden, and what hides the first of them.
        let mut hidden: Vec<(usize, Option<usize>)> = vec![(0, None); self.routes.len()];
        let mut pairs = Vec::new();
        for (rank, entry) in (0..).zip(&self.entries) {
            let Some(by) = self.hides(rank, *entry) else { continue };
            let index = entry.route as usize;
            let (count, first) = &mut hidden[index];
            *count += 1;
            let by = *first.get_or_insert(by);
            if *count == self.routes[index].hosts.len().max(1) {
                pairs.push((index, by));
            }
        }
        pairs
    }

    /// The nearest other route that hides an entry.
    fn hides(&self, rank: u32, entry: Entry) -> Option<usize> {
        let route = &self.routes[entry.route as usize];
        // A request such as the entry takes; whatever covers the entry must be among what this
        // request meets.
        let host = match route.host(entry) {
            None => String::new(),
            Some(HostPattern::Exact(name)) => name.to_string(),
            // No exact name holds a `*`, so only wildcards are met.
            Some(HostPattern::Suffix(suffix)) => format!("*{suffix}"),
        };
        let path = match &route.path {
            Path::Exact(text) => text.to_string(),
            Path::Prefix(text) | Path::Regex { under: text, .. } => format!("{text}/"),
        };
        let mut best = rank;
        self.index.all(&host, &path, |list| {
            let mut nearer = list.iter().copied().take_while(|other| *other < best);
            let covers = |other: &u32| {
                self.route_of(*other) != entry.route as usize && self.conditions(*other).covers(route)
            };
            if let Some(other) = nearer.find(covers) {
                best = other;
            }
        });
        (best != rank).then(|| self.route_of(best))
    }
}

impl Conditions {
    /// Whether a request that meets `other`'s conditions surely meets these too, the host aside.
    fn covers(&self, other: &Self) -> bool {
        let methods = self.methods.is_empty()
            || (!other.methods.is_empty()
                && other.methods.iter().all(|method| self.methods.contains(method)));
        methods
            && self.path.covers(&other.path)
            && self.headers.iter().all(|condition| other.headers.contains(condition))
            && self.query.iter().all(|condition| other.query.contains(condition))
    }
}
