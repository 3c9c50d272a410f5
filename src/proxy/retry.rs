//! Another try: asked for by whoever sees one fail, prepared here, made by [`connect`](super::connect).
//!
//! A failed try leads to another if the pure rules of [`crate::retry`] say so, somebody is left to ask,
//! and the cluster's budget has room. All three are settled before the failed try is given up, so that
//! an answer which is a reason for another try still goes to the client where no other can be made. The
//! pause comes after; who was found before it is the fall-back for a pick after it.
//!
//! Who is asked: another endpoint; then, of a split, another variant, if the route lets it; last, where
//! the failed try did get an answer, the same endpoint again, since it works after a fashion and has
//! had the pause. One that could not be reached, hung or broke off is not asked twice.
//!
//! Circuit breaker: the request takes its place in the cluster's count when it is first tried and
//! gives it back at its end, so pauses count; a try after the first has a place in the count of those
//! from when it is planned until its answer begins. What finds no place is answered at once and never queued: a queue in front
//! of an overloaded cluster only makes its answers late.
//!
//! The bad sides: a client that goes away during a pause is noticed after it; and the connection
//! whose answer is thrown away is closed with it, since its body is still to come.

use std::time::{Duration, Instant};

use http::header;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use crate::balance::Choice;
use crate::cluster::Cluster;
use crate::endpoint::Permit;
use crate::observe::Flag;
use crate::observe::metrics::Bound;
use crate::proxy::ctx::{RequestCtx, now};
use crate::proxy::{tap, variant};
use crate::retry::budget::Limit;
use crate::retry::{Failure, Progress, Retry};
use crate::snapshot::Snapshot;

/// The error that throws an answer away because another try was prepared.
pub(super) const ANOTHER: ErrorType = ErrorType::Custom("AnotherTry");

/// What a request holds and plans for its tries.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    /// Counts the request in at its cluster.
    request: Option<Permit>,
    /// Counts in the try after the first that is on its way or planned.
    retry: Option<Permit>,
    next: Option<Next>,
    /// When the time of the current try is up.
    until: Option<Instant>,
    /// The endpoint of the last failed try did answer.
    pub(super) answered: bool,
    /// What the client gets is an answer that another try would have been made for.
    pub(super) failed: bool,
}

/// A try that is planned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    choice: Choice,
    pause: Duration,
}

// === impl Tries ===

impl Tries {
    /// Gives back the places in the cluster's counts.
    pub(crate) fn end(&mut self) {
        (self.request, self.retry) = (None, None);
    }

    /// An answer has come: the try is over as one that asks more of the cluster, and its place is for
    /// another. What follows may be a stream of hours.
    pub(super) fn heard(&mut self) {
        self.retry = None;
    }

