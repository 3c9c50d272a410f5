//! Bytes that were read from the client and are not given out yet.
//!
//! A buffer of its own rather than a `BytesMut`, whose capacity shrinks as bytes are taken off its
//! front: what an idle connection keeps must be known exactly.

/// What an idle connection may keep, in bytes. The head of a small request fits, so that one service
/// that asks another allocates nothing; a browser's does not, and ten thousand browsers are what
/// idle connections are made of.
const KEEP: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    start: usize,
}

// === impl Held ===

impl Held {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes bytes off the front.
    pub(super) fn take(&mut self, length: usize) {
        self.start += length.min(self.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Puts other bytes in the place of the first ones.
    pub(super) fn replace(&mut self, length: usize, by: Vec<u8>) {
        let mut by = by;
        by.extend_from_slice(&self.bytes()[length.min(self.len())..]);
        (self.bytes, self.start) = (by, 0);
    }

    /// Gives memory back before a wait.
    pub(super) fn rest(&mut self) {
        if self.is_empty() && self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_in_at_the_end_and_out_at_the_front() {
        let mut held = Held::default();
        held.push(b"abcdef");
        held.take(2);
        assert_eq!((held.bytes(), held.len()), (&b"cdef"[..], 4));
        held.replace(2, b"xyz".to_vec());
        assert_eq!(held.bytes(), b"xyzef");
        held.take(9);
        assert!(held.is_empty());
        held.push(&[0; 5000]);
        held.rest();
        assert_eq!(held.len(), 5000, "bytes are not given back");
        held.take(5000);
        held.rest();
        assert_eq!(held.bytes.capacity(), 0);
    }
}
