//! Finds the entries that a host and path can concern, without looking at the others.
//!
//! Hosts: one map of exact names, one of wildcard suffixes, one table for any host. A table maps
//! the text of a path or prefix to its entries; a request looks up its whole path and each of its
//! leading runs of segments. Regex entries stand under the longest prefix that they cannot leave,
//! so 10,000 regexes with different first segments cost nothing, and those without any are tried
//! one by one, in order.
//!
//! The work per request is bounded by what the operator wrote, not by what the client sent: texts
//! longer than the longest key are not looked up, or a path of a thousand slashes would cost a
//! thousand ever longer hashes. The keys are the operator's too, hence a fast hash without a seed:
//! a client cannot add a key to make others collide.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::value::HostPattern;
use crate::route::path::Path;

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
    root: Vec<u32>,
}

/// The entries at one text, each list in order of precedence.
#[derive(Debug, Default)]
struct Bucket {
    /// Those that take just this path.
    exact: Vec<u32>,
    /// Those that take it as a prefix, and regexes that stay under it.
    under: Vec<u32>,
}

type Map<T> = HashMap<Box<str>, T, BuildHasherDefault<Xxh3>>;

/// Hashes whole texts. Not for keys from outside.
#[derive(Clone, Copy, Debug, Default)]
struct Xxh3(u64);

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

    /// Shows `visit` every list with entries that may take the host and path, most specific first.
    /// For all entries in them the host condition holds, and the path condition too unless it is a
    /// regex.
    pub(super) fn each(&self, host: &str, path: &str, mut visit: impl FnMut(&[u32])) {
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

    fn each(&self, path: &str, visit: &mut impl FnMut(&[u32])) {
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
