//! The host that a request is for, or why it has none.
//!
//! RFC 9112 3.2: an HTTP/1.1 request has exactly one Host; a server answers 400 to anything else.
//! Pingora refuses repeated and contradictory ones; what it lets through is looked at here, because
//! a route is chosen by it.

use std::borrow::Cow;

use http::{Version, header};
use pingora::http::RequestHeader;

/// The host in lower case, without port and trailing dot. Empty: HTTP/1.0 without one.
///
/// # Errors
///
/// Missing in HTTP/1.1, or not a host with an optional port.
pub(crate) fn host(request: &RequestHeader) -> Result<Cow<'_, str>, &'static str> {
    let of_target = request.uri.authority().map(http::uri::Authority::as_str);
    let of_header = match request.headers.get(header::HOST) {
        Some(value) => Some(value.to_str().map_err(|_| "host is not text")?),
        None => None,
    };
    // In HTTP/2 `:authority` stands in the target; both present are equal, or Pingora has refused.
    match of_target.or(of_header) {
        Some("") | None if request.version >= Version::HTTP_11 => Err("host is missing"),
        Some("") | None => Ok(Cow::Borrowed("")),
        Some(text) => normal(text).ok_or("host is not a host"),
    }
}

/// The port of a valid request's host, if it names one.
pub(crate) fn port(request: &RequestHeader) -> Option<u16> {
    let of_target = request.uri.authority().map(http::uri::Authority::as_str);
    let text = of_target.or_else(|| request.headers.get(header::HOST)?.to_str().ok())?;
    // After a literal's bracket, if it is one.
    let after = text.rfind(']').map_or(text, |end| &text[end..]);
    after.rsplit_once(':')?.1.parse().ok()
}

/// Takes port and trailing dot off and lowers the case; allocates only where there is an upper-case
/// letter.
pub(crate) fn normal(text: &str) -> Option<Cow<'_, str>> {
    if text.starts_with('[') {
        return literal(text).map(Cow::Borrowed);
    }
    // One pass, since every request comes here twice.
    let (mut end, mut upper) = (text.len(), false);
    for (at, byte) in text.bytes().enumerate() {
        match CLASSES[usize::from(byte)] {
            Class::Lower => {}
            Class::Upper => upper = true,
            Class::Colon => {
                end = at;
                break;
            }
            Class::None => return None,
        }
    }
    let (name, port) = (&text[..end], &text[end..]);
    let name = name.strip_suffix('.').unwrap_or(name);
    if !is_port(port) || name.is_empty() || name.len() > LONGEST {
        return None;
    }
    Some(if upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

/// An IPv6 address in brackets, without the port behind it.
fn literal(text: &str) -> Option<&str> {
    let end = text.find(']')? + 1;
    text[1..end - 1].parse::<std::net::Ipv6Addr>().ok()?;
    (is_port(&text[end..]) && end <= LONGEST).then_some(&text[..end])
}

/// Whether what stands behind a name is nothing, or a colon with a port or none.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        None => text.is_empty(),
        Some("") => true,
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
    }
}

/// How long a name may be, as in DNS.
const LONGEST: usize = 255;

/// What a byte is in the name of a host.
#[derive(Clone, Copy)]
enum Class {
    /// Stands for itself. Names keep to what DNS and Consul use.
    Lower,
    Upper,
    /// The port follows.
    Colon,
    /// Stands in no name.
    None,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::None; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => Class::Lower,
            b'A'..=b'Z' => Class::Upper,
            b':' => Class::Colon,
            _ => Class::None,
        };
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_made_comparable() {
        for (text, host) in [
            ("a.example", "a.example"),
            ("A.Example:8080", "a.example"),
            ("a.example.", "a.example"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("a:", "a"),
            ("a_b", "a_b"),
        ] {
            assert_eq!(normal(text).as_deref(), Some(host), "{text}");
        }
    }

    #[test]
    fn ports_are_found() {
        for (host, found) in [
            ("a:81", Some(81)),
            ("a", None),
            ("a:", None),
            ("[::1]:443", Some(443)),
            ("[::1]", None),
            ("10.0.0.1:8080", Some(8080)),
        ] {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            request.insert_header("host", host).unwrap();
            assert_eq!(port(&request), found, "{host}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "a b", "a/b", "a,b", ":80", "a:x", "a:99999", "a:80:80", "[::1", "[zz]", "a?b", "a@b", "a\\b",
            "ä", ".",
        ] {
            assert_eq!(normal(text), None, "{text}");
        }
    }

    #[test]
    fn only_http_1_0_may_leave_it_out() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.set_version(Version::HTTP_11);
        assert!(host(&request).is_err());
        request.set_version(Version::HTTP_10);
        assert_eq!(host(&request).as_deref(), Ok(""));
        request.insert_header("host", "A.b:1").unwrap();
        assert_eq!(host(&request).as_deref(), Ok("a.b"));
    }
}
