//! Config and members to a snapshot, in two steps: a [`Plan`], which can fail, and snapshots from
//! it, which cannot.
//!
//! A plan is made once per config: routes, filters, hash policies. It reports every problem, not
//! the first. Each later change of members makes a new snapshot from the same plan, and shares with
//! the previous one every cluster whose members did not change.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use xxhash_rust::xxh3::Xxh3;

use crate::balance::hash::HashPolicy;
use crate::cluster::Cluster;
use crate::config::live::{self, Live};
use crate::config::{Name, Problem};
use crate::endpoint::{Members, Roster};
use crate::filter::Registry;
use crate::filter::headers::Edits;
use crate::filter::redirect::Redirect;
use crate::filter::respond::Respond;
use crate::filter::rewrite::Rewrite;
use crate::observe::Metrics;
use crate::observe::access::AccessLog;
use crate::route::{Router, Rule};
use crate::snapshot::Snapshot;
use crate::snapshot::mirror::{Connections, Mirror};
use crate::snapshot::table::{ATTEMPTS, Action, Forward, IDLE_TIMEOUT, Route, TIMEOUT, Table};

/// What every compilation of a process shares.
#[derive(Debug)]
pub struct Surroundings {
    pub metrics: Arc<Metrics>,
    /// The filters that routes may name.
    pub filters: Registry,
    /// The names of the listeners, in the order of their indexes.
    pub listeners: Vec<String>,
    /// The connections to mirrors, which outlive snapshots.
    pub mirrors: Arc<Connections>,
}

/// A config that holds together, compiled as far as it goes without members.
#[derive(Clone, Debug)]
pub struct Plan {
    pub live: Arc<Live>,
    table: Arc<Table>,
    clusters: Box<[PlannedCluster]>,
}

#[derive(Clone, Debug)]
struct PlannedCluster {
    name: Name,
    /// Whether its members come from a source and not from the file.
    discovered: bool,
    fingerprint: u64,
    hash: HashPolicy,
}

/// What makes one snapshot differ from the one before it.
pub struct Step<'a> {
    pub previous: &'a Snapshot,
    /// The newest members of a cluster and fingerprint, if its source has answered.
    pub members: &'a dyn Fn(&Name, u64) -> Option<Members>,
    pub access_log: Arc<AccessLog>,
    pub cause: String,
    pub now: SystemTime,
}

/// The parts of a route that can be wrong, compiled; metrics are resolved only once all routes are
/// right.
struct Draft<'a> {
    route: &'a live::Route,
    action: Action,
    response_headers: Edits,
}

// === impl Plan ===

