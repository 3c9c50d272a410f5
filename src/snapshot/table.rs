//! The routes of a snapshot: the router and, by its indexes, what each route does.
//!
//! A table depends on the config alone, not on members; a change of endpoints shares it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Name;
use crate::filter::Chain;
use crate::filter::headers::Edits;
use crate::filter::redirect::Redirect;
use crate::filter::respond::Respond;
use crate::filter::rewrite::Rewrite;
use crate::observe::metrics::{Counter, RouteMetrics, UpgradedMetrics};
use crate::retry::Retry;
use crate::route::Router;
use crate::snapshot::Forwarding;
use crate::snapshot::compile::Surroundings;
use crate::snapshot::mirror::Mirror;
use crate::snapshot::tcp::Tcp;
use crate::split::{Reason, Split};

/// The whole request, where the route says nothing.
pub const TIMEOUT: Duration = Duration::from_secs(15);

/// A stream that stands still, where the route says nothing.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// All routes.
#[derive(Debug)]
pub struct Table {
    /// Shared with the table before, if no condition of any route changed.
    pub router: Arc<Router>,
    /// In the order of the file; the router answers with indexes into it. Those that did not change are
    /// shared with the table before.
    pub routes: Box<[Arc<Route>]>,
    /// By the index of a cluster, who stands in for it.
    pub failover: Box<[Box<[Fallback]>]>,
    /// By the index of a listener, what it does with connections, if it passes them on as bytes.
    pub tcp: Box<[Option<Tcp>]>,
    /// What endpoints and clients are told of the way between them.
    pub forwarding: Forwarding,
    /// What requests without a route are counted under.
    pub unrouted: RouteMetrics,
    /// A hash of the config it was compiled from, for the snapshot's digest.
    pub digest: u64,
}

/// A cluster that stands in for another.
#[derive(Debug)]
pub struct Fallback {
    /// Index into the snapshot's clusters.
    pub cluster: usize,
    /// Requests that it served in the other's place.
    pub count: Counter,
}

/// One route, compiled.
#[derive(Debug)]
pub struct Route {
    pub name: Name,
    pub action: Action,
    pub response_headers: Edits,
    /// What its requests are counted under; those of a split, until they have a variant.
    pub metrics: RouteMetrics,
    /// The same for those that another cluster served than the one the route names.
    pub spilled: Spilled,
    /// The same for each variant of its split.
    pub variants: Box<[VariantMetrics]>,
    /// What its tunnels are counted under, by the index of their cluster.
    pub upgraded: Box<[(usize, UpgradedMetrics)]>,
}

/// What requests are counted under, by the index of the cluster that stood in.
pub type Spilled = Box<[(usize, RouteMetrics)]>;

/// What the requests of a variant are counted under.
#[derive(Debug)]
pub struct VariantMetrics {
    pub requests: RouteMetrics,
    /// The same for those that another cluster served than the one the variant names.
    pub spilled: Spilled,
    /// Requests that were given this variant, in the order of [`Reason::ALL`].
    pub assigned: [Counter; Reason::ALL.len()],
    /// Retries that left it, by the index of the variant they went to.
    pub crossings: Box<[Counter]>,
}

/// What a route does with a request.
#[derive(Debug)]
pub enum Action {
    Forward(Box<Forward>),
    Redirect(Redirect),
    Respond(Box<Respond>),
}

/// How a request is sent on.
#[derive(Debug)]
pub struct Forward {
    pub target: Target,
    pub filters: Chain,
    pub rewrite: Option<Rewrite>,
    /// The Host that the endpoint sees.
    pub host: Option<http::HeaderValue>,
    pub request_headers: Edits,
    /// None: no limit.
    pub timeout: Option<Duration>,
    /// None: no limit.
    pub idle_timeout: Option<Duration>,
    /// When it is tried again.
    pub retry: Retry,
    /// Whether calls of gRPC-Web are translated.
    pub grpc_web: bool,
    /// Who gets copies of the requests.
    pub mirror: Option<Mirror>,
}

/// Where a request is sent on to.
#[derive(Debug)]
pub enum Target {
    /// Index into the snapshot's clusters.
    Cluster(usize),
    Split {
        split: Split,
        /// Index into the snapshot's splits, which hold the weights.
        index: usize,
    },
}

// === impl Route ===

impl Route {
    /// The index of its split among the snapshot's, if it has one.
    pub fn split(&self) -> Option<usize> {
        let Action::Forward(forward) = &self.action else { return None };
        match forward.target {
            Target::Split { index, .. } => Some(index),
            Target::Cluster(_) => None,
        }
    }
}

// === impl Table ===

impl Table {
    /// No route.
    pub fn empty(around: &Surroundings) -> Self {
        let listeners: Vec<_> = around.listeners.iter().map(String::as_str).collect();
        let unrouted = around.metrics.route(&listeners, "", "", "");
        Self {
            router: Arc::new(Router::empty()),
            routes: Box::default(),
            failover: Box::default(),
            tcp: Box::default(),
            forwarding: Forwarding::default(),
            unrouted,
            digest: 0,
        }
    }

    /// What a listener does with connections, if it passes them on as bytes.
    pub fn tcp(&self, listener: usize) -> Option<&Tcp> {
        self.tcp.get(listener)?.as_ref()
    }

    /// Who stands in for a cluster.
    pub fn fallbacks(&self, cluster: usize) -> &[Fallback] {
        self.failover.get(cluster).map_or(&[], |list| list)
    }
}
