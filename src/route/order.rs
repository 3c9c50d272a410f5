//! Which of two routes is nearer. A static order: it does not depend on the request, only on what
//! was written.
//!
//! That is possible because each host pattern of a route competes by itself (an *entry*), and of
//! the patterns that can take one and the same host, the longer is the more specific. So the table
//! is sorted once, and "the route that wins" is "the first entry whose conditions all hold";
//! everything else is a matter of finding it quickly.
//!
//! The criteria, in order, are the fields of [`Order`]. What they leave open and what is decided
//! here:
//! - `priority` stands before the host: a route for any host with priority 1 beats an exact host
//!   with priority 0.
//! - No path condition ranks as the prefix `/`, so it beats a regex, as every prefix does. A
//!   catch-all for the same host therefore hides a regex route unless that has a priority;
//!   `Router::shadowed` finds those.
//! - Prefixes and wildcards compare by length in bytes; for those that take the same request that
//!   is also the number of segments or labels.
//! - Header and query conditions are counted as written. For methods only whether there are any
//!   counts: a shorter list is not more specific than a longer one that it overlaps.
//! - Equal names (refused elsewhere) fall back to the order of the file, so that the order is
//!   total.

use std::cmp::Reverse;

use crate::config::value::HostPattern;
use crate::route::path::PathRank;

/// The sort key of an entry. The least is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order<'a> {
    pub(super) priority: Reverse<i32>,
    pub(super) host: Reverse<HostRank>,
    pub(super) path: Reverse<PathRank>,
    pub(super) headers: Reverse<usize>,
    pub(super) query: Reverse<usize>,
    pub(super) methods: Reverse<bool>,
    pub(super) name: &'a str,
    pub(super) index: usize,
}

/// How a host condition compares: the greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HostRank {
    Any,
    /// Bytes of the suffix.
    Suffix(usize),
    Exact,
}

// === impl HostRank ===

impl HostRank {
    pub(super) fn of(pattern: Option<&HostPattern>) -> Self {
        match pattern {
            None => Self::Any,
            Some(HostPattern::Suffix(suffix)) => Self::Suffix(suffix.len()),
            Some(HostPattern::Exact(_)) => Self::Exact,
        }
    }
}
