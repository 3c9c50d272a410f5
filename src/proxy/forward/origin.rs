//! Who sent a request, where proxies in front are believed.
//!
//! Each proxy adds whom it was asked by, at the end. So the way is walked back from our own
//! connection: as long as the one who speaks is trusted, what it added is believed; the first address
//! that is not trusted is the client. What stands before it the client may have written itself, and is
//! not looked at. Where an entry is no address (hidden, or not well formed), the last one known is
//! taken: a client can hide behind a proxy that hides it, and never choose an address.
//!
//! `x-forwarded-for` is what proxies write; `forwarded` is read where that is missing. The bad side: a
//! trusted proxy that writes only `forwarded` must take the client's `x-forwarded-for` out.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};

use crate::proxy::authority;
use crate::proxy::forward::rfc7239::{self, Node};

/// What trusted proxies say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) client: IpAddr,
    /// How the client was connected. None: nothing is said of it.
    pub(crate) https: Option<bool>,
}

// === impl Origin ===

impl Origin {
    /// None: `peer`, whom the connection is from, is not trusted.
    pub(crate) fn find(headers: &HeaderMap, peer: IpAddr, trusts: impl Fn(IpAddr) -> bool) -> Option<Self> {
        if !trusts(peer) {
            return None;
        }
        let told = headers.get_all("x-forwarded-proto").iter().next_back();
        let told = told.and_then(|value| https(value.to_str().ok()?.rsplit(',').next()?));
        if headers.contains_key("x-forwarded-for") {
            return Some(Self { client: by_x_forwarded_for(headers, peer, trusts), https: told });
        }
        let (client, proto) = by_forwarded(headers, peer, trusts);
        Some(Self { client, https: told.or(proto) })
    }
}

/// The host that the client asked for, as the proxy next to us says.
pub(crate) fn host(headers: &HeaderMap) -> Option<HeaderValue> {
    let valid = |text: &str| authority::normal(text).is_some();
    if let Some(line) = headers.get_all("x-forwarded-host").iter().next_back() {
        let text = line.to_str().ok()?.rsplit(',').next()?.trim_matches([' ', '\t']);
        return HeaderValue::from_str(text).ok().filter(|_| valid(text));
    }
    let line = headers.get_all("forwarded").iter().next_back()?.to_str().ok()?;
    let host = rfc7239::split_last(line).1?.host?;
    HeaderValue::from_str(&host).ok().filter(|_| valid(&host))
}

fn by_x_forwarded_for(headers: &HeaderMap, peer: IpAddr, trusts: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut known = peer;
    for line in headers.get_all("x-forwarded-for").iter().rev() {
        let Ok(line) = line.to_str() else { return known };
        for text in line.rsplit(',') {
            let Some(ip) = rfc7239::address(text) else { return known };
            known = ip;
            if !trusts(ip) {
                return known;
            }
        }
    }
    known
}

/// The client, and whether it was connected by TLS as far as its proxy says.
fn by_forwarded(
    headers: &HeaderMap,
    peer: IpAddr,
    trusts: impl Fn(IpAddr) -> bool,
) -> (IpAddr, Option<bool>) {
    let (mut known, mut secure) = (peer, None);
    for line in headers.get_all("forwarded").iter().rev() {
        let mut rest = line.to_str().ok();
        if rest.is_none() {
            return (known, secure);
        }
        while let Some(text) = rest {
            let (before, element) = rfc7239::split_last(text);
            let Some(element) = element else { return (known, secure) };
            secure = element.proto.as_deref().and_then(https).or(secure);
            let Some(Node::Address(ip)) = element.client else { return (known, secure) };
            known = ip;
            if !trusts(ip) {
                return (known, secure);
            }
            rest = before;
        }
    }
    (known, secure)
}

fn https(proto: &str) -> Option<bool> {
    let proto = proto.trim_matches([' ', '\t']);
    let is = |name: &str| proto.eq_ignore_ascii_case(name);
    match () {
        () if is("https") || is("wss") => Some(true),
        () if is("http") || is("ws") => Some(false),
        () => None,
    }
}

#[cfg(test)]
mod tests;
