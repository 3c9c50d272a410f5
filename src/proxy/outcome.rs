//! What became of each try, told once to the passive detection of its cluster.
//!
//! The phases call these and nothing else; the lease sees to it that the first word about a try is
//! the only one. What counts as what is argued in [`outlier`](crate::outlier).

use std::time::Instant;

use pingora_proxy::Session;

use crate::balance::slow_start;
use crate::endpoint::Failure;
use crate::proxy::ctx::RequestCtx;

/// The header of the endpoint's answer has come.
pub(crate) fn answered(ctx: &mut RequestCtx, status: u16) {
    ctx.tries.heard();
    let Some(mut lease) = ctx.lease.take() else { return };
    if let Some(cluster) = ctx.cluster()
        && let Some(outlier) = &cluster.outlier
    {
        let back = outlier.answered(&cluster.endpoints, &mut lease, status);
        if back && cluster.config.load_balancing.slow_start.is_some() {
            lease.state().set_share(slow_start::LEAST);
        }
        if status == 101 {
            // What follows is a tunnel, whose end says nothing.
            outlier.succeeded(&mut lease);
        }
    }
    ctx.lease = Some(lease);
}

/// The try failed by the endpoint's doing.
pub(crate) fn failed(ctx: &mut RequestCtx, failure: Failure) {
    let Some(mut lease) = ctx.lease.take() else { return };
    if let Some(cluster) = ctx.cluster()
        && let Some(outlier) = &cluster.outlier
    {
        outlier.failed(&cluster.endpoints, &mut lease, failure);
    }
    ctx.lease = Some(lease);
}

/// The try ended in a way that says nothing of the endpoint.
pub(crate) fn nothing(ctx: &mut RequestCtx) {
    // Dropped unsettled, so that a trial is left to another request.
    ctx.lease = None;
}

/// The client went away. Where it had sent all and waited for the answer's header for half of the
/// route's time, it did so because the endpoint hangs: that is a failure. Before, it says nothing.
pub(crate) fn left(session: &mut Session, ctx: &mut RequestCtx, now: Instant) {
    if session.is_body_done() && ctx.ttfb.is_none() && waited_long(ctx, now) {
        failed(ctx, Failure::Late);
    } else {
        nothing(ctx);
    }
}

/// Whether this try, and the request since all of it was sent, took half of the route's time.
fn waited_long(ctx: &RequestCtx, now: Instant) -> bool {
    let Some(half) = ctx.forward().and_then(|forward| forward.timeout).map(|timeout| timeout / 2) else {
        return false;
    };
    let tried = ctx.attempt_start.is_some_and(|start| now.saturating_duration_since(start) >= half);
    tried && ctx.deadline.is_some_and(|deadline| deadline.saturating_duration_since(now) <= half)
}

/// The request is over: if nothing else was said, its last try succeeded.
pub(crate) fn ended(ctx: &mut RequestCtx) {
    if let Some(mut lease) = ctx.lease.take()
        && let Some(outlier) = ctx.cluster().and_then(|cluster| cluster.outlier.as_ref())
    {
        outlier.succeeded(&mut lease);
    }
}
