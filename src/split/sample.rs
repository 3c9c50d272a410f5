//! The sample-ratio check: does each variant get the share that its weight says?
//!
//! If it does not, the experiment is broken, whatever its other figures say: keys are lost on the way
//! to one variant, a client forges them, a variant was down and its users were shifted. The check is
//! Pearson's chi-square of the *units* that each variant got, against the shares.
//!
//! # What a unit is
//!
//! A unit is a distinct key, not a request. All requests of one key go the same way, so that a single
//! busy client would make a healthy split look broken if requests counted. A request without a key is
//! a unit by itself, for the dice are thrown anew each time. Overrides are not units: nobody expects
//! shares of them.
//!
//! Who was seen is kept for a *window* of [`WINDOW`] units. When it is full, its counts are what the
//! check speaks about until the next one is; before the first is full, it speaks about what there
//! is. So what went wrong an hour ago is forgotten when it is over, memory is bounded, and within a
//! window nobody counts twice.
//!
//! The bad sides: a window sees a difference of five points for sure and one of half a point hardly
//! ever, which is for the analysis of the experiment to find. Windows can't be added up, since
//! clients come back. And one healthy window in a hundred has a p-value under 0.01: alarm below
//! 0.0001, or when it stays low.
//!
//! # How it is kept
//!
//! A unit without a key can't come twice, so it is only counted, by variant: each such request writes
//! to the same few words, which stay in the cache.
//!
//! Keys have a table of words with open addressing, made when the first one comes: 32 KiB for each
//! split that has keys and is used. A word says whose it is (16 bits of the key's hash; the place has
//! 13 more), which variant it got, and in which window. The window's number is what makes a word
//! valid, so that a new window needs no cleaning: the words of older ones are free. Within a window a word is taken
//! once, by compare-and-swap, and never given back, so two threads with one key meet on the same
//! word. A thread that fell behind a whole window sees words newer than its own and gives up. So
//! races, as full neighbourhoods (which someone who can choose keys could make), lose a few units and
//! count none twice. More are lost while the thread that closes a window has no core. Two keys whose
//! words look the same are one; that is one unit in some thirty windows. Nothing of this depends on
//! the variant, so it makes the check weaker and never wrong.
//!
//! A key that was seen already costs its hash and three loads, 15 ns in all when it was measured.

use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::split::chi_square;

/// How many units make a window.
pub const WINDOW: u64 = 4096;

/// Half of them stay empty, so that probes are short.
const SLOTS: usize = 8192;

/// The longest way from a unit's home to a free word. In a half-full table hardly any is longer.
const PROBES: usize = 64;

/// The least expected count of a cell for which chi-square is a fair approximation.
const LEAST: f64 = 5.0;

/// The units of a split under certain weights: other weights need a new one.
#[derive(Debug)]
pub struct Sample {
    variants: usize,
    /// Others wait while the first thread makes it, once.
    table: OnceLock<Box<[AtomicU32]>>,
    /// The number of the window that is being filled. They begin with 1: a word of zeros is older.
    window: AtomicU64,
    /// Units in all windows.
    units: AtomicU64,
    /// Units without a key of the window that is being filled. The other bank is that of the last one.
    keyless: Banks,
    /// The counts of the last whole window. The other bank is the one to be written next.
    whole: Banks,
}

/// Counts of two windows in a row by variant, each in the bank of its parity.
#[derive(Debug)]
struct Banks([Box<[AtomicU64]>; 2]);

/// What the check says.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// By variant.
    pub units: Vec<u64>,
    /// [`f64::MAX`] if a variant without a share has units.
    pub chi_square: f64,
    /// Degrees of freedom.
    pub degrees: usize,
    /// How likely it is that a healthy split looks at least this bad.
    pub p_value: f64,
}

/// The word of one unit, see the module's head: hash, variant, window.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word(u32);

// === impl Sample ===

impl Sample {
    /// Nobody has been seen yet.
    pub fn new(variants: usize) -> Self {
        Self {
            variants,
            table: OnceLock::new(),
            window: AtomicU64::new(1),
            units: AtomicU64::new(0),
            keyless: Banks::new(variants),
            whole: Banks::new(variants),
        }
    }

