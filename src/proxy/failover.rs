//! The cluster that serves: the one that the route or the variant names, or one that stands in for it.
//!
//! For the first try the rule of [`priority`] decides by the scores of the cluster and its `failover`
//! list: by the dice, or, where the cluster hashes and the request has a key, by that key, so that a
//! client does not go to and fro while nothing changes. Later tries stay in the cluster in use. Where
//! that has nobody left for the request, the others of the list are asked, in their order, for those
//! that are available. When nobody anywhere is, the named cluster's panic mode is the last resort.
//!
//! As long as the scores together reach 1 there is no panic mode: the missing part is somebody else's.
//!
//! A cluster whose endpoints are merely full is not left, as a variant is not: what overloads one
//! cluster must not be poured over the next. And only the named cluster's own list counts, not those of
//! the clusters in it: the whole order stands in one place.

use pingora_proxy::Session;

use crate::balance::{Choice, Mode};
use crate::cluster::Cluster;
use crate::priority::{self, PLACES};
use crate::proxy::ctx::RequestCtx;
use crate::proxy::variant::key;
use crate::snapshot::Snapshot;
use crate::snapshot::table::Fallback;

/// Picks for the next try, and turns to the cluster that was picked from.
pub(super) fn pick(
    session: &Session,
    ctx: &mut RequestCtx,
    snapshot: &Snapshot,
    rng: &mut fastrand::Rng,
) -> Option<Choice> {
    let home = ctx.home()?;
    match snapshot.table.fallbacks(home) {
        [] => within(session, ctx, snapshot.clusters.get(home)?, Mode::Usual, rng),
        fallbacks => spill(session, ctx, snapshot, (home, fallbacks), rng),
    }
}

/// Picks in the cluster in use and no other.
pub(super) fn stay(
    session: &Session,
    ctx: &RequestCtx,
    snapshot: &Snapshot,
    rng: &mut fastrand::Rng,
) -> Option<Choice> {
    let alone = snapshot.table.fallbacks(ctx.home()?).is_empty();
    let mode = if alone { Mode::Usual } else { Mode::Available };
    within(session, ctx, ctx.cluster()?, mode, rng)
}

fn spill(
    session: &Session,
    ctx: &mut RequestCtx,
    snapshot: &Snapshot,
    (home, fallbacks): (usize, &[Fallback]),
    rng: &mut fastrand::Rng,
) -> Option<Choice> {
    let places = 0..fallbacks.len().min(PLACES - 1) + 1;
    let index = |place: usize| place.checked_sub(1).map_or(home, |at| fallbacks[at].cluster);
    let cluster = |place: usize| &*snapshot.clusters[index(place)];
    let mut scores = [0.0; PLACES];
    let mut total = 0.0;
    for place in places.clone() {
        scores[place] = cluster(place).score(rng);
        total += scores[place];
        if total >= 1.0 {
            // Nothing is left for those that follow.
            break;
        }
    }
    let first = if ctx.attempts > 0 {
        places.clone().find(|place| Some(index(*place)) == ctx.cluster)
    } else if scores[0] >= 1.0 {
        Some(0)
    } else {
        let unit = sticky(session, ctx, cluster(0)).map_or_else(|| rng.f64(), priority::unit);
        priority::choose(&scores, unit)
    };
    let first = first.unwrap_or(0);
    let usual = if priority::enough(&scores) { Mode::Available } else { Mode::Usual };
    for place in std::iter::once(first).chain(places.filter(|place| *place != first)) {
        let mode = if place == first { usual } else { Mode::Available };
        let choice = within(session, ctx, cluster(place), mode, rng).filter(|choice| !choice.none);
        if choice.is_some() || cluster(place).crowded() {
            ctx.cluster = Some(index(place));
            return choice;
        }
    }
    let last = within(session, ctx, cluster(0), Mode::Usual, rng);
    if last.is_some() {
        ctx.cluster = Some(home);
    }
    last
}

fn within(
    session: &Session,
    ctx: &RequestCtx,
    cluster: &Cluster,
    mode: Mode,
    rng: &mut fastrand::Rng,
) -> Option<Choice> {
    let key = key(session, ctx, cluster);
    let choice = cluster.pick_in(mode, key, &ctx.tried, rng);
    if choice.is_none() && ctx.stale_connection { cluster.pick_in(mode, key, &[], rng) } else { choice }
}

/// The key of a request to a cluster that hashes.
fn sticky(session: &Session, ctx: &RequestCtx, cluster: &Cluster) -> Option<u64> {
    if cluster.keyed() { key(session, ctx, cluster) } else { None }
}

/// Counts a request that was served by another cluster than the one it was meant for.
pub(super) fn count(ctx: &RequestCtx, snapshot: &Snapshot) {
    if ctx.attempts > 0
        && let Some((home, cluster)) = ctx.home().zip(ctx.cluster)
        && home != cluster
        && let Some(to) = snapshot.table.fallbacks(home).iter().find(|to| to.cluster == cluster)
    {
        to.count.inc();
    }
}
