//! A number that stands for a value: equal values have equal numbers, on every node of one version,
//! and different ones different numbers but for one in 2^64.
//!
//! What is hashed is whatever `derive(Hash)` visits, so a new field of a type is in it by itself. It
//! was the text of `Debug` before, which has the same virtue and costs thirty times as much: half of
//! what it took to compile a large config.
//!
//! A digest tells people and logs whether something changed. What *decides* whether a part can be
//! kept compares the parts themselves. The bad side: a digest is not for the disk nor for other
//! versions, as a field more or another order of fields changes it.

use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::xxh3_64;

/// Writes what is hashed one after the other; hashing many small pieces as they come costs more.
#[derive(Clone, Debug, Default)]
struct Written(Vec<u8>);

/// The number of a value.
pub fn digest<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut written = Written::default();
    value.hash(&mut written);
    xxh3_64(&written.0)
}

/// One number for many values in their order, without holding all of them as text at once.
pub fn digest_all<T: Hash>(values: impl IntoIterator<Item = T>) -> u64 {
    let (mut each, mut all) = (Written::default(), Vec::new());
    for value in values {
        each.0.clear();
        value.hash(&mut each);
        all.extend(xxh3_64(&each.0).to_le_bytes());
    }
    xxh3_64(&all)
}

// === impl Written ===

impl Hasher for Written {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        xxh3_64(&self.0)
    }
}

#[cfg(test)]
mod tests;
