//! Which endpoint, and what it means when it can't be reached or breaks off.
//!
//! Each way in which a try can fail is named here and handed to [`retry`], which decides whether there
//! is another. One exception is made to "another endpoint": where the broken connection came from the
//! pool, the endpoint itself may be fine (it closed an idle connection while we wrote), so the same one
//! may be used again if no other of the cluster is left.

use std::time::Duration;

use pingora::upstreams::peer::{HttpPeer, PeerOptions};
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;

use crate::balance::Choice;
use crate::endpoint::{self, Lease};
use crate::observe::Flag;
use crate::proxy::ctx::{RequestCtx, now};
use crate::proxy::{outcome, retry, variant};
use crate::retry::Failure;
use crate::snapshot::Snapshot;
use crate::snapshot::table::Forward;

/// Bodies up to this length reach the endpoint at once, so the request's deadline bounds the wait
/// for the answer. For larger ones the time of the route counts from their end, as in Envoy:
/// uploading may take longer. See [`limit`].
const PROMPT_BODY: u64 = 64 * 1024;

/// How often an endpoint is looked for that did not fill up meanwhile.
const ROUNDS: usize = 8;

/// Picks an endpoint and prepares its peer.
pub(crate) async fn peer(session: &Session, ctx: &mut RequestCtx) -> Result<Box<HttpPeer>> {
    let planned = retry::planned(session, ctx).await;
    let Some(snapshot) = ctx.snapshot.clone() else {
        return Err(Error::explain(ErrorType::InternalError, "a request without a snapshot"));
    };
    let now = now();
    let left = ctx.deadline.map(|deadline| deadline.saturating_duration_since(now));
    if left.is_some_and(|left| left.is_zero()) {
        ctx.flag = Some(Flag::UT);
        return Err(Error::explain(ErrorType::HTTPStatus(504), "no time is left for another try"));
    }
    let (choice, lease) = match planned {
        Some(choice) => (choice, None),
        None => first(session, ctx, &snapshot).map(|(choice, lease)| (choice, Some(lease)))?,
    };
    let Some(cluster) = ctx.cluster.and_then(|index| snapshot.clusters.get(index)) else {
        return Err(Error::explain(ErrorType::InternalError, "a request without a cluster"));
    };
    retry::admit(ctx, cluster)?;
    if choice.panic {
        cluster.metrics.panic.inc();
    }
    let mut peer = Box::new(cluster.peer(choice.index).clone());
    if let Some(forward) = ctx.forward() {
        limit(&mut peer.options, session, forward, left);
    }
    let endpoint = &cluster.endpoints[choice.index];
    ctx.lease = Some(lease.unwrap_or_else(|| endpoint.state.lease()));
    ctx.endpoint = Some(endpoint.member.address);
    ctx.attempts += 1;
    ctx.attempt_start = Some(now);
    ctx.stale_connection = false;
    Ok(peer)
}

/// Picks for the first try.
///
/// Where the requests of an endpoint are limited, a place is only ours if the count says so after we
/// are in it: others may have picked the same one in the same moment. (A try after the first goes
/// where it was planned to, and may so be one too many.)
fn first(session: &Session, ctx: &mut RequestCtx, snapshot: &Snapshot) -> Result<(Choice, Lease)> {
    for _ in 0..ROUNDS {
        let choice = variant::pick(session, ctx, snapshot, &mut fastrand::Rng::new());
        let cluster = ctx.cluster.and_then(|index| snapshot.clusters.get(index));
        let Some((choice, cluster)) = choice.zip(cluster) else { break };
        let lease = cluster.endpoints[choice.index].state.lease();
        if cluster.breaker.endpoint_requests.is_none_or(|most| lease.state().in_flight() <= most) {
            return Ok((choice, lease));
        }
    }
    Err(retry::nobody(ctx))
}

