//! Reads the head of a request: where it ends, how long its body is, and whether it is one at all.
//!
//! Pingora's parser is lenient, as those of most servers are: it takes lines that end in LF alone,
//! encodes what may not stand in a target, drops a length beside chunks. Each of these is read
//! otherwise by some server, and where two on one path differ, a client can hide a request from one
//! of them. So this parser takes what the grammar of RFC 9112 says and nothing else, and what it
//! refuses no other one sees. Decided where the RFC leaves a choice:
//!
//! | what | here | since |
//! |---|---|---|
//! | a line that ends in LF alone | refused | which LF ends the head is what smuggling is made of; no client in use sends it |
//! | an empty line before the request | one is skipped | old clients send CRLF after a body |
//! | a folded field | refused | RFC 9112 5.2 leaves refusing as the first choice |
//! | blanks around the parts of a request line | exactly one | a target with a blank is two targets to some |
//! | a method nobody registered | passed on | WebDAV, PURGE; what it means is the endpoint's matter |
//! | a length of many digits | 19 and below 2^63 | what all can count to |
//!
//! The bad side: a hand-typed `printf 'GET / HTTP/1.0\n\n' | nc` gets 400.
//!
//! Nothing here reads or waits. The bytes so far are handed in again and again; what has been
//! judged is not looked at twice, so a head costs one pass, however it is cut. The verdict does not
//! depend on how it is cut either: limits are judged by prefixes, all else by whole lines.

use std::ops::Range;

use memchr::memchr;

use super::field::Fields;
use super::line::Line;
use super::refusal::{self, Refusal};
use crate::proxy::http1::octet::is_token;

/// How long a method may be, in bytes. The longest that is registered has 17.
const METHOD: usize = 32;

/// What stands behind the target: a blank, the version, the line's end.
const AFTER_TARGET: usize = " HTTP/1.1\r\n".len();

/// How much a head may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Of all fields together, in bytes.
    pub(crate) header_bytes: usize,
    pub(crate) headers: usize,
    /// Of the request target, in bytes.
    pub(crate) target: usize,
    /// TRACE is served.
    pub(crate) trace: bool,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Exactly so many bytes; 0: there is none.
    Length(u64),
    Chunked,
}

/// A head that is whole and valid. Places are in the bytes that were scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Where it begins and ends, the empty line included.
    pub(crate) span: Range<usize>,
    pub(crate) framing: Framing,
    /// It asks for another protocol.
    pub(crate) upgrade: bool,
    /// Its body is sent when a 100 comes.
    pub(crate) expects: bool,
    /// The host in an absolute target.
    authority: Option<Range<usize>>,
    /// The value of the Host field.
    host: Option<Range<usize>>,
    /// Where the fields begin.
    fields: usize,
}

/// How far a head is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Whole(Head),
    Refused(Refusal),
}

/// Looks at the bytes of one head as they come.
#[derive(Debug)]
pub(crate) struct Scanner {
    bounds: Bounds,
    /// Where the current line begins.
    at: usize,
    /// No line ends before this.
    searched: usize,
    /// Where the request line begins.
    start: usize,
    line: Option<Line>,
    fields: Fields,
}

// === impl Scanner ===

impl Scanner {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, at: 0, searched: 0, start: 0, line: None, fields: Fields::default() }
    }

    /// Judges all bytes of the head so far, and what follows it.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Progress {
        match self.lines(bytes) {
            Ok(Some(head)) => Progress::Whole(head),
            Ok(None) => Progress::More,
            Err(refusal) => Progress::Refused(refusal),
        }
    }

    fn lines(&mut self, bytes: &[u8]) -> Result<Option<Head>, Refusal> {
        while let Some(end) = memchr(b'\n', &bytes[self.searched..]) {
            let next = self.searched + end + 1;
            let line = &bytes[self.at..next];
            self.bound(line)?;
            let line = line.strip_suffix(b"\r\n").ok_or(refusal::BARE_LF)?;
            match &self.line {
                None if line.is_empty() && self.at == 0 => self.start = next,
                None => self.line = Some(Line::parse(line, self.at, self.bounds.trace)?),
                Some(known) if line.is_empty() => {
                    return known.head(self.start..next, &self.fields).map(Some);
                }
                Some(known) => self.fields.take(line, self.at, known.old, self.bounds.headers)?,
            }
            (self.at, self.searched) = (next, next);
        }
        self.bound(&bytes[self.at..])?;
        self.searched = bytes.len();
        Ok(None)
    }

    /// Refuses a line, or a part of one, that is too long. Whatever is refused here is refused with
    /// whatever follows it.
    fn bound(&self, part: &[u8]) -> Result<(), Refusal> {
        if let Some(line) = &self.line {
            let length = self.at + part.len() - line.fields;
            return if length > self.bounds.header_bytes { Err(refusal::LONG_HEADER) } else { Ok(()) };
        }
        match part.first() {
            None => return Ok(()),
            Some(b'\r' | b'\n') if self.at == 0 => {}
            Some(first) if is_token(*first) => {}
            Some(_) => return Err(refusal::NO_REQUEST),
        }
        match memchr(b' ', &part[..part.len().min(METHOD + 1)]) {
            None if part.len() > METHOD => Err(refusal::LONG_METHOD),
            Some(blank) if part.len() - blank - 1 > self.bounds.target + AFTER_TARGET => {
                Err(refusal::LONG_TARGET)
            }
            _ => Ok(()),
        }
    }
}

// === impl Head ===

impl Head {
    pub(super) fn new(span: Range<usize>, line: &Line, fields: &Fields) -> Self {
        Self {
            span,
            framing: fields.framing(),
            upgrade: fields.upgrade,
            expects: fields.expects,
            authority: line.authority.clone(),
            host: fields.host.clone(),
            fields: line.fields,
        }
    }

    /// The head with the Host that the target names, if it has another one or none: the target's
    /// wins (RFC 9112 3.2.2), and one that is named twice must be named alike.
    pub(crate) fn rewritten(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let authority = &bytes[self.authority.clone()?];
        if self.host.clone().is_some_and(|host| &bytes[host] == authority) {
            return None;
        }
        let (line, rest) = (&bytes[self.span.start..self.fields], &bytes[self.fields..self.span.end]);
        let (before, after) = match &self.host {
            Some(host) => (&bytes[self.fields..host.start], &bytes[host.end..self.span.end]),
            None => (&b"host: "[..], rest),
        };
        let end: &[u8] = if self.host.is_some() { b"" } else { b"\r\n" };
        Some([line, before, authority, end, after].concat())
    }
}

/// Whether a method is no longer than one may be.
pub(super) fn fits(method: &[u8]) -> bool {
    method.len() <= METHOD
}

#[cfg(test)]
mod tests;
