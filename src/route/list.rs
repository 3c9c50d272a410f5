//! The entries at one text of a host, in order of precedence.
//!
//! Most lists are short and tried one by one. But a table may tell thousands of routes on one path apart
//! by a header or a query parameter, a tenant or a customer, and then one by one is a millisecond a
//! request. So a list of more than [`FEW`] is sorted out by the name that has the most different values
//! in conditions `exact`: a request looks up its own values of it, and then tries the entries that want
//! one of these, and those that do not ask for the name. What is left on either side is sorted out
//! again, by another name.
//!
//! This only leaves out entries that cannot hold; whether one holds is still asked of all its
//! conditions, and the nearest that does wins, wherever it stands. The bad side: entries that differ in
//! a `regex`, a `prefix`, an inverted condition or the method only are tried one by one.

use std::collections::{HashMap, HashSet};

use http::header::HeaderName;

use crate::route::index::Map;
use crate::route::{Conditions, RequestView, query};

/// Up to so many entries are tried one by one: a look-up costs as much as one or two of them.
pub(super) const FEW: usize = 8;

/// Entries in order of precedence.
#[derive(Debug, Default)]
pub(super) struct List {
    /// Those that are tried one by one.
    ranks: Vec<u32>,
    /// The others, by a value that each of them asks for.
    sorted: Option<Box<Sorted>>,
}

#[derive(Debug)]
struct Sorted {
    by: By,
    values: Map<List>,
    /// What is sorted out by another name.
    rest: Option<Box<Self>>,
}

/// What a request is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum By {
    Header(HeaderName),
    Query(Box<str>),
}

// === impl List ===

impl List {
    /// Adds an entry. Entries must come in order of precedence, and before [`settle`](Self::settle).
    pub(super) fn push(&mut self, rank: u32) {
        self.ranks.push(rank);
    }

    /// Sorts the entries out, once all are there.
    pub(super) fn settle<'a>(&mut self, conditions: &impl Fn(u32) -> &'a Conditions) {
        self.sort_out(conditions, &mut Vec::new());
        self.ranks.shrink_to_fit();
    }

    fn sort_out<'a>(&mut self, conditions: &impl Fn(u32) -> &'a Conditions, done: &mut Vec<By>) {
        let before = done.len();
        while self.ranks.len() > FEW
            && let Some(by) = best(&self.ranks, conditions, done)
        {
            let mut values: Map<Self> = Map::default();
            self.ranks.retain(|rank| match by.wanted(conditions(*rank)).next() {
                Some(value) => {
                    values.entry(value.into()).or_default().push(*rank);
                    false
                }
                None => true,
            });
            done.push(by.clone());
            values.values_mut().for_each(|list| list.sort_out(conditions, done));
            self.sorted = Some(Box::new(Sorted { by, values, rest: self.sorted.take() }));
        }
        done.truncate(before);
    }

    /// Shows `visit` every list with entries that may hold for a request.
    pub(super) fn each(&self, request: &RequestView<'_>, visit: &mut impl FnMut(&[u32])) {
        visit(&self.ranks);
        if let Some(sorted) = &self.sorted {
            sorted.each(request, visit);
        }
    }

    /// Shows `visit` all entries.
    pub(super) fn all(&self, visit: &mut impl FnMut(&[u32])) {
        visit(&self.ranks);
        let mut next = &self.sorted;
        while let Some(sorted) = next {
            sorted.values.values().for_each(|list| list.all(visit));
            next = &sorted.rest;
        }
    }
}

/// The name that tells the most entries apart. None: no name has two values.
fn best<'a>(ranks: &[u32], conditions: &impl Fn(u32) -> &'a Conditions, done: &[By]) -> Option<By> {
    let mut found: HashMap<By, HashSet<&str>> = HashMap::new();
    for rank in ranks {
        let Conditions { headers, query, .. } = conditions(*rank);
        let headers = headers.iter().map(|c| (By::Header(c.name.clone()), c.exact()));
        let query = query.iter().map(|c| (By::Query(c.name.clone()), c.exact()));
        for (by, exact) in headers.chain(query) {
            if let Some(exact) = exact.filter(|_| !done.contains(&by)) {
                found.entry(by).or_default().insert(exact);
            }
        }
    }
    let several = found.into_iter().filter(|(_, values)| values.len() > 1);
    // Of equals the first by name, so that a table is compiled alike everywhere.
    let best = several.max_by(|(a, x), (b, y)| x.len().cmp(&y.len()).then_with(|| b.text().cmp(&a.text())));
    best.map(|(by, _)| by)
}

// === impl Sorted ===

impl Sorted {
    // Not inlined: the usual list has none.
    #[inline(never)]
    fn each(&self, request: &RequestView<'_>, visit: &mut impl FnMut(&[u32])) {
        let mut next = Some(self);
        while let Some(Self { by, values, rest }) = next {
            match by {
                By::Header(name) => {
                    for value in request.headers.get_all(name) {
                        // What is not UTF-8 is no key.
                        let text = std::str::from_utf8(value.as_bytes()).ok();
                        if let Some(list) = text.and_then(|text| values.get(text)) {
                            list.each(request, visit);
                        }
                    }
                }
                By::Query(name) => {
                    for value in query::values(request.query, name) {
                        if let Some(list) = value.with(|text| values.get(text?)) {
                            list.each(request, visit);
                        }
                    }
                }
            }
            next = rest.as_deref();
        }
    }
}

// === impl By ===

impl By {
    /// The values that conditions ask for under this name.
    fn wanted<'a>(&self, conditions: &'a Conditions) -> impl Iterator<Item = &'a str> {
        let headers =
            conditions.headers.iter().filter(|c| matches!(self, Self::Header(name) if c.name == *name));
        let query = conditions.query.iter().filter(|c| matches!(self, Self::Query(name) if c.name == *name));
        headers.filter_map(|c| c.exact()).chain(query.filter_map(|c| c.exact()))
    }

    fn text(&self) -> (&str, bool) {
        match self {
            Self::Header(name) => (name.as_str(), false),
            Self::Query(name) => (name, true),
        }
    }
}