    /// Sees a request. `unit`: the [`unit()`] of its key, or None if it had no key.
    pub fn record(&self, unit: Option<u64>, variant: usize) {
        if variant >= self.variants {
            return;
        }
        let window = self.window.load(Acquire);
        let new = match unit {
            Some(unit) => {
                let table = self.table.get_or_init(|| (0..SLOTS).map(|_| AtomicU32::new(0)).collect());
                self.take(table, unit, variant, window)
            }
            None => self.add(variant, window),
        };
        if new {
            // Exactly one thread fills a window, and the next one can't be filled before this thread
            // has closed it: those that still come in are as many as there are threads.
            let units = self.units.fetch_add(1, AcqRel) + 1;
            if units.is_multiple_of(WINDOW) {
                self.close(units / WINDOW);
            }
        }
    }

    /// Counts a unit without a key, where there is room for it.
    fn add(&self, variant: usize, window: u64) -> bool {
        let room = !self.is_full(window);
        if room {
            self.keyless.of(window)[variant].fetch_add(1, AcqRel);
        }
        room
    }

    /// Whether the window has its units, and is about to be closed.
    fn is_full(&self, window: u64) -> bool {
        self.units.load(Relaxed) >= window * WINDOW
    }

    /// Whether the unit is new in this window, and there was room for it.
    fn take(&self, table: &[AtomicU32], unit: u64, variant: usize, window: u64) -> bool {
        let own = Word::new(unit, variant, window);
        let home = home(unit, window);
        for step in 0..PROBES {
            let place = &table[(home + step) % SLOTS];
            let mut found = Word(place.load(Acquire));
            loop {
                match found.age(window) {
                    0 if found.same_unit(own) => return false,
                    0 => break,
                    age if age > Word::NEWER => return false,
                    _ if self.is_full(window) => return false,
                    _ => match place.compare_exchange(found.0, own.0, AcqRel, Acquire) {
                        Ok(_) => return true,
                        Err(newer) => found = Word(newer),
                    },
                }
            }
        }
        false
    }

    /// Puts the counts of a full window where they can be read, and begins the next.
    ///
    /// The bank of this window stays as it is, for who still reads it; what is emptied is the one before,
    /// in which the next window counts. A thread that is a whole window late may add to it first.
    fn close(&self, window: u64) {
        for (cell, count) in self.whole.of(window).iter().zip(self.count(window)) {
            cell.store(count, Release);
        }
        self.keyless.of(window + 1).iter().for_each(|cell| cell.store(0, Release));
        self.window.store(window + 1, Release);
    }

    fn count(&self, window: u64) -> Vec<u64> {
        let mut counts = self.keyless.read(window);
        let words = self.table.get().into_iter().flatten().map(|place| Word(place.load(Acquire)));
        for word in words.filter(|word| word.age(window) == 0) {
            counts[word.variant()] += 1;
        }
        counts
    }

    /// The units of the last whole window, by variant; of the first while it is not full.
    pub fn units(&self) -> Vec<u64> {
        loop {
            let window = self.window.load(Acquire);
            let units = match window {
                1 => self.count(1),
                _ => self.whole.read(window - 1),
            };
            // Else a window has passed meanwhile, and what was read may be of two. That takes
            // thousands of requests, so this does not go on.
            if self.window.load(Acquire) == window {
                return units;
            }
        }
    }

    /// What the check says of the units, if variants should have these `shares`. None: it is too
    /// early to say.
    pub fn verdict(&self, shares: &[f64]) -> Option<Verdict> {
        Verdict::of(self.units(), shares)
    }
}

// === impl Banks ===

impl Banks {
    fn new(variants: usize) -> Self {
        let zeros = || (0..variants).map(|_| AtomicU64::new(0)).collect();
        Self([zeros(), zeros()])
    }

    fn of(&self, window: u64) -> &[AtomicU64] {
        &self.0[usize::from(!window.is_multiple_of(2))]
    }

    fn read(&self, window: u64) -> Vec<u64> {
        self.of(window).iter().map(|cell| cell.load(Acquire)).collect()
    }
}

