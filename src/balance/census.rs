//! How many endpoints are available, without counting them at every pick.
//!
//! The count decides one thing: panic mode or not. Up to [`SMALL`] endpoints it is exact: all are
//! looked at in each pick, which is a few loads (of cache lines that requests write, hence not
//! more). Beyond that the last known sight of each endpoint is kept, eight to a chunk, and chunks
//! are looked at again
//! - one at random in an eighth of the picks while all is well, and in each pick in panic mode,
//! - the chunk of an endpoint that a pick found unavailable although the census believed in it,
//! - all of them when a policy finds nothing usable.
//!
//! So a pick looks at about one endpoint more than it must, failures are noticed as they are met,
//! and the mode is right after some n picks. The bad side: it is not right at once. In a cluster of
//! 1,000 that loses 600 at one blow the first hundred picks or so still go to the 400 only; and
//! after a recovery some picks are still made in panic mode. No pick outside panic mode goes to an
//! unavailable endpoint in the meantime. An epoch counter, bumped by whoever flips a state, would
//! be exact; it would also make every such writer, present and future, part of this contract.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

/// How many endpoints are counted exactly in each pick.
pub const SMALL: usize = CHUNK;

const CHUNK: usize = 8;

/// One in so many picks looks at a chunk, while all is well.
const PERIOD: u8 = 8;

/// What one look at an endpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Available,
    /// Not available, but good enough for panic mode.
    Unavailable,
    Withdrawn,
}

/// The counts a pick decides by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    available: u32,
    /// Those that are not withdrawn.
    present: u32,
}

/// The last known sights and their counts.
#[derive(Debug)]
pub struct Census {
    len: usize,
    /// Per chunk: low byte a bit for each that is available, high byte a bit for each that is not
    /// withdrawn.
    chunks: Box<[AtomicU16]>,
    /// The bits in all chunks: low half available, high half not withdrawn. Each change of a chunk
    /// adds its difference, so whatever threads do, it is the sum of the chunks once they are done.
    tally: AtomicU64,
}

// === impl Tally ===

impl Tally {
    /// Whether fewer than half are available. Nobody present is no panic: there is nobody to use.
    pub fn panic(self) -> bool {
        u64::from(self.available) * 2 < u64::from(self.present)
    }

    /// How many are available.
    pub fn available(self) -> u32 {
        self.available
    }

    /// The same without panic mode: only those that are available are used.
    pub fn calmed(self) -> Self {
        Self { present: self.available, ..self }
    }

    /// Whether not a single one is available.
    pub fn none(self) -> bool {
        self.available == 0
    }

    /// How many the mode lets be used.
    pub fn usable(self) -> u32 {
        if self.panic() { self.present } else { self.available }
    }
}

// === impl Census ===

impl Census {
    /// Knows of `len` endpoints, but has seen none yet.
    pub fn new(len: usize) -> Self {
        let chunks = (0..len.div_ceil(CHUNK)).map(|_| AtomicU16::new(0)).collect();
        Self { len, chunks, tally: AtomicU64::new(0) }
    }

    /// The counts for a pick, after a look at as much as a pick can afford.
    pub fn take(&self, rng: &mut fastrand::Rng, look: impl Fn(usize) -> Sight) -> Tally {
        if self.len <= SMALL {
            return self.retake(look);
        }
        let tally = self.tally();
        if tally.panic() || rng.u8(..PERIOD) == 0 {
            self.refresh(rng.usize(..self.chunks.len()), look);
            return self.tally();
        }
        tally
    }

    /// The counts for who asks how well all are: it looks again at a chunk as long as anybody is missing,
    /// so that a recovery shows soon although others serve meanwhile and nobody is picked here.
    pub fn ask(&self, rng: &mut fastrand::Rng, look: impl Fn(usize) -> Sight) -> Tally {
        let tally = self.tally();
        if self.len <= SMALL || tally.available as usize == self.len {
            return self.take(rng, look);
        }
        self.refresh(rng.usize(..self.chunks.len()), look);
        self.tally()
    }

