//! The rules of blocking queries: which index to ask with, and what an answered index means.
//!
//! An index only ever says "something changed since"; it is not a version of the content. Consul
//! restarted empty or restored from a snapshot goes back, and a client that keeps a too high index
//! sleeps through changes until its wait ends. So: lower than ours means forget it and read again
//! before anything is applied; any error means forget it; an answer that comes clearly before its
//! wait with the same index (a restore, an agent that stops) is worth one fresh read, but not more
//! than one in [`REREAD`], else a middlebox that answers at once would make a hot loop.

use std::time::{Duration, Instant};

/// The shortest time between two fresh reads for early answers.
pub const REREAD: Duration = Duration::from_secs(10);

/// What we know of one blocking query. The default knows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Index {
    last: u64,
    reread: Option<Instant>,
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Compare its content with what is known.
    Apply,
    /// Nothing changed.
    Same,
    /// The index went back: drop this body, read again with index 0 and trust removals less for a
    /// while.
    Backwards,
    /// It came too early with nothing new: read again with index 0.
    Early,
    /// As [`Step::Early`], but that was tried a moment ago: wait as after an error.
    TooEarly,
}

// === impl Index ===

impl Index {
    /// The index to ask with. 0: answer at once.
    pub fn ask(&self) -> u64 {
        self.last
    }

    /// Takes the index of a good answer. `early`: it came clearly before its wait ended.
    pub fn heard(&mut self, index: u64, early: bool, now: Instant) -> Step {
        let index = index.max(1);
        if index < self.last {
            self.last = 0;
            return Step::Backwards;
        }
        if index > self.last {
            self.last = index;
            return Step::Apply;
        }
        if !early {
            return Step::Same;
        }
        if self.reread.is_some_and(|at| now.saturating_duration_since(at) < REREAD) {
            return Step::TooEarly;
        }
        self.reread = Some(now);
        self.last = 0;
        Step::Early
    }

    /// Forgets the index, after any error.
    pub fn lost(&mut self) {
        self.last = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn the_first_answer_is_applied_and_zero_counts_as_one() {
        let mut index = Index::default();
        assert_eq!((index.ask(), index.heard(0, true, start())), (0, Step::Apply));
        assert_eq!(index.ask(), 1);
    }

    #[test]
    fn going_back_is_read_again_from_zero() {
        let (mut index, now) = (Index::default(), start());
        index.heard(292, false, now);
        assert_eq!(index.heard(276, true, now), Step::Backwards);
        assert_eq!((index.ask(), index.heard(276, true, now)), (0, Step::Apply));
        assert_eq!(index.ask(), 276);
    }

    #[test]
    fn an_early_answer_is_read_again_once_in_ten_seconds() {
        let (mut index, now) = (Index::default(), start());
        index.heard(9, false, now);
        assert_eq!(index.heard(9, false, now), Step::Same);
        assert_eq!(index.heard(9, true, now), Step::Early);
        assert_eq!((index.ask(), index.heard(9, true, now)), (0, Step::Apply));
        assert_eq!(index.heard(9, true, now + Duration::from_secs(9)), Step::TooEarly);
        assert_eq!(index.ask(), 9);
        assert_eq!(index.heard(9, true, now + REREAD), Step::Early);
    }

    #[test]
    fn an_error_forgets_the_index() {
        let mut index = Index::default();
        index.heard(u64::MAX, false, start());
        index.lost();
        assert_eq!(index.ask(), 0);
    }

    proptest! {
        /// Whatever Consul answers, we never ask with an index above the last one it gave.
        #[test]
        fn never_ahead_of_the_server(answers in prop::collection::vec((any::<u64>(), any::<bool>()), 1..50)) {
            let (mut index, now) = (Index::default(), start());
            for (n, early) in answers {
                index.heard(n, early, now);
                prop_assert!(index.ask() <= n.max(1));
            }
        }
    }
}