/// The hash of a key as [`Sample::record`] wants it. It has nothing to do with the one that chooses
/// the variant, or else the variants would lie in places of their own.
pub fn unit(key: &[u8]) -> u64 {
    const SEED: u64 = u64::from_be_bytes(*b"units of");
    xxh3_64_with_seed(key, SEED)
}

/// Where a unit would be. In each window it is elsewhere: if the same keys came to the same places
/// every time, the places between would grow so old that they looked new.
fn home(unit: u64, window: u64) -> usize {
    let place = (unit >> 16) ^ window.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // Less than `SLOTS`, so that nothing is cut off.
    usize::try_from(place % SLOTS as u64).unwrap_or_default()
}

// === impl Word ===

impl Word {
    /// The lowest bits are the window's, then come 6 of the variant and 16 of the hash.
    const WINDOW_BITS: u32 = 10;
    const VARIANT_BITS: u32 = 6;
    /// Ages above this one are those of windows to come.
    const NEWER: u32 = 1 << (Self::WINDOW_BITS - 1);

    #[expect(clippy::cast_possible_truncation, reason = "the parts are cut to their widths")]
    fn new(unit: u64, variant: usize, window: u64) -> Self {
        let hash = unit as u32 & 0xFFFF;
        let variant = variant as u32 & ((1 << Self::VARIANT_BITS) - 1);
        let window = window as u32 & ((1 << Self::WINDOW_BITS) - 1);
        Self(((hash << Self::VARIANT_BITS) | variant) << Self::WINDOW_BITS | window)
    }

    /// How many windows ago it was taken.
    #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits count")]
    fn age(self, window: u64) -> u32 {
        (window as u32).wrapping_sub(self.0) & ((1 << Self::WINDOW_BITS) - 1)
    }

    fn variant(self) -> usize {
        (self.0 >> Self::WINDOW_BITS) as usize & ((1 << Self::VARIANT_BITS) - 1)
    }

    /// For two of one window.
    fn same_unit(self, other: Self) -> bool {
        let hash = |word: Self| word.0 >> (Self::WINDOW_BITS + Self::VARIANT_BITS);
        hash(self) == hash(other)
    }
}

// === impl Verdict ===

impl Verdict {
    /// Compares counts with shares. Variants of which too few are expected are taken together.
    fn of(units: Vec<u64>, shares: &[f64]) -> Option<Self> {
        let sum: f64 = shares.iter().sum();
        if units.len() != shares.len() || sum <= 0.0 {
            return None;
        }
        let seen: Vec<f64> = units.iter().map(|count| number(*count)).collect();
        let all: f64 = seen.iter().sum();
        let cells: Vec<_> = seen.iter().zip(shares).map(|(seen, share)| (*seen, all * share / sum)).collect();
        if cells.iter().any(|(seen, due)| *seen > 0.0 && *due <= 0.0) {
            let degrees = cells.len() - 1;
            return Some(Self { units, chi_square: f64::MAX, degrees, p_value: 0.0 });
        }
        let cells = pooled(cells);
        let degrees = cells.len().checked_sub(1).filter(|degrees| *degrees > 0)?;
        let chi_square = cells.iter().map(|(seen, due)| (seen - due).powi(2) / due).sum();
        Some(Self { units, chi_square, degrees, p_value: chi_square::tail(chi_square, degrees) })
    }
}

/// Takes the cells (seen, expected) together of which too few are expected; if they are too few even
/// then, they go to the smallest of the others. None or one is left if there is not enough for two.
fn pooled(cells: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let (small, mut large): (Vec<_>, Vec<_>) = cells.into_iter().partition(|(_, due)| *due < LEAST);
    let (seen, due) = small.iter().fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
    if due >= LEAST {
        large.push((seen, due));
    } else if let Some(smallest) = large.iter_mut().min_by(|a, b| a.1.total_cmp(&b.1)) {
        *smallest = (smallest.0 + seen, smallest.1 + due);
    }
    large
}

#[expect(clippy::cast_precision_loss, reason = "a window's counts are small")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
