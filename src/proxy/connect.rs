//! Which endpoint, and what it means when it can't be reached or breaks off.
//!
//! Each way in which a try can fail is named here and handed to [`retry`], which decides whether there
//! is another. One exception is made to "another endpoint": where the broken connection came from the
//! pool, the endpoint itself may be fine (it closed an idle connection while we wrote), so the same one
//! may be used again if no other of the cluster is left.

use std::time::{Duration, Instant};

use pingora::http::RequestHeader;
use pingora::protocols::Digest;
use pingora::upstreams::peer::{HttpPeer, PeerOptions};
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};
use pingora_proxy::Session;
use tracing::debug;

use crate::balance::Choice;
use crate::cluster::{Transport, announce, peer};
use crate::config::live::Protocol;
use crate::endpoint::{self, Lease};
use crate::observe::Flag;
use crate::proxy::ctx::{RequestCtx, now};
use crate::proxy::{hop, http2, outcome, retry, tap, tunnel, variant};
use crate::proxy_protocol::Header;
use crate::retry::Failure;
use crate::snapshot::Snapshot;
use crate::snapshot::table::Forward;

/// Bodies up to this length reach the endpoint at once, so the request's deadline bounds the wait
/// for the answer. For larger ones the time of the route counts from their end, as in Envoy:
/// uploading may take longer. See [`limit`].
const PROMPT_BODY: u64 = 64 * 1024;

/// The error of a connection that opened and can't be used. It counts as one that did not open.
const UNUSABLE: ErrorType = ErrorType::Custom("UnusableConnection");

/// How often an endpoint is looked for that did not fill up meanwhile.
pub(super) const ROUNDS: usize = 8;

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
    let mut peer = Box::new(cluster.peer(choice.index));
    if let Some(forward) = ctx.forward() {
        let callers = ctx.call.as_ref().and_then(|call| call.left(now));
        if limit(&mut peer.options, session, forward, (left, callers)) {
            tap::cut_at(session, ctx.deadline);
        }
        if cluster.transport.by_host() {
            name(&mut peer, &cluster.transport, forward, &ctx.host);
        }
    }
    hop::spare(session.req_header(), &mut peer.options);
    http2::narrow(&mut peer);
    if let Some(version) = cluster.config.proxy_protocol {
        announce::client(&mut peer, version, &announced(ctx), fastrand::u64(..));
    }
    tunnel::prepare(session, &mut peer, ctx);
    let endpoint = &cluster.endpoints[choice.index];
    ctx.lease = Some(lease.unwrap_or_else(|| endpoint.state.lease()));
    ctx.endpoint = Some(endpoint.member.address);
    ctx.attempts += 1;
    ctx.attempt_start = Some(now);
    ctx.stale_connection = false;
    Ok(peer)
}

/// Says for which name the endpoint is asked over TLS: that of the Host which it will see.
fn name(peer: &mut HttpPeer, transport: &Transport, forward: &Forward, host: &str) {
    let host = forward.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(host);
    // Without any, the peer has the name of the endpoint's address already.
    if !host.is_empty() {
        transport.name(peer, host);
    }
}

/// Fits a request to the protocol that its connection turned out to speak.
///
/// Over TLS, Pingora falls back to HTTP/1.1 if the endpoint does not choose: where the config says
/// HTTP/2, that is refused. And of a request that came over HTTP/2 it takes the scheme along, be it
/// right or not, but for one that has a Host.
pub(super) fn fit(request: &mut RequestHeader, ctx: &RequestCtx) -> Result<()> {
    let Some(cluster) = ctx.cluster() else { return Ok(()) };
    if request.version != http::Version::HTTP_2 {
        return match cluster.transport.protocol() {
            Protocol::Http2 => Err(Error::explain(UNUSABLE, "the endpoint does not speak HTTP/2").into_up()),
            Protocol::Http1 | Protocol::Auto => Ok(()),
        };
    }
    if !request.headers.contains_key(http::header::HOST)
        && let Some(authority) = request.uri.authority().map(|authority| authority.as_str().to_owned())
    {
        request.insert_header(http::header::HOST, authority)?;
    }
    Ok(())
}

/// A connection is there. It is refused if its certificate is not made out to the address that the
/// endpoint was asked for under.
pub(super) fn connected(digest: Option<&Digest>) -> Result<()> {
    match peer::refused(digest.and_then(|digest| digest.ssl_digest.as_deref())) {
        None => Ok(()),
        Some(why) => Err(Error::explain(UNUSABLE, why).into_up()),
    }
}

