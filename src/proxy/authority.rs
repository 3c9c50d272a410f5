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
    let (name, port) = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let address = text[1..end - 1].parse::<std::net::Ipv6Addr>();
        address.ok()?;
        (&text[..end], &text[end..])
    } else {
        let end = text.find(':').unwrap_or(text.len());
        (&text[..end], &text[end..])
    };
    let port_fits = match port.strip_prefix(':') {
        Some(digits) => {
            digits.is_empty() || (digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok())
        }
        None => port.is_empty(),
    };
    let literal = name.starts_with('[');
    let name = if literal { name } else { name.strip_suffix('.').unwrap_or(name) };
    // A literal was parsed above; names keep to what DNS and Consul use.
    let known = literal || name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if !port_fits || !known || name.is_empty() || name.len() > 255 {
        return None;
    }
    Some(if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    })
}

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
