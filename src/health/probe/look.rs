//! Looks for a text in what an endpoint answers, in the first 64 KiB.

/// How much of an answer is looked at.
pub(super) const MOST: usize = 64 * 1024;

/// A text that is looked for while the answer comes in pieces.
#[derive(Debug)]
pub(super) struct Look<'a> {
    text: &'a [u8],
    seen: Vec<u8>,
}

// === impl Look ===

impl<'a> Look<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), seen: Vec::new() }
    }

    /// Takes one more piece. Whether the text is there now; it may have begun in an earlier one.
    pub(super) fn found(&mut self, piece: &[u8]) -> bool {
        if self.text.is_empty() {
            return true;
        }
        let from = (self.seen.len() + 1).saturating_sub(self.text.len());
        let piece = &piece[..piece.len().min(MOST - self.seen.len())];
        self.seen.extend_from_slice(piece);
        self.seen[from..].windows(self.text.len()).any(|window| window == self.text)
    }

    /// Whether there is no more to look at.
    pub(super) fn over(&self) -> bool {
        self.seen.len() >= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_come_in_pieces() {
        for cut in 0..7 {
            let (a, b) = "..ready..".split_at(cut);
            let mut look = Look::new("ready");
            assert!(!look.found(a.as_bytes()));
            assert!(look.found(b.as_bytes()), "cut at {cut}");
        }
        assert!(Look::new("").found(b""));
    }

    #[test]
    fn what_is_beyond_the_limit_is_not_seen() {
        let mut look = Look::new("ok");
        assert!(!look.found(&vec![b'x'; MOST - 1]));
        assert!(!look.over());
        assert!(!look.found(b"ok"), "only the `o` fits");
        assert!(look.over());
        assert!(!look.found(b"ok"));
    }
}
