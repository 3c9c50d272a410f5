//! The fields of a head: each line's form, and the few that say where the request ends and whom it
//! is for.

use std::ops::Range;

use super::head::Framing;
use super::octet::{all_value, is_token, trim};
use super::refusal::{self, Refusal};
use crate::proxy::authority;

/// What is kept of the fields so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    count: usize,
    /// Where the value of Host stands.
    pub(super) host: Option<Range<usize>>,
    length: Option<u64>,
    chunked: bool,
    pub(super) upgrade: bool,
    pub(super) expects: bool,
}

// === impl Fields ===

impl Fields {
    /// Judges a line without its end, which begins at `at`, of a request of HTTP/1.0 if `old`.
    pub(super) fn take(&mut self, line: &[u8], at: usize, old: bool, most: usize) -> Result<(), Refusal> {
        self.count += 1;
        if self.count > most {
            return Err(refusal::MANY_FIELDS);
        }
        let colon = line.iter().position(|byte| !is_token(*byte)).unwrap_or(line.len());
        match line.get(colon) {
            Some(b':') if colon > 0 => {}
            Some(b' ' | b'\t') if colon == 0 => return Err(refusal::FOLDED),
            _ => return Err(refusal::BAD_NAME),
        }
        let after = &line[colon + 1..];
        if !all_value(after) {
            return Err(refusal::BAD_VALUE);
        }
        let name = &line[..colon];
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                let value = trim(after);
                let lead = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                let start = at + colon + 1 + lead;
                self.host(value, start..start + value.len())
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expects |= trim(after).eq_ignore_ascii_case(b"100-continue");
                Ok(())
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade |= !old;
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length(trim(after)),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.coding(trim(after)),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8], place: Range<usize>) -> Result<(), Refusal> {
        if self.host.replace(place).is_some() {
            return Err(refusal::TWO_HOSTS);
        }
        if value.is_empty() {
            return Err(refusal::NO_HOST);
        }
        let known = std::str::from_utf8(value).ok().and_then(authority::normal).is_some();
        if known { Ok(()) } else { Err(refusal::BAD_HOST) }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let digits = (1..20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if !digits {
            return Err(refusal::BAD_LENGTH);
        }
        // 19 digits are below 2^64.
        let length = value.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
        if length > super::body::LARGEST {
            return Err(refusal::BAD_LENGTH);
        }
        if self.length.replace(length).is_some() { Err(refusal::TWO_LENGTHS) } else { Ok(()) }
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(unknown(value));
        }
        if std::mem::replace(&mut self.chunked, true) { Err(refusal::TWO_CODINGS) } else { Ok(()) }
    }

    /// What can only be said when all are there.
    pub(super) fn check(&self, old: bool) -> Result<(), Refusal> {
        if self.host.is_none() && !old {
            return Err(refusal::NO_HOST);
        }
        if self.chunked && old {
            return Err(refusal::OLD_CODING);
        }
        if self.chunked && self.length.is_some() {
            return Err(refusal::LENGTH_AND_CODING);
        }
        Ok(())
    }

    pub(super) fn framing(&self) -> Framing {
        if self.chunked { Framing::Chunked } else { Framing::Length(self.length.unwrap_or(0)) }
    }
}

/// RFC 9112 6.1 and 6.3: a coding that we have not is 501, if at least its end is known; else 400.
fn unknown(value: &[u8]) -> Refusal {
    let mut codings = value.split(|byte| *byte == b',').map(trim);
    let last = codings.next_back().unwrap_or_default();
    let token = |coding: &[u8]| {
        !coding.is_empty()
            && coding.iter().all(|byte| is_token(*byte))
            && !coding.eq_ignore_ascii_case(b"chunked")
    };
    let framed = last.eq_ignore_ascii_case(b"chunked") && codings.all(token);
    if framed { refusal::OTHER_CODING } else { refusal::NOT_CHUNKED }
}
