//! The split phase: which variant, and which one instead when that cannot serve.
//!
//! [`direct`] runs once, in `accept`, and makes the client's cookie first where one is due, so that the
//! first request is decided by the same key as all later ones. The cookie is put into the request too:
//! the endpoint and a hashing balancer see the key that the second request will carry.
//!
//! [`pick`] runs for each try. A variant can't serve if its cluster, and each that stands in for that
//! one ([`failover`]), has no usable endpoint left for this request, or none that is available at all: a cluster of its own would turn to panic mode then,
//! but here another variant is there to take over. A cluster whose endpoints are merely full is not
//! left: overload of one variant must not change who sees which. A route may keep the tries after the
//! first in their variant (`other_variant: false`); the others are counted when they cross. Where none of the others can serve either, the
//! first variant's panic mode is the last resort, as it is without a split. Under
//! `on_unhealthy: fail` nothing takes over and there is no panic mode with nobody available: the
//! operator has asked to see the failure.

use std::net::SocketAddr;

use http::{HeaderName, HeaderValue, header};
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use crate::balance::Choice;
use crate::cluster::Cluster;
use crate::config::live::OnUnhealthy;
use crate::proxy::ctx::{Assigned, RequestCtx};
use crate::proxy::failover;
use crate::route::RequestView;
use crate::snapshot::table::VariantMetrics;
use crate::snapshot::{Action, Route, Snapshot, Target};
use crate::split::cookie::{self, Minted};
use crate::split::{Assignment, Excluded, Reason, Split, Weights};

/// Names the variant to the endpoint and, if asked, to the client.
pub(super) static VARIANT: HeaderName = HeaderName::from_static("x-tidegate-variant");

/// Decides which cluster the request goes to. False: none, since all weights are 0.
pub(super) fn direct(session: &mut Session, ctx: &mut RequestCtx, snapshot: &Snapshot) -> bool {
    if let Some((split, weights)) = split_of(ctx, snapshot) {
        mint(session, ctx, split);
        return decide(session, ctx, split, weights, Excluded::default(), &mut fastrand::Rng::new());
    }
    if let Some(Target::Cluster(index)) = ctx.forward().map(|forward| &forward.target) {
        ctx.cluster = Some(*index);
    }
    true
}

/// Picks an endpoint for the next try, in the cluster of the request or in that of another variant.
pub(super) fn pick(
    session: &Session,
    ctx: &mut RequestCtx,
    snapshot: &Snapshot,
    rng: &mut fastrand::Rng,
) -> Option<Choice> {
    let choice = failover::pick(session, ctx, snapshot, rng);
    let Some((split, weights)) = split_of(ctx, snapshot) else {
        return choice.or_else(|| same(session, ctx, rng));
    };
    let serves = |choice: &Choice| !choice.none;
    if split.on_unhealthy == OnUnhealthy::Fail {
        return choice.or_else(|| same(session, ctx, rng)).filter(serves);
    }
    let stays = ctx.attempts > 0 && ctx.forward().is_some_and(|forward| !forward.retry.other_variant);
    if choice.as_ref().is_some_and(serves) || stays {
        return choice.or_else(|| same(session, ctx, rng));
    }
    if choice.is_none() && ctx.cluster().is_some_and(|cluster| cluster.full()) {
        return None;
    }
    let mut last_resort = (ctx.variant, ctx.cluster, choice);
    while shift(session, ctx, split, weights, rng) {
        let choice = failover::pick(session, ctx, snapshot, rng);
        if choice.as_ref().is_some_and(serves) {
            return choice;
        }
        if last_resort.2.is_none() && choice.is_some() {
            last_resort = (ctx.variant, ctx.cluster, choice);
        }
    }
    (ctx.variant, ctx.cluster, _) = last_resort;
    last_resort.2.or_else(|| same(session, ctx, rng))
}

/// Picks again in the cluster in use, after a pause.
pub(super) fn settle(session: &Session, ctx: &RequestCtx, rng: &mut fastrand::Rng) -> Option<Choice> {
    let snapshot = ctx.snapshot.as_ref()?;
    failover::stay(session, ctx, snapshot, rng).or_else(|| same(session, ctx, rng))
}

/// Where nobody else is left, but the last try got an answer: any endpoint, tried or not.
fn same(session: &Session, ctx: &RequestCtx, rng: &mut fastrand::Rng) -> Option<Choice> {
    // A try of nobody makes it a second one, which takes no turn from the first tries'.
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    let cluster = ctx.cluster().filter(|_| ctx.tries.answered)?;
    cluster.pick(key(session, ctx, cluster), &[nobody], rng)
}

