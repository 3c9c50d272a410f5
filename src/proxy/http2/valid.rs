//! What a request over HTTP/2 must be like (RFC 9113 8.2, 8.3; RFC 9110 4, 5).
//!
//! The `h2` crate has decoded the header and has refused, with a reset of the stream, what is no
//! header at all: pseudo-fields that are missing, repeated or late, names in upper case or with
//! forbidden bytes, values with control bytes, `connection` and the like, `te` other than trailers,
//! lengths that are no numbers or not those of the body. Those are counted by
//! [`Wire`](super::wire). What is left to look at is what HTTP/2 lets through and an HTTP/1
//! endpoint would take for something else.
//!
//! Pure.

use http::{Method, header};
use pingora::http::RequestHeader;

use crate::proxy::http1::octet::{is_target, is_token};

/// As in HTTP/1.
const LONGEST_METHOD: usize = 32;

/// What each field counts beside its bytes (RFC 9113 6.5.2).
const FIELD: usize = 32;

/// What a listener takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// Of all names and values, and 32 for each field.
    pub(crate) header_bytes: usize,
    pub(crate) headers: usize,
    pub(crate) target: usize,
    pub(crate) trace: bool,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) status: u16,
    /// What the client is told.
    pub(crate) why: &'static str,
}

/// What counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Malformed,
    Host,
    Target,
    Method,
    /// More of it than a listener takes.
    Large,
}

/// Whether the request may go on. `ended`: it has no body.
pub(crate) fn check(request: &RequestHeader, ended: bool, most: &Most) -> Result<(), Fault> {
    method(&request.method, most.trace)?;
    target(request, most.target)?;
    host(request)?;
    fields(request, most)?;
    length(request, ended)
}

/// Makes one form of the two that name the host: the field `host`, and a target that is a path.
///
/// What follows then need not know of `:authority`.
pub(crate) fn settle(request: &mut RequestHeader) {
    let Some(authority) = request.uri.authority() else { return };
    let host = http::HeaderValue::from_str(authority.as_str());
    let path = request.uri.path_and_query().cloned();
    if let (Ok(host), Some(path)) = (host, path) {
        // An authority is a field's value, and one more header has room.
        let _ = request.insert_header(header::HOST, host);
        request.set_uri(path.into());
    }
}

fn method(method: &Method, trace: bool) -> Result<(), Fault> {
    let not_allowed = |why| Err(Fault { reason: Reason::Method, status: 405, why });
    match *method {
        Method::CONNECT => not_allowed("CONNECT is not served"),
        Method::TRACE if !trace => not_allowed("TRACE is not served"),
        _ if method.as_str().len() > LONGEST_METHOD => {
            Err(Fault { reason: Reason::Method, status: 501, why: "the method is not known" })
        }
        _ => Ok(()),
    }
}

fn target(request: &RequestHeader, most: usize) -> Result<(), Fault> {
    let target = request.raw_path();
    if target.len() > most {
        let why = "the request target is too long";
        return Err(Fault { reason: Reason::Large, status: 414, why });
    }
    let refuse = |why| Err(Fault { reason: Reason::Target, status: 400, why });
    // The URI has lost a fragment by now, which no client sends.
    if !is_target(target) {
        return refuse("the request target has a byte that it may not have");
    }
    let known = matches!(request.uri.scheme_str(), None | Some("http" | "https"));
    if !known {
        return refuse("the scheme is not http or https");
    }
    let asterisk = target == b"*" && request.method == Method::OPTIONS;
    if target.starts_with(b"/") || asterisk {
        return Ok(());
    }
    refuse("the request target is not a path")
}

/// `:authority` and `host` must be one, and one of them must be there (RFC 9113 8.3.1).
fn host(request: &RequestHeader) -> Result<(), Fault> {
    let refuse = |why| Err(Fault { reason: Reason::Host, status: 400, why });
    let authority = request.uri.authority().map(http::uri::Authority::as_str);
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let host = hosts.next().map(http::HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return refuse("host is given more than once");
    }
    match (authority, host) {
        (None, None) => refuse("host is missing"),
        (Some(authority), Some(host)) if !authority.as_bytes().eq_ignore_ascii_case(host) => {
            refuse("host is not what :authority says")
        }
        // Whether it is a host is seen where it is routed on; what Pingora would leave out of it is
        // looked at here.
        (Some(authority), _) if authority.contains('@') => refuse("host has a user"),
        _ => Ok(()),
    }
}

fn fields(request: &RequestHeader, most: &Most) -> Result<(), Fault> {
    let refuse = |why| Err(Fault { reason: Reason::Large, status: 431, why });
    if count(request) > most.headers {
        return refuse("there are too many header fields");
    }
    let size =
        |(name, value): (&http::HeaderName, &http::HeaderValue)| name.as_str().len() + value.len() + FIELD;
    let total: usize = request.headers.iter().map(size).sum();
    if total + request.raw_path().len() > most.header_bytes {
        return refuse("the header is too large");
    }
    // `h2` takes the quote for a letter of names.
    if request.headers.keys().any(|name| !name.as_str().bytes().all(is_token)) {
        let why = "a field name is not a token";
        return Err(Fault { reason: Reason::Malformed, status: 400, why });
    }
    let padded = |value: &http::HeaderValue| {
        let bytes = value.as_bytes();
        bytes.trim_ascii().len() != bytes.len()
    };
    if request.headers.values().any(padded) {
        let why = "a header field begins or ends with a space";
        return Err(Fault { reason: Reason::Malformed, status: 400, why });
    }
    Ok(())
}

/// How many fields there are. The crumbs of a cookie are one: browsers send each cookie as a crumb.
fn count(request: &RequestHeader) -> usize {
    let crumbs = request.headers.get_all(header::COOKIE).iter().count();
    request.headers.len() - crumbs.saturating_sub(1)
}

fn length(request: &RequestHeader, ended: bool) -> Result<(), Fault> {
    let refuse = |why| Err(Fault { reason: Reason::Malformed, status: 400, why });
    let mut lengths = request.headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next().map(http::HeaderValue::as_bytes) else { return Ok(()) };
    if lengths.next().is_some() {
        return refuse("the content length is given more than once");
    }
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) || length.len() > 19 {
        return refuse("the content length is not a number");
    }
    if ended && length.iter().any(|digit| *digit != b'0') {
        return refuse("there is no body of the length that is given");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
