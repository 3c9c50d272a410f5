//! Why a route won, and why each nearer one lost.
//!
//! The winner is what [`Router::find`] says, and each loser's reason comes from the same
//! conditions, so an explanation cannot tell another story than traffic. The losers shown are all
//! that stand before the winner in order of precedence, also those for other hosts: "the host was
//! not the one you thought" is the usual answer. A route with several hosts is shown once, where
//! the nearest of its hosts that takes the request stands, or else its first.
//!
//! Over a large table that would be thousands of lines. So a list is cut to the losers that came
//! furthest: first those that failed on a method, header or query, then those with another path,
//! then those with another host.

use std::cmp::Reverse;
use std::fmt::Write as _;

use serde::Serialize;

use crate::config::value::HostPattern;
use crate::route::{Conditions, Failed, RequestView, Router};

/// How many routes [`Router::explain`] shows at most.
pub const SHOWN: usize = 100;

/// One route's fate for a request, in order of precedence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Index of the route in the file.
    #[serde(skip)]
    pub index: usize,
    pub route: String,
    /// The first condition that failed, as
    /// `header x-beta: expected exactly "1", the request has none`. None: it matched.
    pub lost: Option<String>,
}

/// The routes that a request met, and how many more it met that are not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// In order of precedence. If a route won, it is the last.
    pub candidates: Vec<Candidate>,
    /// How many losers were left out.
    pub left_out: usize,
}

/// A route that lost, and the place of its entry in the order of precedence.
struct Loser<'a> {
    place: usize,
    index: usize,
    failed: Failed<'a>,
}

// === impl Router ===

impl Router {
    /// The routes in order of precedence down to the winner (all, if none wins), each with why it
    /// lost; at most [`SHOWN`]. [`Router::explanation`] also says how many were left out.
    pub fn explain(&self, request: &RequestView<'_>) -> Vec<Candidate> {
        self.explanation(request, SHOWN).candidates
    }

    /// As [`Router::explain`], with at most `most` candidates (at least one, the winner).
    pub fn explanation(&self, request: &RequestView<'_>, most: usize) -> Explanation {
        let winner = self.winner(request);
        let mut losers = self.losers(request, winner);
        let room = most.max(1) - usize::from(winner.is_some());
        let left_out = losers.len().saturating_sub(room);
        if left_out > 0 {
            // Both sorts are stable, so what is kept is the nearest of its kind, and comes in order
            // of precedence.
            losers.sort_by_key(|loser| Reverse(loser.failed.progress()));
            losers.truncate(room);
            losers.sort_by_key(|loser| loser.place);
        }
        let lost = losers.into_iter().map(|Loser { index, failed, .. }| {
            let route = &self.routes[index];
            Candidate { index, route: route.name.to_string(), lost: Some(route.why(&failed, request)) }
        });
        let won = winner.map(|rank| {
            let index = self.route_of(rank);
            Candidate { index, route: self.routes[index].name.to_string(), lost: None }
        });
        Explanation { candidates: lost.chain(won).collect(), left_out }
    }

    /// The routes before the winning entry, each once.
    fn losers(&self, request: &RequestView<'_>, winner: Option<u32>) -> Vec<Loser<'_>> {
        let before = winner.map_or(self.entries.len(), |rank| rank as usize);
        let mut seen = vec![false; self.routes.len()];
        if let Some(rank) = winner {
            seen[self.route_of(rank)] = true;
        }
        let mut losers = Vec::new();
        for (place, entry) in self.entries[..before].iter().enumerate() {
            let index = entry.route as usize;
            let route = &self.routes[index];
            if seen[index] {
                continue;
            }
            let failed = if route.host(*entry).is_none_or(|host| takes(host, request.host)) {
                route.failed(request)
            } else if route.hosts.iter().any(|host| takes(host, request.host)) {
                // Shown at that host, if it stands before the winner.
                continue;
            } else {
                Some(Failed::Host)
            };
            seen[index] = true;
            losers.extend(failed.map(|failed| Loser { place, index, failed }));
        }
        losers
    }
}

/// Whether a host condition takes a host.
fn takes(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Exact(name) => **name == *host,
        HostPattern::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
    }
}

// === impl Explanation ===

impl Explanation {
    /// A sentence about what was left out, if anything was.
    pub fn note(&self) -> Option<String> {
        (self.left_out > 0).then(|| format!("{} more routes lost earlier and are not shown", self.left_out))
    }
}

// === impl Failed ===

impl Failed<'_> {
    /// How far the request came: the greater, the more interesting.
    fn progress(&self) -> u8 {
        match self {
            Failed::Host => 0,
            Failed::Path => 1,
            Failed::Method | Failed::Header(_) | Failed::Query(_) => 2,
        }
    }
}

// === impl Conditions ===

impl Conditions {
    fn why(&self, failed: &Failed<'_>, request: &RequestView<'_>) -> String {
        match failed {
            Failed::Host => {
                let has = if request.host.is_empty() { "none" } else { request.host };
                format!("host: expected {}, the request has {has}", any_of(&self.hosts))
            }
            Failed::Path => format!("path: expected {}, the request has {}", self.path, request.path),
            Failed::Method => {
                format!("method: expected {}, the request has {}", any_of(&self.methods), request.method)
            }
            Failed::Header(condition) => {
                let values = request.headers.get_all(&condition.name).iter();
                let has = seen(values.map(|v| std::str::from_utf8(v.as_bytes()).ok().map(str::to_owned)));
                format!("header {}: {condition}, the request has {has}", condition.name)
            }
            Failed::Query(condition) => {
                let values = super::query::values(request.query, &condition.name);
                let has = seen(values.map(|v| v.with(|text| text.map(str::to_owned))));
                format!("query {}: {condition}, the request has {has}", condition.name)
            }
        }
    }
}

/// `a`, `a or b`, `a, b or c`; a long list is cut.
fn any_of<T: ToString>(things: &[T]) -> String {
    const MOST: usize = 5;
    let mut texts: Vec<_> = things.iter().take(MOST).map(T::to_string).collect();
    if things.len() > MOST {
        texts.push(format!("{} more", things.len() - MOST));
    }
    match texts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => texts.concat(),
    }
}

/// The values that a request has under a name; `None` is one that is not UTF-8.
fn seen(values: impl Iterator<Item = Option<String>>) -> String {
    let mut text = String::new();
    for value in values {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = match value {
            Some(value) => write!(text, "{comma}{value:?}"),
            None => write!(text, "{comma}bytes that are not UTF-8"),
        };
    }
    if text.is_empty() { "none".into() } else { text }
}
