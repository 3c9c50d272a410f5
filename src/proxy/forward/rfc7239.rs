//! The header `forwarded` (RFC 7239), read from its end and written.
//!
//! The last element is the one that the proxy next to us wrote; what stands before it may be a
//! stranger's. So a line is taken apart from its end: whatever is in front of an element, as a quote
//! that is never closed, cannot change how the element is read. Reading stops at the first element
//! that is not well formed.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// One element: what one proxy says of one hop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// Who asked that proxy.
    pub(crate) client: Option<Node>,
    /// As it came, quotes and escapes taken off.
    pub(crate) proto: Option<Cow<'a, str>>,
    pub(crate) host: Option<Cow<'a, str>>,
}

/// Who a hop came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Address(IpAddr),
    /// `unknown`, or a name that hides it, as `_gazonk`.
    Hidden,
}

/// Takes the last element off a line: what is before it, and it. An element that is no element is
/// None.
pub(crate) fn split_last(line: &str) -> (Option<&str>, Option<Element<'_>>) {
    let (rest, text) = match last(line, b',') {
        Some(comma) => (Some(&line[..comma]), &line[comma + 1..]),
        None => (None, line),
    };
    (rest, element(text))
}

/// What is added for one hop.
pub(crate) fn write(client: Option<IpAddr>, proto: &str, host: Option<&str>) -> String {
    let mut text = String::with_capacity(64);
    // Writing to a string cannot fail.
    let _ = match client {
        Some(IpAddr::V4(ip)) => write!(text, "for={ip}"),
        Some(IpAddr::V6(ip)) => write!(text, "for=\"[{ip}]\""),
        None => write!(text, "for=unknown"),
    };
    let _ = write!(text, ";proto={proto}");
    match host {
        Some(host) if !host.is_empty() && host.bytes().all(is_token) => {
            let _ = write!(text, ";host={host}");
        }
        Some(host) if !host.is_empty() => {
            text.push_str(";host=\"");
            for c in host.chars() {
                if matches!(c, '"' | '\\') {
                    text.push('\\');
                }
                text.push(c);
            }
            text.push('"');
        }
        _ => {}
    }
    text
}

/// The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`,
/// as `x-forwarded-for` has it. IPv4 in IPv6 is IPv4.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let ip = text.parse::<IpAddr>().ok();
    let ip = ip.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    ip.or_else(|| bare().map(IpAddr::V6)).map(|ip| ip.to_canonical())
}

/// Where a delimiter stands for the last time outside of quotes, seen from the end.
fn last(text: &str, delimiter: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quoted = false;
    for (at, byte) in bytes.iter().enumerate().rev() {
        if *byte == b'"' {
            let escapes = bytes[..at].iter().rev().take_while(|b| **b == b'\\').count();
            quoted ^= escapes % 2 == 0;
        } else if *byte == delimiter && !quoted {
            return Some(at);
        }
    }
    None
}

fn element(text: &str) -> Option<Element<'_>> {
    let mut element = Element::default();
    let mut rest = Some(text);
    while let Some(pairs) = rest {
        let (before, pair) = match last(pairs, b';') {
            Some(at) => (Some(&pairs[..at]), &pairs[at + 1..]),
            None => (None, pairs),
        };
        rest = before;
        let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        let value = unquoted(value)?;
        let again = if name.eq_ignore_ascii_case("for") {
            element.client.replace(node(&value)?).is_some()
        } else if name.eq_ignore_ascii_case("proto") {
            element.proto.replace(value).is_some()
        } else if name.eq_ignore_ascii_case("host") {
            element.host.replace(value).is_some()
        } else {
            false
        };
        if again {
            return None;
        }
    }
    Some(element)
}

/// A token as it is, or what a quoted string says.
fn unquoted(value: &str) -> Option<Cow<'_, str>> {
    let Some(inner) = value.strip_prefix('"') else {
        return (!value.is_empty() && value.bytes().all(is_token)).then_some(Cow::Borrowed(value));
    };
    let inner = inner.strip_suffix('"')?;
    if !inner.contains(['\\', '"']) {
        return Some(Cow::Borrowed(inner));
    }
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => text.push(chars.next()?),
            c => text.push(c),
        }
    }
    Some(Cow::Owned(text))
}

fn node(text: &str) -> Option<Node> {
    let (name, port) = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        (&text[..end], text[end..].strip_prefix(':').or_else(|| text[end..].is_empty().then_some("0"))?)
    } else {
        text.split_once(':').unwrap_or((text, "0"))
    };
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    if !digits && !is_hidden(port) {
        return None;
    }
    if name.eq_ignore_ascii_case("unknown") || is_hidden(name) {
        return Some(Node::Hidden);
    }
    let ip: IpAddr = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(literal) => IpAddr::V6(literal.parse().ok()?),
        None => IpAddr::V4(name.parse().ok()?),
    };
    Some(Node::Address(ip.to_canonical()))
}

/// `_gazonk`: RFC 7239 6.3.
fn is_hidden(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    text.len() > 1 && text.starts_with('_') && text.bytes().all(known)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
