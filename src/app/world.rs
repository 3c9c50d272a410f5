//! The running process as the admin API sees it.
//!
//! Every answer is made from the snapshot that requests use and the states that they change;
//! nothing is kept beside.

mod sample;
mod splits;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::admin::World;
use crate::admin::explain::Probe;
use crate::admin::view;
use crate::admin::world::{ReloadError, Reloaded};
use crate::cluster::Cluster;
use crate::config::{Boot, Config, Name, live};
use crate::control::drains::{Drained, Drains, Word};
use crate::control::fleet::{self, Heard};
use crate::control::ready::Ready;
use crate::control::weights::{self, Refused};
use crate::control::{Applied, DrainError, Inbox, drains};
use crate::discovery::Statuses;
use crate::discovery::keep::LastError;
use crate::endpoint::{Checked, Endpoint, Registry, Standing, State};
use crate::health::service::board::Board;
use crate::observe::metrics::{ClusterSample, EndpointState, Os, RegisterSample, Scrape, SourceSample};
use crate::priority;
use crate::register::{self, Register};
use crate::snapshot::compile::Surroundings;
use crate::snapshot::mirror::Mirror;
use crate::snapshot::{Action, Cell, Route, Snapshot, Target};

/// What the admin API reads and may ask for.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) cell: Arc<Cell>,
    pub(super) ready: Arc<Ready>,
    pub(super) inbox: Inbox,
    pub(super) statuses: Statuses,
    pub(super) heard: Heard,
    /// The entry of this process in Consul.
    pub(super) register: Register,
    /// What the active checks found.
    pub(super) board: Arc<Board>,
    /// What is drained.
    pub(super) drains: drains::Posted,
    pub(super) around: Arc<Surroundings>,
    pub(super) boot: Boot,
}

#[async_trait]
impl World for Process {
    fn ready(&self) -> Result<(), Vec<String>> {
        self.ready.check()
    }

    fn snapshot(&self) -> Option<view::Snapshot> {
        let snapshot = self.cell.load();
        (snapshot.generation > 0).then(|| view::Snapshot {
            generation: snapshot.generation,
            digest: snapshot.digest.clone(),
            published_at: snapshot.published_at,
            cause: snapshot.cause.clone(),
        })
    }

    fn routes(&self) -> Vec<view::Route> {
        let snapshot = self.cell.load();
        let written = &snapshot.live.routes;
        snapshot
            .table
            .routes
            .iter()
            .zip(written)
            .map(|(route, w)| show_route(route, w, &snapshot.clusters))
            .collect()
    }

    fn clusters(&self) -> Vec<view::Cluster> {
        let (snapshot, drains) = (self.cell.load(), self.drains.load());
        let show = |cluster: &Arc<Cluster>| show_cluster(&snapshot, cluster, &self.board, &drains);
        snapshot.clusters.iter().map(show).collect()
    }

    fn cluster(&self, name: &str) -> Option<view::Cluster> {
        let (snapshot, drains) = (self.cell.load(), self.drains.load());
        snapshot.cluster(name).map(|cluster| show_cluster(&snapshot, cluster, &self.board, &drains))
    }

    fn splits(&self) -> Vec<view::Split> {
        splits::all(&self.cell.load())
    }

    fn split(&self, route: &str) -> Result<view::Split, Refused> {
        splits::one(&self.cell.load(), route)
    }

    fn preview(&self, route: &str, weights: &BTreeMap<Name, u64>) -> Result<view::Preview, Refused> {
        splits::preview(&self.cell.load(), route, weights)
    }

    async fn set_weights(&self, request: weights::Request) -> Result<weights::Done, Refused> {
        let snapshot = self.cell.load();
        match &snapshot.live.splits.consul_kv {
            Some(prefix) => fleet::set(&self.cell, &self.heard, prefix, request, unix_now()).await,
            None => self.inbox.weights(request).await,
        }
    }

    fn sources(&self) -> Vec<view::Source> {
        let dynamic = self.statuses.list(now());
        let fleet = self.heard.status().map(show_fleet);
        dynamic.into_iter().map(show_source).chain(fleet).collect()
    }

    fn register(&self) -> Option<register::Status> {
        self.register.status()
    }

    fn config(&self) -> Value {
        let live = (*self.cell.load().live).clone();
        let config = Config { boot: self.boot.clone(), live };
        serde_json::to_value(config).unwrap_or_default()
    }

    fn explain(&self, probe: &Probe) -> Value {
        let snapshot = self.cell.load();
        serde_json::to_value(snapshot.explain(&probe.view(), probe.ip)).unwrap_or_default()
    }

