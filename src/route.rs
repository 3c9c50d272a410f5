//! Which route a request takes: a pure function of the compiled table and what is seen of the
//! request.
//!
//! A request takes the *nearest* route all of whose conditions hold. Nearness is a fixed order over
//! the table (`order` says which), so merged sources need no order of their own and a table reads
//! the same in every file. If a more specific host has no route that holds, the next less specific
//! one is tried, down to routes for any host: a route that fails never hides another.
//!
//! The cost of that is that a table cannot be read from top to bottom; [`Router::explain`] shows
//! the order for a request, and [`Router::shadowed`] the routes that can never win.
//!
//! Layout: `order` (what is nearer), `path` and `predicate` (one condition each; `query` and
//! `pattern` serve them), `index` (finds the few entries that a request concerns, and says what that
//! costs) with `list`, `explain`, `shadow`.

pub mod explain;
mod index;
mod list;
mod order;
pub mod path;
pub mod pattern;
mod predicate;
mod query;
mod shadow;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, Method};

use self::index::Index;
use self::order::{HostRank, Order};
use self::path::Path;
use self::predicate::Condition;
use crate::config::live::Match;
use crate::config::value::HostPattern;
use crate::config::{Name, Problem};

pub use self::explain::{Candidate, Explanation};

/// What routing may see of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// Lower-cased, without port and without a dot at its end. Empty where the request names none:
    /// then only routes for any host are left.
    pub host: &'a str,
    /// As received, without the query. It starts with `/`, or is `*` for `OPTIONS *`. It is not
    /// decoded and not normalised here; see [`path`] for what that means and what the maker of the
    /// view owes.
    pub path: &'a str,
    /// As received, without the `?`.
    pub query: Option<&'a str>,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
}

/// A route as the router needs it.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    pub name: &'a Name,
    pub priority: i32,
    pub conditions: &'a Match,
}

/// All routes, compiled for look-up.
#[derive(Debug)]
pub struct Router {
    /// In the order given to `compile`.
    routes: Vec<Arc<Conditions>>,
    /// In order of precedence.
    entries: Vec<Entry>,
    index: Index,
}

/// The compiled conditions of a rule that another router had too.
#[derive(Clone, Debug)]
pub struct Kept(Arc<Conditions>);

/// One host pattern of a route.
#[derive(Clone, Copy, Debug)]
struct Entry {
    route: u32,
    /// Which of the route's hosts. `None`: it has none, and takes any.
    host: Option<u32>,
}

/// A compiled [`Match`].
#[derive(Debug)]
struct Conditions {
    name: Name,
    hosts: Vec<HostPattern>,
    path: Path,
    methods: Vec<Method>,
    headers: Vec<Condition<HeaderName>>,
    query: Vec<Condition<Box<str>>>,
}

