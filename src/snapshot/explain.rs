//! What would happen to a request, and why: the code that decides traffic, asked for its reasons.

mod failover;
mod split;

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use self::failover::Served;
pub use self::failover::{FailoverExplanation, Place};
pub use self::split::SplitExplanation;
use crate::balance::Mode;
use crate::cluster::Cluster;
use crate::config::live::{self, Policy};
use crate::endpoint::{Checked, Endpoint, Registry, Standing};
use crate::route::RequestView;
use crate::route::explain::Candidate;
use crate::snapshot::{Action, Snapshot, Target};

/// The whole answer.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    pub generation: u64,
    /// The route that won. None: 404 `NR`.
    pub route: Option<String>,
    /// What is done, in words: `cluster web`, `redirect 308`, `404 NR: no route matches`.
    pub outcome: String,
    /// Nearer routes, in order of precedence, with the first condition that failed; the winner
    /// last.
    pub candidates: Vec<Candidate>,
    /// How its split decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitExplanation>,
    /// Which cluster serves it, where others may stand in for the named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverExplanation>,
    /// Where it goes. None where no cluster is certain: the dice decide which variant it gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterExplanation>,
}

/// The cluster that the request goes to.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterExplanation {
    pub name: String,
    pub policy: Policy,
    /// The hash that the policy's key gave, where the policy hashes and the request has a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Where the request would go now. For policies that are not keyed, one possible pick.
    pub pick: Option<SocketAddr>,
    /// Whether that pick is certain: the policy hashes, and the request has a key.
    pub certain: bool,
    /// Under half are available, so all that are not withdrawn are used.
    pub panic: bool,
    pub endpoints: Vec<EndpointExplanation>,
}

/// One endpoint, and whether it can be picked.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointExplanation {
    pub address: SocketAddr,
    pub weight: u32,
    pub registry: Registry,
    pub draining: bool,
    pub in_flight: u32,
    /// `available`, or why it gets no request.
    pub state: &'static str,
}

// === impl Snapshot ===

impl Snapshot {
    /// Explains what it would do with a request. `ip`: the client's.
    pub fn explain(&self, request: &RequestView<'_>, ip: Option<IpAddr>) -> Explanation {
        let candidates = self.table.router.explain(request);
        let won = self.table.router.find(request);
        let won = won.map(|index| (&self.table.routes[index], &self.live.routes[index]));
        let (outcome, split, failover, cluster) = match won.map(|(route, _)| &route.action) {
            None => ("404 NR: no route matches".to_owned(), None, None, None),
            Some(Action::Redirect(_) | Action::Respond(_)) => {
                (won.map_or_else(String::new, |(_, w)| fixed(w)), None, None, None)
            }
            Some(Action::Forward(forward)) => self.forwarded(&forward.target, request, ip),
        };
        let route = won.map(|(route, _)| route.name.to_string());
        Explanation { generation: self.generation, route, outcome, candidates, split, failover, cluster }
    }

    fn forwarded(
        &self,
        target: &Target,
        request: &RequestView<'_>,
        ip: Option<IpAddr>,
    ) -> (String, Option<SplitExplanation>, Option<FailoverExplanation>, Option<ClusterExplanation>) {
        let (split, index, variant) = match target {
            Target::Cluster(index) => (None, *index, String::new()),
            Target::Split { split, index } => {
                let told = SplitExplanation::of(split, &self.splits[*index], self, request, ip);
                let Some(variant) = told.index else {
                    return (told.why.clone(), Some(told), None, None);
                };
                let variant = &split.variants[variant];
                (Some(told), variant.cluster, format!("variant {}, ", variant.name))
            }
        };
        let Served { cluster, mode, told: failover } = failover::serve(self, index, request, ip);
        let cluster = &self.clusters[cluster];
        let told = tell(cluster, mode, request, ip);
        let outcome = match (&told.pick, &cluster.members) {
            (Some(_), _) => format!("{variant}cluster {}", cluster.name),
            (None, None) => format!("{variant}cluster {}: its source has not answered yet", cluster.name),
            (None, Some(_)) => format!("{variant}503 UH: no endpoint of cluster {} is usable", cluster.name),
        };
        (outcome, split, failover, Some(told))
    }
}

/// An answer that needs no cluster, in words.
fn fixed(route: &live::Route) -> String {
    match (&route.redirect, &route.respond) {
        (Some(redirect), _) => format!("redirect {} to {}", redirect.status, redirect.to),
        (None, Some(respond)) => format!("respond {}", respond.status),
        (None, None) => String::new(),
    }
}

fn tell(cluster: &Cluster, mode: Mode, request: &RequestView<'_>, ip: Option<IpAddr>) -> ClusterExplanation {
    let policy = cluster.config.load_balancing.policy;
    let key = cluster.hash.key(request.headers, request.query, ip);
    let choice = cluster.probe(mode, key);
    let endpoints = cluster.endpoints.iter().map(|e| EndpointExplanation {
        address: e.member.address,
        weight: e.member.weight,
        registry: e.member.registry,
        draining: e.state.draining(),
        in_flight: e.state.in_flight(),
        state: state(e),
    });
    ClusterExplanation {
        name: cluster.name.to_string(),
        policy,
        hash: key.map(|key| format!("{key:016x}")),
        pick: choice.map(|choice| cluster.endpoints[choice.index].member.address),
        certain: key.is_some() && matches!(policy, Policy::RingHash | Policy::Maglev),
        panic: choice.is_some_and(|choice| choice.panic),
        endpoints: endpoints.collect(),
    }
}

/// `available`, or the first reason why it is not: what an operator said, then the registry, then what
/// we know ourselves.
fn state(endpoint: &Endpoint) -> &'static str {
    let (state, member) = (&endpoint.state, &endpoint.member);
    match (state.checked(), state.standing()) {
        _ if state.draining() => "draining",
        _ if member.registry == Registry::Maintenance => "in maintenance",
        _ if member.weight == 0 => "weight 0",
        _ if member.registry == Registry::Critical => "critical in the registry",
        (Checked::Down, _) if endpoint.probed => "fails its health check",
        (Checked::Unknown, _) if endpoint.probed => "not checked yet",
        (_, Standing::Ejected) => "ejected for its errors",
        (_, Standing::Trying) => "ejected, and on trial with one request",
        (_, Standing::Returning) => "available to one request, its trial after an ejection",
        (_, Standing::In) => "available",
    }
}