/// The connection could not be opened: nothing was sent, so any method may try elsewhere.
pub(crate) fn failed(session: &Session, ctx: &mut RequestCtx, mut error: Box<Error>) -> Box<Error> {
    if let Some(lease) = &ctx.lease {
        lease.state().connect_failed();
    }
    if let Some(cluster) = ctx.cluster() {
        cluster.metrics.connect_failures.inc();
    }
    outcome::failed(ctx, endpoint::Failure::Connect);
    ctx.flag = Some(Flag::UF);
    ctx.lease = None;
    error.as_up();
    error.set_retry(retry::again(session, ctx, Failure::Connect, None));
    error
}

/// The connection broke, on either side, or the time was up.
pub(crate) fn broke(
    session: &mut Session,
    ctx: &mut RequestCtx,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    if *error.etype() == retry::ANOTHER {
        error.set_retry(true);
        return error;
    }
    // Always decided: `Error::retry` panics on an undecided one.
    error.set_retry(false);
    let by_endpoint = *error.esource() == ErrorSource::Upstream;
    let timed_out = matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
    let now = now();
    if !by_endpoint && ctx.deadline.is_some_and(|deadline| now >= deadline) {
        // The read that waits for the client to go gave up: see `tap`. It is the endpoint that is
        // late.
        ctx.flag = Some(Flag::UT);
        outcome::failed(ctx, endpoint::Failure::Late);
        error.as_up();
        return error;
    }
    let late = ctx.tries.late(now);
    if by_endpoint && *error.etype() == ErrorType::ReadTimedout && !session.is_body_done() {
        // Nothing came from the endpoint, for it waits for the rest of the body: it is the client
        // that is late.
        outcome::nothing(ctx);
        error.as_down();
        return error;
    }
    if !(by_endpoint || late) {
        match error.esource() {
            ErrorSource::Downstream => outcome::left(session, ctx, now),
            _ => outcome::nothing(ctx),
        }
        return error;
    }
    let pooled = reused && session.response_written().is_none();
    match (late || timed_out, pooled) {
        (true, _) => outcome::failed(ctx, endpoint::Failure::Late),
        (false, true) => outcome::nothing(ctx),
        (false, false) => outcome::failed(ctx, endpoint::Failure::Broken),
    }
    error.as_up();
    ctx.lease = None;
    ctx.stale_connection = reused;
    let failure = if late || timed_out { Failure::Timeout } else { Failure::Reset };
    ctx.flag = Some(if failure == Failure::Timeout { Flag::UT } else { Flag::UC });
    // A time-out of the whole request leaves no time to try again; one of a stream that stands still
    // is none of a try.
    let again = (late || !timed_out) && retry::again(session, ctx, failure, None);
    error.set_retry(again);
    error
}

/// The body has been read whole. If it was a large one, the time for the answer begins now.
pub(crate) fn uploaded(session: &mut Session, ctx: &mut RequestCtx) {
    let timeout = ctx.forward().and_then(|forward| forward.timeout);
    if let Some(timeout) = timeout
        && !is_prompt(session)
    {
        ctx.deadline = Some(now() + timeout);
    }
    retry::sent(session, ctx);
}

/// Sets the time-outs of a try. `left`: of the request's time.
///
/// The time of a try is kept by the tap where there is one, until the answer's header. Over HTTP/2
/// there is none, so there it bounds each pause of the answer's body too.
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
    let per_try = forward.retry.per_try;
    let untapped = per_try.filter(|_| session.as_http1().is_none());
    let read = shorter(if is_prompt(session) { left } else { timeout });
    options.read_timeout = read.into_iter().chain(untapped).min();
    options.write_timeout = shorter(timeout);
    if let Some(most) = left.into_iter().chain(per_try).min() {
        let connect = options.connection_timeout.map_or(most, |connect| connect.min(most));
        options.connection_timeout = Some(connect);
        options.total_connection_timeout = Some(connect);
    }
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
