//! What the client sees of the endpoint's answer, and the deadline while it streams.

use std::net::{IpAddr, Ipv4Addr};

use http::{Version, header};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use crate::filter::{Exchange, Memory};
use crate::observe::Flag;
use crate::proxy::ctx::{RequestCtx, now};
use crate::proxy::link::Link;
use crate::proxy::{grpc, hop, outcome, retry, tap, variant};
use crate::snapshot::{Action, Route};

/// A header that took more than this part of the time left is late. The body's read timeout is the
/// whole time once more, so it would let a body that stands still go on for that much longer; for
/// late ones the exact end is set.
const LATE: u32 = 10;

/// What stands for a client whose address is not known, as on a Unix socket.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Edits the header. Interim answers (1xx) pass as they are.
pub(crate) fn header(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut RequestCtx,
) -> Result<()> {
    let status = response.status.as_u16();
    if status < 200 && status != 101 {
        return Ok(());
    }
    let judged = grpc::header(response, ctx).unwrap_or(status);
    outcome::answered(ctx, judged);
    if status != 101 {
        retry::answered(session, response, ctx)?;
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
        tap::cut_at(session, None);
        return Ok(());
    }
    if let Some(deadline) = ctx.deadline
        && let now = now()
        && now.saturating_duration_since(ctx.start) > deadline.saturating_duration_since(now) / LATE
    {
        tap::cut_at(session, Some(deadline));
    }
    hop::response(response);
    grpc::as_web(response, ctx);
    if session.req_header().version < Version::HTTP_11
        && response.remove_header(&header::TRANSFER_ENCODING).is_some()
    {
        // An HTTP/1.0 client does not know chunks; the end of the connection ends the body for it.
        session.set_keepalive(None);
    }
    edit(response, ctx);
    Ok(())
}

/// Takes an answer, wherever it was made, back through the route's filters and edits.
pub(crate) fn edit(response: &mut ResponseHeader, ctx: &mut RequestCtx) {
    let Some(snapshot) = ctx.snapshot.clone() else { return };
    let Some(route) = ctx.route.map(|index| &snapshot.table.routes[index]) else { return };
    if let Action::Forward(forward) = &route.action
        && !forward.filters.is_empty()
    {
        forward.filters.on_response(response, &mut exchange(ctx.link.as_deref(), route, &mut ctx.memory));
    }
    route.response_headers.response(response);
    variant::tell(response, ctx);
}

/// What filters may know of the request.
pub(crate) fn exchange<'a>(link: Option<&Link>, route: &'a Route, memory: &'a mut Memory) -> Exchange<'a> {
    let client = link.and_then(Link::ip).unwrap_or(UNKNOWN);
    Exchange::new(route.name.as_str(), client, link.map_or("http", Link::scheme), memory)
}

/// Ends a stream whose time is up. A stream that stands still ends by the read timeout; one that
/// trickles, here.
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
