//! What the endpoint sees: path, Host, `x-forwarded-*`, edits.
//!
//! Runs once a try, on a copy of the request; Pingora has taken the hop-by-hop headers out already. No client is trusted here:
//! whatever it said in `x-forwarded-*` or `forwarded` is replaced by what is known.

use http::{HeaderValue, header};
use pingora::http::RequestHeader;
use pingora::protocols::SocketDigest;
use pingora::{ErrorType, OrErr, Result};
use pingora_proxy::Session;

use crate::proxy::ctx::RequestCtx;
use crate::proxy::tap;

/// Headers by which a client could pretend to be a proxy.
const PRETENSIONS: [&str; 4] = ["forwarded", "x-forwarded-port", "x-forwarded-prefix", "x-real-ip"];

/// Turns the client's request into the endpoint's.
pub(crate) fn request(session: &Session, request: &mut RequestHeader, ctx: &RequestCtx) -> Result<()> {
    let Some((forward, _)) = ctx.forward() else { return Ok(()) };
    // One look at each name is cheaper than a look-up of each pretension.
    if request.headers.keys().any(|name| PRETENSIONS.contains(&name.as_str())) {
        PRETENSIONS.iter().for_each(|name| drop(request.remove_header(*name)));
    }
    let client = tap::client(session).or_else(|| client(session.digest()?.socket_digest.as_deref()?));
    if let Some(client) = client {
        request.insert_header("x-forwarded-for", client)?;
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

/// The client's address as a header. An IPv4 address that came over an IPv6 socket is written as IPv4.
pub(super) fn client(socket: &SocketDigest) -> Option<HeaderValue> {
    let ip = socket.peer_addr()?.as_inet()?.ip().to_canonical();
    HeaderValue::from_str(&ip.to_string()).ok()
}
