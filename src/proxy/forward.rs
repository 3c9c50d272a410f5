//! What the endpoint sees: path, Host, `x-forwarded-*`, edits.
//!
//! Runs once a try, on a copy of the request; Pingora has taken the hop-by-hop headers out already. No client is trusted here:
//! whatever it said in `x-forwarded-*` or `forwarded` is replaced by what is known.

use http::{HeaderValue, header};
use pingora::http::RequestHeader;
use pingora::{ErrorType, OrErr, Result};
use pingora_proxy::Session;

use crate::proxy::ctx::RequestCtx;

/// Headers by which a client could pretend to be a proxy.
const PRETENSIONS: [&str; 4] = ["forwarded", "x-forwarded-port", "x-forwarded-prefix", "x-real-ip"];

/// Turns the client's request into the endpoint's.
pub(crate) fn request(session: &Session, request: &mut RequestHeader, ctx: &RequestCtx) -> Result<()> {
    let Some((forward, _)) = ctx.forward() else { return Ok(()) };
    for name in PRETENSIONS {
        if request.headers.contains_key(name) {
            request.remove_header(name);
        }
    }
    if let Some(client) = session.client_addr().and_then(|a| a.as_inet()) {
        request.insert_header("x-forwarded-for", address(client.ip()))?;
    }
    request.insert_header("x-forwarded-proto", HeaderValue::from_static("http"))?;
    let host = request.headers.get(header::HOST).cloned();
    let host = host.or_else(|| {
        let authority = request.uri.authority()?.as_str();
        HeaderValue::from_str(authority).ok()
    });
    if let Some(host) = host {
        request.insert_header("x-forwarded-host", host)?;
    }
    if let Some(rewrite) = &forward.rewrite {
        rewrite.request(request).or_err(ErrorType::HTTPStatus(414), "the rewritten path")?;
    }
    if let Some(host) = &forward.host {
        request.insert_header(header::HOST, host.clone())?;
    }
    forward.request_headers.request(request);
    Ok(())
}

/// An IPv4 address that came over an IPv6 socket is written as IPv4.
fn address(ip: std::net::IpAddr) -> String {
    ip.to_canonical().to_string()
}
