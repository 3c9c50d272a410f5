//! What of a request keeps it with one variant.
//!
//! The first part that is present wins; one whose value is empty counts as absent. Values are taken
//! as the client sent them, byte by byte, without decoding: whoever computes an assignment elsewhere
//! needs no rule beyond that. A client may send whatever it likes, as another client's key; it is
//! just a key, and can't choose the variant without inverting the hash.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use http::HeaderMap;
use http::header::HeaderName;

use crate::balance::hash::{cookie, is_cookie_name, parameter};
use crate::config::Problem;
use crate::config::live::{SplitCookie, SplitKey};

/// The parts of the key, with names already parsed.
#[derive(Clone, Debug, Default)]
pub struct Key(Box<[Part]>);

#[derive(Clone, Debug)]
enum Part {
    Header(HeaderName),
    Cookie { name: Box<str>, mint: Option<Duration> },
    Query(Box<str>),
    SourceIp,
}

/// A key that was found.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// Which part gave it, as `header x-user-id`.
    part: &'a Part,
    value: Value<'a>,
}

#[derive(Clone, Debug)]
enum Value<'a> {
    Sent(&'a [u8]),
    /// An address in text, which is at most 45 characters long.
    Address([u8; 45], usize),
}

/// A cookie that a client is to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mint<'a> {
    pub name: &'a str,
    pub lifetime: Duration,
}

// === impl Key ===

impl Key {
    /// Parses the names.
    ///
    /// # Errors
    ///
    /// Every name that no request can carry, with its place under `at`.
    pub fn compile(keys: &[SplitKey], at: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let parts: Vec<_> = keys
            .iter()
            .enumerate()
            .filter_map(|(index, key)| {
                Part::compile(key, &format!("{at}[{index}]")).map_err(|problem| problems.push(problem)).ok()
            })
            .collect();
        if problems.is_empty() { Ok(Self(parts.into())) } else { Err(problems) }
    }

    /// The key of a request. None: no part is present.
    pub fn find<'a>(
        &'a self,
        headers: &'a HeaderMap,
        query: Option<&'a str>,
        source: Option<IpAddr>,
    ) -> Option<Found<'a>> {
        self.0.iter().find_map(|part| {
            let value = part.value(headers, query, source)?;
            (!value.bytes().is_empty()).then_some(Found { part, value })
        })
    }

    /// The cookie to make for a request, if nothing of the key before it is present and the client
    /// has none.
    pub fn mint<'a>(
        &'a self,
        headers: &'a HeaderMap,
        query: Option<&'a str>,
        source: Option<IpAddr>,
    ) -> Option<Mint<'a>> {
        // Most keys make none, and then nothing is looked up twice.
        if !self.0.iter().any(|part| matches!(part, Part::Cookie { mint: Some(_), .. })) {
            return None;
        }
        for part in &self.0 {
            if part.value(headers, query, source).is_some_and(|value| !value.bytes().is_empty()) {
                return None;
            }
            if let Part::Cookie { name, mint: Some(lifetime) } = part {
                return Some(Mint { name, lifetime: *lifetime });
            }
        }
        None
    }

    /// The parts in words, for people.
    pub fn describe(&self) -> String {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

// === impl Part ===

impl Part {
    fn compile(key: &SplitKey, at: &str) -> Result<Self, Problem> {
        let bad = |kind: &str, name: &str, what: &str| {
            Problem::new(format!("{at}.{kind}"), format!("`{name}` is not the name of a {what}"))
        };
        Ok(match key {
            SplitKey::Header(name) => Self::Header(name.parse().map_err(|_| bad("header", name, "header"))?),
            SplitKey::Cookie(SplitCookie { name, mint }) if is_cookie_name(name) => {
                Self::Cookie { name: name.as_str().into(), mint: mint.map(|span| span.0) }
            }
            SplitKey::Cookie(SplitCookie { name, .. }) => return Err(bad("cookie.name", name, "cookie")),
            SplitKey::Query(name) if !name.is_empty() && !name.contains(['&', '=', '#']) => {
                Self::Query(name.as_str().into())
            }
            SplitKey::Query(name) => return Err(bad("query", name, "query parameter")),
            SplitKey::SourceIp => Self::SourceIp,
        })
    }

    fn value<'a>(
        &self,
        headers: &'a HeaderMap,
        query: Option<&'a str>,
        source: Option<IpAddr>,
    ) -> Option<Value<'a>> {
        Some(match self {
            Self::Header(name) => Value::Sent(headers.get(name)?.as_bytes()),
            Self::Cookie { name, .. } => Value::Sent(cookie(headers, name)?),
            Self::Query(name) => Value::Sent(parameter(query?, name)?.as_bytes()),
            Self::SourceIp => Value::address(source?),
        })
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie { name, .. } => write!(f, "cookie {name}"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::SourceIp => f.write_str("source_ip"),
        }
    }
}

