//! Finds the entries that a request can concern, without looking at the others.
//!
//! Hosts: one map of exact names, one of wildcard suffixes, one table for any host. A table maps
//! the text of a path or prefix to its entries; a request looks up its whole path and each of its
//! leading runs of segments. Regex entries stand under the longest prefix that they cannot leave,
//! so 10,000 regexes with different first segments cost nothing, and those without any are tried
//! one by one, in order. What is found so are a few lists of entries; a long one is sorted out further
//! by the values of a header or query parameter ([`list`](super::list)).
//!
//! # What a match costs
//!
//! | routes | cost |
//! |---|---|
//! | with different hosts, wildcards, paths, prefixes | a look-up for each label of the host under a wildcard, and in each of these for each segment of the path: not the number of routes |
//! | on one path, with different `exact` values of a header or query parameter | as above, and a look-up for each value that the request has |
//! | regexes with different text up to their first special character, at least a segment | as prefixes |
//! | regexes that begin alike, or with `.*` | one by one, some 50 to 100 ns each: 10,000 are a millisecond |
//! | on one path, with different methods, or conditions `regex`, `prefix`, `present`, `invert` | one by one, some 10 to 100 ns each |
//!
//! One by one means those that stand before the winner in order of precedence, and all of them for a
//! request that none takes. It is what Envoy does for each route of a virtual host.
//!
//! The work per request is bounded by what the operator wrote, not by what the client sent: texts
//! longer than the longest key are not looked up, or a path of a thousand slashes would cost a
//! thousand ever longer hashes. The keys are the operator's too, hence a fast hash without a seed:
//! a client cannot add a key to make others collide.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::value::HostPattern;
use crate::route::list::List;
use crate::route::path::Path;
use crate::route::{Conditions, RequestView};

/// All entries by host, then path.
#[derive(Debug, Default)]
pub(super) struct Index {
    exact: Map<Table>,
    suffixes: Map<Table>,
    longest_suffix: usize,
    any: Table,
}

/// The entries of one host pattern.
#[derive(Debug, Default)]
struct Table {
    /// Keys are paths, and prefixes without the slash at their end. Never the empty text.
    buckets: Map<Bucket>,
    longest: usize,
    /// Entries that any path can concern.
    root: List,
}

/// The entries at one text.
#[derive(Debug, Default)]
struct Bucket {
    /// Those that take just this path.
    exact: List,
    /// Those that take it as a prefix, and regexes that stay under it.
    under: List,
}

pub(super) type Map<T> = HashMap<Box<str>, T, BuildHasherDefault<Xxh3>>;

/// Hashes whole texts. Not for keys from outside.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Xxh3(u64);

// === impl Index ===

impl Index {
    /// Adds an entry. Entries must come in order of precedence.
    pub(super) fn insert(&mut self, entry: u32, host: Option<&HostPattern>, path: &Path) {
        let table = match host {
            None => &mut self.any,
            Some(HostPattern::Exact(name)) => self.exact.entry(name.clone()).or_default(),
            Some(HostPattern::Suffix(suffix)) => {
                self.longest_suffix = self.longest_suffix.max(suffix.len());
                self.suffixes.entry(suffix.clone()).or_default()
            }
        };
        table.insert(entry, path);
    }

    /// Sorts long lists out, once all entries are there.
    pub(super) fn settle<'a>(&mut self, conditions: impl Fn(u32) -> &'a Conditions) {
        let tables = self.exact.values_mut().chain(self.suffixes.values_mut()).chain([&mut self.any]);
        tables.for_each(|table| table.settle(&conditions));
    }

    /// Shows `visit` the entries that may take a request, in several pieces, each in order of
    /// precedence. For all of them the host condition holds, and the path condition too unless it is a
    /// regex.
    pub(super) fn each(&self, request: &RequestView<'_>, mut visit: impl FnMut(&[u32])) {
        self.lists(request.host, request.path, |list| list.each(request, &mut visit));
    }

    /// The same for all requests to a host and path.
    pub(super) fn all(&self, host: &str, path: &str, mut visit: impl FnMut(&[u32])) {
        self.lists(host, path, |list| list.all(&mut visit));
    }

    /// Shows `visit` every list with entries that may take the host and path, most specific first.
    fn lists(&self, host: &str, path: &str, mut visit: impl FnMut(&List)) {
        if let Some(table) = self.exact.get(host) {
            table.each(path, &mut visit);
        }
        // A wildcard needs something before its dot, hence 1. Longest first.
        let from = host.len().saturating_sub(self.longest_suffix).max(1);
        let dots = host.bytes().enumerate().skip(from).filter(|(_, byte)| *byte == b'.');
        for (dot, _) in dots {
            if let Some(table) = self.suffixes.get(&host[dot..]) {
                table.each(path, &mut visit);
            }
        }
        self.any.each(path, &mut visit);
    }
}

// === impl Table ===

impl Table {
    fn insert(&mut self, entry: u32, path: &Path) {
        let (Path::Exact(text) | Path::Prefix(text) | Path::Regex { under: text, .. }) = path;
        if text.is_empty() {
            return self.root.push(entry);
        }
        self.longest = self.longest.max(text.len());
        let bucket = self.buckets.entry(text.clone()).or_default();
        match path {
            Path::Exact(_) => bucket.exact.push(entry),
            Path::Prefix(_) | Path::Regex { .. } => bucket.under.push(entry),
        }
    }

    fn settle<'a>(&mut self, conditions: &impl Fn(u32) -> &'a Conditions) {
        let buckets = self.buckets.values_mut().flat_map(|bucket| [&mut bucket.exact, &mut bucket.under]);
        buckets.chain([&mut self.root]).for_each(|list| list.settle(conditions));
    }

    fn each(&self, path: &str, visit: &mut impl FnMut(&List)) {
        if path.len() <= self.longest
            && let Some(bucket) = self.buckets.get(path)
        {
            visit(&bucket.exact);
            visit(&bucket.under);
        }
        let slashes = path.bytes().enumerate().take(self.longest + 1).skip(1).rev();
        for (slash, _) in slashes.filter(|(_, byte)| *byte == b'/') {
            if let Some(bucket) = self.buckets.get(&path[..slash]) {
                visit(&bucket.under);
            }
        }
        visit(&self.root);
    }
}

// === impl Xxh3 ===

impl Hasher for Xxh3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The end mark of a text, which a map of single texts does not need.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
