//! The request line: `method SP target SP version`.

use std::ops::Range;

use memchr::{memchr, memrchr};

use super::field::Fields;
use super::head::Head;
use super::octet::{is_target, is_token};
use super::refusal::{self, Refusal};
use crate::proxy::authority;

/// What is kept of a valid request line. Places are in all bytes of the head.
#[derive(Debug)]
pub(super) struct Line {
    /// The host in an absolute target.
    pub(super) authority: Option<Range<usize>>,
    /// Of HTTP/1.0.
    pub(super) old: bool,
    /// Where the fields begin.
    pub(super) fields: usize,
}

// === impl Line ===

impl Line {
    /// Reads a line without its end, which begins at `at`.
    pub(super) fn parse(line: &[u8], at: usize, trace: bool) -> Result<Self, Refusal> {
        let (method, target, version) = split(line)?;
        if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
            return Err(refusal::BAD_METHOD);
        }
        let old = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(other(version)),
        };
        match method {
            b"CONNECT" => return Err(refusal::CONNECT),
            b"TRACE" if !trace => return Err(refusal::TRACE),
            _ => {}
        }
        if !is_target(target) {
            return Err(refusal::BAD_TARGET);
        }
        let authority = match target {
            [b'/', ..] => None,
            b"*" if method == b"OPTIONS" => None,
            b"*" => return Err(refusal::STAR),
            _ => {
                let found = authority(target)?;
                let start = at + method.len() + 1;
                Some(start + found.start..start + found.end)
            }
        };
        Ok(Self { authority, old, fields: at + line.len() + 2 })
    }

    /// The whole head, now that its fields are known.
    pub(super) fn head(&self, span: Range<usize>, fields: &Fields) -> Result<Head, Refusal> {
        fields.check(self.old)?;
        Ok(Head::new(span, self, fields))
    }
}

/// Method, target and version. The target is all between the first blank and the last, so that one
/// with a blank in it is refused as such.
fn split(line: &[u8]) -> Result<(&[u8], &[u8], &[u8]), Refusal> {
    let first = memchr(b' ', line).ok_or(refusal::NO_REQUEST)?;
    let last = memrchr(b' ', line).filter(|last| *last > first).ok_or(refusal::NO_VERSION)?;
    Ok((&line[..first], &line[first + 1..last], &line[last + 1..]))
}

/// What is wrong with a version: well-formed, but not ours; or none.
fn other(version: &[u8]) -> Refusal {
    match version {
        [b'H', b'T', b'T', b'P', b'/', major] if major.is_ascii_digit() => refusal::OTHER_VERSION,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            refusal::OTHER_VERSION
        }
        _ => refusal::BAD_VERSION,
    }
}

/// Where the host stands in an absolute target of a scheme that is served.
fn authority(target: &[u8]) -> Result<Range<usize>, Refusal> {
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let start = scheme.ok_or(refusal::NO_PATH)?.len();
    let rest = &target[start..];
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let host = std::str::from_utf8(&rest[..length]).ok().and_then(authority::normal);
    host.map(|_| start..start + length).ok_or(refusal::BAD_AUTHORITY)
}

/// Method and target of a refused request for the log, as far as they can be told. Both are short
/// and printable.
pub(super) fn told(bytes: &[u8], longest: usize) -> (&str, &[u8]) {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let line = &bytes[..memchr(b'\n', bytes).unwrap_or(bytes.len())];
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let known = !method.is_empty() && super::head::fits(method) && method.iter().all(|byte| is_token(*byte));
    let Some(method) = std::str::from_utf8(method).ok().filter(|_| known) else { return ("", b"") };
    let target = words.next().unwrap_or_default();
    let printable = target.len() <= longest && target.iter().all(|byte| byte.is_ascii_graphic());
    // One that is not followed by a blank may be half of it.
    (method, if printable && words.next().is_some() { target } else { b"" })
}
