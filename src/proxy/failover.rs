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

use std::net::SocketAddr;

use pingora_proxy::Session;

use crate::balance::{Choice, Mode};
use crate::cluster::Cluster;
use crate::priority::{self, PLACES};
use crate::proxy::ctx::RequestCtx;
use crate::proxy::variant::key;
use crate::snapshot::Snapshot;
use crate::snapshot::table::Fallback;

/// What a pick needs to know of a request, or of a connection that is passed through.
pub(super) struct Seek<'a, K> {
    /// The cluster that the route or the variant names.
    pub(super) home: usize,
    /// The one in use.
    pub(super) current: Option<usize>,
    /// Tries so far.
    pub(super) attempts: u32,
    /// Endpoints that failed.
    pub(super) tried: &'a [SocketAddr],
    /// Whether one of them may be asked again if nobody else is left.
    pub(super) stale: bool,
    /// Its key, for a cluster.
    pub(super) key: K,
}

/// Picks for the next try, and turns to the cluster that was picked from.
pub(super) fn pick(
    session: &Session,
    ctx: &mut RequestCtx,
    snapshot: &Snapshot,
    rng: &mut fastrand::Rng,
) -> Option<Choice> {
    let (choice, cluster) = {
        let mut seek = of_request(session, ctx)?;
        (seek.pick(snapshot, rng), seek.current)
    };
    ctx.cluster = cluster;
    choice
}

/// Picks in the cluster in use and no other.
pub(super) fn stay(
    session: &Session,
    ctx: &RequestCtx,
    snapshot: &Snapshot,
    rng: &mut fastrand::Rng,
) -> Option<Choice> {
    let seek = of_request(session, ctx)?;
    let alone = snapshot.table.fallbacks(seek.home).is_empty();
    let mode = if alone { Mode::Usual } else { Mode::Available };
    seek.within(ctx.cluster()?, mode, rng)
}

fn of_request<'a>(
    session: &'a Session,
    ctx: &'a RequestCtx,
) -> Option<Seek<'a, impl Fn(&Cluster) -> Option<u64>>> {
    Some(Seek {
        home: ctx.home()?,
        current: ctx.cluster,
        attempts: ctx.attempts,
        tried: &ctx.tried,
        stale: ctx.stale_connection,
        key: |cluster: &Cluster| key(session, ctx, cluster),
    })
}

// === impl Seek ===

impl<K: Fn(&Cluster) -> Option<u64>> Seek<'_, K> {
    /// Picks for the next try, and turns to the cluster that was picked from.
    pub(super) fn pick(&mut self, snapshot: &Snapshot, rng: &mut fastrand::Rng) -> Option<Choice> {
        match snapshot.table.fallbacks(self.home) {
            [] => self.within(snapshot.clusters.get(self.home)?, Mode::Usual, rng),
            fallbacks => self.spill(snapshot, fallbacks, rng),
        }
    }

    fn spill(
        &mut self,
        snapshot: &Snapshot,
        fallbacks: &[Fallback],
        rng: &mut fastrand::Rng,
    ) -> Option<Choice> {
        let places = 0..fallbacks.len().min(PLACES - 1) + 1;
        let home = self.home;
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
        let first = if self.attempts > 0 {
            places.clone().find(|place| Some(index(*place)) == self.current)
        } else if scores[0] >= 1.0 {
            Some(0)
        } else {
            let unit = self.sticky(cluster(0)).map_or_else(|| rng.f64(), priority::unit);
            priority::choose(&scores, unit)
        };
        let first = first.unwrap_or(0);
        let usual = if priority::enough(&scores) { Mode::Available } else { Mode::Usual };
        for place in std::iter::once(first).chain(places.filter(|place| *place != first)) {
            let mode = if place == first { usual } else { Mode::Available };
            let choice = self.within(cluster(place), mode, rng).filter(|choice| !choice.none);
            if choice.is_some() || cluster(place).crowded() {
                self.current = Some(index(place));
                return choice;
            }
        }
        let last = self.within(cluster(0), Mode::Usual, rng);
        if last.is_some() {
            self.current = Some(home);
        }
        last
    }

    fn within(&self, cluster: &Cluster, mode: Mode, rng: &mut fastrand::Rng) -> Option<Choice> {
        let key = (self.key)(cluster);
        let choice = cluster.pick_in(mode, key, self.tried, rng);
        if choice.is_none() && self.stale { cluster.pick_in(mode, key, &[], rng) } else { choice }
    }

    /// The key, to a cluster that hashes.
    fn sticky(&self, cluster: &Cluster) -> Option<u64> {
        if cluster.keyed() { (self.key)(cluster) } else { None }
    }
}

/// Counts a request that was served by another cluster than the one it was meant for.
pub(super) fn count(ctx: &RequestCtx, snapshot: &Snapshot) {
    if ctx.attempts > 0
        && let Some((home, cluster)) = ctx.home().zip(ctx.cluster)
    {
        count_served(snapshot, home, cluster);
    }
}

/// The same of anything that was meant for `home` and served by `cluster`.
pub(super) fn count_served(snapshot: &Snapshot, home: usize, cluster: usize) {
    if home != cluster
        && let Some(to) = snapshot.table.fallbacks(home).iter().find(|to| to.cluster == cluster)
    {
        to.count.inc();
    }
}
