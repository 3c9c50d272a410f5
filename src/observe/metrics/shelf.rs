//! Series that are found by their names when a snapshot is compiled, and shown in the order of these.
//!
//! Found by hash and sorted only for a scrape: a large config looks up tens of thousands of them, and
//! a tree of texts costs fifteen comparisons, each with a miss of the cache, for every one. A series
//! holds its names itself, and nothing else does: with 10,000 routes they are most of what is kept for
//! routes that nobody asks for. The bad side: a scrape sorts, which is a hundredth of what it writes.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::observe::metrics::series::Lock;

/// Series by their names, each as long as somebody else holds it.
pub(super) struct Shelf<const N: usize, T>(Lock<HashSet<Found<N, T>>>);

/// A series and its names.
#[derive(Debug)]
pub(super) struct Named<const N: usize, T> {
    pub(super) names: [Box<str>; N],
    pub(super) series: T,
}

/// What is looked for by its names.
struct Found<const N: usize, T>(Arc<Named<N, T>>);

// === impl Shelf ===

impl<const N: usize, T> Shelf<N, T> {
    /// The series of these names, if it `fits`; else one that is made now, in its place.
    pub(super) fn find(
        &self,
        names: [&str; N],
        fits: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> Arc<Named<N, T>> {
        let names = names.map(Box::from);
        let mut shelf = self.lock();
        if let Some(Found(known)) = shelf.get(&names)
            && fits(&known.series)
        {
            return known.clone();
        }
        let new = Arc::new(Named { names, series: make() });
        shelf.replace(Found(new.clone()));
        new
    }

    /// Drops the series that nobody else holds.
    pub(super) fn sweep(&self) {
        self.lock().retain(|Found(series)| Arc::strong_count(series) > 1);
    }

    /// All of them in the order of their names.
    ///
    /// Copied out: to write 10,000 routes takes a third of a second, and a compile must not wait for
    /// that.
    pub(super) fn all(&self) -> Vec<Arc<Named<N, T>>> {
        let mut all: Vec<_> = self.lock().iter().map(|Found(series)| series.clone()).collect();
        all.sort_unstable_by(|a, b| a.names.cmp(&b.names));
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Found<N, T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<const N: usize, T> Default for Shelf<N, T> {
    fn default() -> Self {
        Self(Lock::default())
    }
}

// === impl Found ===

impl<const N: usize, T> Borrow<[Box<str>; N]> for Found<N, T> {
    fn borrow(&self) -> &[Box<str>; N] {
        &self.0.names
    }
}

impl<const N: usize, T> Hash for Found<N, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.names.hash(state);
    }
}

impl<const N: usize, T> PartialEq for Found<N, T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.names == other.0.names
    }
}

impl<const N: usize, T> Eq for Found<N, T> {}
