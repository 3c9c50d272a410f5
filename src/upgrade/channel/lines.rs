//! Bytes to lines, without I/O.
//!
//! Empty lines are skipped: descriptors need a byte to ride on, and theirs is a line end. Each byte
//! is looked at once, however it comes in pieces.

/// Bytes that came and were not taken yet.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// No line end in front of this place.
    looked: usize,
    max: usize,
}

/// A line is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong(pub(super) usize);

// === impl Lines ===

impl Lines {
    pub(super) fn new(max: usize) -> Self {
        Self { buffer: Vec::new(), looked: 0, max }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether the peer stopped amid a line.
    pub(super) fn amid(&self) -> bool {
        self.buffer.iter().any(|byte| *byte != b'\n')
    }

    /// The next line that says something, without its end. None: it is not whole yet.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        while let Some(found) = memchr::memchr(b'\n', &self.buffer[self.looked..]) {
            let end = self.looked + found;
            let rest = self.buffer.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.buffer, rest);
            self.looked = 0;
            line.pop();
            match line.len() {
                0 => {}
                length if length > self.max => return Err(TooLong(self.max)),
                _ => return Ok(Some(line)),
            }
        }
        self.looked = self.buffer.len();
        if self.looked > self.max { Err(TooLong(self.max)) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(pieces: &[&[u8]], max: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut lines = Lines::new(max);
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.next()? {
                found.push(line);
            }
        }
        Ok(found)
    }

    #[test]
    fn a_line_is_whole_at_its_end() {
        assert_eq!(all(&[b"ab", b"c", b"\n\n\nd\ne"], 8).unwrap(), [b"abc".to_vec(), b"d".to_vec()]);
        let mut lines = Lines::new(8);
        lines.push(b"\n\n");
        assert!(lines.next() == Ok(None) && !lines.amid());
        lines.push(b"x");
        assert!(lines.next() == Ok(None) && lines.amid());
    }

    #[test]
    fn a_long_line_is_refused_before_its_end() {
        assert_eq!(all(&[b"12345678\n"], 8).unwrap().len(), 1);
        assert_eq!(all(&[b"123456789"], 8), Err(TooLong(8)));
        assert_eq!(all(&[b"123456789\n"], 8), Err(TooLong(8)));
    }

    proptest! {
        /// However the bytes are cut, the lines are those that were written.
        #[test]
        fn pieces_do_not_matter(
            bytes in proptest::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..400),
            cuts in proptest::collection::vec(1usize..40, 1..40),
        ) {
            let whole = all(&[&bytes], 500).unwrap();
            let mut pieces: Vec<&[u8]> = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = more;
            }
            prop_assert_eq!(&all(&pieces, 500).unwrap(), &whole);
            let mut expected: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
            expected.pop();
            expected.retain(|line| !line.is_empty());
            prop_assert_eq!(whole, expected);
        }
    }
}
