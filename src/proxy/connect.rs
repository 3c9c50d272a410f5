//! Which endpoint, and what to do when it can't be reached or breaks off.
//!
//! The default retry (DESIGN 5): two tries in all; a connection that could not be opened is retried
//! whatever the method, since nothing was sent; one that broke before an answer is retried for
//! idempotent methods only (RFC 9110 9.2.2), and only while the body can be replayed. The second
//! try goes to another endpoint. There is one exception: where the broken connection came from the
//! pool, the endpoint itself may be fine (it closed an idle connection while we wrote), so the same
//! one may be used again if no other is left.

use std::time::Duration;

use pingora::upstreams::peer::{HttpPeer, PeerOptions};
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;

use crate::endpoint::Failure;
use crate::observe::Flag;
use crate::proxy::ctx::{RequestCtx, now};
use crate::proxy::{outcome, variant};
use crate::snapshot::table::Forward;

/// Bodies up to this length reach the endpoint at once, so the request's deadline bounds the wait
/// for the answer. For larger ones the time of the route counts from their end, as in Envoy:
/// uploading may take longer. See [`limit`].
const PROMPT_BODY: u64 = 64 * 1024;

/// Picks an endpoint and prepares its peer.
pub(crate) fn peer(session: &Session, ctx: &mut RequestCtx) -> Result<Box<HttpPeer>> {
    let Some(snapshot) = ctx.snapshot.clone() else {
        return Err(Error::explain(ErrorType::InternalError, "a request without a snapshot"));
    };
    let now = now();
    let left = ctx.deadline.map(|deadline| deadline.saturating_duration_since(now));
    if left.is_some_and(|left| left.is_zero()) {
        ctx.flag = Some(Flag::UT);
        return Err(Error::explain(ErrorType::HTTPStatus(504), "no time is left for another try"));
    }
    let Some(choice) = variant::pick(session, ctx, &snapshot, &mut fastrand::Rng::new()) else {
        // After a failed try its own flag says more than that nobody else is left.
        let flag = *ctx.flag.get_or_insert(Flag::UH);
        let status = if flag == Flag::UC { 502 } else { 503 };
        return Err(Error::explain(ErrorType::HTTPStatus(status), "no endpoint is available"));
    };
    let Some((forward, cluster)) = ctx.forward().zip(ctx.cluster()) else {
        return Err(Error::explain(ErrorType::InternalError, "a request without a cluster"));
    };
    if choice.panic {
        cluster.metrics.panic.inc();
    }
    let mut peer = Box::new(cluster.peer(choice.index).clone());
    limit(&mut peer.options, session, forward, left);
    let endpoint = &cluster.endpoints[choice.index];
    let lease = endpoint.state.lease();
    let address = endpoint.member.address;
    drop(snapshot);
    ctx.lease = Some(lease);
    ctx.endpoint = Some(address);
    ctx.attempts += 1;
    ctx.attempt_start = Some(now);
    ctx.stale_connection = false;
    Ok(peer)
}

/// The connection could not be opened: nothing was sent, so any method may try elsewhere.
pub(crate) fn failed(ctx: &mut RequestCtx, mut error: Box<Error>) -> Box<Error> {
    if let Some(lease) = &ctx.lease {
        lease.state().connect_failed();
    }
    if let Some(cluster) = ctx.cluster() {
        cluster.metrics.connect_failures.inc();
    }
    outcome::failed(ctx, Failure::Connect);
    ctx.flag = Some(Flag::UF);
    let again = give_up_endpoint(ctx);
    error.as_up();
    error.set_retry(again);
    error
}