    fn metrics(&self) -> Vec<u8> {
        let snapshot = self.cell.load();
        let statuses = self.statuses.list(now());
        let clusters: Vec<_> = snapshot
            .clusters
            .iter()
            .map(|cluster| ClusterSample {
                name: cluster.name.as_str(),
                endpoints: cluster.endpoints.iter().map(|e| sample::endpoint(e, condition(e))).collect(),
            })
            .collect();
        let fleet = self.heard.status();
        let fleet = fleet.as_ref().map(|fleet| SourceSample {
            source: "consul_kv",
            cluster: "",
            age: fleet.age_seconds,
            updates: fleet.updates,
            errors: fleet.errors,
        });
        let register = self.register.status();
        let sources: Vec<_> = statuses
            .iter()
            .map(|s| SourceSample {
                source: s.source,
                cluster: s.cluster.as_str(),
                age: s.last_success_age_seconds,
                updates: s.updates,
                errors: s.errors.values().sum(),
            })
            .chain(fleet)
            .collect();
        self.around.metrics.render(&Scrape {
            clusters: &clusters,
            sources: &sources,
            splits: &sample::splits(&snapshot),
            os: Some(&Os::read()),
            register: register.as_ref().map(|status| RegisterSample {
                service: &status.name,
                registered: status.state == register::State::Registered,
                registrations: status.registrations,
                errors: status.errors,
            }),
        })
    }

    async fn reload(&self) -> Result<Reloaded, ReloadError> {
        match self.inbox.reload("api").await {
            Ok(Applied { generation, needs_upgrade, warnings }) => {
                Ok(Reloaded { generation, needs_upgrade, warnings })
            }
            Err(rejected) if rejected.is_handing_over() => Err(ReloadError::HandingOver),
            Err(rejected) => Err(ReloadError::Invalid(rejected.problems)),
        }
    }

    async fn drain(&self, request: drains::Request) -> Result<Vec<String>, DrainError> {
        self.inbox.drain(request).await.map(|Applied { warnings, .. }| warnings)
    }
}

#[expect(clippy::disallowed_methods, reason = "ages are told against the real clock")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the date of a change is told as the calendar has it")]
fn unix_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn show_route(route: &Route, written: &live::Route, clusters: &[Arc<Cluster>]) -> view::Route {
    let (action, timeout, attempts) = match &route.action {
        Action::Forward(forward) => {
            let name = |index: usize| clusters[index].name.to_string();
            let action = match &forward.target {
                Target::Cluster(index) => view::Action::Cluster(name(*index)),
                Target::Split { split, .. } => {
                    let variant = |v: &crate::split::Variant| (v.name.to_string(), name(v.cluster));
                    view::Action::Split(split.variants.iter().map(variant).collect())
                }
            };
            (action, forward.timeout, forward.retry.attempts)
        }
        Action::Redirect(_) | Action::Respond(_) => (fixed(written), None, 0),
    };
    let mirror = match &route.action {
        Action::Forward(forward) => forward.mirror.as_ref().map(|mirror| show_mirror(mirror, clusters)),
        Action::Redirect(_) | Action::Respond(_) => None,
    };
    view::Route {
        name: route.name.to_string(),
        priority: written.priority,
        r#match: written.r#match.clone(),
        action,
        timeout_seconds: timeout.map(|t| t.as_secs_f64()),
        attempts,
        mirror,
    }
}

fn show_mirror(mirror: &Mirror, clusters: &[Arc<Cluster>]) -> view::Mirror {
    view::Mirror {
        cluster: clusters[mirror.cluster].name.to_string(),
        fraction: mirror.fraction,
        methods: mirror.methods.iter().map(ToString::to_string).collect(),
    }
}

fn fixed(written: &live::Route) -> view::Action {
    match (&written.redirect, &written.respond) {
        (Some(live::Redirect { to, status }), _) => {
            view::Action::Redirect { to: to.clone(), status: *status }
        }
        (None, respond) => view::Action::Respond { status: respond.as_ref().map_or(0, |r| r.status) },
    }
}

