//! What the client sees of the endpoint's answer, and the deadline while it streams.

use std::net::{IpAddr, Ipv4Addr};

use http::header;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use crate::filter::{Exchange, Memory};
use crate::observe::Flag;
use crate::proxy::ctx::{RequestCtx, now};
use crate::snapshot::{Action, Route};

/// Fields that are between the endpoint and us only (RFC 9110 7.6.1). Pingora handles `connection`, `transfer-encoding` and
/// `upgrade` itself.
const HOP_BY_HOP: [&str; 2] = ["keep-alive", "proxy-connection"];

/// What stands for a client whose address is not known, as on a Unix socket.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Edits the header. Interim answers (1xx) pass as they are.
pub(crate) fn header(session: &Session, response: &mut ResponseHeader, ctx: &mut RequestCtx) -> Result<()> {
    let status = response.status.as_u16();
    if status < 200 && status != 101 {
        return Ok(());
    }
    if ctx.ttfb.is_none()
        && let Some(start) = ctx.attempt_start
    {
        ctx.ttfb = Some(now().saturating_duration_since(start).as_secs_f64());
    }
    // An answer after a failed try is the endpoint's own.
    ctx.flag = None;
    if status == 101 {
        // From here on it is a tunnel; the idle timeout bounds it.
        ctx.deadline = None;
        return Ok(());
    }
    nominated(response);
    for name in HOP_BY_HOP {
        if response.headers.contains_key(name) {
            response.remove_header(name);
        }
    }
    edit(session, response, ctx);
    Ok(())
}

/// Takes an answer, wherever it was made, back through the route's filters and edits.
pub(crate) fn edit(session: &Session, response: &mut ResponseHeader, ctx: &mut RequestCtx) {
    let Some(snapshot) = ctx.snapshot.clone() else { return };
    let Some(route) = ctx.route.map(|index| &snapshot.table.routes[index]) else { return };
    if let Action::Forward(forward) = &route.action
        && !forward.filters.is_empty()
    {
        forward.filters.on_response(response, &mut exchange(session, route, &mut ctx.memory));
    }
    route.response_headers.response(response);
}

/// What filters may know of the request.
pub(crate) fn exchange<'a>(session: &Session, route: &'a Route, memory: &'a mut Memory) -> Exchange<'a> {
    let client = session.client_addr().and_then(|a| a.as_inet()).map(|a| a.ip().to_canonical());
    Exchange::new(route.name.as_str(), client.unwrap_or(UNKNOWN), "http", memory)
}

/// Ends a stream whose time is up. A stream that stands still ends by the read timeout; one that trickles, here.
pub(crate) fn body(
    _session: &Session,
    end: bool,
    ctx: &mut RequestCtx,
) -> Result<Option<std::time::Duration>> {
    if !end && ctx.deadline.is_some_and(|deadline| now() > deadline) {
        ctx.flag = Some(Flag::UT);
        let error = Error::explain(ErrorType::ReadTimedout, "the request's time is up");
        return Err(error.into_up());
    }
    Ok(None)
}

/// Takes out the fields that the endpoint's `connection` header names.
fn nominated(response: &mut ResponseHeader) {
    let Some(value) = response.headers.get(header::CONNECTION) else { return };
    let Ok(text) = value.to_str() else { return };
    let names: Vec<_> = text
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| {
            !matches!(
                name.as_str(),
                "" | "close" | "keep-alive" | "upgrade" | "content-length" | "transfer-encoding"
            )
        })
        .collect();
    for name in names {
        response.remove_header(name.as_str());
    }
}