/// The first condition of a route that a request fails.
#[derive(Debug)]
enum Failed<'a> {
    /// Only an explanation meets it: a look-up never sees entries for other hosts.
    Host,
    Path,
    Method,
    Header(&'a Condition<HeaderName>),
    Query(&'a Condition<Box<str>>),
}

// === impl Router ===

impl Router {
    /// Compiles the rules.
    ///
    /// # Errors
    ///
    /// Every problem, with paths like `routes[3].match.path.regex`; the number is the index in
    /// `rules`.
    pub fn compile(rules: &[Rule<'_>]) -> Result<Self, Vec<Problem>> {
        Self::compile_from(rules, |_| None)
    }

    /// As [`compile`](Self::compile). `kept`: the conditions of a rule (by its index) that need not be
    /// compiled, since another router has a rule of the same name and [`Match`]. What is dear of them
    /// are regexes: some ten microseconds each, and the scratch memory that they have by then.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn compile_from(
        rules: &[Rule<'_>],
        mut kept: impl FnMut(usize) -> Option<Kept>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut conditions = |(index, rule)| match kept(index) {
            Some(Kept(conditions)) => Some(conditions),
            None => Conditions::compile(index, rule, &mut problems).map(Arc::new),
        };
        let routes: Vec<_> = rules.iter().enumerate().map(&mut conditions).collect();
        // Only where no problem was found did every rule give conditions.
        let routes: Vec<_> = routes.into_iter().flatten().collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let entries = sorted(rules, &routes);
        let mut index = Index::default();
        for (rank, entry) in (0..).zip(&entries) {
            let route = &routes[entry.route as usize];
            index.insert(rank, route.host(*entry), &route.path);
        }
        index.settle(|rank| &routes[entries[rank as usize].route as usize]);
        Ok(Self { routes, entries, index })
    }

    /// A router without a route.
    pub fn empty() -> Self {
        Self { routes: Vec::new(), entries: Vec::new(), index: Index::default() }
    }

    /// The index (in the order given to `compile`) of the route that wins, if any matches.
    ///
    /// Does not allocate, but for a regex on a query value that is encoded and over 256 bytes long,
    /// and for the scratch memory that each regex makes when a thread first uses it.
    pub fn find(&self, request: &RequestView<'_>) -> Option<usize> {
        self.winner(request).map(|rank| self.route_of(rank))
    }

    /// The conditions of a rule, by its index, for a router after this one.
    pub fn keep(&self, index: usize) -> Option<Kept> {
        self.routes.get(index).cloned().map(Kept)
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is no route at all.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The first entry, in order of precedence, whose conditions all hold.
    fn winner(&self, request: &RequestView<'_>) -> Option<u32> {
        let mut best = u32::MAX;
        self.index.each(request, |list| {
            let mut nearer = list.iter().copied().take_while(|rank| *rank < best);
            if let Some(rank) = nearer.find(|rank| self.conditions(*rank).failed(request).is_none()) {
                best = rank;
            }
        });
        (best != u32::MAX).then_some(best)
    }

    fn conditions(&self, rank: u32) -> &Conditions {
        &self.routes[self.route_of(rank)]
    }

    fn route_of(&self, rank: u32) -> usize {
        self.entries[rank as usize].route as usize
    }
}

/// The entries of all routes in order of precedence.
fn sorted(rules: &[Rule<'_>], routes: &[Arc<Conditions>]) -> Vec<Entry> {
    let mut keyed = Vec::with_capacity(routes.len());
    for ((route, rule), index) in (0..).zip(rules).zip(0..) {
        let conditions = &routes[index];
        let mut add = |host: Option<u32>| {
            let entry = Entry { route, host };
            keyed.push((conditions.order(rule.priority, entry, index), entry));
        };
        if conditions.hosts.is_empty() {
            add(None);
        }
        (0..).zip(&conditions.hosts).for_each(|(host, _)| add(Some(host)));
    }
    keyed.sort_by_key(|(order, _)| *order);
    keyed.into_iter().map(|(_, entry)| entry).collect()
}

// === impl Conditions ===

impl Conditions {
    fn compile(index: usize, rule: &Rule<'_>, problems: &mut Vec<Problem>) -> Option<Self> {
        let Match { hosts, path, methods, headers, query } = rule.conditions;
        let at = format!("routes[{index}].match");
        let mut hosts = hosts.clone();
        hosts.sort();
        hosts.dedup();
        let path = Path::compile(path.as_ref(), &at).map_err(|problem| problems.push(problem)).ok();
        let methods = predicate::methods(methods, &at, problems);
        let headers: Vec<_> = (headers.iter().enumerate())
            .filter_map(|(i, value)| Condition::header(value, &format!("{at}.headers[{i}]"), problems))
            .collect();
        let query: Vec<_> = (query.iter().enumerate())
            .filter_map(|(i, value)| Condition::query(value, &format!("{at}.query[{i}]"), problems))
            .collect();
        Some(Self { name: rule.name.clone(), hosts, path: path?, methods, headers, query })
    }

    fn host(&self, entry: Entry) -> Option<&HostPattern> {
        entry.host.and_then(|host| self.hosts.get(host as usize))
    }

    fn order(&self, priority: i32, entry: Entry, index: usize) -> Order<'_> {
        Order {
            priority: Reverse(priority),
            host: Reverse(HostRank::of(self.host(entry))),
            path: Reverse(self.path.rank()),
            headers: Reverse(self.headers.len()),
            query: Reverse(self.query.len()),
            methods: Reverse(!self.methods.is_empty()),
            name: self.name.as_str(),
            index,
        }
    }

    /// The first condition, the host aside, that a request fails. None: all hold.
    fn failed(&self, request: &RequestView<'_>) -> Option<Failed<'_>> {
        if !self.path.holds(request.path) {
            return Some(Failed::Path);
        }
        if !self.methods.is_empty() && !self.methods.contains(request.method) {
            return Some(Failed::Method);
        }
        if let Some(header) = self.headers.iter().find(|header| !header.holds(request.headers)) {
            return Some(Failed::Header(header));
        }
        self.query.iter().find(|query| !query.holds(request.query)).map(Failed::Query)
    }
}