fn show_cluster(snapshot: &Snapshot, cluster: &Cluster, board: &Board, drains: &Drains) -> view::Cluster {
    let drained = drains.get(&cluster.name);
    let whole = drained.and_then(|drained| drained.whole.as_ref());
    let endpoints = &cluster.endpoints;
    let available = endpoints.iter().filter(|e| e.available()).count();
    let usable = endpoints.iter().filter(|e| !e.withdrawn()).count();
    let others = cluster.config.failover.iter().filter_map(|name| snapshot.cluster(name.as_str()));
    let scores: Vec<_> =
        std::iter::once(cluster).chain(others.map(|other| &**other)).map(Cluster::exact_score).collect();
    view::Cluster {
        name: cluster.name.to_string(),
        source: cluster.config.source().to_owned(),
        policy: cluster.config.load_balancing.policy,
        available,
        draining: whole.is_some(),
        drained: show_word(whole),
        endpoints: endpoints.iter().map(|e| show_endpoint(cluster, e, board, drained)).collect(),
        score: scores[0],
        failover: cluster.config.failover.iter().map(ToString::to_string).collect(),
        // While others can stand in for what is missing, only those that are available are used.
        panic: available * 2 < usable && (scores.len() == 1 || !priority::enough(&scores)),
    }
}

/// Who drained it, why and when.
fn show_word(word: Option<&Word>) -> view::Drained {
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    word.map_or_else(view::Drained::default, |Word { author, why, at }| view::Drained {
        drained_by: given(author),
        drained_why: given(why),
        drained_at: splits::date(*at),
    })
}

fn show_endpoint(
    cluster: &Cluster,
    endpoint: &Endpoint,
    board: &Board,
    drained: Option<&Drained>,
) -> view::Endpoint {
    let state = &endpoint.state;
    let found = board.find(cluster.name.as_str(), endpoint.member.address).filter(|_| endpoint.probed);
    view::Endpoint {
        address: endpoint.member.address,
        weight: endpoint.member.weight,
        registry: endpoint.member.registry,
        state: condition(endpoint),
        draining: state.draining(),
        drained: show_word(drained.and_then(|drained| drained.word(endpoint.member.address))),
        checked: endpoint.probed.then(|| state.checked()),
        checked_since_seconds: found.as_ref().map(|f| f.since.elapsed().as_secs_f64()),
        checked_why: found.and_then(|f| f.why),
        in_flight: state.in_flight(),
        requests: state.requests(),
        connect_failures: state.connect_failures(),
        standing: state.standing(),
        standing_since_seconds: state.faults.since().map(age),
        standing_why: why(state),
        ejections: state.faults.ejections(),
        labels: endpoint.member.labels.clone(),
    }
}

/// Seconds since a date.
#[expect(clippy::disallowed_methods, reason = "an age is told against the calendar that dated it")]
fn age(millis: u64) -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.saturating_sub(std::time::Duration::from_millis(millis)).as_secs_f64()
}

/// Why an endpoint that is out is out.
fn why(state: &State) -> Option<String> {
    let (reason, last) = (state.faults.reason(), state.faults.last());
    (state.standing() != Standing::In).then(|| format!("{}; the last was {}", reason.as_str(), last.as_str()))
}

fn condition(endpoint: &Endpoint) -> EndpointState {
    if endpoint.withdrawn() {
        EndpointState::Draining
    } else if endpoint.member.registry == Registry::Critical
        || (endpoint.probed && endpoint.state.checked() != Checked::Up)
    {
        EndpointState::Unhealthy
    } else if matches!(endpoint.state.standing(), Standing::Ejected | Standing::Trying) {
        EndpointState::Ejected
    } else {
        EndpointState::Available
    }
}

/// The documents of the fleet's weights are a source too, if not one of endpoints.
fn show_fleet(status: fleet::Status) -> view::Source {
    view::Source {
        source: "consul_kv".into(),
        cluster: status.prefix,
        age_seconds: status.age_seconds,
        updates: status.updates,
        errors: status.errors,
        last_error: status.last_error,
        held: None,
        members: status.documents,
        degraded: false,
        index: 0,
        dropped: status.ignored,
        dropped_examples: Vec::new(),
        from_disk: false,
    }
}

fn show_source(status: crate::discovery::SourceStatus) -> view::Source {
    let healed = status.last_success_age_seconds;
    let lasts = |error: &LastError| healed.is_none_or(|since| error.age_seconds < since);
    view::Source {
        source: status.source.to_string(),
        cluster: status.cluster.to_string(),
        age_seconds: status.last_success_age_seconds,
        updates: status.updates,
        errors: status.errors.values().sum(),
        last_error: status.last_error.filter(lasts).map(|e| format!("{}: {}", e.kind, e.what)),
        held: (status.held > 0).then(|| format!("{} endpoints are held", status.held)),
        members: status.members,
        degraded: status.degraded,
        index: status.index,
        dropped: status.dropped,
        dropped_examples: status.dropped_examples,
        from_disk: status.origin == Some(crate::discovery::keep::Origin::Disk),
    }
}