/// The connection broke, on either side, or the time was up.
pub(crate) fn broke(
    session: &mut Session,
    ctx: &mut RequestCtx,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    let by_endpoint = *error.esource() == ErrorSource::Upstream;
    let timed_out = matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
    if !by_endpoint && ctx.deadline.is_some_and(|deadline| now() >= deadline) {
        // The read that waits for the client to go gave up: see `tap`. It is the endpoint that is
        // late.
        ctx.flag = Some(Flag::UT);
        outcome::failed(ctx, Failure::Late);
        error.as_up();
        error.set_retry(false);
        return error;
    }
    if by_endpoint && *error.etype() == ErrorType::ReadTimedout && !session.is_body_done() {
        // Nothing came from the endpoint, for it waits for the rest of the body: it is the client
        // that is late.
        outcome::nothing(ctx);
        error.as_down();
        error.set_retry(false);
        return error;
    }
    if by_endpoint {
        ctx.flag = Some(if timed_out { Flag::UT } else { Flag::UC });
    }
    match (by_endpoint, timed_out) {
        (false, _) => outcome::nothing(ctx),
        (true, true) => outcome::failed(ctx, Failure::Late),
        (true, false) if reused && session.response_written().is_none() => outcome::nothing(ctx),
        (true, false) => outcome::failed(ctx, Failure::Broken),
    }
    let may_repeat = by_endpoint
        && !timed_out
        && session.response_written().is_none()
        && session.req_header().method.is_idempotent()
        && !session.as_ref().retry_buffer_truncated();
    ctx.stale_connection = reused;
    let again = may_repeat && give_up_endpoint(ctx);
    // Always decided: `Error::retry` panics on an undecided one.
    error.set_retry(again);
    error
}

/// The body has been read whole. If it was a large one, the time for the answer begins now.
pub(crate) fn uploaded(session: &Session, ctx: &mut RequestCtx) {
    let timeout = ctx.forward().and_then(|forward| forward.timeout);
    if let Some(timeout) = timeout
        && !is_prompt(session)
    {
        ctx.deadline = Some(now() + timeout);
    }
}

/// Sets the time-outs of a try. `left`: of the request's time.
///
/// Pingora begins to count `read_timeout` anew with every piece of the body that it passes on. So
/// for a large body it is the time for the answer, from the end of the upload, and also how long a
/// client may pause amid one. An endpoint that hangs does not read: then writing stops after the
/// route's time, and reading after as much again.
fn limit(options: &mut PeerOptions, session: &Session, forward: &Forward, left: Option<Duration>) {
    let idle = forward.idle_timeout;
    // An upgrade may become a tunnel, whose reads and writes time out by what is set here.
    let upgrade = session.as_http1().is_some_and(|http1| http1.is_upgrade_req());
    let timeout = forward.timeout.filter(|_| !upgrade);
    let left = left.filter(|_| !upgrade);
    let shorter = |limit: Option<Duration>| limit.into_iter().chain(idle).min();
    options.read_timeout = shorter(if is_prompt(session) { left } else { timeout });
    options.write_timeout = shorter(timeout);
    if let Some(left) = left {
        let connect = options.connection_timeout.map_or(left, |connect| connect.min(left));
        options.connection_timeout = Some(connect);
        options.total_connection_timeout = Some(connect);
    }
}

/// Ends the try. True: another is allowed.
fn give_up_endpoint(ctx: &mut RequestCtx) -> bool {
    ctx.lease = None;
    ctx.tried.extend(ctx.endpoint);
    let allowed = ctx.forward().map_or(1, |forward| forward.attempts);
    ctx.attempts < u32::from(allowed)
}

/// Whether there is no body, or one of a known length up to [`PROMPT_BODY`].
fn is_prompt(session: &Session) -> bool {
    let request = session.req_header();
    if request.headers.contains_key(http::header::TRANSFER_ENCODING) {
        return false;
    }
    match request.headers.get(http::header::CONTENT_LENGTH) {
        Some(length) => {
            let length = length.to_str().ok().and_then(|length| length.parse::<u64>().ok());
            length.is_some_and(|length| length <= PROMPT_BODY)
        }
        // HTTP/2 may send a body without saying how long it is; HTTP/1.1 without a length has none.
        None => request.version != http::Version::HTTP_2 || request.method.is_safe(),
    }
}