/// Counts a try after the first that leaves the variant `from`.
pub(super) fn count_crossing(ctx: &RequestCtx, from: Option<Assigned>) {
    if let Some((from, to)) = from.zip(ctx.variant)
        && from.index != to.index
        && let Some(route) = ctx.route()
    {
        route.variants[from.index].crossings[to.index].inc();
    }
}

pub(super) fn key(session: &Session, ctx: &RequestCtx, cluster: &Cluster) -> Option<u64> {
    let request = session.req_header();
    cluster.hash.key(&request.headers, request.uri.query(), ctx.client())
}

/// Turns to the next variant. False: there is none.
fn shift(
    session: &Session,
    ctx: &mut RequestCtx,
    split: &Split,
    weights: &Weights,
    rng: &mut fastrand::Rng,
) -> bool {
    let Some(Assigned { index, mut excluded, .. }) = ctx.variant else { return false };
    excluded.add(index);
    decide(session, ctx, split, weights, excluded, rng)
}

/// Notes the variant that is due. False: there is none.
fn decide(
    session: &Session,
    ctx: &mut RequestCtx,
    split: &Split,
    weights: &Weights,
    excluded: Excluded,
    rng: &mut fastrand::Rng,
) -> bool {
    let request = session.req_header();
    let view = RequestView {
        host: &ctx.host,
        path: request.uri.path(),
        query: request.uri.query(),
        method: &request.method,
        headers: &request.headers,
    };
    match split.assign(weights, &view, ctx.client(), excluded, rng) {
        Assignment::Variant { index, reason, unit } => {
            ctx.variant = Some(Assigned { index, reason, unit, excluded });
            ctx.cluster = Some(split.variants[index].cluster);
            true
        }
        Assignment::Drained | Assignment::Exhausted => false,
    }
}

/// Gives a client without a key the cookie that will be its key, if the split says so.
fn mint(session: &mut Session, ctx: &mut RequestCtx, split: &Split) {
    let request = session.req_header();
    let Some(due) = split.key.mint(&request.headers, request.uri.query(), ctx.client()) else { return };
    let Some(Minted { set, pair }) = cookie::mint(&due, ctx.secure(), rand::random()) else { return };
    // In front of what was sent: an empty cookie of that name would hide it.
    let sent = session.req_header().headers.get_all(header::COOKIE);
    let all = sent.iter().map(HeaderValue::as_bytes).fold(pair.into_bytes(), |mut all, crumb| {
        all.extend_from_slice(b"; ");
        all.extend_from_slice(crumb);
        all
    });
    let Ok(all) = HeaderValue::from_bytes(&all) else { return };
    let _ = session.req_header_mut().insert_header(header::COOKIE, all);
    ctx.minted = Some(set);
}

/// Counts the assignment, once the request is over: it may have been shifted until then.
pub(super) fn count<'a>(route: &'a Route, assigned: Assigned, snapshot: &Snapshot) -> &'a VariantMetrics {
    let Assigned { index, reason, unit, .. } = assigned;
    let variant = &route.variants[index];
    variant.assigned[reason as usize].inc();
    if let Action::Forward(forward) = &route.action
        && let Target::Split { index: split, .. } = &forward.target
        && reason != Reason::Override
    {
        snapshot.splits[*split].sample.record(unit, index);
    }
    variant
}

fn split_of<'a>(ctx: &RequestCtx, snapshot: &'a Snapshot) -> Option<(&'a Split, &'a Weights)> {
    let Action::Forward(forward) = &snapshot.table.routes.get(ctx.route?)?.action else { return None };
    match &forward.target {
        Target::Split { split, index } => Some((split, &snapshot.splits.get(*index)?.weights)),
        Target::Cluster(_) => None,
    }
}

/// Adds what the split has to say to the client's answer.
pub(super) fn tell(response: &mut ResponseHeader, ctx: &mut RequestCtx) {
    if let Some(Target::Split { split, .. }) = ctx.forward().map(|forward| &forward.target) {
        let told = ctx.variant().filter(|_| split.tell_client).map(|variant| variant.header.clone());
        // An endpoint's own word for it is not the split's. Neither can fail: both values are headers.
        match told {
            Some(variant) => drop(response.insert_header(VARIANT.as_str(), variant)),
            None => drop(response.remove_header(&VARIANT)),
        }
    }
    if let Some(cookie) = ctx.minted.take() {
        let _ = response.append_header(header::SET_COOKIE, cookie);
    }
}