impl Plan {
    /// Compiles a config. Nothing is touched when it fails.
    ///
    /// # Errors
    ///
    /// Every problem, with its config path.
    pub fn new(live: Arc<Live>, around: &Surroundings) -> Result<Self, Vec<Problem>> {
        // Destructured in full, so that a new key can't be forgotten here.
        let Live { access_log: _, consul: _, clusters, routes, splits: _ } = &*live;
        let mut problems = Vec::new();
        let mut planned = Vec::with_capacity(clusters.len());
        for (name, cluster) in clusters {
            match HashPolicy::new(&cluster.load_balancing.hash) {
                Ok(hash) => {
                    planned.push(PlannedCluster {
                        name: name.clone(),
                        discovered: cluster.r#static.is_none(),
                        fingerprint: cluster.fingerprint(),
                        hash,
                    });
                }
                Err(why) => problems.push(Problem::new(format!("clusters.{name}.load_balancing.hash"), why)),
            }
        }
        let rules: Vec<_> = routes
            .iter()
            .map(|r| Rule { name: &r.name, priority: r.priority, conditions: &r.r#match })
            .collect();
        let router = Router::compile(&rules).map_err(|more| problems.extend(more));
        let indexes: HashMap<_, _> = clusters.keys().enumerate().map(|(index, name)| (name, index)).collect();
        let mut drafts = Vec::with_capacity(routes.len());
        for (index, route) in routes.iter().enumerate() {
            match draft(&format!("routes[{index}]"), route, &indexes, around) {
                Ok(draft) => drafts.push(draft),
                Err(more) => problems.extend(more),
            }
        }
        let Ok(router) = router else { return Err(problems) };
        if !problems.is_empty() {
            return Err(problems);
        }
        let table = Arc::new(finish(router, drafts, &live, around));
        Ok(Self { table, clusters: planned.into(), live })
    }

    /// Whether a cluster of this config asks this question.
    pub fn asks(&self, cluster: &Name, fingerprint: u64) -> bool {
        let found = self.clusters.binary_search_by(|planned| planned.name.cmp(cluster));
        found.is_ok_and(|index| self.clusters[index].fingerprint == fingerprint)
    }

    /// What this config asks of sources: clusters by name, with the fingerprints of their
    /// questions.
    pub fn questions(&self) -> impl Iterator<Item = (&Name, u64)> {
        self.clusters.iter().filter(|c| c.discovered).map(|c| (&c.name, c.fingerprint))
    }

    /// The next snapshot.
    pub fn snapshot(&self, step: Step<'_>, roster: &mut Roster, around: &Surroundings) -> Snapshot {
        let Step { previous, members, access_log, cause, now } = step;
        if self.live.routes.iter().any(|route| route.mirror.is_some()) {
            around.mirrors.get();
        }
        let mut hasher = Xxh3::new();
        hasher.update(&self.table.digest.to_le_bytes());
        let compile = |planned: &PlannedCluster| {
            let PlannedCluster { name, fingerprint, hash, .. } = planned;
            let members = members(name, *fingerprint);
            let config = &self.live.clusters[name];
            let kept = previous.cluster(name.as_str()).filter(|old| {
                let same = match (&old.members, &members) {
                    (Some(a), Some(b)) => a.same(b),
                    (None, None) => true,
                    _ => false,
                };
                same && old.fingerprint == *fingerprint && old.config == *config
            });
            let cluster = match kept {
                Some(old) => old.clone(),
                None => {
                    let (hash, metrics) = (hash.clone(), &around.metrics);
                    Arc::new(Cluster::compile(name, config, *fingerprint, hash, members, roster, metrics))
                }
            };
            hasher.update(&cluster.digest.to_le_bytes());
            cluster
        };
        let clusters = self.clusters.iter().map(compile).collect();
        Snapshot {
            generation: previous.generation + 1,
            digest: format!("{:032x}", hasher.digest128()),
            published_at: now,
            cause,
            live: self.live.clone(),
            table: self.table.clone(),
            clusters,
            access_log,
        }
    }
}

impl std::fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("cause", &self.cause).finish_non_exhaustive()
    }
}

/// Compiles what can be wrong in one route.
fn draft<'a>(
    at: &str,
    route: &'a live::Route,
    indexes: &HashMap<&Name, usize>,
    around: &Surroundings,
) -> Result<Draft<'a>, Vec<Problem>> {
    let mut problems = Vec::new();
    if route.split.is_some() {
        return Err(vec![Problem::new(at, "`split` is not served by this version yet")]);
    }
    let response_headers =
        keep(&mut problems, Edits::compile(&route.response_headers, &format!("{at}.response_headers")));
    let action = match (&route.cluster, &route.redirect, &route.respond) {
        (Some(cluster), None, None) => {
            forward(at, route, cluster, indexes, around).map(|forward| Action::Forward(Box::new(forward)))
        }
        (None, Some(redirect), None) => {
            Redirect::compile(redirect, &format!("{at}.redirect")).map(Action::Redirect)
        }
        (None, None, Some(respond)) => Respond::compile(respond, &format!("{at}.respond"))
            .map(|respond| Action::Respond(Box::new(respond))),
        _ => Err(vec![Problem::new(at, "a route has exactly one of `cluster`, `redirect` and `respond`")]),
    };
    let action = keep(&mut problems, action);
    match (action, response_headers) {
        (Some(action), Some(response_headers)) => Ok(Draft { route, action, response_headers }),
        _ => Err(problems),
    }
}

