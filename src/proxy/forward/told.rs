//! What an endpoint is told of the way: `x-forwarded-*`, `forwarded`, `via`.
//!
//! Where the connection is from a trusted proxy, its word is kept and ours added; else whatever was
//! said is replaced by what is known. What the config switches off is sent by nobody.
//!
//! A request is not refused because it has been here before: several Tidegates in a row, or a way that
//! leads through one twice, are no mistake, and they all have the same name. But [`LOOP`] are one
//! that nobody meant.

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, OrErr, Result};

use crate::proxy::ctx::RequestCtx;
use crate::proxy::forward::names::{self, Fate};
use crate::proxy::forward::{origin, rfc7239};
use crate::snapshot::Forwarding;
use crate::snapshot::table::Forward;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";
const VIA: &str = "via";

/// So many times through a Tidegate is a loop: 508.
const LOOP: usize = 10;

/// The headers that say where a request came from. `host`: whom it was addressed to; `version`: in
/// which it came.
pub(super) fn request(
    request: &mut RequestHeader,
    ctx: &RequestCtx,
    forward: &Forward,
    forwarding: &Forwarding,
    (host, version): (Option<&HeaderValue>, Version),
) -> Result<()> {
    let believed = ctx.origin.is_some();
    let asked = believed.then(|| origin::host(&request.headers)).flatten();
    disarm(request, forward, forwarding, believed);
    if forwarding.forwarded {
        let own = forwarded(ctx, host);
        let hops = hops(&request.headers, FORWARDED, || forwarded_client(ctx), own.as_bytes())?;
        request.insert_header(FORWARDED, hops)?;
    }
    if forwarding.x_forwarded {
        x_forwarded(request, ctx, asked.as_ref().or(host))?;
    }
    if forwarding.via {
        if passages(&request.headers) >= LOOP {
            return Err(Error::explain(ErrorType::HTTPStatus(508), "a loop of proxies"));
        }
        request.append_header(VIA, via(version))?;
    }
    Ok(())
}

/// What `via` says of a message that came in this version.
pub(crate) fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0 tidegate",
        Version::HTTP_2 => "2 tidegate",
        _ => "1.1 tidegate",
    })
}

fn x_forwarded(request: &mut RequestHeader, ctx: &RequestCtx, host: Option<&HeaderValue>) -> Result<()> {
    if let Some(own) = ctx.link.as_ref().and_then(|link| link.client_header.as_ref()) {
        let hops = match ctx.origin {
            None => own.clone(),
            Some(_) => {
                let client = || ctx.client().filter(|ip| Some(*ip) != ctx.peer()).map(|ip| ip.to_string());
                hops(&request.headers, X_FORWARDED_FOR, client, own.as_bytes())?
            }
        };
        request.insert_header(X_FORWARDED_FOR, hops)?;
    }
    request.insert_header("x-forwarded-proto", HeaderValue::from_static(ctx.scheme()))?;
    if let Some(host) = host {
        request.insert_header("x-forwarded-host", host.clone())?;
    }
    Ok(())
}

/// Our entry of `forwarded`.
fn forwarded(ctx: &RequestCtx, host: Option<&HeaderValue>) -> String {
    let proto = ctx.link.as_ref().map_or("http", |link| link.scheme());
    rfc7239::write(ctx.peer(), proto, host.and_then(|host| host.to_str().ok()))
}

/// The client's entry, where a trusted proxy has said who it is, but not in this header.
fn forwarded_client(ctx: &RequestCtx) -> Option<String> {
    let client = ctx.client().filter(|ip| ctx.origin.is_some() && Some(*ip) != ctx.peer())?;
    Some(rfc7239::write(Some(client), ctx.scheme(), None))
}

/// All entries in one line: those that are there or else that of the client, and our own.
fn hops(
    headers: &HeaderMap,
    name: &str,
    client: impl FnOnce() -> Option<String>,
    own: &[u8],
) -> Result<HeaderValue> {
    let mut line = Vec::with_capacity(64);
    for entry in headers.get_all(name).iter().filter(|entry| !entry.is_empty()) {
        line.extend_from_slice(entry.as_bytes());
        line.extend_from_slice(b", ");
    }
    if line.is_empty()
        && let Some(client) = client()
    {
        line.extend_from_slice(client.as_bytes());
        line.extend_from_slice(b", ");
    }
    line.extend_from_slice(own);
    HeaderValue::from_bytes(&line).or_err(ErrorType::InvalidHTTPHeader, "the hops of a request")
}

/// Takes out what a client may not say. Nothing is allocated where there is nothing.
fn disarm(request: &mut RequestHeader, forward: &Forward, forwarding: &Forwarding, believed: bool) {
    let edits = !forward.request_headers.is_empty();
    let goes = |name: &&HeaderName| {
        let name = name.as_str();
        if names::is_harmless(name, edits) {
            return false;
        }
        match names::fate(name) {
            Fate::Never => true,
            Fate::Trusted if name == FORWARDED => !(believed && forwarding.forwarded),
            Fate::Trusted => !(believed && forwarding.x_forwarded),
            // What the operator edits is not to be imitated either.
            Fate::Passes => {
                !names::is_plain(name)
                    && forward
                        .request_headers
                        .touch(|own| own != name.as_bytes() && names::are_alike(own, name.as_bytes()))
            }
        }
    };
    let gone: Vec<_> = request.headers.keys().filter(goes).cloned().collect();
    gone.iter().for_each(|name| drop(request.remove_header(name)));
}

/// How often the request came through a Tidegate.
fn passages(headers: &HeaderMap) -> usize {
    let lines = headers.get_all(VIA).iter().filter_map(|line| line.to_str().ok());
    let names = lines.flat_map(|line| line.split(',')).filter_map(|hop| hop.split_whitespace().nth(1));
    names.filter(|name| *name == "tidegate").count()
}