// === impl Found ===

impl Found<'_> {
    /// What is hashed.
    pub fn bytes(&self) -> &[u8] {
        self.value.bytes()
    }

    /// Which part of the request it is, in words.
    pub fn part(&self) -> String {
        self.part.to_string()
    }
}

// === impl Value ===

impl Value<'_> {
    /// An IPv4 client has the same key whether it came over an IPv4 or a dual-stack listener.
    fn address(ip: IpAddr) -> Self {
        let mut text = [0; 45];
        let mut rest = &mut text[..];
        // The longest address is as long as the buffer.
        let _ = write!(rest, "{}", ip.to_canonical());
        let left = rest.len();
        Self::Address(text, 45 - left)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Sent(bytes) => bytes,
            Self::Address(text, length) => &text[..*length],
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn key(parts: serde_json::Value) -> Key {
        Key::compile(&serde_json::from_value::<Vec<SplitKey>>(parts).unwrap(), "key").unwrap()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn the_first_part_that_is_present_wins() {
        let key = key(json!([{"header": "x-user"}, {"cookie": {"name": "id"}}, {"query": "u"}, "source_ip"]));
        let ip = Some("::ffff:192.0.2.7".parse().unwrap());
        let found = |pairs, query, ip| {
            let headers = headers(pairs);
            key.find(&headers, query, ip).map(|f| (f.part(), String::from_utf8_lossy(f.bytes()).into_owned()))
        };
        let told = |part: &str, value: &str| Some((part.to_owned(), value.to_owned()));
        assert_eq!(
            found(&[("x-user", "ann"), ("cookie", "id=7")], Some("u=1"), ip),
            told("header x-user", "ann")
        );
        assert_eq!(found(&[("x-user", ""), ("cookie", "a=b; id=7")], None, ip), told("cookie id", "7"));
        assert_eq!(found(&[("cookie", "id=")], Some("u=1"), ip), told("query u", "1"));
        assert_eq!(found(&[], None, ip), told("source_ip", "192.0.2.7"));
        assert_eq!(found(&[], None, None), None);
    }

    #[test]
    fn the_longest_address_fits() {
        let ip: IpAddr = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        assert_eq!(Value::address(ip).bytes(), ip.to_string().as_bytes());
    }

    #[test]
    fn a_cookie_is_made_only_where_nothing_before_it_is_present() {
        let key = key(json!([{"header": "x-user"}, {"cookie": {"name": "id", "mint": "30d"}}]));
        let mint =
            |pairs| key.mint(&headers(pairs), None, None).map(|mint| (mint.name.to_owned(), mint.lifetime));
        let month = Duration::from_secs(30 * 86_400);
        assert_eq!(mint(&[]), Some(("id".into(), month)));
        assert_eq!(mint(&[("cookie", "id=")]), Some(("id".into(), month)));
        assert_eq!(mint(&[("cookie", "id=forged")]), None);
        assert_eq!(mint(&[("x-user", "ann")]), None);
    }

    #[test]
    fn names_that_no_request_carries_are_problems() {
        let keys = json!([{"header": "a b"}, {"cookie": {"name": "a;b"}}, {"query": "a&b"}, {"query": ""}]);
        let keys: Vec<SplitKey> = serde_json::from_value(keys).unwrap();
        let problems = Key::compile(&keys, "key").unwrap_err();
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["key[0].header", "key[1].cookie.name", "key[2].query", "key[3].query"]);
    }
}