fn forward(
    at: &str,
    route: &live::Route,
    cluster: &Name,
    indexes: &HashMap<&Name, usize>,
    around: &Surroundings,
) -> Result<Forward, Vec<Problem>> {
    let mut problems = Vec::new();
    let index = indexes.get(cluster).copied();
    if index.is_none() {
        let unknown = Problem::new(format!("{at}.cluster"), format!("unknown cluster `{cluster}`"));
        problems.push(unknown.did_you_mean(cluster.as_str(), indexes.keys().map(|name| name.as_str())));
    }
    let named = route.filters.iter().map(|filter| (filter.name.as_str(), &filter.config));
    let filters = keep(&mut problems, around.filters.chain(named, &format!("{at}.filters")));
    let request_headers =
        keep(&mut problems, Edits::compile(&route.request_headers, &format!("{at}.request_headers")));
    let rewrite = route.rewrite.as_ref().map(|rewrite| {
        let path = route.r#match.path.as_ref();
        Rewrite::compile(rewrite, path, &format!("{at}.rewrite"))
    });
    let rewrite = keep(&mut problems, rewrite.transpose());
    let host = route.host.as_ref().map(|host| {
        let valid = host.parse::<http::uri::Authority>().is_ok_and(|a| !a.as_str().contains('@'));
        let value = http::HeaderValue::from_str(host).ok().filter(|_| valid);
        value.ok_or_else(|| vec![Problem::new(format!("{at}.host"), format!("`{host}` is not a host name"))])
    });
    let host = keep(&mut problems, host.transpose());
    let limit = |span: Option<crate::config::value::Span>, default| {
        Some(span.map_or(default, |s| s.0)).filter(|d| !d.is_zero())
    };
    let timeout = limit(route.timeout, TIMEOUT);
    let mirror = route.mirror.as_ref().map(|mirror| {
        Mirror::compile(mirror, &format!("{at}.mirror"), &route.name, timeout, indexes, around)
    });
    let mirror = keep(&mut problems, mirror.transpose());
    match (index, filters, request_headers, rewrite, host, mirror) {
        (Some(cluster), Some(filters), Some(request_headers), Some(rewrite), Some(host), Some(mirror)) => {
            Ok(Forward {
                cluster,
                filters,
                rewrite,
                host,
                request_headers,
                timeout,
                idle_timeout: limit(route.idle_timeout, IDLE_TIMEOUT),
                attempts: route.retry.as_ref().map_or(ATTEMPTS, |retry| retry.attempts.max(1)),
                mirror,
            })
        }
        _ => Err(problems),
    }
}

/// Keeps the value, or the problems.
fn keep<T>(problems: &mut Vec<Problem>, result: Result<T, Vec<Problem>>) -> Option<T> {
    result.map_err(|more| problems.extend(more)).ok()
}

/// Puts the table together; resolves the metrics of each route.
fn finish(router: Router, drafts: Vec<Draft<'_>>, live: &Live, around: &Surroundings) -> Table {
    let listeners: Vec<_> = around.listeners.iter().map(String::as_str).collect();
    let routes = drafts.into_iter().map(|Draft { route, action, response_headers }| {
        let cluster = route.cluster.as_ref().map_or("", Name::as_str);
        Route {
            name: route.name.clone(),
            metrics: around.metrics.route(&listeners, route.name.as_str(), cluster, ""),
            conditions: route.r#match.clone(),
            action,
            response_headers,
        }
    });
    let digest = xxhash_rust::xxh3::xxh3_64(format!("{:?}", live.routes).as_bytes());
    Table { routes: routes.collect(), router, unrouted: around.metrics.route(&listeners, "", "", ""), digest }
}
