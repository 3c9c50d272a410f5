//! The key of a request under a hashing policy: what `load_balancing.hash` names, hashed with xxh3.
//!
//! The first part that is present wins. A part whose value is empty counts as absent: otherwise all
//! clients with an empty cookie would share one endpoint. Values are hashed as the client sent
//! them, byte by byte: no percent-decoding, no unquoting, no change of case. Two spellings of one
//! value may thus go to two endpoints, which costs a cache miss and nothing else, and there is no
//! decoding to disagree on with anybody.

use std::net::IpAddr;

use http::header::{COOKIE, HeaderMap, HeaderName};
use xxhash_rust::xxh3::xxh3_64;

use crate::config::live::HashKey;

/// The parts of the key, with names already parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashPolicy(Box<[Part]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Header(HeaderName),
    Cookie(Box<str>),
    Query(Box<str>),
    SourceIp,
}

// === impl HashPolicy ===

impl HashPolicy {
    /// Parses the names. Errors: a header, cookie or query name that no request can carry.
    pub fn new(keys: &[HashKey]) -> Result<Self, String> {
        keys.iter().map(Part::new).collect::<Result<_, _>>().map(Self)
    }

    /// The key, or None if no part is present. `query`: what follows the `?`, without it.
    pub fn key(&self, headers: &HeaderMap, query: Option<&str>, source: Option<IpAddr>) -> Option<u64> {
        self.0.iter().find_map(|part| part.key(headers, query, source))
    }
}

// === impl Part ===

impl Part {
    fn new(key: &HashKey) -> Result<Self, String> {
        Ok(match key {
            HashKey::Header(name) => match name.parse() {
                Ok(name) => Self::Header(name),
                Err(_) => return Err(format!("`{name}` is no header name")),
            },
            HashKey::Cookie(name) if is_cookie_name(name) => Self::Cookie(name.as_str().into()),
            HashKey::Cookie(name) => return Err(format!("`{name}` is no cookie name")),
            HashKey::Query(name) if !name.is_empty() && !name.contains(['&', '=', '#']) => {
                Self::Query(name.as_str().into())
            }
            HashKey::Query(name) => return Err(format!("`{name}` is no name of a query parameter")),
            HashKey::SourceIp => Self::SourceIp,
        })
    }

    fn key(&self, headers: &HeaderMap, query: Option<&str>, source: Option<IpAddr>) -> Option<u64> {
        let value = match self {
            Self::Header(name) => headers.get(name)?.as_bytes(),
            Self::Cookie(name) => cookie(headers, name)?,
            Self::Query(name) => parameter(query?, name)?.as_bytes(),
            Self::SourceIp => return Some(source_hash(source?)),
        };
        (!value.is_empty()).then(|| xxh3_64(value))
    }
}

/// A token as in RFC 9110: what a cookie may be called.
pub(crate) fn is_cookie_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}

/// The first value of a cookie, over all `Cookie` headers: HTTP/2 clients may send one a pair.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers.get_all(COOKIE).iter().find_map(|line| in_line(line.as_bytes(), name.as_bytes()))
}

/// The same in one header. A name holds neither `=` nor `;`, so what follows it up to the first `=` is
/// white space, and neither runs into the next pair. Only a pair of that name is looked at whole; of
/// the others, no more than where they end.
fn in_line<'a>(mut line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let first = name.first();
    loop {
        line = line.trim_ascii_start();
        // The first byte tells nearly all others apart, without a call.
        let named = if line.first() == first { line.strip_prefix(name) } else { None };
        if let Some(value) = named.and_then(|rest| rest.trim_ascii_start().strip_prefix(b"=")) {
            let end = memchr::memchr(b';', value).unwrap_or(value.len());
            return Some(value.get(..end)?.trim_ascii());
        }
        let end = memchr::memchr(b';', line)?;
        line = line.get(end + 1..)?;
    }
}

/// The first value of a query parameter, as written. `?a` alone is an empty value.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// An IPv4 client hashes the same whether it came over an IPv4 or a dual-stack listener.
fn source_hash(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => xxh3_64(&v4.octets()),
        IpAddr::V6(v6) => xxh3_64(&v6.octets()),
    }
}

#[cfg(test)]
mod tests;
