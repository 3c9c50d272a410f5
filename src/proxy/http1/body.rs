//! Follows a body as its bytes pass, so that nothing after its end passes with them.
//!
//! Chunks are read strictly: hexadecimal digits and a well-formed extension, lines that end in CRLF.
//! Extensions and trailers are checked and taken out. Nobody uses the former, and they are where
//! chunk parsers differ; the latter Pingora can't pass on in HTTP/1, and would skip without a look.
//! What is left is so plain that no two parsers read it differently.

mod chunk;

use super::head::Framing;
use super::refusal::Refusal;

use self::chunk::Chunks;

/// The largest length of a body or a chunk: all parties can count to it with a sign.
pub(super) const LARGEST: u64 = i64::MAX as u64;

/// How far a body is.
#[derive(Debug)]
pub(crate) enum Body {
    /// So many bytes are to come.
    Left(u64),
    /// Boxed, since most requests have none.
    Chunked(Box<Chunks>),
}

/// What became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// So many were of this body; others are the next request's.
    pub(crate) used: usize,
    /// What passes on of them now stands in front, and is so long.
    pub(crate) kept: usize,
}

// === impl Body ===

impl Body {
    pub(crate) fn new(framing: Framing, trailer_bytes: usize, trailers: usize) -> Self {
        match framing {
            Framing::Length(length) => Self::Left(length),
            Framing::Chunked => Self::Chunked(Box::new(Chunks::new(trailer_bytes, trailers))),
        }
    }

    /// Whether all of it has passed.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Left(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_done(),
        }
    }

    /// Takes the next bytes. What does not pass on is closed up.
    pub(crate) fn pass(&mut self, bytes: &mut [u8]) -> Result<Passed, Refusal> {
        match self {
            Self::Left(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= used as u64;
                Ok(Passed { used, kept: used })
            }
            Self::Chunked(chunks) => chunks.pass(bytes),
        }
    }
}

#[cfg(test)]
mod tests;
