//! What the endpoint sees: path, Host, `x-forwarded-*`, edits.
//!
//! Runs once a try, on a copy of the request; Pingora has taken the hop-by-hop headers out already.
//! No client is trusted here: whatever it said in `x-forwarded-*` or `forwarded` is replaced by
//! what is known.

use http::{HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora::{ErrorType, OrErr, Result};

use crate::proxy::ctx::RequestCtx;
use crate::proxy::{connect, grpc, mirror, variant};

/// Headers by which a client could pretend to be a proxy, or a copy.
const PRETENSIONS: [&str; 8] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-real-ip",
    "x-tidegate-variant",
    mirror::MARK,
    ATTEMPTS,
];

/// Tells the endpoint of a try after the first which one it is.
const ATTEMPTS: &str = "x-tidegate-attempts";

/// Turns the client's request into the endpoint's.
pub(crate) fn request(request: &mut RequestHeader, ctx: &mut RequestCtx) -> Result<()> {
    connect::fit(request, ctx)?;
    grpc::request(request, ctx)?;
    let Some(forward) = ctx.forward() else { return Ok(()) };
    // One look at each name is cheaper than a look-up of each pretension.
    if request.headers.keys().any(|name| PRETENSIONS.contains(&name.as_str())) {
        PRETENSIONS.iter().for_each(|name| drop(request.remove_header(*name)));
    }
    if let Some(client) = ctx.link.as_ref().and_then(|link| link.client_header.clone()) {
        request.insert_header("x-forwarded-for", client)?;
    }
    let scheme = ctx.link.as_ref().map_or("http", |link| link.scheme());
    request.insert_header("x-forwarded-proto", HeaderValue::from_static(scheme))?;
    let host = request.headers.get(header::HOST).cloned();
    let host = host.or_else(|| {
        let authority = request.uri.authority()?.as_str();
        HeaderValue::from_str(authority).ok()
    });
    if let Some(host) = host {
        request.insert_header("x-forwarded-host", host)?;
    } else if let Some(endpoint) = ctx.endpoint {
        // HTTP/1.0 may leave it out, HTTP/1.1 may not (RFC 9112 3.2): the endpoint is asked for
        // under its own address.
        request.insert_header(header::HOST, endpoint.to_string())?;
    }
    if let Some(variant) = ctx.variant() {
        request.insert_header(variant::VARIANT.as_str(), variant.header.clone())?;
    }
    if ctx.attempts > 1 {
        request.insert_header(ATTEMPTS, HeaderValue::from(ctx.attempts))?;
    }
    origin_form(request);
    join_cookies(request)?;
    if let Some(rewrite) = &forward.rewrite {
        rewrite.request(request).or_err(ErrorType::HTTPStatus(414), "the rewritten path")?;
    }
    if let Some(host) = &forward.host {
        request.insert_header(header::HOST, host.clone())?;
    }
    forward.request_headers.request(request);
    Ok(())
}

/// An endpoint is an origin: it gets a path, not the whole URL that a client may send to a proxy
/// (RFC 9112 3.2.1). The host in it is that of `host`, or Pingora has refused.
fn origin_form(request: &mut RequestHeader) {
    let whole = request.version != Version::HTTP_2 && !request.raw_path().starts_with(b"/");
    if whole && request.uri.path().starts_with('/') {
        // The URI has the path alone; setting it drops the bytes as they came.
        request.set_uri(request.uri.clone());
    }
}

/// HTTP/2 may send a cookie header in crumbs; HTTP/1.1 has one (RFC 9113 8.2.3).
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    let crumbs = request.headers.get_all(header::COOKIE);
    if crumbs.iter().nth(1).is_none() {
        return Ok(());
    }
    let joined = crumbs.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    let joined = HeaderValue::from_bytes(&joined).or_err(ErrorType::InvalidHTTPHeader, "cookies")?;
    request.insert_header(header::COOKIE, joined)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_url_becomes_a_path() {
        for (target, path) in [("http://h/a?b=1", "/a?b=1"), ("http://h", "/"), ("/a", "/a"), ("*", "*")] {
            let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
            origin_form(&mut request);
            assert_eq!(request.raw_path(), path.as_bytes(), "{target}");
        }
    }

    #[test]
    fn cookie_crumbs_are_one_header() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for crumb in ["a=1", "b=2; c=3"] {
            request.append_header(header::COOKIE, crumb).unwrap();
        }
        join_cookies(&mut request).unwrap();
        let all: Vec<_> = request.headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(all, ["a=1; b=2; c=3"]);
    }
}