/// What the PROXY header to an endpoint says of the connection that the request came on.
fn announced(ctx: &RequestCtx) -> Header {
    ctx.link.as_deref().map_or(Header::Local, |link| Header::of(link.client, link.local))
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
        debug!(cluster = %cluster.name, address = ?ctx.endpoint, %error, "a connection could not be opened");
        cluster.metrics.upstream.failures.inc();
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
    if *error.etype() == UNUSABLE {
        return failed(session, ctx, error);
    }
    let unbegun = unbegun(&error);
    // Always decided: `Error::retry` panics on an undecided one.
    error.set_retry(false);
    let by_endpoint = *error.esource() == ErrorSource::Upstream;
    let timed_out = matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
    let now = now();
    let over = ctx.deadline.is_some_and(|deadline| now >= deadline);
    if over && (!by_endpoint || (timed_out && ctx.call.is_some())) {
        expired(ctx, now);
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
    let failure = match (late || timed_out, unbegun) {
        (true, _) => Failure::Timeout,
        (false, true) => Failure::Connect,
        (false, false) => Failure::Reset,
    };
    give_up(session, ctx, failure, reused);
    if *error.etype() == ErrorType::InvalidHTTPHeader && failure == Failure::Reset {
        ctx.flag = Some(Flag::UPE);
    }
    error.as_up();
    // A time-out of the whole request leaves no time to try again; one of a stream that stands still
    // is none of a try.
    let again = (late || !timed_out) && retry::again(session, ctx, failure, None);
    error.set_retry(again);
    error
}

/// What HTTP/2 says was not begun: REFUSED_STREAM, or a stream after the last one of a GOAWAY.
fn unbegun(error: &Error) -> bool {
    matches!(error.etype(), ErrorType::H2Error | ErrorType::H2Downgrade)
        && matches!(error.retry, RetryType::Decided(true))
}

/// A try is over by the endpoint's doing.
fn give_up(session: &Session, ctx: &mut RequestCtx, failure: Failure, reused: bool) {
    let pooled = reused && session.response_written().is_none();
    match failure {
        Failure::Timeout => outcome::failed(ctx, endpoint::Failure::Late),
        Failure::Reset if !pooled => outcome::failed(ctx, endpoint::Failure::Broken),
        _ => outcome::nothing(ctx),
    }
    ctx.lease = None;
    ctx.stale_connection = reused;
    ctx.flag = Some(if failure == Failure::Timeout { Flag::UT } else { Flag::UC });
}

/// The request's time is up, and it is the endpoint that is late. Not by its own fault if the time was
/// the caller's.
///
/// It may show by the read that waits for the client to go: see `tap`. And a call has a deadline
/// whoever of both was to speak.
fn expired(ctx: &mut RequestCtx, now: Instant) {
    ctx.flag = Some(Flag::UT);
    match ctx.call.as_ref().and_then(|call| call.left(now)) {
        Some(Duration::ZERO) => outcome::nothing(ctx),
        _ => outcome::failed(ctx, endpoint::Failure::Late),
    }
}

/// The body has been read whole. If it was a large one, the time for the answer begins now.
pub(crate) fn uploaded(session: &mut Session, ctx: &mut RequestCtx) {
    let timeout = ctx.forward().and_then(|forward| forward.timeout);
    if let Some(timeout) = timeout
        && !is_prompt(body_length(session))
    {
        let (now, callers) = (now(), ctx.call.as_ref());
        let timeout = callers.and_then(|call| call.left(now)).map_or(timeout, |left| left.min(timeout));
        ctx.deadline = Some(now + timeout);
    }
    retry::sent(session, ctx);
}

/// Sets the time-outs of a try. `left`: of the request's time; `callers`: of the time that a caller
/// gives a gRPC call, however large it is.
///
/// The time of a try is kept by the tap where there is one, until the answer's header. Over HTTP/2
/// there is none, so there it bounds each pause of the answer's body too.
///
/// Pingora begins to count `read_timeout` anew with every piece of the body that it passes on. So
/// for a large body it is the time for the answer, from the end of the upload, and also how long a
/// client may pause amid one. An endpoint that hangs does not read: then writing stops after the
/// route's time, and reading after as much again.
///
/// True: the tap alone is to keep the request's deadline. Pingora would set a timer for each of the two
/// or three reads that an answer takes, and the tap has one for the life of a connection. It is so where
/// nothing else ends a try: no body that a client might be late with, no time for a try, no deadline
/// of a caller, no tunnel, no stream that may stand still for less than the time left.
fn limit(
    options: &mut PeerOptions,
    session: &Session,
    forward: &Forward,
    (left, callers): (Option<Duration>, Option<Duration>),
) -> bool {
    let (idle, body, tapped) = (forward.idle_timeout, body_length(session), session.as_http1().is_some());
    // An upgrade may become a tunnel, whose reads and writes time out by what is set here.
    let upgrade = session.as_http1().is_some_and(|http1| http1.is_upgrade_req());
    let timeout = forward.timeout.filter(|_| !upgrade);
    let left = left.filter(|_| !upgrade);
    let shorter = |limit: Option<Duration>| limit.into_iter().chain(idle).min();
    let per_try = forward.retry.per_try;
    let sooner = left.is_some_and(|left| idle.is_none_or(|idle| left <= idle));
    let watched = tapped && sooner && body == Some(0) && callers.is_none() && per_try.is_none();
    let untapped = per_try.filter(|_| !tapped);
    let read = shorter(if is_prompt(body) { left } else { timeout });
    options.read_timeout = read.filter(|_| !watched).into_iter().chain(untapped).chain(callers).min();
    options.write_timeout = shorter(timeout).into_iter().chain(callers).min();
    if let Some(most) = left.into_iter().chain(per_try).min() {
        let connect = options.connection_timeout.map_or(most, |connect| connect.min(most));
        options.connection_timeout = Some(connect);
        options.total_connection_timeout = Some(connect);
    }
    watched
}

/// Whether there is no body, or one of a known length up to [`PROMPT_BODY`].
fn is_prompt(length: Option<u64>) -> bool {
    length.is_some_and(|length| length <= PROMPT_BODY)
}

/// How long the body is, as far as its header says.
fn body_length(session: &Session) -> Option<u64> {
    let request = session.req_header();
    if let Some(length) = request.headers.get(http::header::CONTENT_LENGTH) {
        let chunked = request.headers.contains_key(http::header::TRANSFER_ENCODING);
        return length.to_str().ok().and_then(|length| length.parse().ok()).filter(|_| !chunked);
    }
    // HTTP/2 may send a body without saying how long it is; HTTP/1.1 without a length has none.
    let none = if request.version == http::Version::HTTP_2 {
        request.method.is_safe()
    } else {
        !request.headers.contains_key(http::header::TRANSFER_ENCODING)
    };
    none.then_some(0)
}