    /// The counts after a look at everyone.
    pub fn retake(&self, look: impl Fn(usize) -> Sight) -> Tally {
        for chunk in 0..self.chunks.len() {
            self.refresh(chunk, &look);
        }
        self.tally()
    }

    /// Tells that `position` was found unavailable. Looks around if that is news.
    pub fn correct(&self, position: usize, look: impl Fn(usize) -> Sight) {
        let believed = self.chunks.get(position / CHUNK).map_or(0, |chunk| chunk.load(Relaxed));
        if believed & 1 << (position % CHUNK) != 0 {
            self.refresh(position / CHUNK, look);
        }
    }

    fn tally(&self) -> Tally {
        let both = self.tally.load(Relaxed);
        Tally { available: both as u32, present: (both >> 32) as u32 }
    }

    fn refresh(&self, chunk: usize, look: impl Fn(usize) -> Sight) {
        let Some(slot) = self.chunks.get(chunk) else {
            return;
        };
        let first = chunk * CHUNK;
        let mut bits = 0u16;
        for (bit, position) in (first..self.len.min(first + CHUNK)).enumerate() {
            bits |= match look(position) {
                Sight::Available => 0x0101 << bit,
                Sight::Unavailable => 0x0100 << bit,
                Sight::Withdrawn => 0,
            };
        }
        // Written only when it differs, so that the line stays shared between the cores.
        if slot.load(Relaxed) != bits {
            let before = slot.swap(bits, Relaxed);
            self.tally.fetch_add(counts(bits).wrapping_sub(counts(before)), Relaxed);
        }
    }
}

/// The bits of a chunk as a number to add to the tally.
fn counts(bits: u16) -> u64 {
    u64::from((bits & 0x00ff).count_ones()) | u64::from((bits >> 8).count_ones()) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_census_is_exact() {
        let census = Census::new(3);
        let mut rng = fastrand::Rng::with_seed(1);
        let sights = [Sight::Available, Sight::Unavailable, Sight::Withdrawn];
        let tally = census.take(&mut rng, |p| sights[p]);
        assert_eq!(tally, Tally { available: 1, present: 2 });
        assert!(!tally.panic(), "half is enough");
        let tally = census.take(&mut rng, |p| if p == 0 { Sight::Unavailable } else { sights[p] });
        assert_eq!(tally, Tally { available: 0, present: 2 });
        assert!(tally.panic());
    }

    #[test]
    fn a_large_census_comes_right_after_some_picks() {
        let census = Census::new(1000);
        let mut rng = fastrand::Rng::with_seed(1);
        assert_eq!(census.retake(|_| Sight::Available).available, 1000);
        let down = |p: usize| if p < 600 { Sight::Unavailable } else { Sight::Available };
        for p in 0..600 {
            census.correct(p, down); // as picks that meet them do
        }
        assert!(census.take(&mut rng, down).panic());
        let picks = (1..).find(|_| !census.take(&mut rng, |_| Sight::Available).panic()).unwrap();
        assert!(picks < 1000, "{picks}");
    }

    #[test]
    fn who_asks_learns_of_a_recovery_though_nobody_picks() {
        let census = Census::new(1000);
        let mut rng = fastrand::Rng::with_seed(1);
        census.retake(|p| if p < 400 { Sight::Unavailable } else { Sight::Available });
        let questions = (1..).find(|_| census.ask(&mut rng, |_| Sight::Available).available() == 1000);
        assert!(questions.unwrap() < 1500, "{questions:?}");
    }

    #[test]
    fn threads_leave_no_wrong_sum() {
        let census = Census::new(64);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let census = &census;
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(seed);
                    for _ in 0..2000 {
                        let coin = rng.u64(..);
                        let look =
                            |p: usize| if coin >> p & 1 == 1 { Sight::Available } else { Sight::Withdrawn };
                        census.refresh(rng.usize(..8), look);
                    }
                });
            }
        });
        assert_eq!(
            census.retake(|p| if p < 5 { Sight::Available } else { Sight::Unavailable }),
            Tally { available: 5, present: 64 }
        );
    }
}
