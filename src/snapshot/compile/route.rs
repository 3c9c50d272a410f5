//! One route of the config to one route of the table.
//!
//! In two steps: [`draft`] compiles what can be wrong, [`finish`] resolves metrics, once all routes are
//! right; so a config that is refused leaves no series behind. A route that is the same as before
//! needs neither: see [`before`](super::before).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::digest::{digest, digest_all};
use crate::config::live::{self, Live};
use crate::config::{Name, Problem};
use crate::filter::headers::Edits;
use crate::filter::redirect::Redirect;
use crate::filter::respond::Respond;
use crate::filter::rewrite::Rewrite;
use crate::observe::metrics::{RouteMetrics, UpgradedMetrics};
use crate::retry::Retry;
use crate::route::Router;
use crate::snapshot::Forwarding;
use crate::snapshot::compile::Surroundings;
use crate::snapshot::mirror::Mirror;
use crate::snapshot::table::{
    Action, Fallback, Forward, IDLE_TIMEOUT, Route, Spilled, TIMEOUT, Table, Target, VariantMetrics,
};
use crate::split::{Reason, Split};

/// A route that holds together.
pub(super) enum Draft<'a> {
    /// It serves already.
    Kept(Arc<Route>),
    /// The parts that could be wrong are compiled; metrics are resolved only once all routes are right.
    New { route: &'a live::Route, action: Action, response_headers: Edits },
}

/// Resolves the metrics of one route.
struct Series<'a> {
    route: &'a live::Route,
    live: &'a Live,
    indexes: &'a HashMap<&'a Name, usize>,
    around: &'a Surroundings,
    listeners: &'a [&'a str],
}

/// Compiles what can be wrong in one route. `split`: the place that its split would have among the
/// splits.
pub(super) fn draft<'a>(
    at: &str,
    route: &'a live::Route,
    split: usize,
    indexes: &HashMap<&Name, usize>,
    around: &Surroundings,
) -> Result<Draft<'a>, Vec<Problem>> {
    let mut problems = Vec::new();
    let response_headers = edits(&route.response_headers, at, "response_headers");
    let response_headers = keep(&mut problems, response_headers);
    let action = match (&route.cluster, &route.split, &route.redirect, &route.respond) {
        (Some(_), None, None, None) | (None, Some(_), None, None) => {
            forward(at, route, split, indexes, around).map(|forward| Action::Forward(Box::new(forward)))
        }
        (None, None, Some(redirect), None) => {
            Redirect::compile(redirect, &format!("{at}.redirect")).map(Action::Redirect)
        }
        (None, None, None, Some(respond)) => Respond::compile(respond, &format!("{at}.respond"))
            .map(|respond| Action::Respond(Box::new(respond))),
        _ => {
            let what = "a route has exactly one of `cluster`, `split`, `redirect` and `respond`";
            Err(vec![Problem::new(at, what)])
        }
    };
    let action = keep(&mut problems, action);
    match (action, response_headers) {
        (Some(action), Some(response_headers)) => Ok(Draft::New { route, action, response_headers }),
        _ => Err(problems),
    }
}

fn forward(
    at: &str,
    route: &live::Route,
    split: usize,
    indexes: &HashMap<&Name, usize>,
    around: &Surroundings,
) -> Result<Forward, Vec<Problem>> {
    let mut problems = Vec::new();
    let target = keep(&mut problems, target(at, route, split, indexes));
    let named = route.filters.iter().map(|filter| (filter.name.as_str(), &filter.config));
    let filters = keep(&mut problems, around.filters.chain(named, &format!("{at}.filters")));
    let request_headers = keep(&mut problems, edits(&route.request_headers, at, "request_headers"));
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
    match (target, filters, request_headers, rewrite, host, mirror) {
        (Some(target), Some(filters), Some(request_headers), Some(rewrite), Some(host), Some(mirror)) => {
            Ok(Forward {
                target,
                filters,
                rewrite,
                host,
                request_headers,
                timeout,
                idle_timeout: limit(route.idle_timeout, IDLE_TIMEOUT),
                retry: Retry::compile(route.retry.as_ref()),
                grpc_web: route.grpc_web,
                mirror,
            })
        }
        _ => Err(problems),
    }
}

/// Where it goes.
fn target(
    at: &str,
    route: &live::Route,
    index: usize,
    indexes: &HashMap<&Name, usize>,
) -> Result<Target, Vec<Problem>> {
    let find = |name: &Name| indexes.get(name).copied();
    match (&route.cluster, &route.split) {
        (Some(cluster), _) => find(cluster).map(Target::Cluster).ok_or_else(|| {
            let unknown = Problem::new(format!("{at}.cluster"), format!("unknown cluster `{cluster}`"));
            vec![unknown.did_you_mean(cluster.as_str(), indexes.keys().map(|name| name.as_str()))]
        }),
        (None, Some(split)) => {
            Split::compile(split, &find, &format!("{at}.split")).map(|split| Target::Split { split, index })
        }
        (None, None) => Err(vec![Problem::new(at, "the route goes nowhere")]),
    }
}