    /// Whether the time of the current try is up.
    pub(super) fn late(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

// === before a try ===

/// Waits for the pause of a planned try. Whom to ask then; None: this is the first try.
pub(super) async fn planned(session: &Session, ctx: &mut RequestCtx) -> Option<Choice> {
    let Next { choice, pause } = ctx.tries.next.take()?;
    if pause.is_zero() {
        return Some(choice);
    }
    let _waiting = ctx.cluster().map(|cluster| cluster.pool.wait());
    tokio::time::sleep(pause).await;
    Some(variant::settle(session, ctx, &mut fastrand::Rng::new()).unwrap_or(choice))
}

/// Takes a place in the cluster's counts, unless the request has one.
pub(super) fn admit(ctx: &mut RequestCtx, cluster: &Cluster) -> Result<()> {
    let limits = &cluster.breaker;
    if ctx.tries.request.is_none() {
        ctx.tries.request = cluster.pool.request(limits.requests);
        if ctx.tries.request.is_none() {
            return Err(overloaded(ctx, cluster, Bound::Requests));
        }
    }
    if cluster.pool.connections() > limits.connections {
        ctx.tries.end();
        return Err(overloaded(ctx, cluster, Bound::Connections));
    }
    Ok(())
}

/// Nobody is there to ask.
pub(super) fn nobody(ctx: &mut RequestCtx) -> Box<Error> {
    match ctx.cluster().cloned() {
        Some(cluster) if cluster.full() => overloaded(ctx, &cluster, Bound::EndpointRequests),
        _ => {
            ctx.flag = Some(Flag::UH);
            Error::explain(ErrorType::HTTPStatus(503), "no endpoint is available")
        }
    }
}

fn overloaded(ctx: &mut RequestCtx, cluster: &Cluster, bound: Bound) -> Box<Error> {
    cluster.metrics.rejected.inc(bound);
    ctx.flag = Some(Flag::UO);
    Error::explain(ErrorType::HTTPStatus(503), "the cluster has no place left")
}

// === the time of a try ===

/// The request is sent: the time of this try for the answer's header begins. Without a body it began
/// when the connection was asked for.
pub(super) fn sent(session: &mut Session, ctx: &mut RequestCtx) {
    let Some(time) = ctx.forward().and_then(|forward| forward.retry.per_try) else { return };
    if ctx.ttfb.is_some() {
        // The answer was faster than the upload.
        return;
    }
    let begin = ctx.attempt_start.filter(|_| session.is_body_empty()).unwrap_or_else(now);
    let until = begin + time;
    ctx.tries.until = Some(until);
    tap::cut_at(session, ctx.deadline.into_iter().chain([until]).min());
}

/// The answer's header is there, or the try is over.
fn stop_clock(session: &Session, ctx: &mut RequestCtx) {
    if ctx.tries.until.take().is_some() {
        tap::cut_at(session, None);
    }
}

// === after a try ===

/// The header of an answer came. An error: it is thrown away, for another try.
pub(super) fn answered(session: &Session, response: &ResponseHeader, ctx: &mut RequestCtx) -> Result<()> {
    stop_clock(session, ctx);
    let failure = match ctx.call.as_ref().and_then(|call| call.code) {
        Some(code) => Failure::Grpc(code),
        None => Failure::Status(response.status.as_u16()),
    };
    if !ctx.forward().is_some_and(|forward| forward.retry.on.cover(failure)) {
        return Ok(());
    }
    if !again(session, ctx, failure, retry_after(response)) {
        ctx.tries.failed = true;
        return Ok(());
    }
    ctx.lease = None;
    ctx.ttfb = None;
    Err(Error::new(ANOTHER).into_up())
}

/// A try failed. True: another is planned, and there is a place for it.
pub(super) fn again(
    session: &Session,
    ctx: &mut RequestCtx,
    failure: Failure,
    retry_after: Option<Duration>,
) -> bool {
    stop_clock(session, ctx);
    let Some(snapshot) = ctx.snapshot.clone() else { return false };
    let Some(retry) = ctx.forward().map(|forward| forward.retry.clone()) else { return false };
    let so_far = Progress {
        tries: ctx.attempts,
        left: ctx.deadline.map(|deadline| deadline.saturating_duration_since(now())),
        idempotent: session.req_header().method.is_idempotent(),
        replayable: session.response_written().is_none() && !session.as_ref().retry_buffer_truncated(),
        retry_after,
    };
    let Some(pause) = retry.pause(failure, &so_far, fastrand::f64()) else { return false };
    ctx.tried.extend(ctx.endpoint);
    ctx.tries.answered = matches!(failure, Failure::Status(_) | Failure::Grpc(_));
    let before = (ctx.variant, ctx.cluster);
    let planned = plan(session, ctx, &snapshot, &retry, (failure, pause));
    if !planned {
        (ctx.variant, ctx.cluster) = before;
    }
    planned
}

/// Finds whom to ask next, and a place for it in the cluster's counts.
fn plan(
    session: &Session,
    ctx: &mut RequestCtx,
    snapshot: &Snapshot,
    retry: &Retry,
    (failure, pause): (Failure, Duration),
) -> bool {
    let (variant, failed) = (ctx.variant, ctx.cluster);
    let choice = variant::pick(session, ctx, snapshot, &mut fastrand::Rng::new());
    let Some((choice, cluster)) = choice.zip(ctx.cluster.and_then(|index| snapshot.clusters.get(index)))
    else {
        return false;
    };
    // The try before is over; its place may be the one that this one gets.
    ctx.tries.retry = None;
    if failure != Failure::Connect {
        let Some(place) = place(cluster, retry) else { return false };
        ctx.tries.retry = Some(place);
    }
    if failed != ctx.cluster {
        let Some(request) = cluster.pool.request(cluster.breaker.requests) else {
            cluster.metrics.rejected.inc(Bound::Requests);
            ctx.tries.retry = None;
            return false;
        };
        ctx.tries.request = Some(request);
    }
    ctx.tries.next = Some(Next { choice, pause });
    if ctx.attempts > 1
        && let Some(failed) = failed.and_then(|index| snapshot.clusters.get(index))
    {
        failed.metrics.retry_failure.inc();
    }
    variant::count_crossing(ctx, variant);
    true
}

/// A place among the tries after the first, as the budget has it.
fn place(cluster: &Cluster, retry: &Retry) -> Option<Permit> {
    let (pool, limit) = (&cluster.pool, Limit::choose(retry.budget, cluster.breaker.retries));
    if limit.price().is_some_and(|price| pool.spend(price)) {
        return pool.retry(u32::MAX);
    }
    let place = pool.retry(limit.of(pool.requests()));
    if place.is_none() {
        cluster.metrics.retry_budget.inc();
        if matches!(limit, Limit::Fixed(_)) {
            cluster.metrics.rejected.inc(Bound::Retries);
        }
    }
    place
}

/// What an answer says of when to come back, if in seconds.
fn retry_after(response: &ResponseHeader) -> Option<Duration> {
    let text = response.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