/// The edits under a key of a route. Most routes have none, and then no path is written for them.
fn edits(edits: &live::HeaderEdits, at: &str, key: &str) -> Result<Edits, Vec<Problem>> {
    let live::HeaderEdits { set, add, remove } = edits;
    if set.is_empty() && add.is_empty() && remove.is_empty() {
        return Ok(Edits::default());
    }
    Edits::compile(edits, &format!("{at}.{key}"))
}

/// Keeps the value, or the problems.
fn keep<T>(problems: &mut Vec<Problem>, result: Result<T, Vec<Problem>>) -> Option<T> {
    result.map_err(|more| problems.extend(more)).ok()
}

/// Puts the table together; resolves the metrics of each route that is new.
pub(super) fn finish(
    router: Arc<Router>,
    drafts: Vec<Draft<'_>>,
    live: &Live,
    indexes: &HashMap<&Name, usize>,
    around: &Surroundings,
) -> Table {
    let listeners: Vec<_> = around.listeners.iter().map(String::as_str).collect();
    let routes = drafts.into_iter().map(|draft| match draft {
        Draft::Kept(route) => route,
        Draft::New { route, action, response_headers } => {
            let series = Series { route, live, indexes, around, listeners: &listeners };
            Arc::new(Route {
                upgraded: series.upgraded(),
                name: route.name.clone(),
                metrics: series.requests(route.cluster.as_ref().map_or("", Name::as_str), ""),
                spilled: series.spilled(route.cluster.as_ref(), ""),
                variants: series.variants(),
                action,
                response_headers,
            })
        }
    });
    Table {
        routes: routes.collect(),
        router,
        failover: failover(live, indexes, around),
        tcp: Box::default(),
        unrouted: around.metrics.route(&listeners, "", "", ""),
        forwarding: Forwarding::from(&live.forwarding),
        digest: digest(&(digest_all(&live.routes), &live.forwarding)),
    }
}

// === impl Series ===

impl Series<'_> {
    /// Of the requests that one cluster serves.
    fn requests(&self, cluster: &str, variant: &str) -> RouteMetrics {
        self.around.metrics.route(self.listeners, self.route.name.as_str(), cluster, variant)
    }

    /// Of those that others serve in a cluster's place.
    fn spilled(&self, cluster: Option<&Name>, variant: &str) -> Spilled {
        let own = cluster.and_then(|name| self.live.clusters.get(name));
        let others = own.iter().flat_map(|own| &own.failover);
        let of = |to: &Name| Some((*self.indexes.get(to)?, self.requests(to.as_str(), variant)));
        others.filter_map(of).collect()
    }

    /// Of each variant, if the route has a split.
    fn variants(&self) -> Box<[VariantMetrics]> {
        let all = || self.route.split.iter().flat_map(|split| &split.variants);
        let names: Vec<_> = all().map(|variant| variant.name.as_str()).collect();
        let (metrics, route) = (&self.around.metrics, self.route.name.as_str());
        let of = |variant: &live::Variant| VariantMetrics {
            requests: self.requests(variant.cluster.as_str(), variant.name.as_str()),
            spilled: self.spilled(Some(&variant.cluster), variant.name.as_str()),
            assigned: metrics.split(route, variant.name.as_str(), Reason::ALL.map(Reason::as_str)),
            crossings: metrics.crossings(route, variant.name.as_str(), &names),
        };
        all().map(of).collect()
    }

    /// Of the tunnels: those to its clusters, and to who stands in for them.
    fn upgraded(&self) -> Box<[(usize, UpgradedMetrics)]> {
        let variants = self.route.split.iter().flat_map(|split| &split.variants);
        let own = self.route.cluster.iter().chain(variants.map(|variant| &variant.cluster));
        let all = own.flat_map(|name| {
            let others = self.live.clusters.get(name).into_iter().flat_map(|cluster| &cluster.failover);
            std::iter::once(name).chain(others)
        });
        // Ordered and once each: a split may name a cluster twice.
        let all: BTreeSet<_> = all.collect();
        let of = |to: &Name| {
            let metrics = self.around.metrics.upgraded(self.route.name.as_str(), to.as_str());
            Some((*self.indexes.get(to)?, metrics))
        };
        all.into_iter().filter_map(of).collect()
    }
}

/// Who stands in for each cluster.
fn failover(live: &Live, indexes: &HashMap<&Name, usize>, around: &Surroundings) -> Box<[Box<[Fallback]>]> {
    let list = |(name, cluster): (&Name, &live::Cluster)| {
        let fallback = |to: &Name| {
            let count = around.metrics.failover(name.as_str(), to.as_str());
            Some(Fallback { cluster: *indexes.get(to)?, count })
        };
        cluster.failover.iter().filter_map(fallback).collect()
    };
    live.clusters.iter().map(list).collect()
}
